"""What holds for every command: help without waiting, errors in one line, exit statuses."""

import importlib
import subprocess
import sys

import pytest
from cli.command import ROOT, lightlayers, refused

from lightlayers import cli
from lightlayers.cli.commands import COMMANDS

HEAVY = {"keras", "matplotlib", "numpy", "pandas", "papermill", "scipy", "seaborn", "tensorflow"}


def test_help_imports_nothing_heavy():
    code = "import sys; from lightlayers.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    *help_text, modules = done.stdout.splitlines()
    assert not HEAVY.intersection(modules.split())
    for name, (_, text) in COMMANDS.items():
        assert any(line.split() == [name, *text.split()] for line in help_text), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_waits_for_no_backend(name, capsys):
    for option in ("-h", "--help"):
        assert cli.main([name, option]) == 0
        assert " ".join(COMMANDS[name][1].split()[:4]) in capsys.readouterr().out


def test_help_of_the_commands_imports_nothing_heavy():
    code = "import sys; from lightlayers.cli import main\n"
    code += "".join(f"main(['{name}', '--help'])\n" for name in COMMANDS)
    code += "print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    found = (HEAVY - {"numpy"}).intersection(done.stdout.splitlines()[-1].split())
    assert not found, done.stderr


def test_a_command_that_is_unknown_or_not_given(capsys):
    assert "No such command 'train'" in refused(capsys, "train")
    assert "Missing command" in refused(capsys)


def test_the_module_is_the_command():
    done = lightlayers("reproduce", "digits", "--workers", "0")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("lightlayers: ")


def test_a_package_of_the_suite_that_is_missing(monkeypatch, capsys, tmp_path):
    reproduce = importlib.import_module("lightlayers.cli.reproduce")
    for name, remedy in (("papermill", "lightlayers[suite]"), ("jaxlib", "lightlayers doctor")):

        def missing(*_, name=name):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

        monkeypatch.setattr(reproduce.notebooks, "check_parameters", missing)
        line = refused(capsys, "reproduce", "digits", "--outputs", tmp_path)
        assert name in line and remedy in line
    data = importlib.import_module("lightlayers.cli.data")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    data.datasets.load.cache_clear()
    assert "pip install 'lightlayers[suite]'" in refused(
        capsys, "data", "check", "--names", "digits"
    )
