"""Losses: whether a loss belongs to the accuracy that stands beside it."""

import collections
import math

from lightlayers.suite import paper
from lightlayers.suite.analysis import verdicts

LEAST_EPOCHS, LEAST_SEEDS = 5, 2  # near an accuracy, of which a range is known

# The epochs and seeds of ours that have an accuracy, and the ends of their losses.
Range = collections.namedtuple("Range", "epochs seeds low high")


def judge_losses(runs):
    """Returns what losses our networks have when they have the accuracy that the paper prints.

    Of each row all epochs of all seeds count whose test accuracy is the printed one, within the
    tolerance of a verdict. Their losses are as the authors evaluate them. The lowest is without the
    L2 penalties (of the last epoch), in case the authors left those out.

    Args:
        runs: DataFrame, as `tables.frame` returns it, under recipe "paper".

    Returns:
        A `pandas.DataFrame`, one row per published row: `dataset`, `method`, `accuracy` and
        `loss` as printed, `epochs` and `seeds` of ours that have the accuracy, the `low` and
        `high` of their losses, and `verdict`: BELOW or ABOVE these by more than 10%, else
        INSIDE, or NOT JUDGED with fewer than five epochs or two seeds.
    """
    import pandas as pd

    lines = []
    for row in paper.ROWS:
        ours = runs[(runs["dataset"] == row.dataset) & (runs["label"] == row.label)]
        found = find_range(ours, row.dataset, paper.box(row.accuracy))
        verdict = compare_loss(paper.box(row.loss), found)
        lines.append([row.dataset, row.label, row.accuracy, row.loss, *found, verdict])
    columns = "dataset method accuracy loss epochs seeds low high verdict".split()
    return pd.DataFrame(lines, columns=columns).round(4)


def find_range(runs, dataset, accuracy):
    """Returns the `Range` of losses that runs have at an accuracy, with NaN if too few have it.

    The penalties are those of the last epoch: no other is stored.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of one row.
        dataset: String, whose tolerance applies.
        accuracy: Pair of floats, its ends.
    """
    within = verdicts.tolerance(dataset, "accuracy")
    seeds, lows, highs = set(), [], []
    for run in runs.itertuples():
        penalties = run.loss - run.cross_entropy
        for reached, loss in run.checkpoints:
            if accuracy[0] - within <= reached <= accuracy[1] + within:
                seeds.add(run.seed)
                lows.append(loss - penalties)
                highs.append(loss)
    if len(lows) < LEAST_EPOCHS or len(seeds) < LEAST_SEEDS:
        return Range(len(lows), len(seeds), math.nan, math.nan)
    return Range(len(lows), len(seeds), min(lows), max(highs))


def compare_loss(loss, found):
    """Returns how a loss, a pair of its ends, stands to a `Range`: see `judge_losses`."""
    if math.isnan(found.low):
        return "NOT JUDGED"
    margin = verdicts.TOLERANCES["loss"]
    if loss[1] < found.low * (1 - margin):
        return "BELOW"
    if loss[0] > found.high * (1 + margin):
        return "ABOVE"
    return "INSIDE"


def judge_own_losses(runs):
    """Returns how each run's loss stands to those of its row's other seeds at its accuracy.

    Returns:
        List of verdicts as in `judge_losses`, without the runs that are NOT JUDGED.
    """
    found = []
    for run in runs.itertuples():
        row = (runs["dataset"] == run.dataset) & (runs["label"] == run.label)
        others = runs[row & (runs["seed"] != run.seed)]
        known = find_range(others, run.dataset, (run.accuracy, run.accuracy))
        verdict = compare_loss((run.loss, run.loss), known)
        if verdict != "NOT JUDGED":
            found.append(verdict)
    return found


def find_impossible_losses():
    """Returns the paper's rows whose loss is below what their accuracy allows at all.

    A wrong answer gives the right class at most one half, so it costs log 2 at least.
    """
    impossible = []
    for row in paper.ROWS:
        least = (1 - paper.box(row.accuracy)[1]) * math.log(2)
        if paper.box(row.loss)[1] < least:
            impossible.append(f"{row.dataset} {row.label}")
    return impossible
