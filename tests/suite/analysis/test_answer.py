"""The answer: sentences with the numbers of the stored runs."""

import pandas as pd
import pytest
from suite.analysis import records

from lightlayers.suite import paper
from lightlayers.suite.analysis import aims, answer, claims, verdicts

AROUND = (-0.002, -0.001, 0, 0.001, 0.002)


def replicate(dataset, off=()):
    """Five runs of each row of a table, around what is printed; some rows are off by so much."""
    off = dict(off)
    groups = []
    for row in paper.rows(dataset):
        center = row.accuracy_value + off.get(row.label, 0)
        groups.append((dataset, row.method, row.rank, [center + step for step in AROUND]))
    return records.frame(*groups)


def test_a_table_that_comes_out_again():
    numbers, power, claimed = answer.describe_table(replicate("cifar10"), "cifar10")
    assert numbers.startswith("7 of 7 published accuracies") and "not so" not in numbers
    assert "four times in five" in power
    assert "LightLayers (K = 5) has" in claimed
    assert (
        "loses 13.1 points of accuracy (95% interval 12.8 to 13.3), in the paper 13.1." in claimed
    )


def test_a_number_outside_is_named():
    runs = replicate("cifar10", {"Conv2D": 0.1})
    numbers, *_ = answer.describe_table(runs, "cifar10")
    assert numbers.startswith("6 of 7")
    assert "not so the accuracy of Conv2D on cifar10 (published 0.6882, ours 0.7882)" in numbers


def test_too_few_seeds_say_so():
    runs = replicate("cifar10")
    lines = answer.describe_table(runs[runs["seed"] < 2], "cifar10")
    assert [line.split()[-1] for line in lines] == ["yet.", "yet.", "yet."]


def test_the_paper_in_four_sentences():
    runs = pd.concat([replicate(name) for name in paper.DATASETS])
    cells = verdicts.cells(runs)
    lines = answer.describe_answer(runs, cells, claims.judge(runs))
    assert len(lines) == 4
    assert "28 of 28 published accuracies" in lines[0] and "of 28 could still be ours" in lines[1]
    assert "parts hold" in lines[2] and "not known yet" in lines[3]


@pytest.mark.parametrize(
    "light, keras, word",
    [(0.9, 0.8, "better"), (0.8, 0.9, "worse"), (0.8, 0.8, "undecided")],
)
def test_the_best_of_either_kind_within_the_papers_size(light, keras, word):
    groups = [("lightlayers", 1, light), ("spatial", 9, 0.5), ("separableconv2d", None, keras)]
    groups = [
        ("cifar10", method, rank, [center + step for step in AROUND], "corrected")
        for method, rank, center in groups
    ]
    runs = records.frame(*groups, ("cifar10", "conv2d", None, [0.99] * 5, "corrected"))
    runs["held_out"] = runs["accuracy"]
    most = aims.AIMS["cifar10"][0]
    runs["parameters"] = runs["method"].map({"conv2d": most + 1}).fillna(most / 2)
    line = answer.describe_best(runs)
    assert f"reach {100 * light:.1f}% on cifar10, where the paper prints 55.8%" in line
    assert f"({100 * keras:.1f}%, with 50 to 50% of it) they are {word} on cifar10." in line
