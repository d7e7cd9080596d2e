"""Faults in the middle of work: nothing finished is lost, and the next call goes on."""

import os
import pathlib
import signal
import subprocess
import time

import filelock
import psutil
import pytest
from suite.execution.faults import (
    ROW,
    begun,
    command,
    family_of,
    plant,
    records,
    reproduce,
    restore,
    slim,
    started,
    wait_for,
)

from lightlayers.suite.store import read_record


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
        read_record(file)
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


def test_gpu_kernel_is_refused_without_a_gpu(folder):
    slim(folder)
    environment = os.environ | {"LIGHTLAYERS_DEVICE": "gpu", "CUDA_VISIBLE_DEVICES": "-1"}
    choice = [*ROW, "--seeds", "1", "--epochs", "1", "--outputs", folder / "outputs"]
    done = subprocess.run(
        command(*choice), cwd=folder, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1 and "kernel for GPUs, and the backend sees none" in done.stdout
