"""Every figure that is drawn from records and data, one function each."""

import pathlib

from lightlayers import datasets, families, published, replication

# Okabe and Ito's colours, told apart by all: green, blue, orange, vermilion, grey.
_VERDICT_COLORS = ("#009E73", "#56B4E9", "#E69F00", "#D55E00", "#999999")
_MARKERS = {
    "conv2d": "s",
    "separableconv2d": "D",
    "lightlayers": "o",
    "channel": "^",
    "spatial": "v",
    "automatic": "P",
}


def _axes(columns=1, width=9.0, height=4.2, **kwargs):
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=0.95)
    return plt.subplots(1, columns, figsize=(width, height), layout="constrained", **kwargs)


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
        axis.imshow(
            data.x_train[data.y_train == label][0].squeeze(), cmap="gray", interpolation="nearest"
        )
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


def accuracy_against_parameters(runs, dataset):
    """Returns a figure of test accuracy against parameters, every seed a point.

    Args:
        runs: DataFrame, as `replication.frame` returns it.
        dataset: String, whose published numbers are drawn too, if there are any.
    """
    figure, axis = _axes()
    colors = _colors(list(families.FAMILIES))
    printed = [row for row in published.ROWS if row.dataset == dataset]
    if printed:
        points = [(row.parameters, float(row.accuracy)) for row in printed]
        axis.plot(*zip(*points, strict=True), ls="", marker="x", color="black", label="paper")
    for method, rows in runs.groupby("method", sort=False):
        means = rows.groupby("parameters")["accuracy"].mean()
        style = {"color": colors[method], "marker": _MARKERS[method]}
        axis.plot(rows["parameters"], rows["accuracy"], ls="", alpha=0.4, ms=6, **style)
        name = families.FAMILIES[method].label.partition(" (")[0]
        axis.plot(means.index, means, ms=9, mec="black", label=f"{name}, mean", **style)
        if families.FAMILIES[method].ranked:
            for rank, row in rows.groupby("rank"):
                point = row["parameters"].iloc[0], row["accuracy"].mean()
                text = f"K = {int(rank)}" if method == "lightlayers" else f"{int(rank)}"
                axis.annotate(text, point, (7, -12), textcoords="offset points", fontsize=9)
    axis.set(xscale="log", xlabel="parameters (log scale)", ylabel="test accuracy")
    _plain_log_ticks(axis, [*runs["parameters"], *(row.parameters for row in printed)])
    axis.legend(loc="lower right")
    return figure


def verdicts(tables):
    """Returns a figure of every published number against our prediction interval.

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
                axis.plot([cell["low"], cell["high"]], [i, i], color=color, lw=7, alpha=0.6)
                axis.plot(cell["mean"], i, marker="|", ms=11, mew=2, color=color)
                axis.plot(cell["published"], i, marker="o", ms=6, color="black")
            axis.set_yticks(range(len(cells)), cells["method"] if measure == "accuracy" else [])
            axis.set_ylim(len(cells) - 0.4, -0.6)
            axis.set_title(f"{dataset}: test {measure}", fontsize=11)
    handles = [
        plt.Line2D([], [], color=color, lw=7, alpha=0.6, label=verdict)
        for verdict, color in colors.items()
    ]
    handles.append(plt.Line2D([], [], color="black", marker="o", ls="", label="published"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _plain_log_ticks(axis, values):
    ticks = [t for t in (2000, 5000, 10000, 20000, 50000, 100000) if t > 0.7 * min(values)]
    ticks = [t for t in ticks if t < 1.4 * max(values)]
    axis.set_xticks(ticks, [f"{t:,}" for t in ticks])
    axis.minorticks_off()


def learning_curves(records):
    """Returns a figure of test accuracy after each epoch: mean line, range over the seeds.

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
    columns = min(3, len(labels))
    rows = -(-len(labels) // columns)
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=0.95)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(9, 2.4 * rows + 0.4),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[len(labels) :]:
        axis.axis("off")
    for label, axis in zip(labels if len(curves) else (), axes.flat, strict=False):
        groups = curves[curves["label"] == label].groupby("epoch")["accuracy"]
        mean, low, high = groups.mean(), groups.min(), groups.max()
        axis.fill_between(mean.index, low, high, alpha=0.3, lw=0)
        axis.plot(mean.index, mean)
        axis.set_title(label)
    figure.supxlabel("epoch")
    figure.supylabel("test accuracy")
    return figure


def ablation(runs):
    """Returns a figure of test accuracy by recipe, every seed a point, one panel a data set.

    Args:
        runs: DataFrame, as `replication.frame` returns it.
    """
    names = list(dict.fromkeys(runs["dataset"])) or ["no runs yet"]
    figure, axes = _axes(len(names), height=3.8, squeeze=False)
    for name, axis in zip(names, axes.flat, strict=True):
        ours = runs[runs["dataset"] == name]
        order = list(dict.fromkeys(ours["recipe"]))
        for i, recipe in enumerate(order):
            values = ours.loc[ours["recipe"] == recipe, "accuracy"]
            color = "#0072B2" if i else "#D55E00"  # the first is what the others are changes of
            axis.plot(values, [i] * len(values), "o", color=color, alpha=0.5)
            axis.plot(values.mean(), i, "|", ms=16, mew=2.5, color=color)
        axis.set_yticks(range(len(order)), order)
        axis.invert_yaxis()
        axis.set_xlim(left=0)
        title = f"{name}, {ours['label'].iloc[0]}" if len(ours) else name
        axis.set(xlabel="test accuracy", title=title)
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
            legend=task == "train",
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


def save(figure, outputs, name):
    """Writes a figure as PNG, without the date that would make every file a new one."""
    target = pathlib.Path(outputs, "figures", f"{name}.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110, metadata={"Software": None})
    return target
