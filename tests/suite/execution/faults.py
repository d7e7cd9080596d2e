"""The command in a folder of its own, with a stand-in for training and planted faults."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import nbformat
from suite.execution import stand_in

ROOT = pathlib.Path(__file__).parents[3]
KERNEL = ["-m", "lightlayers.cli"]  # with Papermill and a kernel for each notebook
QUICK_KERNEL = [str(stand_in.FILE)]  # without


def started(folder, *arguments, program=QUICK_KERNEL):
    """`lightlayers reproduce digits` in a process and a folder of its own."""
    arguments = ["reproduce", "digits", *map(str, arguments), "--outputs", folder / "outputs"]
    with open(folder / "log", "w") as log:
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(folder)},  # what a killed one leaves is pytest's
            # A shell's background jobs are deaf to Ctrl-C, and so would their children be.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def records(folder):
    return {file: file.read_bytes() for file in folder.glob("outputs/runs/digits/*.json")}


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def begun(folder):
    """How many trainings have begun, by the stand-in's own word."""
    file = folder / "trained"
    return len(file.read_text().splitlines()) if file.exists() else 0


# In place of minutes of training and of TensorFlow's start: a stored record under the run's
# name. Notebook and store are the real ones.
QUICK = """
import time, unittest.mock
from lightlayers.suite.store import read_record
from lightlayers.suite.training import collection
collection.backend.load = unittest.mock.Mock()
collection.backend.load().config.floatx.return_value = "float32"
kept = read_record({record!r})
def train_seeds(planned, progress):
    with open({trained!r}, "a") as file:
        file.write(" ".join(run.id for run in planned) + chr(10))
    for epoch in range(planned[0].epochs):
        time.sleep(0.01)
        progress(epoch + 1, planned[0].epochs)
    changed = [{{"run": run.to_record(), "id": run.id}} for run in planned]
    return [kept | each | {{"started": str(time.time())}} for each in changed]
collection.train_seeds = train_seeds
"""


def slim(folder):
    """Writes the digits notebook with its imports, parameters and training only."""
    notebook = nbformat.read(ROOT / "notebooks" / "digits.ipynb", as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if "collect(" in cell.source)
    kept = ("import ", "train = ", "plans.plan", "collect(")
    cells = [cell for cell in notebook.cells[: last + 1] if "%pip" not in cell.source]
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
ONCE = [*ROW, "--seeds", "1", "--epochs", "1"]
