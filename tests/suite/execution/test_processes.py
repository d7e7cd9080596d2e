"""Child processes: what they say, and that none outlives the command."""

import sys
import threading
import time

import pytest

from lightlayers.suite.execution.processes import Processes, Stopped


def run(processes, code):
    return processes.run([sys.executable, "-c", code], {"TOLD": "this"})


def test_a_process_tells_its_status_and_stderr():
    code = "import os, sys; print(os.environ['TOLD'], file=sys.stderr); print('no'); sys.exit(3)"
    assert run(Processes(), code) == (3, "this\n")


def test_stopping_ends_the_processes_and_starts_no_more(tmp_path):
    processes, stopped = Processes(), []

    def wait():
        try:
            run(processes, f"open({str(tmp_path / 'begun')!r}, 'w'); import time; time.sleep(100)")
        except Stopped as error:
            stopped.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    processes.stop()
    thread.join(timeout=20)
    assert len(stopped) == 1
    with pytest.raises(Stopped):
        run(processes, "open('never', 'w')")
