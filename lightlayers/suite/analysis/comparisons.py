"""Comparisons: what a recipe, a form or chosen ranks give over another.

Recipes of one method are compared seed by seed. Methods with different weights are not: a seed
makes their runs no more alike, see `yardsticks.correlate_seeds`.
"""

import collections
import math

from lightlayers.suite.analysis import intervals, pairs, scatter, verdicts
from lightlayers.suite.runs import Run

LEAST_PAIRS = 3  # that decide anything

# An `intervals.Estimate` of a difference in points, the seeds of each side, and how it was made.
Difference = collections.namedtuple("Difference", "mean error df seeds by")


def _select(runs, dataset, which, value):
    """Returns the values of a label or a pair of label and recipe, by seed."""
    label, recipe = which if isinstance(which, tuple) else (which, "paper")
    chosen = (runs["dataset"] == dataset) & (runs["label"] == label) & (runs["recipe"] == recipe)
    return runs[chosen].set_index("seed")[value].dropna()


def paired(runs, dataset, first, second, value="accuracy"):
    """Returns the points of accuracy by which one method is above another, seed by seed.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
        dataset: String.
        first: String, a label such as `"Conv2D"`, or a pair of label and recipe.
        second: The same, of the other.
        value: `"accuracy"`, on the test set, or `"held_out"`.

    Returns:
        A `pandas.Series` of points over the seeds that both have.
    """
    one, other = (_select(runs, dataset, which, value) for which in (first, second))
    return (100 * (one - other)).dropna()


def compare_pairs(runs, dataset, first, second, value="accuracy"):
    """Returns the `Difference` of two recipes of one method, by pairs of seeds: see `paired`."""
    points = paired(runs, dataset, first, second, value)
    return Difference(*intervals.estimate_mean(points), (len(points),) * 2, "pairs")


def compare_methods(runs, dataset, first, second, value="accuracy", pools=None):
    """Returns the `Difference` of two methods, whose seeds are not paired.

    It is by Welch. Where a side has fewer than five seeds, the scatter is that of all rows of like
    kind, if these scatter alike: see `scatter.pool_scatter`.

    Args:
        runs, dataset, first, second, value: As of `paired`.
        pools: DataFrame, as `scatter.pool_scatter` returns it, or `None` for Welch alone.
    """
    one, other = (_select(runs, dataset, which, value) for which in (first, second))
    seeds, pool = (len(one), len(other)), None
    if pools is not None and 0 < min(seeds) < scatter.ENOUGH_SEEDS:
        pool = scatter.find_pool(pools, dataset, first[1])
    if pool is None:
        estimate = intervals.subtract(intervals.estimate_mean(one), intervals.estimate_mean(other))
        df = estimate.df
    else:
        estimate = intervals.subtract(*(scatter.estimate_pooled(x, pool) for x in (one, other)))
        df = pool.df  # both sides have one estimate of the scatter
    by = "Welch" if pool is None else "pooled"
    return Difference(100 * estimate.mean, 100 * estimate.error, df, seeds, by)


def describe_points(difference):
    """Returns a `Difference` with its 95% t-interval, as a phrase."""
    if min(difference.seeds) < 2:
        return "too few runs"
    low, high = intervals.t_interval(difference)
    one, other = difference.seeds
    seeds = f"{one} pairs of seeds" if difference.by == "pairs" else f"{one} and {other} seeds"
    return f"{difference.mean:+.1f} points ({low:+.1f} to {high:+.1f}, {seeds})"


def describe_difference(difference, dataset):
    """Returns the cells of `gain`, `low`, `high` and `TOST p`: NaN where one seed says nothing."""
    if min(difference.seeds) < 2:
        return [math.nan] * 4
    delta = 100 * verdicts.tolerance(dataset, "accuracy")
    ends = intervals.t_interval(difference)
    return [difference.mean, *ends, intervals.equivalence_p_value(difference, delta)]


def gains(frame, compared):
    """Returns mean differences of test accuracy.

    Args:
        frame: DataFrame, as `tables.frame` returns it.
        compared: Iterable of (data set, one, other), each of the two a pair of label and
            recipe.

    Returns:
        A `pandas.DataFrame` of those that have runs: `data set`, `method`, `over`,
        `parameters` (of the one, and in the mean if seeds differ), `of over's` (their share
        of the other's), `multiply-adds` (the share of these), `pairs` (seeds that both have; of
        different methods the seeds of the side with fewer), `gain` (mean difference in points),
        `low` and `high` (its 95% t-interval), missing where there is one seed, `TOST p` (small
        where the difference is within the tolerance of a verdict) and `by`: `"pairs"` of seeds,
        `"Welch"` or `"pooled"`, see `compare_methods`.
    """
    import pandas as pd

    sizes = frame.groupby(["dataset", "label", "recipe"])[["parameters", "multiply_adds"]].mean()
    pools, lines = scatter.pool_scatter(frame), []
    for dataset, one, other in compared:
        if one[0] == other[0]:
            found = compare_pairs(frame, dataset, one, other)
        else:
            found = compare_methods(frame, dataset, one, other, pools=pools)
        if not min(found.seeds):
            continue
        names = [one[0], other[0]]
        if one[1] != other[1]:
            names = [f"{label}, {recipe}" for label, recipe in (one, other)]
        ours, others = sizes.loc[(dataset, *one)], sizes.loc[(dataset, *other)]
        shares = (ours / others).map("{:.0%}".format)
        line = [dataset, *names, round(ours["parameters"]), *shares]
        lines.append([*line, min(found.seeds), *describe_difference(found, dataset), found.by])
    columns = "data set,method,over,parameters,of over's,multiply-adds,pairs,gain,low,high,TOST p"
    table = pd.DataFrame(lines, columns=[*columns.split(","), "by"])
    return table.round({"gain": 2, "low": 2, "high": 2, "TOST p": 4})


def of_recipes(frame, one="corrected", other="paper"):
    """Returns the gains of one recipe over another, for each method that has both."""
    table = frame[frame["recipe"].isin([one, other])]
    both = table.groupby(["dataset", "label"], sort=False)["recipe"].nunique()
    places = both[both == 2].index
    return gains(frame, [(dataset, (label, one), (label, other)) for dataset, label in places])


def of_rows(frame, compared, recipe="corrected"):
    """Returns the gains of rows over others, all under one recipe.

    Args:
        frame: DataFrame, as `tables.frame` returns it.
        compared: List of (data set, row, other row), the rows as on the command line.
        recipe: String. Defaults to `"corrected"`.
    """

    def name(dataset, row):
        return Run.from_row(dataset, row, recipe).label, recipe

    named = [(data, name(data, one), name(data, other)) for data, one, other in compared]
    return gains(frame, named)


def of_forms(frame, recipe="corrected"):
    """Returns the gains of `pairs.form_pairs`: linear forms over what they stand against."""
    return of_rows(frame, pairs.form_pairs(), recipe)


def of_ranks(frame, recipe="corrected"):
    """Returns the gains of `pairs.rank_pairs`: chosen ranks over one rank for all layers."""
    return of_rows(frame, pairs.rank_pairs(), recipe)


def ablation(runs, dataset, base="paper", value="accuracy"):
    """Returns what each recipe gives on a data set, and its gain over another, seed by seed.

    Args:
        runs: DataFrame, as `tables.frame` returns it, one method's on that data set.
        dataset: String.
        base: String, the recipe that the gains are over. Defaults to `"paper"`.
        value: `"accuracy"`, on the test set, or `"held_out"`, what decisions are made on.

    Returns:
        A `pandas.DataFrame`: `recipe`, `n`, `accuracy` or `held_out` (mean), `sd`, `min`,
        `max`, `loss` (on the test set, beside the accuracy on it), `pairs` (seeds that the
        other recipe has too), `gain` (mean difference over those, in points), the ends
        `low` and `high` of its 95% t-interval, and `TOST p`, as in `gains`.
    """
    import pandas as pd

    ours = runs[runs["dataset"] == dataset]
    lines = []
    for recipe, rows in ours.groupby("recipe", sort=False):
        label, values = rows["label"].iloc[0], rows[value]
        gain = compare_pairs(ours, dataset, (label, recipe), (label, base), value)
        cells = describe_difference(gain, dataset) if recipe != base else [math.nan] * 4
        line = [recipe, len(rows), values.mean(), values.std(), values.min(), values.max()]
        lines.append([*line, rows["loss"].mean(), min(gain.seeds), *cells])
    columns = [*f"recipe n {value} sd min max loss pairs gain low high".split(), "TOST p"]
    digits = dict.fromkeys(columns[2:7], 4) | dict.fromkeys(columns[8:], 2) | {"TOST p": 4}
    table = pd.DataFrame(lines, columns=columns).round(digits)
    return table if value == "accuracy" else table.drop(columns="loss")


def decided(table, name="recipe"):
    """Returns what gains and what loses, each as `"no-scale (+9.5)"`.

    The 95% t-interval of the gain lies above zero, or below, over three pairs of seeds or more.

    Args:
        table: DataFrame, as `ablation` or `gains` returns it.
        name: String, the column that names a line.

    Returns:
        Pair of lists of strings.
    """
    table = table[table["pairs"] >= LEAST_PAIRS]
    better, worse = table[table["low"] > 0], table[table["high"] < 0]
    return _list_gains(better, name), _list_gains(worse, name)


def equivalent(table, name="recipe"):
    """Returns what neither gains nor loses and is equivalent, each as `"shuffled (-0.2)"`.

    Equivalent says that the difference is within the tolerance of a verdict (TOST, p < 0.05). An
    interval that contains zero does not say so.

    Args:
        table: DataFrame, as `ablation` or `gains` returns it.
        name: String, the column that names a line.
    """
    table = table[(table["pairs"] >= LEAST_PAIRS) & (table["low"] <= 0) & (table["high"] >= 0)]
    return _list_gains(table[table["TOST p"] < intervals.MISS_RATE], name)


def _list_gains(lines, name):
    return [f"{line[name]} ({line['gain']:+.1f})" for _, line in lines.iterrows()]
