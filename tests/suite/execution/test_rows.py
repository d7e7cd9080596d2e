"""A row is trained, and what was lost is tried again."""

import errno
import os
import stat

import filelock
import pytest
from suite.execution.faults import ROOT

from lightlayers.suite import plans
from lightlayers.suite.execution import notebooks, rows
from lightlayers.suite.execution.display import Display
from lightlayers.suite.store import Store


def test_a_folder_that_another_command_removes_is_made_again(tmp_path, monkeypatch):
    (run,) = plans.plan("digits", ["conv2d"], [1])
    (record,) = Store(ROOT / "outputs").read([run])[0].values()
    tries = []

    def execute(source, target, *_):
        tries.append(target)
        if len(tries) == 1:
            return "FileNotFoundError: output folder doesn't exist. (exit status 1)"
        Store(tmp_path).write(record)
        return ""

    monkeypatch.setattr(notebooks, "execute", execute)
    settings = notebooks.Settings(timeout=9)
    source = ROOT / "notebooks/digits.ipynb"
    assert rows.train_row([run], source, Store(tmp_path), settings) == ""
    assert len(tries) == 2


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EACCES])
def test_a_row_that_can_not_be_locked_is_trained(tmp_path, monkeypatch, capsys, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    with rows.hold_row("digits-conv2d", Store(tmp_path), Display(live=False)) as waited:
        assert not waited
    assert f"digits-conv2d can't be locked ({os.strerror(code)})" in capsys.readouterr().out


def test_other_users_may_lock_a_row_too(tmp_path):
    with rows.hold_row("digits-conv2d", Store(tmp_path), Display(live=False)):
        pass
    (file,) = (tmp_path / "runs" / ".locks").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o666
