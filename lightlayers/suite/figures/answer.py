"""The answer in one picture: who reaches how much within the parameters of the paper's layers."""

import re

from lightlayers.suite import registry
from lightlayers.suite.analysis.claimed import list_claimed
from lightlayers.suite.figures import style

PUBLISHED, OURS = "LightLayers, published", "LightLayers, our runs"
BETTER = "light layers, trained better"
_BLACK, _GREEN, _PINK = "#000000", "#029E73", "#CC78BC"
_LEAST_SEEDS = 3
_SAME_SIZE = 0.9  # of the budget's parameters: a row that has fewer is not of the same size


def collect_headline(runs):
    """Returns what the picture shows: a line for each data set and contestant that is stored.

    The budget is the published LightLayers of the paper's claim. Of several rows that fit, each
    contestant enters with the best on held-out training images. Keras' own layers have to be of the
    same size: at least 90% of the budget.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of all data sets and recipes.

    Returns:
        A `pandas.DataFrame`: `dataset`, `budget` (parameters), `contestant`, `method`, `recipe`,
        `parameters`, `accuracy` (mean) and `n`.
    """
    import pandas as pd

    lines = []
    for claimed in list_claimed():
        printed, name = claimed.light, claimed.dataset
        ours = runs[runs["dataset"] == name]
        replicated = (ours["recipe"] == "paper") & (ours["label"] == printed.label)
        found = {PUBLISHED: _describe_published(printed)}
        found[OURS] = _find_best(ours[replicated], "accuracy")
        fitting = ours[ours["held_out"].notna() & (ours["parameters"] <= printed.parameters)]
        of_one_size = fitting[fitting["parameters"] >= _SAME_SIZE * printed.parameters]
        for contestant, methods in _list_contestants().items():
            chosen = fitting if contestant == BETTER else of_one_size
            found[contestant] = _find_best(chosen[chosen["method"].isin(methods)], "held_out")
        for contestant, line in found.items():
            place = {"dataset": name, "budget": printed.parameters, "contestant": contestant}
            lines += [place | line] if line else []
    columns = "dataset budget contestant method recipe parameters accuracy n".split()
    return pd.DataFrame(lines, columns=columns)


def _list_contestants():
    """Returns the methods of each contestant that is chosen on held-out images."""
    entries = registry.entries().values()
    contestants = {BETTER: [entry.name for entry in entries if entry.group == "light"]}
    for entry in entries:
        if entry.group == "Keras":
            contestants[f"{entry.label}, same size"] = [entry.name]
    return contestants


def _describe_published(row):
    line = {"method": row.label, "recipe": "paper", "parameters": row.parameters}
    return line | {"accuracy": row.accuracy_value, "n": 1}


def _find_best(runs, value):
    """Returns the row and recipe with the largest mean of a value, `None` if none has the seeds."""
    groups = [group for _, group in runs.groupby(["label", "recipe"], sort=False)]
    groups = [group for group in groups if len(group) >= _LEAST_SEEDS]
    if not groups:
        return None
    best = max(groups, key=lambda group: group[value].mean())
    line = {"method": best["label"].iloc[0], "recipe": best["recipe"].iloc[0], "n": len(best)}
    return line | {"parameters": best["parameters"].max(), "accuracy": best["accuracy"].mean()}


def _list_looks():
    """Returns the look of each contestant, in the order of the picture."""
    light = registry.find(list_claimed()[0].light.method)
    looks = {
        PUBLISHED: {"color": _BLACK, "marker": light.marker, "mfc": "white", "mew": 2},
        OURS: {"color": _GREEN, "marker": light.marker},
        BETTER: {"color": _PINK, "marker": "*", "ms": 15},
    }
    colors = style.colors(registry.entries())
    for contestant, (name, *_) in list(_list_contestants().items())[1:]:
        looks[contestant] = {"color": colors[name], "marker": registry.find(name).marker}
    return looks


def _write_name(dataset):
    """Returns the usual name of a data set of the paper, such as `"CIFAR-10"`."""
    return re.sub("(?<=[A-Z])(?=[0-9])", "-", dataset.upper().replace("_", "-"))


def headline(table):
    """Returns the README's picture: accuracies on one axis, a row for each data set.

    Args:
        table: DataFrame, as `collect_headline` returns it. What it lacks has no place.
    """
    from matplotlib.ticker import PercentFormatter

    looks = {name: look for name, look in _list_looks().items() if name in set(table["contestant"])}
    figure, axis = style.make_axes(width=7.5, height=1.6 + 0.25 * (len(table) + 3))
    handles, places, names, y = {}, [], [], 0
    for (dataset, budget), rows in table.groupby(["dataset", "budget"], sort=False):
        first, rows = y, rows.set_index("contestant")["accuracy"]
        for contestant in [name for name in looks if name in rows]:
            value, look = rows[contestant], {"ms": 10, "mec": "black"} | looks[contestant]
            (handles[contestant],) = axis.plot(value, y, ls="", label=contestant, **look)
            axis.plot([0, value], [y, y], color="0.8", lw=1.5, zorder=1)
            axis.text(value + 0.025, y, f"{value:.1%}", va="center", fontsize=13)
            y += 1
        places.append((first + y - 1) / 2)
        names.append(f"{_write_name(dataset)}\n≤ {budget:,}\nparameters")
        axis.axhline(y, color="0.6", lw=0.8)
        y += 1
    axis.set_yticks(places, names, fontsize=13)
    axis.set(xlim=(0, 1.14), ylim=(y - 1, -0.8))
    axis.set_xlabel("test accuracy", fontsize=13)
    axis.xaxis.set_major_formatter(PercentFormatter(1, 0))
    axis.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axis.tick_params(axis="x", labelsize=13)
    axis.grid(visible=False, axis="y")
    style.place_legend(figure, [handles[name] for name in looks], 2, fontsize=13, frameon=False)
    return figure
