"""The committed tables are those that `lightlayers report` writes from the committed records."""

import pathlib
import shutil

import pytest

from lightlayers import cli

OUTPUTS = pathlib.Path(__file__).parents[1] / "outputs"


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "outputs"
    kept = shutil.ignore_patterns("notebooks", "[!b]*.csv", "*.md", "*.tex")
    shutil.copytree(OUTPUTS, folder, ignore=kept)
    assert cli.main(["report", "--outputs", str(folder)]) == 0
    return folder / "tables"


def test_every_table_follows_from_the_records(again):
    # `lightlayers bench grid` writes its tables itself, from what it has measured.
    committed = {file.name for file in (OUTPUTS / "tables").iterdir() if file.name[:6] != "bench-"}
    assert committed <= {file.name for file in again.iterdir()}
    for name in sorted(committed):
        assert (again / name).read_text() == (OUTPUTS / "tables" / name).read_text(), name


def test_no_table_is_missing(again):
    assert {file.name for file in again.iterdir()} <= {
        file.name for file in (OUTPUTS / "tables").iterdir()
    }
