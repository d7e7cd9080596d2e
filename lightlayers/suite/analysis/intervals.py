"""Intervals and probabilities by their textbook names. They know nothing of runs."""

import math

MISS_RATE = 0.05  # of an exact 95% interval
# Ten thousand test images can't tell 1 from 0.99995.
_LEAST_ACCURACY = 5e-5


def _t_quantile(count):
    """Returns the quantile of Student's t for a two-sided interval from so many values."""
    from scipy import stats

    return stats.t.ppf(1 - MISS_RATE / 2, count - 1)


def margin_of_error(values):
    """Returns half the 95% t-interval of the mean.

    `t(0.975, n - 1) · s / sqrt(n)`

    Args:
        values: `pandas.Series` of numbers, one per seed.

    Returns:
        Float, NaN for fewer than two numbers.
    """
    if len(values) < 2:
        return math.nan
    return _t_quantile(len(values)) * values.std(ddof=1) / math.sqrt(len(values))


def mean_interval(values):
    """Returns the mean and the ends of its 95% t-interval.

    `m ± t(0.975, n - 1) · s / sqrt(n)`

    Args:
        values: `pandas.Series` of numbers, one per seed.

    Returns:
        Triple of floats: mean, low and high. The ends are NaN for fewer than two numbers.
    """
    mean, half = values.mean(), margin_of_error(values)
    return mean, mean - half, mean + half


def prediction_interval(values, scale):
    """Returns the 95% prediction interval of one more run.

    `m ± t(0.975, n - 1) · s · sqrt(1 + 1 / n)`, on the logit of accuracies or the logarithm of
    losses. The ends are transformed back, so none lies outside what is possible.

    Args:
        values: Sequence of numbers, one per seed.
        scale: `"accuracy"` (in 0..1) or `"loss"` (positive).

    Returns:
        Pair of floats, NaN for fewer than two numbers.

    Example:

    >>> low, high = prediction_interval([0.97, 0.98, 0.975], "accuracy")
    >>> round(low, 3), round(high, 3)
    (0.934, 0.991)
    """
    import numpy as np
    from scipy import special

    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    if scale == "accuracy":
        transform, invert = special.logit, special.expit
        values = np.clip(values, _LEAST_ACCURACY, 1 - _LEAST_ACCURACY)
    else:
        transform, invert = np.log, np.exp
    transformed = transform(values)
    mean = transformed.mean()
    half = _t_quantile(n) * transformed.std(ddof=1) * math.sqrt(1 + 1 / n)
    return float(invert(mean - half)), float(invert(mean + half))


def binomial_tail(count, trials, rate=MISS_RATE):
    """Returns the probability of at least `count` successes in independent trials.

    `P(X >= count)` for `X ~ Binomial(trials, rate)`

    Args:
        count: Integer.
        trials: Integer.
        rate: Float, the probability of a success. Defaults to `0.05`, that of a value outside an
            exact 95% interval.
    """
    from scipy import stats

    return float(stats.binom.sf(count - 1, trials, rate))


def leave_one_out_coverage(groups, scale):
    """Returns how many values lie in the prediction interval of the others of their group.

    This tries the intervals on runs whose outcome is known. 95% of the values would lie inside if
    each group were normal on the interval's scale.

    Args:
        groups: Iterable of `pandas.Series` of numbers. Groups of fewer than four are left out,
            since an interval takes three.
        scale: As for `prediction_interval`.

    Returns:
        Pair of integers: values inside, and values tried.
    """
    inside = tried = 0
    for values in groups:
        if len(values) < 4:
            continue
        for index, value in values.items():
            low, high = prediction_interval(values.drop(index), scale)
            inside += low <= value <= high
            tried += 1
    return int(inside), tried
