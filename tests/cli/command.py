"""The command line as tests call it: in this process, and in one of its own."""

import pathlib
import subprocess
import sys

from lightlayers import cli

ROOT = pathlib.Path(__file__).parents[2]


SHORT = ["--seeds", "1", "--epochs", "1", "--limit", "64"]


def lightlayers(*arguments, **kwargs):
    command = [sys.executable, "-m", "lightlayers.cli", *map(str, arguments)]
    kwargs = {"cwd": ROOT, "capture_output": True, "text": True} | kwargs
    return subprocess.run(command, **kwargs)


def refused(capsys, *arguments):
    """The one line that a wrong use gives."""
    assert cli.main([str(part) for part in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("lightlayers")
    return lines[-1]
