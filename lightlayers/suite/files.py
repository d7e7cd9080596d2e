"""How every file is written: whole or not at all, even if the power fails."""

import contextlib
import os
import pathlib
import secrets

PREFIX = ".lightlayers-"  # of temporary files, which .gitignore names too
_LEFT_OVER = 3600  # seconds after which nobody writes a temporary file any more


def write_file(target, write):
    """Writes a file, whole or not at all, and makes its folder.

    Args:
        target: Path of the file. A file that is there already is replaced at the end.
        write: Function that writes a file of a path, which has the target's suffix.

    Example:

    >>> import tempfile
    >>> target = f"{tempfile.mkdtemp()}/numbers.npy"
    >>> write_file(target, lambda path: np.save(path, [1, 2]))
    """
    target = pathlib.Path(os.path.realpath(target))  # a link stays one
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{PREFIX}{secrets.token_hex(8)}{target.suffix}")
    try:
        write(temporary)
        _flush(temporary, os.O_RDWR)
        _sweep(target.parent, temporary.stat().st_mtime - _LEFT_OVER)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    # Not every system and file system can flush a folder. The file is whole in any case.
    with contextlib.suppress(OSError):
        _flush(target.parent, os.O_RDONLY)


def write_text(target, text):
    """Writes a text in UTF-8, whole or not at all: see `write_file`."""
    write_file(target, lambda path: path.write_text(text, encoding="utf-8"))


def _flush(path, flags):
    """Waits until the disk has a file, or the names of the files in a folder."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(folder, before):
    """Removes the temporary files that killed processes have left there before a time."""
    for file in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another process sweeps too
            if file.stat().st_mtime < before:
                file.unlink()
