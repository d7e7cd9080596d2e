"""Chance: what a network gives that has learned nothing, and which runs and numbers are there.

Such a network gives every class the same probability. Its accuracy is one over the number of
classes, its cross-entropy the logarithm of that number.
"""

from lightlayers.suite import datasets


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
