"""Ranks that methods choose: what they reach, and which layer got which."""

from lightlayers.suite import plans, registry
from lightlayers.suite.figures import style


def chosen_ranks(runs):
    """Returns a figure of test accuracy by budget and by how ranks are chosen.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of experiment "ranks".
    """
    entries = registry.entries()
    ways = {name: entries[name].short_label for name in plans.CHOSEN}
    cells = zip(runs["dataset"], runs["row"], strict=True)
    budgets = [f"K = {plans.BUDGETS[cell]}" for cell in cells]
    table = runs.assign(budget=budgets, ranks=runs["method"].map(ways).fillna("one rank"))
    names = list(dict.fromkeys(runs["dataset"])) or [style.NO_RUNS]
    figure, axes = style.make_panels(len(names), 2, 3.2, 1.0)
    # The same colours in all figures and panels, whichever ways they have.
    colors = style.colors(["one rank", *ways.values()])
    found = set(table["ranks"])
    colors = {way: color for way, color in colors.items() if way in found}
    for name, axis in zip(names, axes.flat, strict=False):
        _draw_budgets(axis, table[table["dataset"] == name], colors)
        axis.set(title=name, xlabel="parameters of the paper's K", ylabel="test accuracy")
        axis.locator_params(axis="y", nbins=6)
    style.place_legend(figure, columns=2, title="ranks")
    return figure


def _draw_budgets(axis, table, colors):
    """Draws one data set's seeds and means, a group for each budget."""
    import seaborn as sns

    if not len(table):
        return
    look = {
        "x": "budget",
        "y": "accuracy",
        "hue": "ranks",
        "hue_order": list(colors),
        "order": sorted(set(table["budget"])),
        "palette": list(colors.values()),
        "ax": axis,
    }
    sns.stripplot(table, dodge=True, jitter=False, alpha=0.5, size=5, legend=False, **look)
    means = {"estimator": "mean", "errorbar": None, "dodge": 0.64, "linestyle": "none"}
    sns.pointplot(table, marker="_", markersize=14, markeredgewidth=3, **means, **look)
    axis.get_legend().remove()


def rank_map(table):
    """Returns a heat map of chosen ranks, layer by method, one panel a data set.

    Args:
        table: DataFrame, as `tables.rank_table` returns it. Missing ranks are layers that stayed
            dense.
    """
    import matplotlib.pyplot as plt

    panels = {name: rows for name, rows in table.groupby("data set", sort=False)}
    panels = panels or {style.NO_RUNS: table}
    layers = [name for name in table.columns if name not in ("data set", "method")]
    style.set_theme()
    heights = [max(1, len(rows)) for rows in panels.values()]
    size = style.WIDTH, 0.46 * sum(heights) + 0.9 * len(panels)
    options = {"height_ratios": heights, "squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(len(panels), 1, figsize=size, **options)
    for (name, rows), axis in zip(panels.items(), axes.flat, strict=True):
        if len(rows):
            _draw_ranks(axis, rows.set_index("method")[layers], table[layers].max().max())
        axis.set_title(f"{name}: rank of each layer (–: stays dense)", fontsize=12)
    return figure


def _draw_ranks(axis, ranks, most):
    """Draws the ranks of one data set. Darker is more, the same in all panels."""
    import seaborn as sns

    ranks = ranks.astype(float)
    texts = ranks.map(lambda rank: "–" if rank != rank else f"{rank:g}")
    # Missing ranks would have no text.
    look = {"cmap": "Blues", "vmin": 0, "vmax": most, "cbar": False, "linewidths": 1}
    sns.heatmap(ranks.fillna(0), annot=texts, fmt="", ax=axis, **look)
    axis.set_xticklabels([name.replace("_", "\n") for name in ranks.columns], rotation=0)
    axis.set_yticklabels([name.replace(" (", "\n(") for name in ranks.index], rotation=0)
    axis.set(xlabel="", ylabel="")
