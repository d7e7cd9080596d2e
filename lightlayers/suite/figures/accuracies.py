"""Accuracy against parameters: of one table's runs, and of all methods on a data set."""

from lightlayers.suite import paper, registry
from lightlayers.suite.figures import style
from lightlayers.suite.runs import USUAL_WIDTH, parse_row

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
_BESIDE = -9  # points from where a published number belongs to where it is drawn
LEAST_SEEDS = 3  # that a row needs among all methods


def accuracy_against_parameters(runs, dataset):
    """Returns a figure of test accuracy against parameters, every seed a point.

    The axis of accuracies is logit, so that a seed at chance does not press the others together.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
        dataset: String, whose published numbers are drawn too, if there are any.
    """
    published = [row for row in paper.ROWS if row.dataset == dataset]
    figure, axis = style.make_axes(height=4.6)
    colors = style.colors(registry.entries())
    for method in dict.fromkeys(runs["method"]):
        _draw_method(axis, runs[runs["method"] == method], registry.entries()[method], colors)
    accuracies = [*runs["accuracy"], *(row.accuracy_value for row in published)]
    parameters = [*runs["parameters"], *(row.parameters for row in published)]
    _scale_axes(axis, parameters, accuracies)
    taken = _draw_published(axis, published)
    means = runs.groupby(["method", "row"])[["parameters", "accuracy"]].mean().reset_index()
    _write_sizes(axis, means, taken)
    style.place_legend(figure)
    return figure


def _scale_axes(axis, parameters, accuracies):
    """Gives the axes their scales, limits around the values, and names."""
    axis.set(xscale="log", xlabel="parameters (log scale)", ylabel="test accuracy (logit scale)")
    if accuracies:
        style.rescale_axis(axis, "y", "accuracy", accuracies)
    style.set_parameter_ticks(axis, parameters)


def _draw_method(axis, runs, entry, colors):
    """Draws every seed of one method, and its rows' means with a line through them."""
    means = runs.groupby("row")[["parameters", "accuracy"]].mean().sort_values("parameters")
    look = {"color": colors[entry.name], "marker": entry.marker}
    axis.plot(runs["parameters"], runs["accuracy"], ls="", alpha=0.4, ms=6, **look)
    label = f"{entry.short_label}, mean"
    axis.plot(means["parameters"], means["accuracy"], ms=9, mec="black", label=label, **look)


def _draw_published(axis, rows):
    """Draws the paper's numbers as open markers beside their places, so that they hide no mean.

    Returns:
        List of the boxes that they cover.
    """
    from matplotlib.transforms import Bbox, ScaledTranslation

    scale = axis.figure.dpi_scale_trans
    beside = axis.transData + ScaledTranslation(_BESIDE / 72, 0, scale)
    label, boxes = "published (open, to the left)", []
    for row in rows:
        look = {"marker": registry.entries()[row.method].marker, "ms": 7, "ls": "", "mew": 1.6}
        look |= {"color": "black", "mfc": "none", "transform": beside, "label": label}
        axis.plot(row.parameters, row.accuracy_value, **look)
        label = "_"  # one entry in the legend
        x, y = beside.transform((row.parameters, row.accuracy_value))
        half = 4 * axis.figure.dpi / 72
        boxes.append(Bbox([[x - half, y - half], [x + half, y + half]]))
    return boxes


def _size_text(row):
    """Returns what stands beside a row's point: its size, its width unless that is usual."""
    method, size, width = parse_row(row)
    parts = []
    if size is not None:
        parts.append(registry.entries()[method].knob.symbol.format(size=size))
    if width != USUAL_WIDTH:
        parts.append(f"{width}%")
    return ", ".join(parts)


def _write_sizes(axis, means, taken=()):
    """Writes sizes and widths beside the means of rows, none over another where there is room.

    It is placed before the layout, which makes the axes larger and so no two labels nearer.

    Args:
        axis: Matplotlib axes.
        means: DataFrame with the columns `method`, `row`, `parameters` and `accuracy`.
        taken: Sequence of boxes that are not to be covered.
    """
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground="white")]  # readable over markers too
    means = means[means["row"].map(_size_text) != ""]
    drawn = [entry for entry in registry.entries().values() if entry.name in set(means["method"])]
    # Methods without a size come last, so that widths of theirs move no size.
    drawn.sort(key=lambda entry: entry.knob is None)
    taken = list(taken)
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


def find_frontier(runs, least=LEAST_SEEDS):
    """Returns the rows that no smaller row reaches in mean test accuracy.

    They are found on the test set: they describe what was run, and choose nothing.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of one data set.
        least: Integer, the seeds that a row needs. Defaults to `3`.

    Returns:
        A `pandas.DataFrame`: `method`, `recipe`, `parameters` and `accuracy` (means) and `n`.
    """
    best = _keep_best(_average_rows(runs, least))
    table = best[["label", "recipe", "parameters", "accuracy", "n"]].reset_index(drop=True)
    table["parameters"] = table["parameters"].round().astype(int)
    return table.rename(columns={"label": "method"}).round({"accuracy": 4})


def _keep_best(rows):
    """Returns the rows that are better than all before them: see `find_frontier`."""
    return rows[rows["accuracy"] > rows["accuracy"].cummax().shift(fill_value=0)]


def _average_rows(runs, least):
    """Returns the means of rows under each recipe, from the smallest row on."""
    keys = ["method", "row", "label", "recipe"]
    rows = runs.groupby(keys, sort=False).agg(
        parameters=("parameters", "mean"),
        accuracy=("accuracy", "mean"),
        held_out=("held_out", "mean"),
        n=("seed", "size"),
    )
    rows = rows[rows["n"] >= least].reset_index()
    return rows.sort_values(["parameters", "accuracy"], ascending=[True, False], ignore_index=True)


def frontier(runs, dataset, least=LEAST_SEEDS):
    """Returns a figure of the mean accuracy of all rows under all recipes, and their frontier.

    Rows that were trained as the paper trains, or by a change of that, are open.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
        dataset: String, the data set that is drawn.
        least: Integer, the seeds that a row needs. Defaults to `3`.
    """
    rows = _average_rows(runs[runs["dataset"] == dataset], least)
    published = [row for row in paper.ROWS if row.dataset == dataset]
    figure, axis = style.make_axes(height=5.4)
    accuracies = [*rows["accuracy"], *(row.accuracy_value for row in published)]
    _scale_axes(axis, [*rows["parameters"], *(row.parameters for row in published)], accuracies)
    best = _keep_best(rows)
    if len(best):
        xs, ys = list(best["parameters"]), list(best["accuracy"])
        look = {"drawstyle": "steps-post", "color": "0.6", "lw": 3, "zorder": 1}
        axis.plot([*xs, axis.get_xlim()[1]], [*ys, ys[-1]], label="frontier", **look)
    colors = style.colors(registry.entries())
    for method in dict.fromkeys(rows["method"]):
        _draw_means(axis, rows[rows["method"] == method], registry.entries()[method], colors)
    if published:
        cells = zip(*((row.parameters, row.accuracy_value) for row in published), strict=True)
        axis.plot(*cells, "x", color="black", ms=5, label="published", zorder=1.5)
    _write_sizes(axis, best.drop_duplicates(["method", "row"], keep="last"))
    axis.set_title(f"{dataset}: filled: trained better; open: as in the paper", fontsize=11)
    style.place_legend(figure)
    return figure


def _draw_means(axis, rows, entry, colors):
    """Draws the means of one method: open where the recipe watches the test set, as the paper's."""
    look = {"ls": "", "marker": entry.marker, "ms": 8, "color": colors[entry.name]}
    better = rows[rows["held_out"].notna()]
    as_printed = rows[rows["held_out"].isna()]
    label = entry.short_label
    if len(better):
        axis.plot(better["parameters"], better["accuracy"], mec="black", label=label, **look)
        label = "_"
    look |= {"mfc": "none", "mew": 1.6, "label": label}
    if len(as_printed):
        axis.plot(as_printed["parameters"], as_printed["accuracy"], **look)
