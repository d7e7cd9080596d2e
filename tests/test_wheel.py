"""The wheel brings the stored runs: the notebooks alone, where nothing else of ours is."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib import metadata

import nbformat
import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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


def linked(folder, names):
    """Returns the Python of a new environment with packages linked from this one: no installing."""
    venv.create(folder, with_pip=True, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    queue, seen = list(map(Requirement, names)), set()
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


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment with COLAB alone."""
    return linked(tmp_path_factory.mktemp("colab"), COLAB)


@pytest.fixture(scope="module")
def bare(tmp_path_factory, wheel):
    """The Python of an environment with what `pip install lightlayers` brings, and TensorFlow."""
    needed = [*PROJECT["dependencies"], "tensorflow", "tensorflow-cpu"]
    python = linked(tmp_path_factory.mktemp("bare"), needed)
    # With its dependencies, of which pip finds only what is linked.
    command = [python, "-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run([*command, wheel], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python


def run_alone(command, folder, **environment):
    """Runs a command in a folder, without what is set here for Python and for LightLayers."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LIGHTLAYERS_"))}
    return subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True
    )


def executed(python, folder, notebooks, **environment):
    """Executes notebooks alone in a folder; returns the process and what they became."""
    for notebook in notebooks:
        shutil.copy(notebook, folder)
    command = [python, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace"]
    command += [notebook.name for notebook in notebooks]
    result = run_alone(command, folder, **environment)
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
    names = ("mnist", "collapse", "speed", "explore", "layers", "start")
    notebooks = [ROOT / "notebooks" / f"{name}.ipynb" for name in names]
    result, found = executed(python, tmp_path, notebooks, LIGHTLAYERS_WHEEL=str(wheel))
    assert result.returncode == 0, result.stderr
    for file, notebook in zip(notebooks, found, strict=True):
        assert tables(notebook) == tables(nbformat.read(file, as_version=4)), file.name
    assert wheel.stat().st_size < 2e6


# Keras brings packaging and rich as well.
ABSENT = ("scipy", "sklearn", "matplotlib", "seaborn", "jupyterlab", "ipykernel", "ipywidgets")
ABSENT += ("filelock", "papermill", "psutil", "tabulate", "tqdm", "distributed", "jax")
LIGHT = """
import importlib.util, pathlib
import keras, numpy as np
import lightlayers
from lightlayers import Budget, LightDense

print([name for name in ABSENT if importlib.util.find_spec(name)])
assert "site-packages" in pathlib.Path(lightlayers.__file__).parts
x = np.random.default_rng(0).normal(size=(4, 16)).astype("float32")
assert LightDense(10, rank=2)(x).shape == (4, 10)
layers = [keras.Input((16,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)]
model = keras.Sequential(layers)
model.save("dense.keras")
plan = lightlayers.plan(model, Budget(parameters=800))
light = lightlayers.convert(model, plan)
assert light.count_params() <= 800 < model.count_params()
assert any(isinstance(layer, LightDense) for layer in light.layers)
merged = lightlayers.merge(light)
np.testing.assert_allclose(merged.predict(x, verbose=0), light.predict(x, verbose=0), atol=1e-5)
"""


def test_a_light_install_converts_models(bare, tmp_path):
    code = f"ABSENT = {ABSENT}\n{LIGHT}"
    found = run_alone([bare, "-c", code], tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[0] == "[]"

    command = bare.with_name("lightlayers")
    plan = ["plan", "dense.keras", "--parameters", "800", "--to", "plan.json"]
    for arguments in (["--help"], ["plan", "--help"], plan, ["status"]):
        found = run_alone([command, *arguments], tmp_path)
        assert found.returncode == 0, found.stderr
        assert "Traceback" not in found.stderr
    assert (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("arguments", ["reproduce digits", "report", "kernels"])
def test_a_light_install_says_what_the_suite_needs(bare, tmp_path, arguments):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    found = run_alone([bare.with_name("lightlayers"), *arguments.split()], tmp_path)
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert "pip install 'lightlayers[suite]'" in line
