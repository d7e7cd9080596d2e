"""What changes of the training protocol give: each by itself, and added one after the other."""

from lightlayers.suite import recipes
from lightlayers.suite.analysis import intervals
from lightlayers.suite.figures import style

_BASE, _CHANGED = "#D55E00", "#0072B2"


def _split_panels(runs):
    """Returns the runs of each data set and row, their recipes in the order of `RECIPES`."""
    order = list(recipes.RECIPES)
    runs = runs.sort_values("recipe", key=lambda names: names.map(order.index), kind="stable")
    return {
        f"{dataset}\n{label}": rows
        for (dataset, label), rows in runs.groupby(["dataset", "label"], sort=False)
    }


def ablation(runs):
    """Returns a figure of test accuracy by recipe, every seed a point, one panel a row.

    The first recipe is what the others are changes of.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
    """
    panels = _split_panels(runs) or {style.NO_RUNS: runs}
    most = max(rows["recipe"].nunique() for rows in panels.values())
    figure, axes = style.make_panels(len(panels), 2, 1.4 + 0.3 * most)
    for (title, rows), axis in zip(panels.items(), axes.flat, strict=False):
        names = list(dict.fromkeys(rows["recipe"]))
        for i, recipe in enumerate(names):
            values = rows.loc[rows["recipe"] == recipe, "accuracy"]
            color = _CHANGED if i else _BASE
            axis.plot(values, [i] * len(values), "o", color=color, alpha=0.5)
            axis.plot(values.mean(), i, "|", ms=16, mew=2.5, color=color)
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(most - 0.4, -0.6)  # rows are equally far apart in all panels
        axis.locator_params(axis="x", nbins=3, min_n_ticks=3, steps=[1, 2, 5, 10])
        if rows["accuracy"].min() < rows["accuracy"].max() / 2:
            axis.set_xlim(left=0)
        axis.set_xlabel("test accuracy")
        axis.set_title(title, fontsize=11)
    return figure


def change_steps(runs):
    """Returns a figure of accuracy as changes of recipe "paper" are added, with 95% t-intervals.

    The stairs lead from recipe "paper" over its best single change to all of them. Other single
    changes stand beside them.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of recipe "paper" and its changes.
    """
    import matplotlib.pyplot as plt

    known = runs["recipe"].isin(["paper", *recipes.CHANGES])
    panels = _split_panels(runs[known])
    tables = {title: _order_steps(rows) for title, rows in panels.items()}
    tables = {title: table for title, table in tables.items() if len(table) > 1}
    style.set_theme()
    heights = [table["height"].sum() for table in tables.values()] or [1]
    size = style.WIDTH, 0.42 * sum(heights) + 0.5 * len(heights) + 0.8
    options = {"height_ratios": heights, "squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(len(heights), 1, figsize=size, sharex=True, **options)
    for (title, table), axis in zip(tables.items(), axes.flat, strict=False):
        _draw_steps(axis, table)
        axis.set_title(title.replace("\n", ", "), fontsize=12)
    axes[-1, 0].set_xlabel("test accuracy (line: 95% t-interval of the mean)")
    axes[-1, 0].xaxis.set_major_formatter(plt.matplotlib.ticker.PercentFormatter(1, 0))
    axes[-1, 0].set_xlim(left=0)
    return figure


def _order_steps(rows):
    """Returns one line a recipe, from no changes to all: its seeds, mean, interval and text.

    A line of the stairs has all changes of the one before, and of those it is the best.
    """
    import pandas as pd

    lines = []
    for recipe, group in rows.groupby("recipe", sort=False):
        mean, low, high = intervals.mean_interval(group["accuracy"])
        changes = frozenset(recipes.CHANGES.get(recipe, ()))
        line = {"recipe": recipe, "changes": changes, "count": len(changes), "mean": mean}
        lines.append(line | {"low": low, "high": high, "values": list(group["accuracy"])})
    table = pd.DataFrame(lines).sort_values(["count", "mean"], ignore_index=True)
    table["text"], table["stair"] = table["recipe"], False
    before = frozenset()
    for _, group in table.groupby("count"):
        fitting = [i for i in group.index if before <= table.loc[i, "changes"]]
        if fitting:
            last = fitting[-1]
            table.loc[last, "stair"] = True
            table.loc[last, "text"] = _describe_step(table.loc[last], before)
            before = table.loc[last, "changes"]
    # A text of several lines needs the room of more than one.
    table["height"] = [max(1, 0.55 * (text.count("\n") + 1)) for text in table["text"]]
    table["place"] = table["height"].cumsum() - table["height"] / 2
    return table


def _describe_step(line, before):
    """Returns a recipe's name, and what it adds to the step before unless that is its name."""
    added = line["changes"] - before
    names = [name for name, changes in recipes.CHANGES.items() if set(changes) <= added]
    names = [name for name in names if len(recipes.CHANGES[name]) == 1]
    if len(names) < 2:
        return line["recipe"]
    lines = [", ".join(names[i : i + 2]) for i in range(0, len(names), 2)]
    return f"{line['recipe']}:\n+ " + ",\n".join(lines)


def _draw_steps(axis, table):
    """Draws seeds, means and intervals, and the stairs through some of them."""
    stairs = []
    for line in table.to_dict("records"):
        i = line["place"]
        color = _BASE if line["stair"] else _CHANGED
        axis.plot(line["values"], [i] * len(line["values"]), "o", color=color, alpha=0.4, ms=5)
        axis.plot([line["low"], line["high"]], [i, i], color=color, lw=2)
        axis.plot(line["mean"], i, "D", color=color, mec="black", ms=8)
        if line["stair"]:
            stairs += [(stairs[-1][0], i)] if stairs else []
            stairs.append((line["mean"], i))
            text = {"xytext": (0, 8), "ha": "center", "va": "bottom", "fontsize": 11}
            axis.annotate(
                f"{line['mean']:.1%}", (line["mean"], i), textcoords="offset points", **text
            )
    axis.plot(*zip(*stairs, strict=True), color=_BASE, lw=1.2, zorder=1)
    axis.set_yticks(table["place"], table["text"])
    axis.set_ylim(table["height"].sum() + 0.1, -0.3)
