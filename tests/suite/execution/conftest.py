"""What the tests of faults share."""

import subprocess

import pytest
from suite.execution import stand_in
from suite.execution.faults import restore

from lightlayers import cli
from lightlayers.suite.execution import notebooks


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notebooks").mkdir()
    restore(tmp_path)
    return tmp_path


@pytest.fixture
def reproduce(folder, monkeypatch, capsys):
    """`lightlayers reproduce digits` in this process, its notebooks without kernels."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(notebooks, "papermill_command", stand_in.papermill_command)

    def run(*arguments):
        capsys.readouterr()
        arguments = ["digits", *map(str, arguments), "--outputs", str(folder / "outputs")]
        status = cli.main(["reproduce", *arguments])
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run
