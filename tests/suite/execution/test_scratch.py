"""Folders for a while, and those that killed processes have left."""

import os
import tempfile

import pytest

from lightlayers.suite.execution import scratch


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_folder_that_a_killed_process_has_left_is_removed_and_one_in_use_is_not(tmp_path):
    left = tmp_path / f"{scratch.PREFIX}left"
    young = tmp_path / f"{scratch.PREFIX}young"
    other = tmp_path / "lightlayers-mine"
    with scratch.temporary_folder() as used:
        for folder in (left, young, other):
            folder.mkdir()
        for folder in (left, used, other):
            os.utime(folder, (0, 0))
        with scratch.temporary_folder():
            pass
        assert set(tmp_path.iterdir()) == {used, young, other}
    assert not used.exists()


def test_a_folder_that_a_kernel_still_writes_to_hides_no_interruption(monkeypatch):
    def busy(*_, **__):
        raise OSError("Directory not empty")

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "rmdir", busy)
        with scratch.temporary_folder():
            raise KeyboardInterrupt
