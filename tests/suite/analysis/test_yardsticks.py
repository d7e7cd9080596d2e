"""Yardsticks: power, shuffles, fresh seeds, and what runs of one seed share."""

import numpy as np
import pytest
from scipy import special
from suite.analysis.records import frame

from lightlayers.suite import paper
from lightlayers.suite.analysis import intervals, sentences, verdicts, yardsticks

LOGITS = np.array([-0.2, -0.1, 0, 0.1, 0.2])


def rows(dataset, scatter=1.0, shift=0.0):
    """Runs of a whole table around what is printed."""
    found = []
    for row in paper.rows(dataset):
        center = special.logit(row.accuracy_value) + shift
        accuracies = special.expit(center + scatter * LOGITS)
        found.append((dataset, row.method, row.rank, accuracies))
    return frame(*found)


def test_power_grows_with_what_is_off_and_counts_the_seeds():
    table = yardsticks.find_power(rows("cifar10"))
    line = table.iloc[0]  # Conv2D, .6882
    mean, deviation = special.logit(0.6882), LOGITS.std(ddof=1)
    shifts = [(special.logit(0.6882 + off) - mean) / deviation for off in (0.05, -0.05)]
    power = np.mean([intervals.power_of_prediction(shift, 5) for shift in shifts])
    assert line["5 points"] == pytest.approx(power, abs=1e-4)
    assert line["1 point"] < line["2 points"] < line["5 points"] < 0.8
    assert 0.05 < line["noticed"] and np.isnan(line["seeds for REPLICATED"])
    narrow = yardsticks.find_power(rows("cifar10", scatter=0.05)).iloc[0]
    assert narrow["5 points"] > 0.999 and (narrow["seeds"], narrow["seeds for REPLICATED"]) == (
        3,
        3,
    )
    assert yardsticks.find_power(frame()).empty
    told = sentences.describe_power(rows("cifar10"))
    assert "In 7 of 7 rows no number of seeds" in told and "Power: a published accuracy" in told


def test_shuffled_numbers_lie_inside_only_where_rows_are_alike():
    apart = verdicts.cells(rows("cifar10", scatter=0.02))
    line = yardsticks.shuffle_published(apart).iloc[0]
    # A random permutation has one fixed point on average.
    assert (line["judged"], line["inside"], line["shuffled"]) == (7, 7, 1)
    assert line["as many"] == pytest.approx(1 / 5040, abs=5e-4)
    wide = yardsticks.shuffle_published(verdicts.cells(rows("cifar10", scatter=9))).iloc[0]
    assert (wide["shuffled"], wide["as many"]) == (7, 1)
    assert "7 of 7 lie inside" in sentences.describe_shuffles(apart)


def test_holm_names_what_differs_among_many():
    cells = verdicts.cells(rows("cifar10", scatter=0.5))
    assert "0 differ at 5%. The least p is 1" in sentences.describe_holm(cells)
    cells = verdicts.cells(rows("cifar10", scatter=0.05, shift=1))
    accuracies = cells[(cells["measure"] == "accuracy") & cells["p"].notna()]
    assert (accuracies["Holm"] >= accuracies["p"]).all() and (accuracies["Holm"] < 0.05).all()
    assert (accuracies["Holm"] == accuracies["Holm in table"].round(4)).all()  # one table here
    assert "over 7 cells 7 differ at 5%: cifar10 Conv2D" in sentences.describe_holm(cells)
    assert sentences.describe_holm(verdicts.cells(frame())) == "none judged yet."


def test_later_seeds_are_held_against_the_first():
    runs = frame(("mnist", "conv2d", None, (0.97, 0.975, 0.98, 0.5, 0.976)))
    table = yardsticks.find_fresh_coverage(runs, first=(0, 1, 2))
    assert table[["method", "fresh", "inside"]].values.tolist() == [["Conv2D", 2, 1]]
    assert yardsticks.find_fresh_coverage(runs, first=(0, 1, 42)).empty
    assert sentences.describe_fresh_coverage(runs) == "No row has seeds beyond the first five."


def test_seeds_that_rows_share_are_seen():
    accuracies = special.expit(LOGITS)
    alike = frame(("mnist", "conv2d", None, accuracies), ("mnist", "channel", 2, accuracies))
    line = yardsticks.correlate_seeds(alike).iloc[0]
    assert line[["rows", "seeds", "correlation"]].tolist() == [2, 5, 1]
    assert line["p"] == pytest.approx(2 / 120, abs=0.01)  # as it is, and the other way round
    other = special.expit(LOGITS[[3, 0, 4, 1, 2]])
    runs = frame(("mnist", "conv2d", None, accuracies), ("mnist", "channel", 2, other))
    expected = np.corrcoef(LOGITS, LOGITS[[3, 0, 4, 1, 2]])[0, 1]
    assert yardsticks.correlate_seeds(runs)["correlation"][0] == pytest.approx(expected, abs=1e-4)
    stuck = frame(*((name, "lightlayers", 1, (0.1, 0.5)) for name in ("mnist", "cifar10")))
    stuck.loc[stuck["seed"] == 0, "cross_entropy"] = 2.31
    found = yardsticks.find_shared_failures(stuck)
    assert found.values.tolist() == [["LightLayers (K = 1)", 0, 2, 2]]
    assert "are stored to see" in sentences.describe_dependence(stuck)
    assert "of +1.00 to +1.00" in sentences.describe_dependence(alike)
