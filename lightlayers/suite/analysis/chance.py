"""Chance: what a network gives that has learned nothing, and which runs and numbers are there.

Such a network gives every class the same probability. Its accuracy is one over the number of
classes, its cross-entropy the logarithm of that number.
"""

import math

from lightlayers.suite import datasets, paper
from lightlayers.suite.analysis import intervals, verdicts


def _count_classes(names):
    return names.map(lambda name: datasets.get(name).classes).astype(float)


def find_stuck_runs(runs):
    """Returns which runs have learned nothing, a boolean Series.

    Those are the runs whose cross-entropy on the test set is that of the same probability for every
    class, less 1%, or above.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
    """
    import numpy as np

    return runs["cross_entropy"] >= 0.99 * np.log(_count_classes(runs["dataset"]))


def split_stuck_runs(runs):
    """Returns how likely rows learn nothing, and how accurate they are if they learn.

    Args:
        runs: DataFrame, as `tables.frame` returns it, under one recipe.

    Returns:
        A `pandas.DataFrame`, one row per row of a method that learns nothing on some data set:
        `dataset`, `method`, `n`, `stuck`, `probability` of that, `low` and `high` (its 95%
        interval, by Clopper and Pearson), `learned` (runs), their mean `accuracy` and `±` (half its
        95% interval, over seeds and test images), `published`, and its `verdict` against the runs
        that learned.
    """
    import pandas as pd

    runs = runs.assign(stuck=find_stuck_runs(runs))
    printed = {(row.dataset, row.label): row.accuracy for row in paper.ROWS}
    lines = []
    methods = runs.loc[runs["stuck"], "label"].unique()
    for place, row in runs[runs["label"].isin(methods)].groupby(["dataset", "label"], sort=False):
        stuck, accuracies = int(row["stuck"].sum()), row.loc[~row["stuck"], "accuracy"]
        line = [*place, len(row), stuck, stuck / len(row)]
        line += intervals.proportion_interval(stuck, len(row))
        estimate = intervals.estimate_mean(accuracies)
        margin = intervals.margin_of_accuracy(estimate, row["test_size"].iloc[0])
        line += [len(accuracies), estimate.mean, margin]
        number, verdict = printed.get(place), "NOT PRINTED"
        if number:
            verdict = verdicts.verdict(number, list(accuracies), "accuracy", place[0])
        lines.append([*line, float(number or math.nan), verdict])
    columns = "dataset method n stuck probability low high learned accuracy ± published verdict"
    return pd.DataFrame(lines, columns=columns.split()).round(4)


def find_cells_at_chance(cells):
    """Returns which intervals hold what a network gives that has learned nothing.

    Args:
        cells: DataFrame, as `verdicts.cells` returns it.

    Returns:
        Boolean Series.
    """
    import numpy as np

    classes = _count_classes(cells["dataset"])
    chance = np.log(classes).where(cells["measure"] != "accuracy", 1 / classes)
    return (cells["low"] <= chance) & (chance <= cells["high"])
