"""The command in a folder of its own, with a stand-in for training and planted faults."""

import pathlib
import signal
import subprocess
import sys
import time

import nbformat
import psutil

ROOT = pathlib.Path(__file__).parents[3]


def command(*arguments):
    return [sys.executable, "-m", "lightlayers.cli", "reproduce", "digits", *map(str, arguments)]


def reproduce(folder, *arguments):
    """`lightlayers reproduce digits` in a folder with notebooks and outputs of its own."""
    outputs = ["--outputs", folder / "outputs"]
    return subprocess.run(
        command(*arguments, *outputs), cwd=folder, capture_output=True, text=True, timeout=300
    )


def started(folder, *arguments):
    log = open(folder / "log", "w")
    outputs = ["--outputs", folder / "outputs"]
    process = subprocess.Popen(
        command(*arguments, *outputs),
        cwd=folder,
        stdout=log,
        stderr=subprocess.STDOUT,
        # A shell's background jobs are deaf to Ctrl-C, and so would their children be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    log.close()
    return process


def records(folder):
    return {file: file.read_bytes() for file in folder.glob("outputs/runs/digits/*.json")}


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def begun(folder):
    """How many trainings have begun, by the stand-in's own word."""
    file = folder / "trained"
    return len(file.read_text().splitlines()) if file.exists() else 0


def family_of(process):
    """The processes that a command has started, the kernels that train among them."""
    found = psutil.Process(process.pid).children(recursive=True)
    assert any("ipykernel_launcher" in each.cmdline() for each in found), found
    return found


# In place of minutes of training and of TensorFlow's start: a stored record under the run's
# name. Notebook, kernel, Papermill and store are the real ones.
QUICK = """
import time, unittest.mock
from lightlayers.suite.store import read_record
from lightlayers.suite.training import collection
collection.backend.load = unittest.mock.Mock()
collection.backend.load().config.floatx.return_value = "float32"
stand_in = read_record({record!r})
def stand_for(run, progress=None):
    with open({trained!r}, "a") as file:
        file.write(run.id + chr(10))
    for epoch in range(run.epochs):
        time.sleep(0.01)
        progress(epoch + 1, run.epochs)
    return {{**stand_in, "run": run.to_record(), "id": run.id, "started": str(time.time())}}
collection.train_seeds = lambda planned, progress: [stand_for(run, progress) for run in planned]
"""


def slim(folder):
    """Writes the digits notebook with its imports, parameters and training only."""
    notebook = nbformat.read(ROOT / "notebooks" / "digits.ipynb", as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if "collect(" in cell.source)
    kept = ("import ", "train = ", "plans.plan", "collect(")
    cells = notebook.cells[: last + 1]
    notebook.cells = [cell for cell in cells if any(part in cell.source for part in kept)]
    (plan,) = (cell for cell in notebook.cells if "plans.plan" in cell.source)
    # The images take a second, and only the figures show them.
    lines = [line for line in plan.source.splitlines() if not line.startswith("data = ")]
    plan.source = "\n".join(lines)
    nbformat.write(notebook, folder / "notebooks" / "digits.ipynb")


def restore(folder):
    """Writes the slim notebook with the stand-in."""
    slim(folder)
    record = sorted(ROOT.glob("outputs/runs/digits/*.json"))[0]
    plant(folder, QUICK.format(record=str(record), trained=str(folder / "trained")))


def plant(folder, code):
    """Puts code before the training, after what was planted before."""
    file = folder / "notebooks" / "digits.ipynb"
    notebook = nbformat.read(file, as_version=4)
    place = next(i for i, cell in enumerate(notebook.cells) if "collect(" in cell.source)
    notebook.cells.insert(place, nbformat.v4.new_code_cell(code))
    nbformat.write(notebook, file)


ROW = ["--rows", "separableconv2d", "--limit", "64"]
