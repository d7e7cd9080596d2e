"""The wheel brings the stored runs: the notebooks alone, where nothing else of ours is."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata

import nbformat
import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).parents[1]
# What Colab has that the notebooks import, and what executes them. Papermill is not among it.
COLAB = ("keras", "tensorflow", "tensorflow-cpu", "pandas", "scipy", "scikit-learn")
COLAB += ("matplotlib", "seaborn", "ipykernel", "ipywidgets", "nbconvert", "tabulate")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("lightlayers", "outputs"):
        shutil.copytree(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-index", "-w", target, source], check=True)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of a new environment with COLAB alone, linked from this one: no installing."""
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder, with_pip=True, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    queue, seen = list(map(Requirement, COLAB)), set()
    while queue:
        requirement = queue.pop()
        extras = ["", *requirement.extras]
        try:
            found = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue  # one of the two TensorFlows
        if (key := (found.name, *extras)) not in seen:
            seen.add(key)
            needed = map(Requirement, found.requires or [])
            queue += [
                one
                for one in needed
                if not one.marker or any(one.marker.evaluate({"extra": e}) for e in extras)
            ]
            for top in {file.parts[0] for file in found.files} - {"..", "__pycache__"}:
                if not (packages / top).exists():
                    (packages / top).symlink_to(found.locate_file(top))
    return folder / "bin" / "python"


def executed(python, folder, notebooks, **environment):
    """Executes notebooks alone in a folder; returns the process and what they became."""
    for notebook in notebooks:
        shutil.copy(notebook, folder)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LIGHTLAYERS_"))}
    command = [python, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace"]
    result = subprocess.run(
        [*command, *(notebook.name for notebook in notebooks)],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
    )
    return result, [nbformat.read(folder / file.name, as_version=4) for file in notebooks]


def tables(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    data = [output.get("data", {}) for cell in cells for output in cell.outputs]
    return [each["text/plain"] for each in data if "text/html" in each]


def test_a_notebook_alone_says_what_to_install(python, tmp_path):
    result, _ = executed(python, tmp_path, [ROOT / "notebooks" / "digits.ipynb"])
    assert result.returncode == 1
    assert re.search(r"SystemExit.*Install the package.*LIGHTLAYERS_WHEEL", result.stderr, re.S)


def test_notebooks_alone_with_the_wheel(python, wheel, tmp_path):
    """As on Colab: the first installs it, the stored runs come with it, the tables are the same."""
    # Which, among them, read all that the wheel brings.
    names = ("mnist", "collapse", "speed", "explore", "layers")
    notebooks = [ROOT / "notebooks" / f"{name}.ipynb" for name in names]
    result, found = executed(python, tmp_path, notebooks, LIGHTLAYERS_WHEEL=str(wheel))
    assert result.returncode == 0, result.stderr
    for file, notebook in zip(notebooks, found, strict=True):
        assert tables(notebook) == tables(nbformat.read(file, as_version=4)), file.name
    assert wheel.stat().st_size < 2e6
