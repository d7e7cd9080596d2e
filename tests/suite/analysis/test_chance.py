"""Chance: which runs and numbers are those of a network that has learned nothing."""

import numpy as np
import pandas as pd
import pytest
from suite.analysis.records import RECORDS, frame

from lightlayers.suite.analysis import chance, sentences, tables


@pytest.fixture
def runs():
    return tables.frame(RECORDS)


def test_intervals_that_hold_what_nothing_learned_gives():
    columns = "dataset method measure verdict low high published"
    cells = pd.DataFrame(
        [
            ("mnist", "A", "accuracy", "REPLICATED", 0.09, 0.11, 0.1),
            ("mnist", "A", "loss", "REPLICATED", 2.31, 2.4, 2.35),  # log 10 is 2.303
            ("mnist", "A", "cross-entropy", "REPLICATED", 2.2, 2.4, 2.35),  # the same number
            ("mnist", "B", "loss", "DIFFERENT", 2.0, 2.1, 2.32),
            ("cifar100", "B", "loss", "REPLICATED", 4.5, 4.61, 4.55),  # log 100 is 4.605
            ("cifar100", "B", "accuracy", "DIFFERENT", 0.009, 0.011, 0.02),
            ("cifar100", "C", "loss", "REPLICATED", np.nan, np.nan, 4.6),
        ],
        columns=columns.split(),
    )
    found = [True, False, True, False, True, True, False]
    assert chance.find_cells_at_chance(cells).tolist() == found
    told = sentences.describe_weak_verdicts(cells)
    assert "4 published numbers are REPLICATED" in told
    assert "nothing for 2 (mnist A, cifar100 B)" in told
    assert "table for 2 (mnist A, cifar100 B)" in told


def test_runs_that_learn_nothing_are_counted_by_row(runs):
    assert sentences.describe_stuck_runs(runs) == "0 of 6 runs learn nothing and stay at chance."
    runs.loc[[1, 4, 5], "cross_entropy"] = [2.28, 2.27, 2.4]  # log 10 is 2.303
    assert list(runs.index[chance.find_stuck_runs(runs)]) == [1, 5]
    told = (
        "2 of 6 runs learn nothing and stay at chance (digits Conv2D: 1 of 3, digits LightLayers "
    )
    assert sentences.describe_stuck_runs(runs) == told + "(K = 2): 1 of 3)."


def test_being_stuck_and_learning_are_two_numbers():
    runs = frame(("mnist", "lightlayers", 1, (0.1, 0.94, 0.941, 0.942, 0.943)))
    assert chance.split_stuck_runs(runs).empty
    runs.loc[0, "cross_entropy"] = 2.31
    line = chance.split_stuck_runs(runs).iloc[0]
    assert line[["n", "stuck", "probability", "learned"]].tolist() == [5, 1, 0.2, 4]
    assert line[["low", "high", "accuracy"]].tolist() == [0.0051, 0.7164, 0.9415]
    assert line[["published", "verdict"]].tolist() == [0.9418, "REPLICATED"]  # among these
