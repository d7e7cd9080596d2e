"""Scatter: how far the seeds of rows of like kind lie apart, pooled where a row has few."""

import math

from lightlayers.suite.analysis import chance, intervals

LEAST_SEEDS = 3  # of a row, to be pooled
ENOUGH_SEEDS = 5  # of a row, to stand for itself


def pool_scatter(runs):
    """Returns the pooled standard deviation of accuracies over seeds, on the logit scale.

    Rows are of like kind if they have one data set and one recipe, three seeds, and no run that has
    learned nothing.

    Args:
        runs: DataFrame, as `tables.frame` returns it.

    Returns:
        A `pandas.DataFrame`: `dataset`, `recipe`, `rows` (the labels pooled), `runs`, `df`,
        `scatter` (the pooled standard deviation) and `p`, of Bartlett's test that the rows
        scatter alike. Below 0.05 the pool is not used.
    """
    import pandas as pd

    lines = []
    for (dataset, recipe), kind in runs.groupby(["dataset", "recipe"], sort=False):
        logits = {}
        for label, row in kind.groupby("label", sort=False):
            if len(row) >= LEAST_SEEDS and not chance.find_stuck_runs(row).any():
                logits[label] = intervals.find_scale("accuracy")[0](row["accuracy"])
        if len(logits) > 1:
            lines.append([dataset, recipe, ", ".join(logits), *_pool(list(logits.values()))])
    return pd.DataFrame(lines, columns="dataset recipe rows runs df scatter p".split())


def _pool(groups):
    """Returns the runs, the degrees of freedom, the pooled deviation and Bartlett's p-value."""
    from scipy import stats

    runs, variances = sum(map(len, groups)), [group.var(ddof=1) for group in groups]
    df = runs - len(groups)
    pooled = sum((len(g) - 1) * v for g, v in zip(groups, variances, strict=True)) / df
    # Seeds without any scatter are unlike all others, and Bartlett's test takes their logarithm.
    p = stats.bartlett(*groups).pvalue if min(variances) > 0 else 0.0
    return runs, df, math.sqrt(pooled), p


def find_pool(pools, dataset, recipe):
    """Returns the line of `pool_scatter` for rows of that kind, `None` if it can't be used."""
    lines = pools[(pools["dataset"] == dataset) & (pools["recipe"] == recipe)]
    return next((line for line in lines.itertuples() if line.p >= intervals.MISS_RATE), None)


def estimate_pooled(values, pool):
    """Returns the `Estimate` of a mean accuracy, with the scatter of its pool.

    `s · m · (1 - m) / sqrt(n)` is its error: the derivative of the inverse logit is `m · (1 - m)`.
    """
    mean = values.mean()
    return intervals.Estimate(
        mean, pool.scatter * mean * (1 - mean) / math.sqrt(len(values)), pool.df
    )


def estimate_row(rows, pools=None):
    """Returns the `Estimate` of a row's mean accuracy: pooled where it has fewer than five seeds.

    Args:
        rows: DataFrame, as `tables.frame` returns it, the runs of one row.
        pools: DataFrame, as `pool_scatter` returns it, or `None` if the row stands for itself.
    """
    pool = None
    if pools is not None and len(rows) < ENOUGH_SEEDS:
        pool = find_pool(pools, rows["dataset"].iloc[0], rows["recipe"].iloc[0])
    if pool is None:
        return intervals.estimate_mean(rows["accuracy"])
    return estimate_pooled(rows["accuracy"], pool)
