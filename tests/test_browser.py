"""The notebooks in JupyterLab in a browser: run from top to bottom, changed, run again."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import nbformat
import pytest

REASON = "needs playwright and Chromium: apt install chromium, make test-browser"
playwright = pytest.importorskip("playwright.sync_api", reason=REASON)

ROOT = pathlib.Path(__file__).parents[1]
BROWSERS = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
BROWSER = next(filter(None, BROWSERS), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not BROWSER, reason=REASON)]
PATIENCE = 5 * 60
PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"


def waited_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not after {PATIENCE} seconds"
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of what JupyterLab may change."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "outputs", folder / "outputs")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    return folder


@pytest.fixture(scope="module")
def lab(project, tmp_path_factory):
    """The address of a JupyterLab, started as `make lab` starts it."""
    home = tmp_path_factory.mktemp("home")  # no settings, extensions or kernels of the user's own
    command = [sys.executable, "-m", "jupyter", "lab", "notebooks", "--no-browser", "--port=0"]
    if os.getuid() == 0:
        command.append("--allow-root")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER_")}
    environment |= {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home), "JUPYTER_TOKEN": "digits"}
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log)
    try:

        def started():
            assert server.poll() is None, (home / "log").read_text()
            return list(home.glob("jpserver-*.json"))

        (about,) = waited_for(started, "JupyterLab starts")
        yield json.loads(about.read_text())["url"] + "lab"
    finally:
        server.terminate()  # with its kernels
        server.wait(60)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        with driver.chromium.launch(executable_path=BROWSER) as chromium:
            yield chromium


@pytest.fixture
def page(browser, lab, tmp_path):
    with browser.new_page(viewport={"width": 1280, "height": 900}) as page:
        page.set_default_timeout(1000 * PATIENCE)
        try:
            yield page
        finally:
            page.screenshot(path=tmp_path / "last.png")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def tables_of(notebook):
    """The tables in a notebook's outputs, each a dictionary of its forms; lists are none."""
    found = [output.get("data", {}) for output in outputs_of(notebook)]
    return [data for data in found if "<table" in data.get("text/html", "")]


def shown(notebook):
    """How many tables and pictures a notebook holds; parts of a table may be folded."""
    found = [output.get("data", {}) for output in outputs_of(notebook)]
    tables = sum(data["text/html"].count('class="dataframe"') for data in tables_of(notebook))
    return {"text/html": tables, "image/png": sum("image/png" in data for data in found)}


def conv2d(notebook):
    """The parameters and the accuracy of Conv2D in a notebook's last table."""
    lines = tables_of(notebook)[-1]["text/plain"].splitlines()
    heading, row = map(str.split, lines[:2])
    return [row[heading.index(column)] for column in ("parameters", "accuracy")]


def opened(page, lab, project, name):
    """Opens a notebook without outputs: what is in it later came from the browser."""
    file, notebook = project / "notebooks" / f"{name}.ipynb", committed(name)
    for cell in code_cells(notebook):
        cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, file)
    page.goto(f"{lab}/tree/{name}.ipynb?token=digits&reset")
    idle(page)
    return file


def idle(page):
    # The notebook's own indicator says so before the first kernel is connected, when a restart
    # would lose the connection: the status bar does not.
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()


def restarted_and_run(page, file):
    """Restart Kernel and Run All Cells of the Kernel menu; returns the notebook saved after it."""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel and Run All Cells").click()
    page.locator(".jp-Dialog .jp-mod-accept").click()

    def finished():
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1000)
        notebook = nbformat.read(file, as_version=4)
        errors = [output for output in outputs_of(notebook) if output.output_type == "error"]
        assert not errors, "\n".join(errors[0].traceback)
        counts = [cell.execution_count for cell in code_cells(notebook)]
        return notebook if counts == list(range(1, len(counts) + 1)) else None

    notebook = waited_for(finished, f"{file.name} has run")
    idle(page)
    return notebook


def look(page, notebook, picture):
    """The browser shows what was saved: as many tables, and pictures that have loaded."""
    tables = page.locator(f"{PANEL} .jp-OutputArea-output table.dataframe")
    pictures = page.locator(f"{PANEL} .jp-OutputArea-output img")
    found = shown(notebook)
    playwright.expect(tables).to_have_count(found["text/html"])
    playwright.expect(pictures).to_have_count(found["image/png"])
    assert pictures.evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    pictures.last.scroll_into_view_if_needed()
    page.screenshot(path=picture)


def changed(page, name, value):
    """Types another value behind the name of a parameter."""
    page.locator(f"{PANEL} .cm-line", has_text=re.compile(f"^{name} = ")).click()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+End")
    page.keyboard.insert_text(f"{name} = {value}")


def committed(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", ["digits", "layers"])
def test_run_all(page, lab, project, tmp_path, name):
    notebook = restarted_and_run(page, opened(page, lab, project, name))
    assert shown(notebook) == shown(committed(name))
    look(page, notebook, tmp_path / f"{name}.png")


def test_a_changed_parameter_changes_the_result(page, lab, project, tmp_path):
    """Two rows trained for one epoch on few images: another table, and two records more."""
    before = set(project.glob("outputs/runs/digits/*"))
    file = opened(page, lab, project, "digits")
    changed(page, "rows", '["conv2d", "lightlayers-1"]')
    changed(page, "seeds", "[42]")
    changed(page, "epochs", "1")
    changed(page, "limit", "128")
    notebook = restarted_and_run(page, file)
    assert shown(notebook) == shown(committed("digits"))
    look(page, notebook, tmp_path / "changed.png")
    table = page.locator(f"{PANEL} table.dataframe").last
    playwright.expect(table.locator("tbody tr")).to_have_count(2)
    (parameters, accuracy), (same, other) = conv2d(notebook), conv2d(committed("digits"))
    assert parameters == same and accuracy != other
    assert len(set(project.glob("outputs/runs/digits/*")) - before) == 2
