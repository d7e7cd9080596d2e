"""The child processes of a command."""

import contextlib
import os
import subprocess
import tempfile
import threading


class Stopped(Exception):
    """The command was interrupted."""


def end_children(pid):
    """Ends all processes below one.

    From outside: a kernel that is stopped, or in which one call holds the interpreter, does not
    notice that its parent is gone.
    """
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


class Processes:
    """The child processes of a command, so that an interruption ends them all."""

    def __init__(self):
        self.stopped = threading.Event()
        self._live = set()

    def run(self, command, environment):
        """Runs a command to its end.

        Args:
            command: List of strings, the program and its arguments.
            environment: Dictionary of variables added to this process's.

        Returns:
            Integer, the exit status, and string, what it wrote to stderr.

        Raises:
            Stopped: If `stop` was called before it ended.
        """
        if self.stopped.is_set():
            raise Stopped
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # it closes with this process, and __main__ then ends
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=os.environ | environment,
                start_new_session=True,  # so that Ctrl-C reaches this process alone
            )
            self._live.add(process)
            try:
                if self.stopped.is_set():  # `stop` came before the child was in its set
                    process.kill()
                status = process.wait()
            finally:
                self._live.discard(process)
                process.stdin.close()
            if self.stopped.is_set():
                raise Stopped
            stderr.seek(0)
            return status, stderr.read()

    def stop(self):
        """Ends the children, and so every thread that waits for one."""
        self.stopped.set()
        for process in list(self._live):
            end_children(process.pid)
            process.kill()
