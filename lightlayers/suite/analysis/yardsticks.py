"""Yardsticks: what the verdicts could have seen, and what chance alone would give."""

import math

from lightlayers.suite import paper, plans
from lightlayers.suite.analysis import chance, intervals, verdicts

OFF = {  # how far a published number is off: points of accuracy as a fraction, share of a loss
    "accuracy": {"1 point": 0.01, "2 points": 0.02, "5 points": 0.05},
    "loss": {"10%": 0.1, "20%": 0.2, "50%": 0.5},
}
ENOUGH_POWER = 0.8
MOST_SEEDS = 100
_PERMUTATIONS = 10_000


def find_power(runs, measure="accuracy"):
    """Returns how likely a published number that is off would lie outside our interval.

    It is assumed to be a run like ours but for the shift, up or down alike where both are possible,
    and our standard deviation to be the true one.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of the paper's rows.
        measure: String, a key of `verdicts.MEASURES`.

    Returns:
        A `pandas.DataFrame`, one row per published row with three seeds: `dataset`, `method`, `n`,
        the power for each of `OFF`, `noticed` (how far a number has to be off for 80% power,
        missing where nothing is enough), `seeds` (how many give 80% power for the last of `OFF`)
        and `seeds for REPLICATED` (with which the interval is within the tolerance), both missing
        where none of up to 100 is enough.
    """
    import pandas as pd

    scale, lines = verdicts.scale_of(measure), []
    offs = list(OFF[scale].values())
    for row in paper.ROWS:
        ours = runs[(runs["dataset"] == row.dataset) & (runs["label"] == row.label)]
        values = ours[verdicts.MEASURES[measure]]
        if len(values) >= verdicts.LEAST_SEEDS:
            within = verdicts.tolerance(row.dataset, scale)
            within *= float(row.loss) if scale == "loss" else 1
            line = [row.dataset, row.label, len(values), *_power(values, scale, offs, len(values))]
            lines.append([*line, *_find_needs(values, scale, offs[-1], within)])
    columns = ["dataset", "method", "n", *OFF[scale], "noticed", "seeds", "seeds for REPLICATED"]
    return pd.DataFrame(lines, columns=columns).round(4)


def _find_needs(values, scale, off, within):
    """Returns what is noticed with 80% power, and the seeds for `off` and for REPLICATED."""
    import numpy as np

    offs = np.arange(1, 500) / 1000 if scale == "accuracy" else np.arange(1, 1000) / 100
    noticed = offs[_power(values, scale, offs, len(values)) >= ENOUGH_POWER]
    counts = np.arange(verdicts.LEAST_SEEDS, MOST_SEEDS + 1)
    enough = counts[_power(values, scale, off, counts) >= ENOUGH_POWER]
    low, high = intervals.spread_interval(*intervals.find_scatter(values, scale), counts, scale)
    narrow = counts[(high - low) / 2 <= within]
    return [found[0] if len(found) else math.nan for found in (noticed, enough, narrow)]


def _power(values, scale, off, count):
    """Returns the power for a number so far off with so many seeds, up and down alike."""
    import numpy as np

    transform, invert = intervals.find_scale(scale)
    mean, deviation = intervals.find_scatter(values, scale)
    center = invert(mean)
    step = np.multiply(off, 1 if scale == "accuracy" else center) + np.zeros(np.shape(count))
    numbers = np.array([center - step, center + step])
    possible = (numbers > 0) & (numbers < (1 if scale == "accuracy" else math.inf))
    shifts = (transform(np.where(possible, numbers, center)) - mean) / max(deviation, 1e-9)
    powers = np.where(possible, intervals.power_of_prediction(shifts, count), 0)
    return powers.sum(axis=0) / np.maximum(1, possible.sum(axis=0))


def shuffle_published(cells, seed=0):
    """Returns how many numbers lie inside if those of each table are shuffled among its rows.

    Args:
        cells: DataFrame, as `verdicts.cells` returns it.
        seed: Integer, of the shuffles.

    Returns:
        A `pandas.DataFrame`, one row per measure: `measure`, `judged`, `inside` (as printed),
        `shuffled` (the median of 10,000 shuffles), `low` and `high` (where 95% of them lie) and
        `as many` (the share of shuffles with as many inside as printed, or more).
    """
    import numpy as np
    import pandas as pd

    draws, lines = np.random.default_rng(seed), []
    for measure, found in cells[cells["low"].notna()].groupby("measure", sort=False):
        inside, counts = 0, np.zeros(_PERMUTATIONS, int)
        for dataset, table in found.groupby("dataset"):
            rows = {row.label: row for row in paper.rows(dataset)}
            printed = [getattr(rows[name], verdicts.scale_of(measure)) for name in table["method"]]
            boxes = np.array([paper.box(number) for number in printed])
            low, high = table[["low", "high"]].to_numpy().T
            # Of each row and each printed number, whether this lies in that row's interval.
            holds = (boxes[:, 0] <= high[:, None]) & (low[:, None] <= boxes[:, 1])
            orders = draws.permuted(np.tile(np.arange(len(table)), (_PERMUTATIONS, 1)), axis=1)
            counts += holds[np.arange(len(table)), orders].sum(axis=1)
            inside += holds.trace()
        ends = np.quantile(counts, [0.025, 0.975]).astype(int)
        shuffled, share = int(np.median(counts)), (counts >= inside).mean()
        lines.append([measure, len(found), inside, shuffled, *ends, share])
    return pd.DataFrame(lines, columns="measure,judged,inside,shuffled,low,high,as many".split(","))


def find_fresh_coverage(runs, measure="accuracy", first=plans.SEEDS):
    """Returns how many later seeds lie in the prediction interval of the first five.

    Those of one row share the interval, so they lie outside together: rows count more than seeds.

    Args:
        runs: DataFrame, as `tables.frame` returns it, under one recipe.
        measure: String, a key of `verdicts.MEASURES`.
        first: Tuple of integers, the seeds that the intervals are made of.

    Returns:
        A `pandas.DataFrame`, one row per row with all of these and later ones: `dataset`, `method`,
        `measure`, `low`, `high`, `fresh` (later seeds) and `inside`.
    """
    import pandas as pd

    lines = []
    for place, row in runs.groupby(["dataset", "label"], sort=False):
        values = row.set_index("seed")[verdicts.MEASURES[measure]]
        known, fresh = values[values.index.isin(first)], values[~values.index.isin(first)]
        if len(known) == len(first) and len(fresh):
            low, high = intervals.prediction_interval(known, verdicts.scale_of(measure))
            lines.append([*place, measure, low, high, len(fresh), fresh.between(low, high).sum()])
    columns = "dataset method measure low high fresh inside".split()
    return pd.DataFrame(lines, columns=columns).round(4)


def correlate_seeds(runs, within="dataset", seed=0):
    """Returns whether runs of different rows are alike because they share a seed.

    Args:
        runs: DataFrame, as `tables.frame` returns it, under one recipe.
        within: `"dataset"`, for different methods on one data set, or `"label"`, for one method on
            different data sets.
        seed: Integer, of the permutations.

    Returns:
        A `pandas.DataFrame`, one row per data set or method: that, `rows`, `seeds` (that all rows
        have), `correlation` (of logit accuracies, the mean over pairs of rows) and `p`, the share
        of 10,000 permutations of the seeds within each row with a correlation as far from zero.
    """
    import numpy as np
    import pandas as pd

    across, lines = "label" if within == "dataset" else "dataset", []
    draws = np.random.default_rng(seed)
    for name, group in runs.groupby(within, sort=False):
        table = group.pivot(index="seed", columns=across, values="accuracy")
        # Rows with fewer seeds than usual would leave none that all share.
        table = table.loc[:, table.count() >= verdicts.LEAST_SEEDS].dropna()
        if table.shape[1] < 2 or len(table) < verdicts.LEAST_SEEDS:
            continue
        logits = intervals.find_scale("accuracy")[0](table.to_numpy())
        scores = (logits - logits.mean(axis=0)) / logits.std(axis=0)
        found = _mean_correlation(scores)
        shuffled = [_mean_correlation(draws.permuted(scores, axis=0)) for _ in range(_PERMUTATIONS)]
        p = (np.abs(shuffled) >= abs(found) - 1e-12).mean()
        lines.append([name, table.shape[1], len(table), found, p])
    return pd.DataFrame(lines, columns=[within, "rows", "seeds", "correlation", "p"]).round(4)


def _mean_correlation(scores):
    """Returns the mean correlation over pairs of columns that have mean 0 and deviation 1."""
    seeds, rows = scores.shape
    return ((scores.sum(axis=1) ** 2).sum() / seeds - rows) / (rows * (rows - 1))


def find_shared_failures(runs):
    """Returns the seeds of one row that learn nothing on several data sets.

    Returns:
        A `pandas.DataFrame`: `method`, `seed`, `stuck` (data sets) and `of` (that have the run).
    """
    stuck = runs.assign(stuck=chance.find_stuck_runs(runs))
    found = stuck.groupby(["label", "seed"], sort=False)["stuck"].agg(["sum", "size"]).reset_index()
    found.columns = ["method", "seed", "stuck", "of"]
    return found[found["stuck"] > 1].reset_index(drop=True)
