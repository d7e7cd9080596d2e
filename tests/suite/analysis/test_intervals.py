"""Intervals and probabilities, against draws and arithmetic."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

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


# Student's sleep data: two drugs, ten patients.
FIRST = pd.Series([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = pd.Series([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_welchs_interval_of_the_sleep_data():
    estimate = intervals.subtract(*map(intervals.estimate_mean, (FIRST, SECOND)))
    # As R prints it: t = -1.8608, df = 17.776, -3.3654832 to 0.2054832.
    assert estimate.df == pytest.approx(17.776, abs=5e-4)
    assert estimate.mean / estimate.error == pytest.approx(-1.8608, abs=5e-5)
    assert intervals.t_interval(estimate) == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)
    equal = intervals.subtract(*[intervals.estimate_mean(pd.Series([0.5] * 3))] * 2)
    assert intervals.t_interval(equal) == (0, 0)


def test_two_one_sided_tests_are_those_of_scipy():
    estimate = intervals.estimate_mean(FIRST - SECOND)
    for delta in (1, 2, 3):
        above = stats.ttest_1samp(FIRST - SECOND, -delta, alternative="greater").pvalue
        below = stats.ttest_1samp(FIRST - SECOND, delta, alternative="less").pvalue
        assert intervals.equivalence_p_value(estimate, delta) == pytest.approx(max(above, below))
    # An interval that contains zero but is wide is no equivalence; one far within delta is.
    assert intervals.equivalence_p_value(intervals.Estimate(0.1, 2.0, 8), 1) > 0.3
    assert intervals.equivalence_p_value(intervals.Estimate(0.1, 0.1, 8), 1) < 0.001


def test_holms_adjustment_of_a_textbook_family():
    # Of R's p.adjust: sorted times 4, 3, 2, 1, never falling.
    assert intervals.adjust_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )
    assert intervals.adjust_holm([0.6, 0.7]) == [1, 1]


def test_clopper_and_pearson():
    # Of none in ten: 1 - (0.05 / 2)^(1/10); one in five is in most tables.
    assert intervals.proportion_interval(0, 10) == pytest.approx((0, 1 - 0.025**0.1))
    assert intervals.proportion_interval(1, 5) == pytest.approx((0.0051, 0.7164), abs=5e-5)


@pytest.mark.parametrize(("published", "inside"), [(".9700", False), (".9790", True)])
@pytest.mark.parametrize("scale", ["accuracy", "loss"])
def test_a_p_value_is_below_five_percent_outside_the_interval(published, inside, scale):
    values = [0.975, 0.976, 0.978, 0.977, 0.979]
    number = float(published)
    p = intervals.prediction_p_value((number, number), values, scale)
    low, high = intervals.prediction_interval(values, scale)
    assert (p >= 0.05) == inside == (low <= number <= high)
    # The end of the interval has p = 0.05; a box that holds the mean has p = 1.
    assert intervals.prediction_p_value((high, high), values, scale) == pytest.approx(0.05)
    assert intervals.prediction_p_value((0.97, 0.98), values, scale) == 1


def test_power_is_that_of_the_noncentral_t():
    # Of one more run from five, where SciPy has a value at all.
    for shift in (0.5, 1, 2, 4):
        center, limit = shift / np.sqrt(1.2), stats.t.ppf(0.975, 4)
        power = stats.nct.sf(limit, 4, center) + stats.nct.cdf(-limit, 4, center)
        assert intervals.power_of_prediction(shift, 5) == pytest.approx(power, abs=1e-3)
    assert intervals.power_of_prediction(0, 5) == pytest.approx(0.05, abs=1e-3)
    # Cohen's d of 0.5 in 34 pairs has power 0.808: there the statistic is shifted by d · sqrt(n).
    shift = 0.5 * np.sqrt(34) * np.sqrt(1 + 1 / 34)
    assert intervals.power_of_prediction(shift, 34) == pytest.approx(0.808, abs=1e-3)


def test_the_margin_of_an_accuracy_holds_seeds_and_images():
    # One network with no scatter, half of 10,000 right: 1.96 · 0.005.
    assert intervals.margin_of_accuracy(intervals.Estimate(0.5, 0, 4), 10_000) == pytest.approx(
        0.0098, abs=1e-6
    )
    both = intervals.margin_of_accuracy(intervals.Estimate(0.5, 0.01, 4), 10_000)
    assert both == pytest.approx(np.hypot(0.0098, 2.7764 * 0.01), abs=1e-6)


def test_seeds_that_decide_are_the_fewest():
    found = intervals.seeds_to_decide(1.0, 0.5)
    halves = [stats.t.ppf(0.975, 2 * n - 2) / np.sqrt(n) for n in (found - 1, found)]
    assert halves[1] <= 0.5 < halves[0]
    assert np.isnan(intervals.seeds_to_decide(1.0, 0.001))
