"""The figures of results, one function each: from a table of runs to a figure."""

from lightlayers.suite import paper, plans, registry
from lightlayers.suite.analysis.verdicts import VERDICTS
from lightlayers.suite.figures import style
from lightlayers.suite.runs import USUAL_WIDTH, Run, parse_row

# Where a size can stand beside its point. Methods of about one size lie close together, so each
# begins at another place.
_PLACES = (
    {"xytext": (7, -12), "ha": "left", "va": "baseline"},
    {"xytext": (-8, -1), "ha": "right", "va": "center"},
    {"xytext": (0, 8), "ha": "center", "va": "bottom"},
    {"xytext": (8, -1), "ha": "left", "va": "center"},
    {"xytext": (-7, -12), "ha": "right", "va": "baseline"},
    {"xytext": (7, 7), "ha": "left", "va": "bottom"},
    {"xytext": (-7, 7), "ha": "right", "va": "bottom"},
    {"xytext": (0, -9), "ha": "center", "va": "top"},
)
_ABOVE = 2
_LEGEND_ROOM = 8  # entries that leave the data room within the axes
_NO_RUNS = ["no runs yet"]


def accuracy_against_parameters(runs, dataset):
    """Returns a figure of test accuracy against parameters, every seed a point.

    The axis of accuracies is logit, so that a seed at chance does not press the others together.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
        dataset: String, whose published numbers are drawn too, if there are any.
    """
    methods = list(dict.fromkeys(runs["method"]))
    published = [row for row in paper.ROWS if row.dataset == dataset]
    crowded = len(methods) + bool(published) > _LEGEND_ROOM
    figure, axis = style.make_axes(width=13.0 if crowded else 9.0)
    colors = style.colors(registry.entries())
    for method in methods:
        _draw_method(axis, runs[runs["method"] == method], registry.entries()[method], colors)
    if published:
        _draw_published(axis, published)
    axis.set(xscale="log", xlabel="parameters (log scale)", ylabel="test accuracy (logit scale)")
    accuracies = [*runs["accuracy"], *(float(row.accuracy) for row in published)]
    if accuracies:
        style.rescale_axis(axis, "y", "accuracy", accuracies)
    parameters = [*runs["parameters"], *(row.parameters for row in published)]
    style.set_parameter_ticks(axis, parameters)
    beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
    axis.legend(**beside if crowded else {"loc": "lower right"})
    _write_sizes(axis, runs)
    return figure


def _draw_method(axis, runs, entry, colors):
    """Draws every seed of one method, and its rows' means with a line through them."""
    means = runs.groupby("row")[["parameters", "accuracy"]].mean().sort_values("parameters")
    look = {"color": colors[entry.name], "marker": entry.marker}
    axis.plot(runs["parameters"], runs["accuracy"], ls="", alpha=0.4, ms=6, **look)
    label = f"{entry.short_label}, mean"
    axis.plot(means["parameters"], means["accuracy"], ms=9, mec="black", label=label, **look)


def _draw_published(axis, rows):
    """Draws the paper's numbers as crosses, over the runs that they may lie on."""
    parameters = [row.parameters for row in rows]
    accuracies = [float(row.accuracy) for row in rows]
    look = {"ls": "", "marker": "x", "zorder": 5}
    axis.plot(parameters, accuracies, color="white", mew=4.5, ms=8.5, **look)
    axis.plot(parameters, accuracies, color="black", mew=1.8, label="paper", **look)


def _size_text(row):
    """Returns what stands beside a row's point: its size, its width unless that is usual."""
    method, size, width = parse_row(row)
    parts = []
    if size is not None:
        parts.append(registry.entries()[method].knob.symbol.format(size=size))
    if width != USUAL_WIDTH:
        parts.append(f"{width}%")
    return ", ".join(parts)


def _write_sizes(axis, runs):
    """Writes sizes and widths beside the means of rows, none over another where there is room.

    It is placed before the layout, which makes the axes larger and so no two labels nearer.
    """
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground="white")]  # readable over markers too
    means = runs.groupby(["method", "row"])[["parameters", "accuracy"]].mean().reset_index()
    means = means[means["row"].map(_size_text) != ""]
    drawn = [entry for entry in registry.entries().values() if entry.name in set(means["method"])]
    # Methods without a size come last, so that widths of theirs move no size.
    drawn.sort(key=lambda entry: entry.knob is None)
    taken = []
    for i, entry in enumerate(drawn):
        points = means[means["method"] == entry.name].sort_values("parameters")
        for row, x, y in zip(points["row"], points["parameters"], points["accuracy"], strict=True):
            options = {"textcoords": "offset points", "fontsize": 9, "path_effects": halo}
            label = axis.annotate(_size_text(row), (x, y), (0, 0), **options)
            taken.append(_place_label(label, i, _side_above(x, points["parameters"]), taken))


def _side_above(parameters, others):
    """Returns how a label above its point is aligned: away from a near one of its method."""
    near = others[others.between(parameters / 1.1, parameters * 1.1)]
    if len(near) == 1:
        return "center"
    return "right" if parameters == near.min() else "left"


def _place_label(label, first, side_above, taken):
    """Moves a label to the first place where it covers none of the taken boxes.

    Args:
        label: Annotation.
        first: Integer, the place that is tried first, and that it takes if all are covered.
        side_above: String, the horizontal alignment above the point.
        taken: List of boxes of text.

    Returns:
        The box that the label covers.
    """
    places = list(_PLACES)
    places[_ABOVE] = _PLACES[_ABOVE] | {"ha": side_above}
    order = [places[(first + step) % len(places)] for step in range(len(places))]
    for place in [*order, order[0]]:
        label.set(ha=place["ha"], va=place["va"])
        label.set_position(place["xytext"])
        box = label.get_window_extent()
        if not any(box.overlaps(other) for other in taken):
            break
    return box


def verdicts(tables):
    """Returns a figure of every published number against our prediction interval.

    A bar that ends at the edge goes on beyond it. The axes are those on which the intervals are
    computed, so that one wide row does not press the others together.

    Args:
        tables: Dictionary from data set to its table, as `verdicts.against_paper` returns it.
    """
    import matplotlib.pyplot as plt

    style.set_theme(font_scale=0.9)
    heights = [len(table) / 2 + 1.2 for table in tables.values()]
    figure, axes = plt.subplots(
        len(tables),
        2,
        figsize=(10, 0.32 * sum(heights) + 0.6),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    colors = dict(zip(VERDICTS, style.VERDICT_COLORS, strict=True))
    for (dataset, table), (left, right) in zip(tables.items(), axes, strict=True):
        _draw_cells(left, table, "accuracy", colors)
        _draw_cells(right, table, "loss", colors)
        left.set_title(f"{dataset}: test accuracy", fontsize=11)
        right.set_title(f"{dataset}: test loss", fontsize=11)
        right.set_yticklabels([])
    handles = [
        plt.Line2D([], [], color=color, lw=7, alpha=0.6, label=verdict)
        for verdict, color in colors.items()
    ]
    handles.append(plt.Line2D([], [], color="black", marker="o", ls="", label="published"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _draw_cells(axis, table, measure, colors):
    """Draws of each method the interval, our mean and the published number of one measure."""
    cells = table[table["measure"] == measure].reset_index(drop=True)
    for i, cell in cells.iterrows():
        color = colors[cell["verdict"]]
        if cell["verdict"] != "NOT RUN":  # of two seeds the interval would be the whole axis
            bar = {"lw": 7, "alpha": 0.6, "solid_capstyle": "butt"}  # no longer than it is
            axis.plot([cell["low"], cell["high"]], [i, i], color=color, **bar)
        axis.plot(cell["mean"], i, marker="|", ms=11, mew=2, color=color)
        axis.plot(cell["published"], i, marker="o", ms=6, color="black")
    axis.set_yticks(range(len(cells)), cells["method"])
    axis.set_ylim(len(cells) - 0.4, -0.6)
    # What was printed and what was run set the limits: an interval may reach a million.
    style.rescale_axis(axis, "x", measure, cells[["published", "min", "max"]].to_numpy())


def learning_curves(records):
    """Returns a figure of accuracy after each epoch: mean line, range over the seeds.

    The images are those that the recipe watches: the test set, or held-out training images.

    Args:
        records: List of records of one data set.
    """
    import pandas as pd

    rows = []
    for record in records:
        label = Run.of(record).label
        for epoch, accuracy in enumerate(record["history"]["val_accuracy"], 1):
            rows.append({"label": label, "epoch": epoch, "accuracy": accuracy})
    curves = pd.DataFrame(rows, columns=["label", "epoch", "accuracy"])
    labels = list(dict.fromkeys(curves["label"]))
    titles = labels or _NO_RUNS
    figure, axes = style.make_panels(len(titles), 3, 2.4, 0.4, sharex=True, sharey=True)
    for label, axis in zip(labels, axes.flat, strict=False):
        epochs = curves[curves["label"] == label].groupby("epoch")["accuracy"]
        mean = epochs.mean()
        axis.fill_between(mean.index, epochs.min(), epochs.max(), alpha=0.3, lw=0)
        axis.plot(mean.index, mean, marker="" if len(mean) > 1 else "o")
        axis.set_title(label)
    figure.supxlabel("epoch")
    held_out = any(record["recipe"]["validation"] == "held-out" for record in records)
    figure.supylabel("accuracy on held-out images" if held_out else "test accuracy")
    return figure


def ablation(runs):
    """Returns a figure of test accuracy by recipe, every seed a point, one panel a data set.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
    """
    names = list(dict.fromkeys(runs["dataset"])) or _NO_RUNS
    figure, axes = style.make_panels(len(names), 2, 3.8)
    for name, axis in zip(names, axes.flat, strict=False):
        rows = runs[runs["dataset"] == name]
        recipes = list(dict.fromkeys(rows["recipe"]))
        for i, recipe in enumerate(recipes):
            values = rows.loc[rows["recipe"] == recipe, "accuracy"]
            color = "#0072B2" if i else "#D55E00"  # the first is what the others are changes of
            axis.plot(values, [i] * len(values), "o", color=color, alpha=0.5)
            axis.plot(values.mean(), i, "|", ms=16, mew=2.5, color=color)
        axis.set_yticks(range(len(recipes)), recipes)
        axis.invert_yaxis()
        axis.locator_params(axis="x", nbins=5)
        if rows["accuracy"].min() < rows["accuracy"].max() / 2:
            axis.set_xlim(left=0)
        title = f"{name}, {rows['label'].iloc[0]}" if len(rows) else name
        axis.set(xlabel="test accuracy", title=title)
    return figure


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
    names = list(dict.fromkeys(runs["dataset"])) or _NO_RUNS
    figure, axes = style.make_panels(len(names), 2, 3.4, 0.8)
    # The same colours in all panels, whichever rows a panel has.
    colors = style.colors(["one rank", *ways.values()])
    for name, axis in zip(names, axes.flat, strict=False):
        _draw_budgets(axis, table[table["dataset"] == name], colors)
        axis.set(title=name, xlabel="parameters of the paper's K", ylabel="test accuracy")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", title="ranks", ncols=3)
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


def time_against_multiply_adds(rows):
    """Returns a figure of single layers' time against their multiply-adds, as shares of Conv2D's.

    Merged layers are left out: they do Conv2D's multiply-adds.

    Args:
        rows: DataFrame of the rows of `bench.layers.measure_layers`.
    """
    conv2d = rows[rows["method"] == "Conv2D"].set_index(["size", "channels", "filters", "task"])
    keys = list(zip(*(rows[name] for name in conv2d.index.names), strict=True))
    base = conv2d["multiply_adds"].loc[keys].to_numpy()
    kind = rows["method"].where(rows["form"] == "", 'LightConv2D "' + rows["form"] + '"')
    table = rows.assign(share=rows["multiply_adds"] / base, kind=kind)
    table = table[(table["method"] != "Conv2D") & (table["implementation"] != "merged")]
    figure, axes = style.make_axes(2, width=10, height=4.6, sharey=True)
    least = table["share"].min()
    _draw_times(axes[0], table[table["task"] == "forward"], least, "inference", legend=False)
    _draw_times(axes[1], table[table["task"] == "train"], least, "training step", legend="full")
    axes[1].legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False, fontsize=9)
    return figure


def _draw_times(axis, table, least, title, legend):
    """Draws the layers of one task, and the line on which time follows the multiply-adds."""
    import seaborn as sns

    look = {"hue": "kind", "style": "kind", "size": "channels", "sizes": (15, 130), "alpha": 0.8}
    sns.scatterplot(table, x="share", y="ratio", ax=axis, legend=legend, **look)
    axis.plot([least, 1], [least, 1], color="black", lw=1)
    axis.axhline(1, color="0.5", lw=1, ls=":")
    axis.set(xscale="log", yscale="log", ylim=(0.04, 3), title=title)
    axis.set(xlabel="multiply-adds, of Conv2D's", ylabel="time, of Conv2D's")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter("{x:g}")
