"""Every figure that is drawn from records and data, one function each."""

import io
import pathlib

import numpy as np

from lightlayers import datasets, families, published, replication
from lightlayers.runs import BUDGETS, CHOSEN

# Okabe and Ito's colours, told apart by all: green, blue, orange, vermilion, grey.
_VERDICT_COLORS = ("#009E73", "#56B4E9", "#E69F00", "#D55E00", "#999999")
_MARKERS = {
    "conv2d": "s",
    "separableconv2d": "D",
    "lightlayers": "o",
    "channel": "^",
    "spatial": "v",
    "automatic": "P",
    "greedy": "<",
    "product": ">",
    "uniform": "X",
}


def _axes(columns=1, rows=1, width=9.0, height=4.2, **kwargs):
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=0.95)
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **kwargs)


def _panels(count, most, height, **kwargs):
    """Returns a figure with places for so many panels, at most so many side by side."""
    columns = min(most, count)
    rows = -(-count // columns)
    figure, axes = _axes(columns, rows, height=height(rows), squeeze=False, **kwargs)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, axes


def _colors(labels):
    import seaborn as sns

    return dict(zip(labels, sns.color_palette("colorblind", len(labels)), strict=True))


def samples(data, names, count=10):
    """Returns a figure of the first training image of some classes.

    Args:
        data: A `datasets.Data`.
        names: Sequence of strings, the names of all classes.
        count: Integer, how many classes, evenly chosen. Defaults to `10`.
    """
    figure, axes = _axes(count, height=1.4)
    for i, axis in enumerate(axes):
        label = i * len(names) // count
        for image in data.x_train[data.y_train == label][:1]:  # a few images need not have it
            axis.imshow(image.squeeze(), cmap="gray", interpolation="nearest")
        axis.set_title(names[label].replace("_", " "), fontsize=10)
        axis.axis("off")
    return figure


def contact_sheet(dataset, outputs):
    """Returns the path of a data set's sheet of samples, drawn from the data if it is missing.

    Args:
        dataset: String, one of `datasets.NAMES`.
        outputs: Path of the outputs folder.

    Raises:
        datasets.DataError: If the sheet is missing and the data set can't be had.
    """
    target = pathlib.Path(outputs, "figures", f"{dataset}-samples.png")
    if not target.exists():
        import matplotlib.pyplot as plt

        figure = samples(datasets.load(dataset), datasets.CLASSES[dataset])
        save(figure, outputs, target.stem)
        plt.close(figure)  # else a notebook shows it too, the first time
    return target


def shown_sheet(dataset, outputs):
    """Returns the path of the sheet of the test images that records keep probabilities of.

    The first test images stand in one row, pixel by pixel as they are; the file's text
    `labels` has their labels. It is written from the data if it is missing.

    Args:
        dataset: String, one of `datasets.NAMES`.
        outputs: Path of the outputs folder.

    Raises:
        datasets.DataError: If the sheet is missing and the data set can't be had.
    """
    target = pathlib.Path(outputs, "figures", f"{dataset}-shown.png")
    if not target.exists():
        from PIL import Image, PngImagePlugin

        data = datasets.load(dataset).limited(16, 16)
        text = PngImagePlugin.PngInfo()
        text.add_text("labels", " ".join(map(str, data.y_test)))
        target.parent.mkdir(parents=True, exist_ok=True)
        row = np.concatenate(list(data.x_test), axis=1).squeeze()
        Image.fromarray(row).save(target, pnginfo=text, optimize=True)
    return target


# Where a rank stands beside its point: forms of one size lie close together.
_BESIDE = {
    "lightlayers": ((7, -12), "left", "baseline"),
    "channel": ((-8, -1), "right", "center"),
}


def accuracy_against_parameters(runs, dataset):
    """Returns a figure of test accuracy against parameters, every seed a point.

    The accuracies' axis is logit, so that a seed at chance does not press the others together.

    Args:
        runs: DataFrame, as `replication.frame` returns it.
        dataset: String, whose published numbers are drawn too, if there are any.
    """
    from matplotlib.patheffects import withStroke

    figure, axis = _axes()
    colors = _colors(list(families.FAMILIES))
    for method, rows in runs.groupby("method", sort=False):
        means = rows.groupby("label")[["parameters", "accuracy"]].mean().sort_values("parameters")
        style = {"color": colors[method], "marker": _MARKERS[method]}
        axis.plot(rows["parameters"], rows["accuracy"], ls="", alpha=0.4, ms=6, **style)
        name = families.FAMILIES[method].label.partition(" (")[0]
        label = f"{name}, mean"
        axis.plot(means["parameters"], means["accuracy"], ms=9, mec="black", label=label, **style)
        if families.FAMILIES[method].ranked:
            for rank, row in rows.groupby("rank"):
                point = row["parameters"].mean(), row["accuracy"].mean()
                text = f"K = {int(rank)}" if method == "lightlayers" else f"{int(rank)}"
                near = means["parameters"].between(point[0] / 1.1, point[0] * 1.1)
                first = means["parameters"][near].min() == point[0]  # of two side by side
                middle = "center" if near.sum() == 1 else "right" if first else "left"
                offset, side, height = _BESIDE.get(method, ((0, 8), middle, "bottom"))
                where = {"textcoords": "offset points", "ha": side, "va": height}
                # Readable over the markers of other methods too.
                halo = [withStroke(linewidth=2.5, foreground="white")]
                axis.annotate(text, point, offset, fontsize=9, path_effects=halo, **where)
    printed = [row for row in published.ROWS if row.dataset == dataset]
    if printed:
        points = [(row.parameters, float(row.accuracy)) for row in printed]
        style = {"ls": "", "marker": "x", "zorder": 5}  # over the runs that they may lie on
        axis.plot(*zip(*points, strict=True), color="white", mew=4.5, ms=8.5, **style)
        axis.plot(*zip(*points, strict=True), color="black", mew=1.8, label="paper", **style)
    axis.set(xscale="log", xlabel="parameters (log scale)", ylabel="test accuracy (logit scale)")
    seen = [*runs["accuracy"], *(float(row.accuracy) for row in printed)]
    if seen:
        _rescale(axis, "y", "accuracy", seen)
    _plain_log_ticks(axis, [*runs["parameters"], *(row.parameters for row in printed)])
    axis.legend(loc="lower right")
    return figure


def verdicts(tables):
    """Returns a figure of every published number against our prediction interval.

    A bar that ends at the edge goes on beyond it. The axes are those on which the intervals are
    computed, so that one wide row does not press the others together.

    Args:
        tables: Dictionary from data set to its table, as `replication.against_paper`
            returns it.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=0.9)
    colors = dict(zip(replication.VERDICTS, _VERDICT_COLORS, strict=True))
    heights = [len(table) / 2 + 1.2 for table in tables.values()]
    figure, axes = plt.subplots(
        len(tables),
        2,
        figsize=(10, 0.32 * sum(heights) + 0.6),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for (dataset, table), pair in zip(tables.items(), axes, strict=True):
        for measure, axis in zip(("accuracy", "loss"), pair, strict=True):
            cells = table[table["measure"] == measure].reset_index(drop=True)
            for i, cell in cells.iterrows():
                color = colors[cell["verdict"]]
                if cell["verdict"] != "NOT RUN":  # of two seeds it would be the whole axis
                    bar = {"lw": 7, "alpha": 0.6, "solid_capstyle": "butt"}  # no longer than it is
                    axis.plot([cell["low"], cell["high"]], [i, i], color=color, **bar)
                axis.plot(cell["mean"], i, marker="|", ms=11, mew=2, color=color)
                axis.plot(cell["published"], i, marker="o", ms=6, color="black")
            axis.set_yticks(range(len(cells)), cells["method"] if measure == "accuracy" else [])
            axis.set_ylim(len(cells) - 0.4, -0.6)
            # What was printed and what was run decide: an interval may reach a million.
            seen = cells[["published", "min", "max"]].to_numpy()
            _rescale(axis, "x", measure, seen)
            axis.set_title(f"{dataset}: test {measure}", fontsize=11)
    handles = [
        plt.Line2D([], [], color=color, lw=7, alpha=0.6, label=verdict)
        for verdict, color in colors.items()
    ]
    handles.append(plt.Line2D([], [], color="black", marker="o", ls="", label="published"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


# Of accuracies and losses on axes that are not linear, the roundest first.
_TICKS = {
    "accuracy": [0.5, 0.1, 0.9, 0.01, 0.99, 0.2, 0.8, 0.05, 0.95, 0.02, 0.98, 0.3, 0.7, 0.4, 0.6],
    "loss": [1, 0.1, 0.01, 2, 0.5, 0.2, 5, 0.05, 0.02, 3, 4, 1.5, 2.5, 3.5, 4.5, 1.2, 0.8],
}


def _rescale(axis, which, measure, seen):
    """Gives an axis the scale on which intervals are computed, as far as what is seen."""
    kind, most = ("logit", 1 - 5e-5) if measure == "accuracy" else ("log", np.inf)
    axis.set(**{f"{which}scale": kind})
    scale = getattr(axis, f"{which}axis").get_transform()
    low, high = scale.transform(np.clip([np.nanmin(seen), np.nanmax(seen)], 5e-5, most))
    edge = 0.08 * (high - low) or 0.1
    limits = scale.inverted().transform(np.array([low - edge, high + edge]))
    ticks = _spread(_TICKS[measure], limits, scale.transform)
    axis.set(**{f"{which}lim": limits, f"{which}ticks": ticks})
    getattr(axis, f"{which}axis").set_ticklabels([f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def _spread(ticks, limits, scale):
    """Returns those of the ticks that fit side by side."""
    places = scale(np.array([*limits, *ticks]))
    least, found = (places[1] - places[0]) / 7, {}
    for tick, place in zip(ticks, places[2:], strict=True):
        inside = places[0] <= place <= places[1]
        if inside and all(abs(place - other) >= least for other in found.values()):
            found[tick] = place
    return sorted(found)


def _plain_log_ticks(axis, values):
    if not values:
        return
    ticks = [t for t in (2000, 5000, 10000, 20000, 50000, 100000) if t > 0.7 * min(values)]
    ticks = [t for t in ticks if t < 1.4 * max(values)]
    axis.set_xticks(ticks, [f"{t:,}" for t in ticks])
    axis.minorticks_off()


def learning_curves(records):
    """Returns a figure of accuracy after each epoch: mean line, range over the seeds.

    It is on the images that the recipe watches: the test set or held-out training images.

    Args:
        records: List of records of one data set.
    """
    import pandas as pd

    curves = pd.DataFrame(
        [
            {
                "label": families.label(record["run"]["method"], record["run"]["rank"]),
                "epoch": epoch,
                "accuracy": accuracy,
            }
            for record in records
            for epoch, accuracy in enumerate(record["history"]["val_accuracy"], 1)
        ]
    )
    labels = list(dict.fromkeys(curves["label"])) if len(curves) else ["no runs yet"]
    shared = {"sharex": True, "sharey": True}
    figure, axes = _panels(len(labels), 3, lambda rows: 2.4 * rows + 0.4, **shared)
    for label, axis in zip(labels if len(curves) else (), axes.flat, strict=False):
        groups = curves[curves["label"] == label].groupby("epoch")["accuracy"]
        mean, low, high = groups.mean(), groups.min(), groups.max()
        axis.fill_between(mean.index, low, high, alpha=0.3, lw=0)
        axis.plot(mean.index, mean, marker="" if len(mean) > 1 else "o")
        axis.set_title(label)
    figure.supxlabel("epoch")
    held_out = any(record["recipe"]["validation"] == "held-out" for record in records)
    figure.supylabel("accuracy on held-out images" if held_out else "test accuracy")
    return figure


def ablation(runs):
    """Returns a figure of test accuracy by recipe, every seed a point, one panel a data set.

    Args:
        runs: DataFrame, as `replication.frame` returns it.
    """
    names = list(dict.fromkeys(runs["dataset"])) or ["no runs yet"]
    figure, axes = _panels(len(names), 2, lambda rows: 3.8 * rows)
    for name, axis in zip(names, axes.flat, strict=False):
        ours = runs[runs["dataset"] == name]
        order = list(dict.fromkeys(ours["recipe"]))
        for i, recipe in enumerate(order):
            values = ours.loc[ours["recipe"] == recipe, "accuracy"]
            color = "#0072B2" if i else "#D55E00"  # the first is what the others are changes of
            axis.plot(values, [i] * len(values), "o", color=color, alpha=0.5)
            axis.plot(values.mean(), i, "|", ms=16, mew=2.5, color=color)
        axis.set_yticks(range(len(order)), order)
        axis.invert_yaxis()
        axis.locator_params(axis="x", nbins=5)
        if ours["accuracy"].min() < ours["accuracy"].max() / 2:
            axis.set_xlim(left=0)
        title = f"{name}, {ours['label'].iloc[0]}" if len(ours) else name
        axis.set(xlabel="test accuracy", title=title)
    return figure


def chosen_ranks(runs):
    """Returns a figure of test accuracy by budget and by way of choosing ranks.

    Args:
        runs: DataFrame, as `replication.frame` returns it, of experiment "ranks".
    """
    import seaborn as sns

    keys = zip(runs["dataset"], runs["row"], strict=True)
    ways = runs["method"].map({"spatial": "one rank", "automatic": "found in training"})
    ways = ways.fillna("Conv2D, then " + runs["method"])
    table = runs.assign(budget=[f"K = {BUDGETS[key]}" for key in keys], ranks=ways)
    names = list(dict.fromkeys(runs["dataset"])) or ["no runs yet"]
    figure, axes = _panels(len(names), 2, lambda rows: 3.4 * rows + 0.8)
    # The same colours in all panels, whichever rows a panel has.
    order = ["one rank", "found in training", *(f"Conv2D, then {name}" for name in CHOSEN[1:])]
    for name, axis in zip(names, axes.flat, strict=False):
        ours = table[table["dataset"] == name]
        style = {"x": "budget", "y": "accuracy", "hue": "ranks", "hue_order": order, "ax": axis}
        style |= {"order": sorted(set(ours["budget"])), "palette": list(_colors(order).values())}
        if len(ours):
            sns.stripplot(ours, dodge=True, jitter=False, alpha=0.5, size=5, legend=False, **style)
            means = {"estimator": "mean", "errorbar": None, "dodge": 0.64, "linestyle": "none"}
            sns.pointplot(ours, marker="_", markersize=14, markeredgewidth=3, **means, **style)
            axis.get_legend().remove()
        axis.set(title=name, xlabel="parameters of the paper's K", ylabel="test accuracy")
    handles = axes.flat[0].get_legend_handles_labels()
    if handles[0]:
        figure.legend(*handles, loc="outside lower center", title="ranks", ncols=3)
    return figure


def time_against_multiply_adds(rows):
    """Returns a figure of single layers' time against their multiply-adds, both of Conv2D's.

    Merged layers are left out: they do Conv2D's multiply-adds.

    Args:
        rows: DataFrame of the rows of `bench.measure_layers`.
    """
    import seaborn as sns

    conv2d = rows[rows["method"] == "Conv2D"].set_index(["size", "channels", "filters", "task"])
    keys = list(zip(*(rows[name] for name in conv2d.index.names), strict=True))
    base = conv2d["multiply_adds"].loc[keys].to_numpy()
    kind = rows["method"].where(rows["form"] == "", 'LightConv2D "' + rows["form"] + '"')
    table = rows.assign(share=rows["multiply_adds"] / base, kind=kind)
    table = table[(table["method"] != "Conv2D") & (table["implementation"] != "merged")]
    figure, axes = _axes(2, width=10, height=4.6, sharey=True)
    for axis, task in zip(axes, ("forward", "train"), strict=True):
        sns.scatterplot(
            table[table["task"] == task],
            x="share",
            y="ratio",
            hue="kind",
            style="kind",
            size="channels",
            sizes=(15, 130),
            ax=axis,
            legend="full" if task == "train" else False,
            alpha=0.8,
        )
        ends = [table["share"].min(), 1]
        axis.plot(ends, ends, color="black", lw=1)
        axis.axhline(1, color="0.5", lw=1, ls=":")
        what = {"forward": "inference", "train": "training step"}[task]
        axis.set(xscale="log", yscale="log", ylim=(0.04, 3), title=what)
        axis.set(xlabel="multiply-adds, of Conv2D's", ylabel="time, of Conv2D's")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter("{x:g}")
    axes[1].legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False, fontsize=9)
    return figure


def choice(costs, record=None, sheet=None, names=()):
    """Returns a figure of one network: where its cost is, what it says of images, its kernels.

    Args:
        costs: DataFrame, as `explorer.costs` returns it.
        record: The record of one run of it, or `None`.
        sheet: Path, as `shown_sheet` returns it, of the record's data set.
        names: Sequence of strings, the names of all classes.
    """
    from matplotlib.figure import Figure

    # An interactive view draws this at each change: few artists, placed by hand.
    figure = Figure((10, 5.8 if record else 3.2))
    _costs(figure.add_axes((0, 0.5 if record else 0, 1, 0.5 if record else 1)), costs)
    if record:
        axis = figure.add_axes((0.01, 0, 0.98, 0.49))
        axis.axis("off")
        width = _predictions(axis, record, sheet, names)
        _kernels(axis, record, width)
    return figure


def _costs(axis, costs):
    axis.axis("off")
    layers = costs[~costs["layer"].str.endswith("_norm")]
    norms = costs.set_index("layer")["parameters"].reindex(layers["layer"] + "_norm").fillna(0)
    values = {"parameters": norms.to_numpy(), "multiply-adds": 0 * norms.to_numpy()}
    for left, (column, more) in zip((0.35, 1.8), values.items(), strict=True):
        most = (layers[column] + more).max()
        axis.barh(range(len(layers)), layers[column] / most, left=left, color="#0173b2")
        if any(more):
            starts = left + layers[column] / most
            axis.barh(range(len(layers)), more / most, left=starts, color="#de8f05")
        ends = layers[column] + more
        for y, end in enumerate(ends):
            axis.text(left + end / most + 0.01, y, f"{round(end):,}", va="center", fontsize=8)
        note = " (orange: of batch normalisation)" if any(more) else ""
        axis.text(left, -1, f"{costs[column].sum():,} {column}{note}", va="center")
    for y, name in enumerate(layers["layer"]):
        axis.text(0.33, y, name, ha="right", va="center", fontsize=9)
    axis.set(xlim=(0, 3.15), ylim=(len(layers) - 0.4, -1.6))


def _mosaic(images, columns, gap_x, gap_y):
    """The images (n, height, width, 3) in rows on white, and the lower middle of each."""
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    canvas = np.ones((rows * (height + gap_y), columns * (width + gap_x), 3))
    middles = []
    for i, image in enumerate(images):
        y, x = i // columns * (height + gap_y), i % columns * (width + gap_x) + gap_x // 2
        canvas[y : y + height, x : x + width] = image
        middles.append((x + width / 2 - 0.5, y + height))
    return canvas, middles


def _predictions(axis, record, sheet, names):
    from PIL import Image

    with Image.open(sheet) as picture:
        labels = [int(label) for label in picture.text["labels"].split()]
        row = np.asarray(picture.convert("RGB")) / 255
    images = np.stack(np.split(row, len(labels), axis=1))
    side = images.shape[1]
    canvas, middles = _mosaic(images, 8, side // 2, round(side * 0.6))
    axis.imshow(canvas, interpolation="nearest")
    right = 0
    for (x, y), chances, label in zip(middles, record["shown"]["per_mille"], labels, strict=True):
        said = int(np.argmax(chances))
        right += said == label
        text = f"{names[said]}: {chances[said] / 10:.0f}%"
        text += "" if said == label else f"\nnot {names[label]}"
        style = {"color": "black"} if said == label else {"color": "#D55E00", "weight": "bold"}
        axis.text(x, y, text.replace("_", " "), ha="center", va="top", fontsize=7.5, **style)
    text = f"seed {record['run']['seed']} on the first {len(labels)} test images: {right} right"
    axis.text(0, -side / 5, text, va="bottom")
    return canvas.shape[1]


def _kernels(axis, record, left):
    from matplotlib import colormaps

    kernels = np.moveaxis(np.asarray(record["shown"]["first_kernels"]), -1, 0)
    scaled = 0.5 + kernels / (2 * np.abs(kernels).max())
    colored = kernels.shape[-1] == 3
    images = scaled if colored else colormaps["RdBu_r"](scaled[..., 0])[..., :3]
    canvas, _ = _mosaic(images, 4, 1, 1)
    one = left / 60  # the side of one pixel of a kernel
    height, width = one * canvas.shape[0], one * canvas.shape[1]
    axis.imshow(canvas, interpolation="nearest", extent=(left, left + width, height, 0))
    how = "as colours" if colored else "red: positive"
    text = f"its first kernels ({how})"
    axis.text(left, -left / 60, text, va="bottom")
    axis.set(xlim=(0, left * 1.3), ylim=(left / 3.2, -left / 30))


def save(figure, outputs, name):
    """Writes a figure as PNG, without the date that would make every file a new one."""
    target = pathlib.Path(outputs, "figures", f"{name}.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110, metadata={"Software": None})
    return target


def show(figure, alt):
    """Shows a figure in a notebook, once, as a PNG of 256 colours: a third as large as usual.

    Args:
        figure: Matplotlib figure, which is closed.
        alt: String, what it shows, for those who do not see it.
    """
    import matplotlib.pyplot as plt
    from IPython import display
    from PIL import Image

    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, dpi=100, bbox_inches="tight")
    plt.close(figure)
    picture = Image.open(full).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
    picture.save(small, "png", optimize=True)
    display.display(display.Image(small.getvalue(), alt=alt))
