"""Intervals and probabilities by their textbook names. They know nothing of runs."""

import collections
import math

MISS_RATE = 0.05  # of an exact 95% interval
# Ten thousand test images can't tell 1 from 0.99995.
_LEAST_ACCURACY = 5e-5

# A mean or a difference of means, its standard error and the degrees of freedom of that.
Estimate = collections.namedtuple("Estimate", "mean error df")


def _t_quantile(count):
    """Returns the quantile of Student's t for a two-sided interval from so many values."""
    from scipy import stats

    return stats.t.ppf(1 - MISS_RATE / 2, count - 1)


def mean_interval(values):
    """Returns the mean and the ends of its 95% t-interval.

    `m ± t(0.975, n - 1) · s / sqrt(n)`

    Args:
        values: `pandas.Series` of numbers, one per seed.

    Returns:
        Triple of floats: mean, low and high. The ends are NaN for fewer than two numbers.
    """
    estimate = estimate_mean(values)
    return estimate.mean, *t_interval(estimate)


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
    if len(values) < 2:
        return math.nan, math.nan
    low, high = spread_interval(*find_scatter(values, scale), len(values), scale)
    return float(low), float(high)


def spread_interval(mean, deviation, count, scale):
    """Returns the ends of `prediction_interval` from the scatter of so many runs."""
    import numpy as np

    half = _t_quantile(count) * deviation * np.sqrt(1 + 1 / count)
    invert = find_scale(scale)[1]
    return invert(mean - half), invert(mean + half)


def find_scale(scale):
    """Returns the function to the scale of intervals, logit or logarithm, and its inverse."""
    import numpy as np
    from scipy import special

    def transform(values):
        return special.logit(np.clip(values, _LEAST_ACCURACY, 1 - _LEAST_ACCURACY))

    return (transform, special.expit) if scale == "accuracy" else (np.log, np.exp)


def find_scatter(values, scale):
    """Returns the mean and the standard deviation of values on the scale of their intervals."""
    import numpy as np

    transformed = find_scale(scale)[0](np.asarray(values, dtype=float))
    return transformed.mean(), transformed.std(ddof=1)


def prediction_p_value(box, values, scale):
    """Returns the two-sided p-value of one more run under the t prediction distribution.

    `p = P(|T| >= |y - m| / (s · sqrt(1 + 1 / n)))`, `T` with `n - 1` degrees of freedom. It is
    below 0.05 where `y` lies outside `prediction_interval`.

    Args:
        box: Pair of floats, the numbers that round to what is printed. The nearest to our mean
            stands for `y`, our mean itself if it is among them.
        values: Sequence of numbers, one per seed.
        scale: As for `prediction_interval`.
    """
    from scipy import stats

    n = len(values)
    if n < 2:
        return math.nan
    low, high = find_scale(scale)[0](box)
    mean, deviation = find_scatter(values, scale)
    distance = max(low - mean, mean - high, 0)
    if distance == 0 or deviation == 0:
        return float(distance == 0)
    return float(2 * stats.t.sf(distance / (deviation * math.sqrt(1 + 1 / n)), n - 1))


def power_of_prediction(shift, count):
    """Returns the probability that a run from a shifted distribution lies outside.

    The interval is the 95% prediction interval of `count` runs. The statistic has a noncentral t
    distribution with `count - 1` degrees of freedom and noncentrality
    `shift / sqrt(1 + 1 / count)`.

    Args:
        shift: Float, in standard deviations of a run.
        count: Integer or array of integers.
    """
    import numpy as np
    from scipy import stats

    count = np.asarray(count)
    center = (shift / np.sqrt(1 + 1 / count))[..., None]
    # The mean over the distribution of s: SciPy's noncentral t is NaN for many large shifts.
    df, levels = (count - 1)[..., None], (np.arange(200) + 0.5) / 200
    limit = _t_quantile(count)[..., None] * np.sqrt(stats.chi2.ppf(levels, df) / df)
    return (stats.norm.sf(limit - center) + stats.norm.cdf(-limit - center)).mean(axis=-1)


def adjust_holm(p_values):
    """Returns Holm's adjusted p-values of a family of tests, in the same order.

    Those at most 0.05 are significant with a familywise error rate of 5%, however the tests depend
    on each other.
    """
    adjusted, largest = [math.nan] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def proportion_interval(count, trials):
    """Returns the ends of Clopper and Pearson's 95% interval of a probability."""
    from scipy import stats

    return tuple(map(float, stats.binomtest(count, trials).proportion_ci(method="exact")))


def estimate_mean(values):
    """Returns the `Estimate` of a mean, `s / sqrt(n)` its error: NaN for fewer than two numbers."""
    n = len(values)
    error = values.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(values.mean() if n else math.nan, error, n - 1)


def subtract(first, second):
    """Returns the `Estimate` of a difference of two independent ones, by Welch.

    `df = (e1² + e2²)² / (e1⁴ / df1 + e2⁴ / df2)`, Satterthwaite's degrees of freedom.
    """
    one, other = first.error**2, second.error**2
    df = first.df + second.df
    if one + other > 0:
        df = (one + other) ** 2 / (one**2 / first.df + other**2 / second.df)
    return Estimate(first.mean - second.mean, math.sqrt(one + other), df)


def t_interval(estimate):
    """Returns the ends of the 95% t-interval of an `Estimate`."""
    from scipy import stats

    half = estimate.error
    if half > 0:
        half *= stats.t.ppf(1 - MISS_RATE / 2, estimate.df)
    return estimate.mean - half, estimate.mean + half


def equivalence_p_value(estimate, delta):
    """Returns the p-value of two one-sided tests (TOST) of a difference.

    It is the larger p-value of the t-tests against `-delta` and `delta`, small where the difference
    is within `delta`. Below 0.05 the 90% t-interval lies between these.
    """
    from scipy import stats

    if math.isnan(estimate.error):
        return math.nan
    room = delta - abs(estimate.mean)
    if estimate.error == 0:
        return float(room <= 0)
    return float(stats.t.sf(room / estimate.error, estimate.df))


def margin_of_accuracy(estimate, images):
    """Returns half the 95% interval of a mean accuracy, over seeds and test images.

    `sqrt((t · e)² + 1.96² · m · (1 - m) / images)`. The second part is what other images
    of the same source would change. It counts as if all seeds were wrong on the same images, which
    is the most.
    """
    from scipy import stats

    normal = stats.norm.ppf(1 - MISS_RATE / 2)
    images_error = math.sqrt(estimate.mean * (1 - estimate.mean) / images)
    return math.hypot(t_interval(estimate)[1] - estimate.mean, normal * images_error)


def seeds_to_decide(deviation, distance, most=1000):
    """Returns how many seeds make a t-interval of a difference of means as narrow as a distance.

    It is the least `n` with `t(0.975, 2n - 2) · deviation / sqrt(n) <= distance`.

    Args:
        deviation: Float, `sqrt(s1² + s2²)`.
        distance: Positive float.
        most: Integer. Defaults to `1000`.

    Returns:
        Integer, or NaN if it is more than `most`.
    """
    import numpy as np
    from scipy import stats

    counts = np.arange(2, most + 1)
    halves = stats.t.ppf(1 - MISS_RATE / 2, 2 * counts - 2) * deviation / np.sqrt(counts)
    enough = counts[halves <= distance]
    return int(enough[0]) if len(enough) else math.nan


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
