"""Folders for a while: removed at the end, and what killed processes have left is swept."""

import contextlib
import os
import pathlib
import shutil
import tempfile
import time

PREFIX, LOCK = "lightlayers-scratch-", ".lock"
OLD = 3600  # seconds; a younger folder may be about to be locked


@contextlib.contextmanager
def temporary_folder():
    """Yields the path of a new folder, which is removed at the end."""
    from filelock import FileLock

    _sweep()
    # A kernel that is being ended may still write there. That must not hide why it is ended.
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        with FileLock(folder / LOCK):
            yield folder


def _sweep():
    """Removes the folders whose processes are gone, and so hold no lock any more."""
    from filelock import FileLock, Timeout

    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):
            status = folder.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > OLD:
                with FileLock(folder / LOCK, timeout=0):
                    shutil.rmtree(folder)
