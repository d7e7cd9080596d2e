"""Notebooks are found, checked and executed."""

import json
import subprocess
import sys

import nbformat
import pytest
from suite.execution.faults import ROOT

from lightlayers.suite.execution import notebooks
from lightlayers.suite.execution.processes import Processes
from lightlayers.suite.store import Store, read_record


def test_plain_papermill(tmp_path):
    """The notebook is an ordinary Papermill notebook, without the command around it."""
    target = tmp_path / "out.ipynb"
    parameters = {"rows": ["separableconv2d"], "seeds": [1], "limit": 64, "outputs": str(tmp_path)}
    command = [sys.executable, "-m", "papermill", "notebooks/digits.ipynb", target]
    command += ["-p", "epochs", "2", "-y", json.dumps(parameters), "--no-progress-bar"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("runs/digits/*.json")
    assert len(read_record(file)["history"]["loss"]) == 2


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


def test_a_path_may_have_braces_and_pictures(tmp_path):
    folder = tmp_path / "a{x} {0} 📷"
    folder.mkdir()
    source = folder / "one.ipynb"
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    told = nbformat.v4.new_code_cell("where = ''", metadata={"tags": ["parameters"]})
    notebook.cells = [told, nbformat.v4.new_code_cell("open('said', 'w').write(where)")]
    nbformat.write(notebook, source)
    target = folder / "out" / "one.ipynb"
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
