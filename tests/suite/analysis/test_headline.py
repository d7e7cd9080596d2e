"""The answer on one page: what the README says follows from the records."""

import pathlib

import pytest
from suite.analysis.records import frame

from lightlayers.suite import paper
from lightlayers.suite.analysis import headline
from lightlayers.suite.store import Store

ROOT = pathlib.Path(__file__).parents[3]


def test_readme_says_what_the_records_say(tmp_path):
    text = (ROOT / "README.md").read_text()
    assert headline.update_readme(text, Store(ROOT / "outputs")) == text
    empty = headline.update_readme(text, Store(tmp_path))
    assert "0 runs of the 28 rows" in empty and "Past the paper" not in empty
    assert empty.partition(headline.END)[2] == text.partition(headline.END)[2] != ""


def test_a_readme_without_the_end_of_the_marked_part_loses_nothing():
    with pytest.raises(ValueError, match="Expected a README with the lines"):
        headline.update_readme(f"{headline.BEGIN}\nmine", Store(ROOT / "outputs"))


def test_it_counts_runs_and_verdicts():
    text = headline.write_page(frame(("mnist", "lightlayers", 3, (0.977, 0.9775, 0.978))))
    assert "3 runs of the 28 rows" in text and "three: 1 rows have them" in text
    assert "between 0 and 3 seeds a row" in text
    each = [(row.dataset, row.method, row.rank, (0.5, 0.6)) for row in paper.ROWS]
    assert "stored, 2 seeds a row" in headline.write_page(frame(*each))
    assert "**Accuracies**: 1 of 1 lie" in text and "interval. Outside: none." in text
    assert "| accuracy" in text and "| HOLDS" in text and "not run" not in text


def test_it_names_what_did_not_come_out():
    text = headline.write_page(frame(("mnist", "lightlayers", 3, (0.950, 0.951, 0.952))))
    assert (
        "0 of 1 lie" in text and "Outside: mnist LightLayers (K = 3) (0.9775, ours 0.951)" in text
    )


def test_only_counts_that_are_the_papers_come_out():
    runs = frame(("mnist", "conv2d", None, (0.98,)), ("mnist", "lightlayers", 1, (0.9,)))
    for sizes, same in (((18818, 2649), 2), ((18818, 2650), 1)):
        text = headline.write_page(runs.assign(parameters=sizes))
        assert f"**Parameters**: {same} of the 28 counts" in text


def test_what_is_reached_stands_beside_the_paper():
    runs = frame(
        ("mnist", "spatial", 9, (0.990, 0.991, 0.992), "corrected"),
        ("mnist", "spatial", 8, (0.998, 0.998, 0.998), "corrected"),
    )
    runs = runs.assign(parameters=5818, held_out=[0.995] * 3 + [0.994] * 3)
    text = headline.write_page(runs)
    (line,) = [line for line in text.splitlines() if line.startswith("| mnist ")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # The best on held-out images, not on the test set; t(0.975, 2) · .001 / sqrt(3) = .0025.
    assert cells[1:5] == [
        "2",
        "spatial form (rank 9), corrected",
        "5,818",
        "0.9910 ± 0.0025 (3 seeds)",
    ]
    assert cells[5:] == [".9775 with 6,135", ".9887 with 18,818", "not run", "not run"]
    assert "lacks Conv2D under corrected" in text


def test_plain_layers_under_our_recipe_stand_beside_ours():
    runs = frame(
        ("mnist", "spatial", 9, (0.990, 0.991, 0.992), "corrected"),
        ("mnist", "conv2d", None, (0.993, 0.995, 0.997), "corrected"),
        ("mnist", "conv2d", None, (0.98, 0.98, 0.98)),
        ("mnist", "separableconv2d", None, (0.985, 0.985, 0.985), "corrected"),
    )
    sizes = {"Conv2D": 18818, "SeparableConv2D": 3499}
    sizes = runs["label"].map(sizes).fillna(5818).astype(int)
    text = headline.write_page(runs.assign(parameters=sizes, held_out=0.99))
    assert "| 0.9950 ± 0.0050 with 18,818 | 0.9850 ± 0.0000 with 3,499 " in text
    assert "changes Conv2D by +1.5 points (+1.0 to +2.0) on mnist. [corr" in text
    two = runs[(runs["seed"] != 2) | (runs["label"] != "Conv2D")]
    text = headline.write_page(two.assign(parameters=5818, held_out=0.99))
    assert "lacks Conv2D under corrected" in text and "| not run " in text


def test_single_changes_that_lift_cifar100_are_named():
    light = ("cifar100", "lightlayers", 5)
    runs = frame(
        ("cifar100", "lightlayers", 4, (0.02, 0.03, 0.04)),
        ("cifar100", "lightlayers", 4, (0.02, 0.03, 0.04), "no-scale"),
        (*light, (0.05, 0.06, 0.07)),
        (*light, (0.15, 0.16, 0.175), "no-scale"),
        (*light, (0.25, 0.26, 0.275), "first-four"),  # four at once
        (*light, (0.02, 0.03, 0.045), "no-relu"),
    )
    told = "Changes that lift it alone: {} ([collapse.ipynb]"
    assert told.format("no-scale (+10.2)") in headline.write_page(runs)
    assert told.format("none so far") in headline.write_page(runs[runs["recipe"] == "paper"])
