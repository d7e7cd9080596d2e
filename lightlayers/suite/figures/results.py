"""The figures of results, one function each: from a table of runs to a figure."""

from lightlayers.suite.analysis.verdicts import VERDICTS
from lightlayers.suite.figures import style
from lightlayers.suite.runs import Run

OUTSIDE = ("CLOSE", "DIFFERENT")
_NOT_RUN = "NOT RUN"
# What a legend says beside the verdicts: our mean, published numbers, and bars that are cut.
_SIGNS = ("our mean", "published", "published, outside the bar", "the bar goes on beyond the edge")
_PUBLISHED = {
    _SIGNS[1]: {"marker": "o", "ms": 6.5, "mfc": "none", "mew": 1.6},
    _SIGNS[2]: {"marker": "D", "ms": 7, "mec": "white"},
}


def verdicts(tables):
    """Returns a figure of every published number against our prediction interval.

    An arrow at the edge: the bar goes on beyond it. A published number outside its interval is
    filled, since the eye can't tell whether it lies on the end of a bar. The axes are those on
    which the intervals are computed, so that one wide row does not press the others together.

    Args:
        tables: Dictionary from data set to its table, as `verdicts.against_paper` returns it.
    """
    import matplotlib.pyplot as plt

    style.set_theme()
    heights = [len(table) / 3 for table in tables.values()]
    size = style.WIDTH, 0.34 * sum(heights) + 0.75 * len(heights) + 0.9
    options = {"height_ratios": heights, "squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(len(tables), 2, figsize=size, **options)
    handles = {}
    for (dataset, table), (left, right) in zip(tables.items(), axes, strict=True):
        for axis, measure in ((left, "accuracy"), (right, "loss")):
            cells = table[table["measure"] == measure].reset_index(drop=True)
            handles |= _draw_cells(axis, cells, measure)
            axis.set_title(f"{dataset}: test {measure}", fontsize=12)
        right.set_yticklabels([])
    order = [name for name in (*VERDICTS, *_SIGNS) if name in handles]
    style.place_legend(figure, [handles[name] for name in order], columns=2)
    return figure


def _draw_cells(axis, cells, measure):
    """Draws of each method the interval, our mean and the published number of one measure.

    Returns:
        Dictionary from what a legend says to what it shows: of what is drawn only.
    """
    import matplotlib.pyplot as plt

    colors = dict(zip(VERDICTS, style.VERDICT_COLORS, strict=True))
    axis.set_yticks(range(len(cells)), cells["method"])
    axis.set_ylim(len(cells) - 0.4, -0.6)
    # What was printed and what was run set the limits: an interval may reach a million.
    style.rescale_axis(axis, "x", measure, cells[["published", "min", "max"]].to_numpy())
    mean, inside, outside, beyond = _SIGNS
    handles = {}
    for i, cell in cells.iterrows():
        verdict, color = cell["verdict"], colors[cell["verdict"]]
        if verdict != _NOT_RUN:  # of two seeds the interval would be the whole axis
            bar = {"lw": 7, "alpha": 0.6, "solid_capstyle": "butt"}  # no longer than it is
            (handles[verdict],) = axis.plot([cell["low"], cell["high"]], [i, i], c=color, **bar)
            handles[verdict].set_label(verdict)
            handles |= _draw_arrows(axis, i, cell, color, beyond)
        if cell["n"]:
            look = {"marker": "|", "ms": 13, "mew": 2.5, "ls": ""}
            axis.plot(cell["mean"], i, color=color, **look)
            handles[mean] = plt.Line2D([], [], color="0.4", label=mean, **look)
        sign = outside if verdict in OUTSIDE else inside
        look = _PUBLISHED[sign] | {"ls": "", "color": "black", "label": sign, "zorder": 5}
        (handles[sign],) = axis.plot(cell["published"], i, **look)
    return handles


def _draw_arrows(axis, i, cell, color, label):
    """Draws an arrow where an interval goes on beyond an edge, and returns it by its label."""
    import matplotlib.pyplot as plt

    low, high = axis.get_xlim()
    look = {"transform": axis.get_yaxis_transform(), "clip_on": False, "ls": "", "ms": 9}
    handles = {}
    for place, sign, cut in ((0, "<", cell["low"] < low), (1, ">", cell["high"] > high)):
        if cut:
            axis.plot(place, i, marker=sign, color=color, **look)
            look_of_all = {"color": "0.4", "marker": sign, "ls": "", "ms": 9}
            handles[label] = plt.Line2D([], [], label=label, **look_of_all)
    return handles


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
    figure, axes = style.make_panels(max(1, len(labels)), 3, 2.2, 0.5, sharex=True, sharey=True)
    for label, axis in zip(labels, axes.flat, strict=False):
        epochs = curves[curves["label"] == label].groupby("epoch")["accuracy"]
        mean = epochs.mean()
        axis.fill_between(mean.index, epochs.min(), epochs.max(), alpha=0.3, lw=0)
        axis.plot(mean.index, mean, marker="" if len(mean) > 1 else "o")
        axis.set_title(label, fontsize=11)
        axis.locator_params(axis="x", nbins=5, integer=True, min_n_ticks=3)
        axis.locator_params(axis="y", nbins=5, min_n_ticks=3)
    if not labels:
        axes.flat[0].set_title(style.NO_RUNS)
    figure.supxlabel("epoch", fontsize=12)
    held_out = any(record["recipe"]["validation"] == "held-out" for record in records)
    figure.supylabel("held-out accuracy" if held_out else "test accuracy", fontsize=12)
    return figure


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
    figure, axes = style.make_axes(2, height=5.6, sharey=True)
    least = table["share"].min()
    _draw_times(axes[0], table[table["task"] == "forward"], least, "inference")
    _draw_times(axes[1], table[table["task"] == "train"], least, "training step")
    axes[0].set(ylim=(0.7 * table["ratio"].min(), 1.4 * table["ratio"].max()))
    handles, _ = axes[1].get_legend_handles_labels()
    for axis in axes:
        axis.get_legend().remove()
    style.place_legend(figure, handles, fontsize=9.5)
    return figure


def _draw_times(axis, table, least, title):
    """Draws the layers of one task, and the line on which time follows the multiply-adds."""
    import seaborn as sns
    from matplotlib.ticker import LogLocator

    look = {"hue": "kind", "style": "kind", "size": "channels", "sizes": (15, 130), "alpha": 0.8}
    sns.scatterplot(table, x="share", y="ratio", ax=axis, legend="full", **look)
    axis.plot([least, 1], [least, 1], color="black", lw=1.5, label="time as multiply-adds")
    axis.axhline(1, color="0.4", lw=1.5, ls=":", label="Conv2D's time")
    axis.set(xscale="log", yscale="log", title=title)
    axis.set(xlabel="multiply-adds / Conv2D's", ylabel="time / Conv2D's")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter("{x:g}")
