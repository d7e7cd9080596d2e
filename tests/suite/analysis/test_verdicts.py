"""Verdicts: how published numbers stand against our seeds."""

import pytest
from suite.analysis.records import RECORDS, frame, record

from lightlayers.suite.analysis import sentences, tables, verdicts

OWN = (0.904, 0.905, 0.906, 0.93)


@pytest.fixture
def runs():
    return tables.frame(RECORDS)


@pytest.mark.parametrize(
    ("printed", "values", "measure", "dataset", "expected"),
    [
        (".9775", [0.9768, 0.9778, 0.9773], "accuracy", "mnist", "REPLICATED"),
        (".9775", [0.95, 0.98, 0.97], "accuracy", "mnist", "CONSISTENT, IMPRECISE"),
        (".9775", [0.9740, 0.9741, 0.9742], "accuracy", "mnist", "CLOSE"),
        (".9775", [0.9700, 0.9701, 0.9702], "accuracy", "mnist", "DIFFERENT"),
        (".9775", [0.9700, 0.9701, 0.9702], "accuracy", "cifar10", "CLOSE"),
        (".9775", [0.9775, 0.9775], "accuracy", "mnist", "NOT RUN"),
        # Equal seeds make an interval of no width: the rounding box decides.
        (".789", [0.7894, 0.7894, 0.7894], "accuracy", "fashion_mnist", "REPLICATED"),
        (".7890", [0.7894, 0.7894, 0.7894], "accuracy", "fashion_mnist", "CLOSE"),
        (".018", [0.041, 0.042, 0.043], "loss", "mnist", "DIFFERENT"),
        ("1.21", [1.215, 1.204, 1.212], "loss", "cifar10", "REPLICATED"),
    ],
)
def test_verdict(printed, values, measure, dataset, expected):
    assert verdicts.verdict(printed, values, measure, dataset) == expected


def test_table_beside_the_paper_says_how_many_seeds_there_are(runs):
    table = verdicts.against_paper(runs.assign(dataset="mnist"), "mnist")
    assert len(table) == 18
    row = table[(table["method"] == "LightLayers (K = 2)") & (table["measure"] == "accuracy")]
    assert row[["published", "n", "mean", "verdict"]].values.tolist() == [
        [0.9749, 3, 0.72, "DIFFERENT"]
    ]
    # The same published loss against ours with and without the penalties.
    losses = table[table["method"] == "LightLayers (K = 2)"].set_index("measure")
    assert losses.loc[["loss", "cross-entropy"], "published"].tolist() == [0.0554] * 2
    assert losses.loc[["loss", "cross-entropy"], "mean"].tolist() == [0.28, 0.14]
    empty = verdicts.against_paper(tables.frame([]), "cifar100")
    assert set(empty["verdict"]) == {"NOT RUN"} and set(empty["n"]) == {0}


def test_cells_outside_by_chance():
    found = ["REPLICATED"] * 18 + ["CLOSE", "DIFFERENT", "NOT RUN"]
    out, judged, chance = verdicts.count_outside(found)
    assert (out, judged) == (2, 20)
    assert chance == pytest.approx(1 - 0.95**20 - 20 * 0.05 * 0.95**19)
    assert verdicts.count_outside(found[17:], 0.25)[2] == pytest.approx(
        1 - 0.75**3 - 3 * 0.25 * 0.75**2
    )


def test_intervals_are_tried_on_our_own_runs():
    runs = tables.frame(
        [
            *(record("conv2d", None, seed, value) for seed, value in enumerate(OWN)),
            *(record("lightlayers", 2, seed, 0.5 + seed / 9) for seed in (1, 2, 3)),  # too few
        ]
    )
    # Of the four, the last alone is outside of what the others foresee: .90 to .91.
    assert verdicts.coverage(runs, "accuracy") == (3, 4)
    apart = runs.assign(recipe=[*("abcd"), *("aaa")])
    assert verdicts.coverage(apart, "accuracy") == (0, 0)
    assert "3 of 4 accuracies and 3 of 4 losses of our own runs lie" in sentences.describe_coverage(
        runs
    )
    assert verdicts.miss_rate(runs, "accuracy") == 0.25
    assert verdicts.miss_rate(apart, "accuracy") == 0.05


def test_what_one_seed_showed_is_held_against_several():
    # After the second epoch; the fourth seed had stopped before it.
    ran = [[(0.9, 1), (value, 1), (0.1, 1)] for value in (0.310, 0.311, 0.312)] + [[(0.9, 1)]]
    runs = frame(
        ("cifar100", "lightlayers", 5, (0.5,) * 4),
        ("cifar100", "lightlayers", 5, (0.5,) * 2, "no-scale"),
        ("cifar10", "lightlayers", 5, (0.5,) * 2, "no-scale"),
    ).assign(checkpoints=[*ran, *ran[:2], *ran[:2]])
    for seen, verdict in (("0.20", "DIFFERENT"), ("0.311", "REPLICATED")):
        table = verdicts.first_look(runs, "cifar100", {"paper": seen, "no-scale": seen}, 2)
        line, without = table.iloc[0], table.iloc[1]
        assert line[["seen", "n", "mean", "verdict"]].tolist() == [seen, 3, 0.311, verdict]
        assert 0.30 < line["low"] < 0.31 and 0.312 < line["high"] < 0.32
        assert without[["n", "verdict"]].tolist() == [2, "NOT RUN"]


def test_replications_are_the_papers_rows_under_its_recipe():
    runs = frame(
        ("mnist", "conv2d", None, (0.98,)),
        ("mnist", "lightlayers", 6, (0.97,)),  # Table 1 ends at K = 4
        ("mnist", "spatial", 9, (0.99,)),
        ("mnist", "conv2d", None, (0.99,), "corrected"),
        ("cifar10", "lightlayers", 5, (0.5,)),
    )
    chosen = verdicts.select_replications(runs)
    assert chosen[["dataset", "row"]].values.tolist() == [
        ["mnist", "conv2d"],
        ["cifar10", "lightlayers-5"],
    ]
    assert verdicts.select_replications(runs[:0]).empty
