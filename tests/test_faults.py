"""Faults in the middle of work: nothing finished is lost, and the next call goes on."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import filelock
import nbformat
import psutil
import pytest

from lightlayers import execution, runs

ROOT = pathlib.Path(__file__).parents[1]
DASK = pytest.importorskip("distributed")


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
import dataclasses, time, unittest.mock
training.backend.load = unittest.mock.Mock()
training.backend.load().config.floatx.return_value = "float32"
stand_in = runs.read({record!r})
def stand_for(run, progress=None):
    with open({trained!r}, "a") as file:
        file.write(run.id + chr(10))
    for epoch in range(run.epochs):
        time.sleep(0.01)
        progress(epoch + 1, run.epochs)
    return {{**stand_in, "run": dataclasses.asdict(run), "id": run.id, "started": str(time.time())}}
training.train_together = lambda planned, progress: [stand_for(run, progress) for run in planned]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notebooks").mkdir()
    restore(tmp_path)
    return tmp_path


def slim(folder):
    """Writes the digits notebook with its imports, parameters and training only."""
    notebook = nbformat.read(ROOT / "notebooks" / "digits.ipynb", as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if "training.collect" in cell.source)
    cells = [cell for cell in notebook.cells[: last + 1] if "figures." not in cell.source]
    notebook.cells = [cell for cell in cells if "recipes.describe" not in cell.source]
    (plan,) = (cell for cell in notebook.cells if "runs.plan" in cell.source)
    lines = plan.source.splitlines()
    assert lines[-1].startswith("data = ")  # it takes a second, and only the figures show it
    plan.source = "\n".join(lines[:-1])
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
    place = next(i for i, cell in enumerate(notebook.cells) if "training.collect" in cell.source)
    notebook.cells.insert(place, nbformat.v4.new_code_cell(code))
    nbformat.write(notebook, file)


ROW = ["--rows", "separableconv2d", "--limit", "64"]


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
def test_coordinator_killed_or_interrupted(folder, signal_):
    # The first seed is done in a second, the other has epochs for minutes.
    assert reproduce(folder, *ROW, "--seeds", "1", "--epochs", "2").returncode == 0
    before = records(folder)
    process = started(folder, *ROW, "--seeds", "1,2", "--epochs", "100000")
    wait_for(lambda: begun(folder) == 2)
    family = family_of(process)
    process.send_signal(signal_)
    status = process.wait(timeout=20)
    assert status == (-9 if signal_ == signal.SIGKILL else 130)
    assert not psutil.wait_procs(family, timeout=10)[1]
    assert records(folder) == before
    if signal_ == signal.SIGINT:
        last = (folder / "log").read_text().strip().splitlines()[-1]
        assert last.startswith("lightlayers: interrupted")
    again = reproduce(folder, *ROW, "--seeds", "1,2", "--epochs", "2")
    assert again.returncode == 0 and "1 of 2 runs are stored, 1 to train" in again.stdout
    assert before.items() <= records(folder).items()


def test_kernel_that_dies_and_cell_that_hangs(folder):
    dying = "import os, time\nif rows == ['conv2d']: os._exit(9)\n"
    hanging = "if rows == ['lightlayers-1']: time.sleep(1000)"
    plant(folder, dying + hanging)
    rows = ["--rows", "conv2d,separableconv2d,lightlayers-1", "--limit", "64"]
    choice = [*rows, "--seeds", "1", "--epochs", "1"]
    done = reproduce(folder, *choice, "--timeout", "30", "--workers", "3")
    assert done.returncode == 1
    assert "failed: digits-conv2d: " in done.stdout and "died" in done.stdout
    assert "failed: digits-lightlayers-1: " in done.stdout and "timed out" in done.stdout.lower()
    assert "Traceback" not in done.stdout + done.stderr
    assert len(records(folder)) == 1
    failed = {file.name for file in (folder / "outputs" / "failed").iterdir()}
    assert failed == {"digits-conv2d.ipynb", "digits-lightlayers-1.ipynb"}
    restore(folder)
    again = reproduce(folder, *choice)
    assert again.returncode == 0 and "1 of 3 runs are stored" in again.stdout


def test_a_kernel_lost_once_is_tried_again(folder):
    plant(
        folder,
        f"import os, pathlib\nflag = pathlib.Path({str(folder / 'flag')!r})\n"
        "if not flag.exists():\n    flag.touch()\n    os._exit(9)\n",
    )
    done = reproduce(folder, *ROW, "--seeds", "1", "--epochs", "1")
    # The table notebook is the same one: it meets the flag already set.
    assert done.returncode == 0, done.stdout
    assert len(records(folder)) == 1


def test_syntax_error_in_the_notebook(folder):
    plant(folder, "def broken(:")
    done = reproduce(folder, *ROW, "--seeds", "1", "--epochs", "1")
    assert done.returncode == 1 and "SyntaxError" in done.stdout
    assert not records(folder)


def test_notebook_that_is_no_notebook(folder):
    (folder / "notebooks" / "digits.ipynb").write_text("{")
    done = reproduce(folder, *ROW, "--seeds", "1", "--epochs", "1")
    assert done.returncode == 2 and "can't be read as a notebook" in done.stderr


def test_two_commands_at_once_share_the_work(folder):
    choice = [*ROW, "--seeds", "1,2", "--epochs", "1"]
    processes = [started(folder, *choice) for _ in range(2)]
    assert [process.wait(timeout=200) for process in processes] == [0, 0]
    assert len(records(folder)) == 2
    for file in records(folder):
        runs.read(file)
    assert begun(folder) == 2


def test_a_command_says_that_it_waits_for_another(folder):
    lock = filelock.FileLock(folder / "outputs" / "runs" / ".locks" / f"digits-{ROW[1]}.lock")
    pathlib.Path(lock.lock_file).parent.mkdir(parents=True)
    with lock:
        process = started(folder, *ROW, "--seeds", "1", "--epochs", "1")
        wait_for(lambda: "waits: another command trains this row" in (folder / "log").read_text())
        time.sleep(1.5)  # it tries again every half a second, and says so once
        assert process.poll() is None and not begun(folder)
    assert process.wait(timeout=200) == 0 and begun(folder) == 1
    assert (folder / "log").read_text().count("waits: another") == 1


def test_damaged_records_are_named_and_trained_again(folder):
    choice = [*ROW, "--seeds", "1,2", "--epochs", "1"]
    assert reproduce(folder, *choice).returncode == 0
    (first, _), (second, kept) = sorted(records(folder).items())
    first.write_bytes(first.read_bytes()[:200])
    again = reproduce(folder, *choice)
    assert again.returncode == 0 and f"damaged, to be trained again: {first}" in again.stdout
    assert runs.read(first) and second.read_bytes() == kept


# Fills the disk when the second seed's training ends, but for what the first left to it.
FILLING = """
import os, pathlib
quick = training.train_together
def train_together(planned, progress):
    records, full = quick(planned, progress), pathlib.Path(outputs, "full")
    if planned[0].seed == 2 and not full.exists():
        with open(full, "wb", buffering=0) as file:
            while file.write(b"x" * 1024):
                pass
    return records
training.train_together = train_together
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("when", ["at the start", "after the first record"])
def test_full_disk(folder, when):
    outputs = folder / "outputs"
    outputs.mkdir()
    full = outputs / "full"
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", outputs]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine mounts nothing")
    choice = [*ROW, "--seeds", "1,2", "--epochs", "1"]
    try:
        if when == "at the start":
            full.write_bytes(b"x" * (196 * 1024))
        else:
            plant(folder, FILLING)
        done = reproduce(folder, *choice)
        assert done.returncode in (1, 2) and "No space left" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        kept = records(folder)
        assert len(kept) == (when != "at the start")
        assert not list(outputs.glob("runs/digits/.*"))
        subprocess.run(["mount", "-o", "remount,size=2m", outputs], check=True)
        assert reproduce(folder, *choice).returncode == 0
        assert len(records(folder)) == 2 and kept.items() <= records(folder).items()
    finally:
        subprocess.run(["umount", outputs], check=True)


class Cluster:
    """A real Dask scheduler and workers, each in an empty folder of its own."""

    def __init__(self, folder, workers=2):
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        self.start("scheduler", "--port", "0", "--scheduler-file", self.file, "--no-dashboard")
        wait_for(self.file.exists, 30)
        self.address = __import__("json").loads(self.file.read_text())["address"]
        self.workers = [self.worker(i) for i in range(workers)]

    def start(self, kind, *arguments, cwd=None):
        module = f"distributed.cli.dask_{kind}"
        command = [sys.executable, "-m", module, *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=cwd or self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def worker(self, i):
        folder = self.folder / f"worker{i}"
        folder.mkdir()
        options = ["--nthreads", "1", "--no-dashboard", "--local-directory", folder]
        return self.start("worker", self.address, *options, cwd=folder)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


def test_cluster_gives_what_this_machine_gives_and_survives_a_lost_worker(folder, cluster):
    # Here the training is real: what a worker computes must be what this machine computes.
    slim(folder)
    plant(folder, f"open({str(folder / 'trained')!r}, 'a').write(str(planned) + chr(10))")
    choice = ["--rows", "lightlayers-1", "--limit", "64", "--seeds", "1,2", "--epochs", "1"]
    process = started(folder, *choice, "--scheduler", cluster.address)
    # Kill one worker, nanny and all, while it trains.
    wait_for(lambda: begun(folder) == 2)
    os.killpg(cluster.workers[0].pid, signal.SIGKILL)
    assert process.wait(timeout=200) == 0, (folder / "log").read_text()
    there = {file.name: runs.read(file) for file in records(folder)}
    assert len(there) == 2
    shutil.rmtree(folder / "outputs")
    assert reproduce(folder, *choice).returncode == 0
    here = {file.name: runs.read(file) for file in records(folder)}
    assert here.keys() == there.keys()
    for name, record in here.items():
        assert record["history"]["loss"] == there[name]["history"]["loss"]
        assert record["test"] == there[name]["test"]


def test_scheduler_gone(folder, cluster):
    choice = [*ROW, "--seeds", "1,2,3", "--scheduler", cluster.address]
    process = started(folder, *choice, "--epochs", "100000")
    wait_for(lambda: begun(folder) == 2)
    cluster.stop()
    assert process.wait(timeout=120) == 1
    text = (folder / "log").read_text()
    assert text.count("failed: digits-separableconv2d: ") == 3 and "Traceback" not in text
    assert reproduce(folder, *choice, "--epochs", "1").returncode == 2
    assert reproduce(folder, *choice[:-2], "--epochs", "1").returncode == 0


def test_interrupted_cluster(folder, cluster):
    choice = [*ROW, "--seeds", "1,2,3", "--epochs", "100000", "--scheduler", cluster.address]
    process = started(folder, *choice)
    wait_for(lambda: begun(folder) == 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert "What is finished is kept" in (folder / "log").read_text()


def test_a_folder_that_another_command_removes_is_made_again(tmp_path, monkeypatch):
    (run,) = runs.plan("digits", ["conv2d"], [1])
    (record,) = runs.stored(ROOT / "outputs", [run])[0].values()
    tries = []

    def papermill(source, target, *_):
        tries.append(target)
        if len(tries) == 1:
            return "FileNotFoundError: output folder doesn't exist. (exit status 1)"
        runs.write(tmp_path, record)
        return ""

    monkeypatch.setattr(execution, "papermill", papermill)
    options = {"fresh": False, "together": False, "kernel": None, "timeout": 9}
    assert execution._perform([run], ROOT / "notebooks/digits.ipynb", tmp_path, options) == ""
    assert len(tries) == 2


def test_a_path_may_have_braces_and_pictures(tmp_path):
    folder = tmp_path / "a{x} {0} 📷"
    folder.mkdir()
    source = folder / "one.ipynb"
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    told = nbformat.v4.new_code_cell("where = ''", metadata={"tags": ["parameters"]})
    notebook.cells = [told, nbformat.v4.new_code_cell("open('said', 'w').write(where)")]
    nbformat.write(notebook, source)
    target = folder / "out" / "one.ipynb"
    assert execution.papermill(source, target, {"where": "📷"}, kernel="python3") == ""
    assert target.exists() and (folder / "said").read_text() == "📷"


def test_a_kernel_finds_data_in_a_folder_named_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTLAYERS_DATA", "mine")
    seen = []
    monkeypatch.setattr(
        execution.Processes,
        "run",
        lambda _, command, environment: (seen.append(environment), (0, ""))[1],
    )
    execution.papermill(ROOT / "notebooks" / "digits.ipynb", tmp_path / "out.ipynb", {})
    assert seen[0]["LIGHTLAYERS_DATA"] == str(tmp_path / "mine")


def test_a_worker_with_another_version_of_a_recipe_trains_nothing():
    run = runs.Run("digits", "conv2d")
    job = {
        "version": execution.lightlayers.__version__,
        "fingerprint": execution.datasets.FINGERPRINTS["digits"],
        "runs": [vars(run)],
        "ids": ["0123456789ab"],
    }
    found = execution.perform_remotely(job)
    assert not found["records"] and "another version of recipe 'paper'" in found["error"]


def test_no_scheduler_there(folder):
    done = reproduce(folder, *ROW, "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == 2
    assert "No Dask scheduler answers" in done.stderr and "tcp://127.0.0.1:9" in done.stderr


def test_gpu_kernel_is_refused_without_a_gpu(folder):
    slim(folder)
    environment = os.environ | {"LIGHTLAYERS_DEVICE": "gpu", "CUDA_VISIBLE_DEVICES": "-1"}
    choice = [*ROW, "--seeds", "1", "--epochs", "1", "--outputs", folder / "outputs"]
    done = subprocess.run(
        command(*choice), cwd=folder, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1 and "kernel for GPUs, and the backend sees none" in done.stdout
