"""The committed tables are those that `lightlayers report` writes from the committed records."""

import pathlib
import shutil

import nbformat
import pytest

from lightlayers import cli
from lightlayers.suite.execution import notebooks

OUTPUTS = pathlib.Path(__file__).parents[1] / "outputs"
DEAR = ("layers", "audit")  # they save no table


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "outputs"
    kept = shutil.ignore_patterns("notebooks", "[!b]*.csv", "*.md", "*.tex")
    shutil.copytree(OUTPUTS, folder, ignore=kept)
    render = notebooks.render
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebooks, "render", lambda n, *rest: n in DEAR or render(n, *rest))
        assert cli.main(["report", "--outputs", str(folder)]) == 0
    return folder


def test_every_table_follows_from_the_records(again):
    # `lightlayers bench grid` writes its tables itself, from what it has measured.
    committed = {file.name for file in (OUTPUTS / "tables").iterdir() if file.name[:6] != "bench-"}
    assert committed <= {file.name for file in (again / "tables").iterdir()}
    for name in sorted(committed):
        assert (again / "tables" / name).read_text() == (OUTPUTS / "tables" / name).read_text(), (
            name
        )


def test_no_table_is_missing(again):
    assert {file.name for file in (again / "tables").iterdir()} <= {
        file.name for file in (OUTPUTS / "tables").iterdir()
    }


def test_executed_notebooks_show_what_they_show_again(again):
    def shown(folder, name):
        """Code and tables; parameters name the folder, and what is printed may come in parts."""
        cells = nbformat.read(folder / "notebooks" / name, as_version=4).cells
        cells = [cell for cell in cells if cell.cell_type == "code"]
        cells = [cell for cell in cells if cell.id != "injected-parameters"]
        return [
            (
                cell.source,
                [each["data"].get("text/html") for each in cell.outputs if "data" in each],
            )
            for cell in cells
        ]

    names = [file.name for file in sorted((OUTPUTS / "notebooks").iterdir())]
    names = [name for name in names if name.removesuffix(".ipynb") not in DEAR]
    assert names == sorted(file.name for file in (again / "notebooks").iterdir())
    for name in names:
        assert shown(again, name) == shown(OUTPUTS, name), name
