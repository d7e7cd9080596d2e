"""The README says what the records say."""

import pathlib

import pytest
from suite.analysis.records import frame

from lightlayers.suite.analysis import headline
from lightlayers.suite.store import Store

ROOT = pathlib.Path(__file__).parents[3]


def test_readme_says_what_the_records_say(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert headline.update_readme(text, Store(ROOT / "outputs")) == text
    empty = headline.update_readme(text, Store(tmp_path))
    assert "0 of the 28" in empty and "not known yet" in empty
    assert empty.partition(headline.END)[2] == text.partition(headline.END)[2] != ""


def test_a_readme_without_the_end_of_the_marked_part_loses_nothing():
    with pytest.raises(ValueError, match="Expected a README with the lines"):
        headline.update_readme(f"{headline.BEGIN}\nmine", Store(ROOT / "outputs"))


def test_only_counts_that_are_the_papers_come_out():
    runs = frame(("mnist", "conv2d", None, (0.98,)), ("mnist", "lightlayers", 1, (0.9,)))
    for sizes, same in (((18818, 2649), 2), ((18818, 2650), 1)):
        text = headline.write_page(runs.assign(parameters=sizes))
        assert text.startswith(f"- {same} of the 28 published parameter counts")
