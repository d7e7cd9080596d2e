"""Intervals and probabilities, against draws and arithmetic."""

import numpy as np
import pandas as pd
import pytest
from scipy import special

from lightlayers.suite.analysis import intervals


def test_interval_covers_one_more_run():
    # Five seeds and one published number from one distribution, two thousand times.
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        draws = special.expit(rng.normal(3, 0.3, 6))
        low, high = intervals.prediction_interval(draws[:5], "accuracy")
        inside += low <= draws[5] <= high
    assert 0.93 < inside / 2000 < 0.97


def test_interval_stays_within_what_is_possible():
    low, high = intervals.prediction_interval([0.999, 1.0, 0.98], "accuracy")
    assert 0 < low < high < 1
    assert intervals.prediction_interval([0.01, 0.5, 3.0], "loss")[0] > 0


def test_the_t_interval_of_a_mean():
    # t(0.975, 2) · 1 / sqrt(3) = 2.484.
    mean, low, high = intervals.mean_interval(pd.Series([9.0, 10.0, 11.0]))
    assert (mean, round(low, 3), round(high, 3)) == (10, 7.516, 12.484)
    assert np.isnan(intervals.mean_interval(pd.Series([9.0]))[1:]).all()


def test_the_binomial_tail_is_the_sum_of_its_terms():
    assert intervals.binomial_tail(0, 20) == 1
    assert intervals.binomial_tail(20, 20, 0.5) == pytest.approx(0.5**20)
    both = 1 - 0.95**20 - 20 * 0.05 * 0.95**19
    assert intervals.binomial_tail(2, 20) == pytest.approx(both)


def test_coverage_leaves_one_out_of_groups_of_four():
    groups = [pd.Series([0.904, 0.905, 0.906, 0.93]), pd.Series([0.5, 0.6, 0.7])]
    assert intervals.leave_one_out_coverage(groups, "accuracy") == (3, 4)
