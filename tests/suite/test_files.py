"""Files are written whole or not at all: after errors, kills and power failures, by every writer.

As in SQLite's tests, a wrapper around the disk fails at the n-th operation, for every n.
"""

import ast
import io
import os
import pathlib
import stat

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from suite.stored import ROOT, record_of

from lightlayers.suite import datasets
from lightlayers.suite.analysis.tables import save_table
from lightlayers.suite.figures import samples, style
from lightlayers.suite.files import PREFIX, write_file, write_text
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store

RUN = Run("digits", "conv2d", seed=7)
OLD, NEW = (record_of(RUN) | {"seconds": seconds} for seconds in (1.0, 2.0))


class PowerFailure(BaseException):
    """The machine stops: no operation comes after it."""


class Disk:
    """Fails at its n-th operation, and knows what would be left of the files.

    Args:
        patch: pytest's `MonkeyPatch`.
        fails_at: Integer, counted from 1.
        error: Exception that it raises.
    """

    def __init__(self, patch, fails_at, error):
        self.fails_at, self.error, self.count = fails_at, error, 0
        self.synced, self.renamed = {}, []  # content by inode; (inode, path)
        self.fsync, self.replace, self.open = os.fsync, os.replace, io.open
        patch.setattr(os, "fsync", self._sync)
        patch.setattr(os, "replace", self._rename)
        patch.setattr(io, "open", self._open)

    def fail(self):
        self.count += 1
        if self.count == self.fails_at or (self.count > self.fails_at and self.stopped):
            raise self.error

    @property
    def stopped(self):
        return isinstance(self.error, PowerFailure)

    def _sync(self, handle):
        self.fail()
        self.fsync(handle)
        status = os.fstat(handle)
        if stat.S_ISREG(status.st_mode):
            self.synced[status.st_ino] = os.pread(handle, status.st_size, 0)

    def _rename(self, source, target):
        self.fail()
        inode = os.stat(source).st_ino
        self.replace(source, target)
        self.renamed.append((inode, target))

    def _open(self, file, *arguments, **options):
        self.fail()
        opened = self.open(file, *arguments, **options)
        write = opened.write

        def write_half_where_it_fails(text):
            opened.flush()
            if self.count + 1 == self.fails_at:
                write(text[: len(text) // 2])
            self.fail()
            return write(text)

        return Writer(opened, write_half_where_it_fails)

    def lose_what_is_not_synced(self):
        """A new name may be on the disk before the content is."""
        for inode, target in self.renamed:
            pathlib.Path(target).write_bytes(self.synced.get(inode, b""))


class Writer:
    """An open file with another way to write."""

    def __init__(self, file, write):
        self.file, self.write = file, write

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), PowerFailure()], ids=["error", "power"]
)
@pytest.mark.parametrize("before", [OLD, None], ids=["replaced", "new"])
def test_a_disk_that_fails_at_any_moment_leaves_the_old_record_or_the_new(tmp_path, error, before):
    returned, count = False, 0
    while not returned:
        count += 1
        store = Store(tmp_path / str(count))
        if before:
            store.write(before)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, count, error)
            try:
                store.write(NEW)
                returned = True
            except (OSError, PowerFailure):
                pass
        if disk.stopped:
            disk.lose_what_is_not_synced()
        found, damaged = store.read([RUN])
        left = [record["seconds"] for record in found.values()]
        assert not damaged and left in ([2.0], [1.0] if before else []), count
        assert left == [2.0] or not returned
        assert disk.stopped or not list(store.path(RUN).parent.glob(".*"))
    assert disk.count >= 4  # open, write, sync, rename


# Each writes one file into a folder, or several.
WRITERS = {
    "record": lambda folder: Store(folder).write(NEW),
    "table": lambda folder: save_table(pd.DataFrame({"a": [1]}), Store(folder), "x"),
    "figure": lambda folder: style.save_figure(plt.figure(), Store(folder), "x"),
    "contact sheet": lambda folder: samples.contact_sheet("digits", Store(folder)),
    "sheet of test images": lambda folder: samples.shown_sheet("digits", Store(folder)),
    "data set": lambda folder: datasets.export("digits", folder),
}


@pytest.mark.parametrize("what", WRITERS)
def test_no_writer_leaves_half_a_file(tmp_path, monkeypatch, what):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        WRITERS[what](tmp_path)
    plt.close("all")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_what_killed_writers_have_left_is_swept(tmp_path):
    old, young, mine = (tmp_path / name for name in (f"{PREFIX}a.png", f"{PREFIX}b", "mine.png"))
    for file in (old, young, mine):
        file.touch()
    for file in (old, mine):
        os.utime(file, (0, 0))
    write_text(tmp_path / "new", "text")
    assert sorted(tmp_path.iterdir()) == sorted([young, mine, tmp_path / "new"])
    assert f"{PREFIX}*" in (ROOT / ".gitignore").read_text().split()


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_file(tmp_path / "link", lambda path: path.write_text("new"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"


# What opens a text file in the encoding of the locale unless it is told another.
OPENERS = {"open", "fdopen", "read_text", "write_text", "TemporaryFile", "NamedTemporaryFile"}


def find_unsaid_encodings(source):
    """Returns the lines of calls that open a text without saying in which encoding it is."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        owner = getattr(getattr(node.func, "value", None), "id", "")
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        ours = name == "write_text" and isinstance(node.func, ast.Name)
        if name not in OPENERS or ours or owner in {"os", "Image", "files"}:
            continue
        texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
        binary = any("b" in str(text) for text in texts) or (name.endswith("File") and not texts)
        said = {keyword.arg for keyword in node.keywords} & {"encoding"} or "utf-8" in texts
        if not binary and not said:
            lines.append(node.lineno)
    return lines


def test_every_text_is_opened_in_an_encoding_of_its_own():
    assert find_unsaid_encodings("open('x', 'w')\nf.read_text()\nopen('x', 'rb')") == [1, 2]
    found = {}
    for file in [*ROOT.glob("lightlayers/**/*.py"), ROOT / "setup.py"]:
        if lines := find_unsaid_encodings(file.read_text(encoding="utf-8")):
            found[file.name] = lines
    assert not found
