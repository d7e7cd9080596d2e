"""Child processes: what they say, and that none outlives the command."""

import sys
import threading
import time

import psutil
import pytest

from lightlayers.suite.execution.processes import Processes, Stopped


def run(processes, code):
    return processes.run([sys.executable, "-c", code], {"TOLD": "this"})


def test_a_process_tells_its_status_and_stderr():
    code = "import os, sys; print(os.environ['TOLD'], file=sys.stderr); print('no'); sys.exit(3)"
    assert run(Processes(), code) == (3, "this\n")


# Its child is in a session of its own, as a kernel is, and is stopped.
PARENT = """
import os, signal, subprocess, sys, time
code = "import time; time.sleep(100)"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
child.send_signal(signal.SIGSTOP)
with open({begun!r} + ".new", "w") as file:
    file.write(str(child.pid))
os.rename({begun!r} + ".new", {begun!r})
time.sleep(100)
"""


def test_stopping_ends_the_processes_and_those_below_and_starts_no_more(tmp_path):
    processes, stopped, begun = Processes(), [], tmp_path / "begun"

    def wait():
        try:
            run(processes, PARENT.format(begun=str(begun)))
        except Stopped as error:
            stopped.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not begun.exists():
        time.sleep(0.05)
    child = psutil.Process(int(begun.read_text()))
    processes.stop()
    thread.join(timeout=20)
    assert len(stopped) == 1
    assert not psutil.wait_procs([child], timeout=20)[1]
    with pytest.raises(Stopped):
        run(processes, "open('never', 'w')")
