"""Notebooks are found, checked and executed."""

import json
import pathlib
import subprocess
import sys

import nbformat
import pytest
from suite.execution.faults import ROOT

from lightlayers.suite.execution import notebooks
from lightlayers.suite.execution.processes import Processes
from lightlayers.suite.store import Store, read_record


def write_notebook(file, *cells):
    """Writes a notebook with a parameter `where`, and needs no package in its kernel."""
    notebook = nbformat.v4.new_notebook()
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata.kernelspec = spec
    told = nbformat.v4.new_code_cell("where = ''", metadata={"tags": ["parameters"]})
    notebook.cells = [told, *map(nbformat.v4.new_code_cell, cells)]
    nbformat.write(notebook, file)


def test_plain_papermill(folder):
    """The notebook is an ordinary Papermill notebook, without the command around it."""
    target = folder / "out.ipynb"
    parameters = {"rows": ["separableconv2d"], "seeds": [1], "limit": 64, "outputs": str(folder)}
    command = [sys.executable, "-m", "papermill", "notebooks/digits.ipynb", target]
    command += ["-p", "epochs", "2", "-y", json.dumps(parameters), "--no-progress-bar"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("runs/digits/*.json")
    assert read_record(file)["run"]["epochs"] == 2


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os; os._exit(9)", "DeadKernelError: Kernel died, perhaps because the memory"),
        ("import time; time.sleep(1000)", "CellTimeoutError: A cell timed out"),
        ("def broken(:", "SyntaxError: invalid syntax"),
    ],
)
def test_what_went_wrong_is_one_line(tmp_path, code, expected):
    source = tmp_path / "one.ipynb"
    write_notebook(source, code)
    settings = notebooks.Settings(kernel="python3", timeout=3)
    error = notebooks.execute(source, tmp_path / "out.ipynb", {"where": ""}, settings)
    assert expected in error and "(exit status 1" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("status", "stderr", "expected"),
    [
        (1, "File x\nValueError: no\nValueError: bad\n", "ValueError: bad (exit status 1)"),
        (1, "a.b.DeviceError: no GPU\n\n", "a.b.DeviceError: no GPU (exit status 1)"),
        (-99, "", "ended by signal 99 (exit status -99)"),
        (3, "", "no message (exit status 3)"),
        (-9, "", "ended by SIGKILL, perhaps because the memory was full (exit status -9)"),
        (-11, "noise", "ended by SIGSEGV (exit status -11)"),
    ],
)
def test_how_a_process_ended_is_told(tmp_path, monkeypatch, status, stderr, expected):
    monkeypatch.setattr(Processes, "run", lambda *_: (status, stderr))
    source = notebooks.find_notebook("digits")
    assert notebooks.execute(source, tmp_path / "out.ipynb", {}) == expected


def test_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="no such parameter.*Received: epoch$"):
        notebooks.execute(notebooks.find_notebook("digits"), tmp_path / "out.ipynb", {"epoch": 2})
    assert not list(tmp_path.iterdir())


def test_outputs_are_found_from_a_linked_checkout(tmp_path):
    clone, outputs = tmp_path / "deep" / "er" / "clone", tmp_path / "work" / "outputs"
    (clone / "notebooks").mkdir(parents=True)
    outputs.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(clone)
    found = notebooks.relative_outputs(link / "notebooks" / "digits.ipynb", Store(outputs))
    # As a kernel does that is started in the notebook's folder.
    assert (clone / "notebooks" / found).resolve() == outputs.resolve()


def test_a_path_may_have_braces_and_pictures_and_begin_as_an_option(tmp_path, monkeypatch):
    folder = tmp_path / "-a{x} {0} 📷"
    folder.mkdir()
    source = folder / "one.ipynb"
    write_notebook(source, "open('said', 'w').write(where)")
    target = pathlib.Path(folder.name, "out", "one.ipynb")  # which Papermill's command may not see
    monkeypatch.chdir(tmp_path)
    settings = notebooks.Settings(kernel="python3")
    assert notebooks.execute(source, target, {"where": "📷"}, settings) == ""
    assert target.exists() and (folder / "said").read_text() == "📷"


def test_a_kernel_finds_data_in_a_folder_named_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTLAYERS_DATA", "mine")
    seen = []
    monkeypatch.setattr(
        Processes,
        "run",
        lambda _, command, environment: (seen.append(environment), (0, ""))[1],
    )
    notebooks.execute(ROOT / "notebooks" / "digits.ipynb", tmp_path / "out.ipynb", {})
    assert seen[0]["LIGHTLAYERS_DATA"] == str(tmp_path / "mine")


def test_results_that_are_made_leave_no_failed_notebook(tmp_path, monkeypatch):
    def execute(source, target, *_):
        write_notebook(target)
        return ""

    store = Store(tmp_path)
    store.failed.mkdir()
    (store.failed / "digits.ipynb").touch()  # of an earlier call
    monkeypatch.setattr(notebooks, "execute", execute)
    assert notebooks.render("digits", store, {}).exists()
    assert not store.failed.exists()
