"""Comparisons: what a recipe, a form or chosen ranks give over another, seed by seed."""

import math

from lightlayers.suite.analysis import intervals, pairs
from lightlayers.suite.runs import Run

LEAST_PAIRS = 3  # that decide anything


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

    def select(which):
        label, recipe = which if isinstance(which, tuple) else (which, "paper")
        chosen = (runs["dataset"] == dataset) & (runs["label"] == label)
        return runs[chosen & (runs["recipe"] == recipe)].set_index("seed")[value]

    return (100 * (select(first) - select(second))).dropna()


def gain_interval(values):
    """Returns the mean of paired differences and the ends of its 95% t-interval.

    All three are NaN for one seed: it says nothing of how far the next would be.
    """
    return intervals.mean_interval(values) if len(values) > 1 else (math.nan,) * 3


def gains(frame, compared):
    """Returns mean paired differences of test accuracy.

    Args:
        frame: DataFrame, as `tables.frame` returns it.
        compared: Iterable of (data set, one, other), each of the two a pair of label and
            recipe.

    Returns:
        A `pandas.DataFrame` of the pairs with a common seed: `data set`, `method`, `over`,
        `parameters` (of the one, and in the mean if seeds differ), `of over's` (their share
        of the other's), `multiply-adds` (the share of these), `pairs` (seeds that both have),
        `gain` (mean difference in points), `low` and `high` (its 95% t-interval), missing where
        there is one seed.
    """
    import pandas as pd

    sizes = frame.groupby(["dataset", "label", "recipe"])[["parameters", "multiply_adds"]].mean()
    lines = []
    for dataset, one, other in compared:
        values = paired(frame, dataset, one, other)
        if not len(values):
            continue
        names = [one[0], other[0]]
        if one[1] != other[1]:
            names = [f"{label}, {recipe}" for label, recipe in (one, other)]
        ours, others = sizes.loc[(dataset, *one)], sizes.loc[(dataset, *other)]
        shares = (ours / others).map("{:.0%}".format)
        line = [dataset, *names, round(ours["parameters"]), *shares]
        lines.append([*line, len(values), *gain_interval(values)])
    columns = "data set,method,over,parameters,of over's,multiply-adds,pairs,gain,low,high"
    return pd.DataFrame(lines, columns=columns.split(",")).round(2)


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
        other recipe has too), `gain` (mean difference over those, in points) and the ends
        `low` and `high` of its 95% t-interval.
    """
    import pandas as pd

    ours = runs[runs["dataset"] == dataset]
    lines = []
    for recipe, rows in ours.groupby("recipe", sort=False):
        label, values = rows["label"].iloc[0], rows[value]
        gain = paired(ours, dataset, (label, recipe), (label, base), value)
        ends = gain_interval(gain) if recipe != base else (math.nan,) * 3
        line = [recipe, len(rows), values.mean(), values.std(), values.min(), values.max()]
        lines.append([*line, rows["loss"].mean(), len(gain), *ends])
    columns = f"recipe n {value} sd min max loss pairs gain low high".split()
    digits = dict.fromkeys(columns[2:7], 4) | dict.fromkeys(columns[8:], 2)
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

    def describe(lines):
        return [f"{line[name]} ({line['gain']:+.1f})" for _, line in lines.iterrows()]

    return describe(table[table["low"] > 0]), describe(table[table["high"] < 0])
