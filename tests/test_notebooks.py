"""The committed notebooks: executed in order, clean, and really compared by nbval."""

import pathlib
import re
import subprocess
import sys
import tomllib

import nbformat
import pandas as pd
import pytest

import lightlayers
from lightlayers.suite import paper
from lightlayers.suite.store import Store

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
EXECUTED = sorted(ROOT.glob("outputs/notebooks/*.ipynb"))
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
ADDRESS = URLS.get("Repository")
IMPORT = re.compile(r"$|#|import |from |backend\.load")
SETUP = "# Set-up, the same in every notebook."
ELSEWHERE = re.compile(r"https://(?:colab\.research\.google\.com|mybinder\.org)/[^\s)\"]+")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(output):
    return "".join([output.get("text", ""), *map(str, output.get("data", {}).values())])


@pytest.mark.parametrize("file", NOTEBOOKS + EXECUTED, ids=lambda file: f"{file.parts[-3:]}")
def test_rules(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    assert cells[0].source.startswith(SETUP)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
    # nbval compares nothing in a cell without an execution count.
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not set(cell.metadata.get("tags", [])) & {"nbval-skip", "raises-exception"}
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr", cell.source
            assert not set(output.get("data", {})) & {"image/svg+xml", "application/pdf"}
            assert not re.search(r"/(home|root|Users|tmp|work)/", text_of(output))
            if "image/png" in output.get("data", {}):
                assert output.metadata.get("image/png", {}).get("alt"), "a picture without words"
    for part in (notebook, *notebook.cells):
        assert not {"papermill", "widgets", "execution"} & set(part.metadata)
    assert file.stat().st_size < 400_000


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_links_within_a_notebook_lead_to_its_headings(file):
    cells = nbformat.read(file, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    headings = {name.replace(" ", "-") for name in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= headings


def test_every_set_up_cell_is_the_same():
    found = {code_cells(nbformat.read(file, as_version=4))[0].source for file in NOTEBOOKS}
    assert len(found) == 1
    (package,) = re.findall(r'"LIGHTLAYERS_WHEEL", "(.*?)"', *found)
    assert package == (f"git+{ADDRESS}@v{lightlayers.__version__}" if ADDRESS else "")


def places(address, name):
    """Where Colab and Binder open a notebook of this version; nowhere without an address."""
    version, path = f"v{lightlayers.__version__}", f"notebooks/{name}.ipynb"
    colab, binder = "https://colab.research.google.com/github", "https://mybinder.org/v2/gh"
    project = (address or "").removeprefix("https://github.com/")
    links = (
        f"{colab}/{project}/blob/{version}/{path}",
        f"{binder}/{project}/{version}?labpath={path}",
    )
    return set(links) if address else set()


def test_links_to_colab_and_binder_follow_from_the_address():
    names = {file.stem for file in NOTEBOOKS}
    for file in NOTEBOOKS:
        first = nbformat.read(file, as_version=4).cells[0].source
        assert set(ELSEWHERE.findall(first)) == places(ADDRESS, file.stem)
    found = set(ELSEWHERE.findall((ROOT / "README.md").read_text()))
    assert found == set().union(*(places(ADDRESS, name) for name in names))
    for link in places("https://github.com/some/where", "digits"):
        assert ELSEWHERE.findall(f"[open]({link})") == [link]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_parameters_are_flat_literals(file):
    for cell in code_cells(nbformat.read(file, as_version=4)):
        if "parameters" in cell.metadata.get("tags", []):
            for line in cell.source.splitlines():
                assert re.match(r"\w+ = [^#]+  # .+", line), line
                eval(re.match(r"\w+ = ([^#]+)", line)[1], {"__builtins__": {}})


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_parameters_are_checked_before_anything_is_done(file):
    cells = code_cells(nbformat.read(file, as_version=4))
    (place,) = (i for i, c in enumerate(cells) if "parameters" in c.metadata.get("tags", []))
    code = [line for line in cells[place + 1].source.splitlines() if not IMPORT.match(line)]
    assert code[0] == "parameters.check(globals())"


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_results_of_another_recipe_are_saved_under_another_name(file):
    sources = [cell.source for cell in code_cells(nbformat.read(file, as_version=4))]
    if any(re.search(r"^recipe = ", source, re.M) for source in sources):
        call = r"\.save_(?:table|figure)\(\w+, store, (.+)\)$"
        saved = re.findall(call, "\n".join(sources), re.M)
        assert not [name for name in saved if re.match(r'"', name)]
        assert not saved or any("plans.result_name(" in source for source in sources)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_tables_have_one_style(file):
    for cell in code_cells(nbformat.read(file, as_version=4)):
        for output in cell.outputs:
            page = output.get("data", {}).get("text/html", "")
            assert '<table border="1"' not in page, f"show_table is not called: {cell.source}"


def test_the_start_leads_to_every_notebook():
    cells = nbformat.read(ROOT / "notebooks" / "start.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    names = {file.name for file in NOTEBOOKS} - {"start.ipynb"}
    assert set(re.findall(r"\]\((\w+\.ipynb)\)", text)) == names


def test_the_notebooks_of_the_tables_are_alike():
    """They differ in the names of data set and table."""
    found = set()
    for number, name in enumerate(paper.DATASETS, 1):
        cells = code_cells(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4))
        code = "\n".join(cell.source for cell in cells)
        code = code.replace(f'"{name}"', '"NAME"').replace(f'"table{number}"', '"TABLE"')
        found.add("".join(code.split()))  # where lines break depends on the name
    assert len(found) == 1


def nbval(notebook, folder):
    file = folder / "digits.ipynb"
    nbformat.write(notebook, file)
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-W", "default"]
    command += ["-p", "no:cacheprovider", "--nbval-cell-timeout", "120", "--rootdir", folder, file]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_changed_number_fails(tmp_path):
    """nbval on the digits table, as stored and with one digit changed."""
    notebook = nbformat.read(ROOT / "notebooks" / "digits.ipynb", as_version=4)
    for cell in code_cells(notebook):
        if "parameters" in cell.metadata.get("tags", []):
            changed = re.sub(r"outputs = None", f"outputs = {str(ROOT / 'outputs')!r}", cell.source)
            assert changed != cell.source
            cell.source = changed
    result = nbval(notebook, tmp_path)
    assert result.returncode == 0, result.stdout
    table = next(
        output
        for cell in code_cells(notebook)
        for output in cell.outputs
        if "accuracy" in output.get("data", {}).get("text/html", "")
    )
    for kind, text in table.data.items():
        table.data[kind] = text.replace("0.9444", "0.9445")
    result = nbval(notebook, tmp_path)
    assert result.returncode == 1 and "0.9445" in result.stdout


def test_ranks_without_the_benchmark_says_what_to_run(tmp_path, capsys):
    cells = code_cells(nbformat.read(ROOT / "notebooks" / "ranks.ipynb", as_version=4))
    (source,) = (cell.source for cell in cells if 'measurement("ranks")' in cell.source)
    names = {"pd": pd, "store": Store(tmp_path), "save": True}
    exec(source, names)  # noqa: S102 (a cell of ours)
    assert "lightlayers bench ranks" in capsys.readouterr().out
