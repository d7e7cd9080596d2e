"""Faults in the middle of work: nothing finished is lost, and the next call goes on."""

import os
import pathlib
import signal
import subprocess

import filelock
import psutil
import pytest
from suite.execution.faults import (
    KERNEL,
    ONCE,
    ROW,
    begun,
    plant,
    records,
    restore,
    started,
    wait_for,
)

from lightlayers.suite.execution import notebooks
from lightlayers.suite.store import read_record

# Neither kernel notices by itself that its parent is gone.
DEAF = {
    "holds the interpreter": "import ctypes; ctypes.PyDLL(None).sleep(1000)",
    "is stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.mark.parametrize(
    ("signal_", "kernel"),
    [(signal.SIGKILL, "holds the interpreter"), (signal.SIGINT, "is stopped")],
)
def test_coordinator_killed_or_interrupted(folder, reproduce, signal_, kernel):
    assert reproduce(*ROW, "--seeds", "1", "--epochs", "2").returncode == 0
    before = records(folder)
    plant(folder, f"open({str(folder / 'deaf')!r}, 'w').close()\n{DEAF[kernel]}")
    process = started(folder, *ROW, "--seeds", "1,2", "--epochs", "2", program=KERNEL)
    wait_for((folder / "deaf").exists)
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("ipykernel_launcher" in each.cmdline() for each in family), family
    process.send_signal(signal_)
    status = process.wait(timeout=20)
    assert status == (-9 if signal_ == signal.SIGKILL else 130)
    assert not psutil.wait_procs(family, timeout=10)[1]
    assert records(folder) == before
    if signal_ == signal.SIGINT:
        last = (folder / "log").read_text().strip().splitlines()[-1]
        assert last.startswith("lightlayers: interrupted")
    restore(folder)
    again = reproduce(*ROW, "--seeds", "1,2", "--epochs", "2")
    assert again.returncode == 0 and "1 of 2 runs are stored, 1 to train" in again.stdout
    assert before.items() <= records(folder).items()
    assert not (folder / "outputs" / "failed").exists()


def test_rows_that_fail_cost_the_others_nothing(folder, reproduce):
    plant(folder, "import os, signal\nif rows == ['conv2d']: os.kill(os.getpid(), signal.SIGKILL)")
    plant(folder, "if rows == ['lightlayers-1']: 1 / 0")
    rows = ["--rows", "conv2d,separableconv2d,lightlayers-1", "--limit", "64"]
    choice = [*rows, "--seeds", "1", "--epochs", "1"]
    done = reproduce(*choice)
    assert done.returncode == 1
    killed = "failed: digits-conv2d: ended by SIGKILL, perhaps because the memory was full"
    assert killed in done.stdout
    assert "failed: digits-lightlayers-1: ZeroDivisionError: division by zero" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert len(records(folder)) == 1
    failed = folder / "outputs" / "failed"
    names = {file.name for file in failed.iterdir()}
    assert names == {"digits-conv2d.ipynb", "digits-lightlayers-1.ipynb"}
    (failed / "digits-separableconv2d.ipynb").touch()  # as a command leaves it that is killed
    restore(folder)
    again = reproduce(*choice)
    assert again.returncode == 0 and "1 of 3 runs are stored" in again.stdout
    assert not failed.exists()


LOST = """
import os, pathlib
lost = pathlib.Path({flag!r} + str(train))
if not lost.exists():
    lost.touch()
    os._exit(9)
"""


def test_a_kernel_lost_once_is_tried_again(folder, reproduce):
    """In training, and where the table is made."""
    plant(folder, LOST.format(flag=str(folder / "lost")))
    done = reproduce(*ONCE)
    assert done.returncode == 0, done.stdout
    assert len(records(folder)) == 1
    assert {file.name for file in folder.glob("lost*")} == {"lostTrue", "lostFalse"}


def test_one_notebook_that_fails_keeps_no_other_from_its_results(folder, reproduce, monkeypatch):
    rendered = []

    def render(name, store, parameters, settings, result):
        rendered.append(result)
        if result == "digits":
            raise RuntimeError("planted")

    monkeypatch.setattr(notebooks, "render", render)
    (folder / "notebooks" / "collapse.ipynb").write_bytes(
        (folder / "notebooks" / "digits.ipynb").read_bytes()
    )
    monkeypatch.setattr("lightlayers.suite.execution.jobs.train", lambda *_, **__: [])
    done = reproduce("collapse", "--seeds", "1")
    assert rendered == ["digits", "collapse"]
    assert done.returncode == 1 and "failed: digits: planted" in done.stdout


def test_notebook_that_is_no_notebook(folder, reproduce):
    (folder / "notebooks" / "digits.ipynb").write_text("{")
    done = reproduce(*ONCE)
    assert done.returncode == 2 and "can't be read as a notebook" in done.stderr


def test_two_commands_at_once_share_the_work(folder):
    choice = [*ROW, "--seeds", "1,2", "--epochs", "1"]
    processes = [started(folder, *choice) for _ in range(2)]
    assert [process.wait(timeout=200) for process in processes] == [0, 0]
    assert len(records(folder)) == 2
    for file in records(folder):
        read_record(file)
    assert begun(folder) == 2


def test_a_command_says_once_that_it_waits_for_another(folder):
    lock = filelock.FileLock(folder / "outputs" / "runs" / ".locks" / f"digits-{ROW[1]}.lock")
    pathlib.Path(lock.lock_file).parent.mkdir(parents=True)
    with lock:
        process = started(folder, *ONCE)
        log = folder / "log"
        wait_for(lambda: "waits: another command trains this row" in log.read_text())
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.2)  # it tries again every half a second
        assert not begun(folder)
    assert process.wait(timeout=200) == 0 and begun(folder) == 1
    assert log.read_text().count("waits: another") == 1


def test_seeds_together_are_one_training(folder, reproduce):
    assert reproduce(*ROW, "--seeds", "1,2", "--epochs", "1", "--together").returncode == 0
    (line,) = (folder / "trained").read_text().splitlines()
    assert len(line.split()) == len(records(folder)) == 2


def test_damaged_records_are_named_and_trained_again(folder, reproduce):
    choice = [*ROW, "--seeds", "1,2", "--epochs", "1"]
    assert reproduce(*choice).returncode == 0
    (first, _), (second, kept) = sorted(records(folder).items())
    first.write_bytes(first.read_bytes()[:200])
    again = reproduce(*choice)
    assert again.returncode == 0 and f"damaged, to be trained again: {first}" in again.stdout
    assert read_record(first) and second.read_bytes() == kept


# Fills the disk when the second seed's training ends, but for what the first left to it.
FILLING = """
import os, pathlib
quick = collection.train_seeds
def train_seeds(planned, progress):
    records, full = quick(planned, progress), pathlib.Path(outputs, "full")
    if planned[0].seed == 2 and not full.exists():
        with open(full, "wb", buffering=0) as file:
            while file.write(b"x" * 1024):
                pass
    return records
collection.train_seeds = train_seeds
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("when", ["at the start", "after the first record"])
def test_full_disk(folder, reproduce, when):
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
        done = reproduce(*choice)
        assert done.returncode in (1, 2) and "No space left" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        kept = records(folder)
        assert len(kept) == (when != "at the start")
        assert not list(outputs.glob("runs/digits/.*"))
        subprocess.run(["mount", "-o", "remount,size=2m", outputs], check=True)
        assert reproduce(*choice).returncode == 0
        assert len(records(folder)) == 2 and kept.items() <= records(folder).items()
    finally:
        subprocess.run(["umount", outputs], check=True)
