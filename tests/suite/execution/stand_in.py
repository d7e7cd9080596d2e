"""In place of Papermill and its kernel: the cells of a notebook in one process, which is quick.

`python stand_in.py SOURCE TARGET PARAMETERS`, and `python stand_in.py reproduce ...` for the
command `lightlayers` that executes its notebooks in this way.
"""

import json
import os
import pathlib
import sys
import threading

from lightlayers import cli
from lightlayers.suite.execution import cluster, notebooks

FILE = pathlib.Path(__file__)
CELL = {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "outputs": []}


def papermill_command(source, target, parameters, settings):
    """What stands in for `notebooks.papermill_command`."""
    return [sys.executable, str(FILE), str(source), str(target), json.dumps(parameters)]


def dask_setup(worker):
    """Lets a worker stand in too, which is started with `--preload stand_in.py`."""
    notebooks.papermill_command = papermill_command


def die_with_parent():
    os.read(0, 1)
    os._exit(1)


def execute(source, target, parameters):
    """Executes the cells of a notebook, and writes it as Papermill does, also where it fails."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    notebook = json.loads(source.read_text())
    cells = notebook["cells"]
    place = next(
        i for i, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", ())
    )
    text = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    injected = CELL | {"id": "injected", "execution_count": None, "source": text}
    cells.insert(place + 1, injected)
    target.write_text(json.dumps(notebook))
    os.chdir(source.parent)
    names = {}
    for cell in cells:
        exec("".join(cell["source"]), names)  # noqa: S102


def main():
    if sys.argv[1] != "reproduce":
        source, target, parameters = sys.argv[1:]
        execute(pathlib.Path(source), pathlib.Path(target), json.loads(parameters))
        return 0
    dask_setup(None)
    cluster.TIMEOUT = 2
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
