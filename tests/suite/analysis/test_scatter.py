"""Scatter: pooled over rows of like kind, where they scatter alike."""

import numpy as np
import pytest
from scipy import special, stats
from suite.analysis.records import frame

from lightlayers.suite.analysis import comparisons, scatter, tables

ONE, OTHER = (0.80, 0.81, 0.82), (0.70, 0.72, 0.71)
ROWS = [
    ("cifar10", "spatial", 9, ONE, "corrected"),
    ("cifar10", "conv2d", None, OTHER, "corrected"),
]


def test_two_rows_pooled_are_students_t_test():
    runs = frame(*ROWS, ("cifar10", "channel", 6, (0.7, 0.6), "corrected"))  # two seeds: not pooled
    (pool,) = scatter.pool_scatter(runs).itertuples()
    logits = special.logit(ONE), special.logit(OTHER)
    assert (pool.runs, pool.df, pool.rows) == (6, 4, "spatial form (rank 9), Conv2D")
    assert pool.scatter == pytest.approx(np.sqrt(np.mean([x.var(ddof=1) for x in logits])))
    assert pool.p == pytest.approx(stats.bartlett(*logits).pvalue)
    names = ("spatial form (rank 9)", "corrected"), ("Conv2D", "corrected")
    found = comparisons.compare_methods(runs, "cifar10", *names, pools=scatter.pool_scatter(runs))
    # Back from the logit by its slope, m · (1 - m).
    error = 100 * pool.scatter * np.hypot(0.81 * 0.19, 0.71 * 0.29) / np.sqrt(3)
    assert found[:3] == pytest.approx((10, error, 4))
    assert (found.seeds, found.by) == ((3, 3), "pooled")
    line = tables.summary(runs[runs["label"] == names[0][0]], scatter.pool_scatter(runs)).iloc[0]
    margin = stats.t.ppf(0.975, 4) * pool.scatter * 0.81 * 0.19 / np.sqrt(3)
    assert line["±"] == pytest.approx(np.hypot(margin, 1.96 * np.sqrt(0.81 * 0.19 / 1e4)), abs=1e-4)


@pytest.mark.parametrize(
    "unlike",
    [
        (0.3, 0.75, 0.9, 0.5, 0.6),  # scatters more
        (0.7, 0.7, 0.7),  # not at all
    ],
)
def test_rows_that_do_not_scatter_alike_stand_for_themselves(unlike):
    runs = frame(*ROWS, ("cifar10", "channel", 6, unlike, "corrected"))
    names = ("spatial form (rank 9)", "corrected"), ("Conv2D", "corrected")
    found = comparisons.compare_methods(runs, "cifar10", *names, pools=scatter.pool_scatter(runs))
    test = stats.ttest_ind(ONE, OTHER, equal_var=False)
    assert found.by == "Welch" and found.df == pytest.approx(test.df)
    assert found.mean / found.error == pytest.approx(test.statistic)


def test_rows_with_five_seeds_stand_for_themselves_and_stuck_ones_are_not_pooled():
    pools = scatter.pool_scatter(frame(*ROWS))
    five = frame((*ROWS[0][:3], (*ONE, 0.8, 0.82), "corrected"))
    assert scatter.estimate_row(five, pools) == scatter.estimate_row(five)
    runs = frame(*ROWS)
    runs.loc[0, "cross_entropy"] = 2.31
    assert scatter.pool_scatter(runs).empty
