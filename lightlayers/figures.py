"""Every figure that is drawn from records and data, one function each."""

import pathlib

from lightlayers import families

_MARKERS = {"conv2d": "s", "separableconv2d": "D", "lightlayers": "o"}


def _axes(columns=1, width=9.0, height=4.2, **kwargs):
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=0.95)
    return plt.subplots(1, columns, figsize=(width, height), layout="constrained", **kwargs)


def _colors(labels):
    import seaborn as sns

    return dict(zip(labels, sns.color_palette("colorblind", len(labels)), strict=True))


def samples(images, labels, names, columns=10):
    """Returns a figure of the first image of each class.

    Args:
        images: `uint8` array `(n, height, width, channels)`.
        labels: Integer array `(n,)`.
        names: Sequence of strings, the classes' names.
        columns: Integer, images in the row. Defaults to `10`.
    """
    figure, axes = _axes(columns, height=1.5)
    for i, axis in enumerate(axes):
        axis.imshow(images[labels == i][0].squeeze(), cmap="gray")
        axis.set_title(names[i])
        axis.axis("off")
    return figure


def accuracy_against_parameters(runs):
    """Returns a figure of test accuracy against parameters, every seed a point.

    Args:
        runs: DataFrame, as `replication.frame` returns it.
    """
    figure, axis = _axes()
    colors = _colors(list(families.FAMILIES))
    for method, rows in runs.groupby("method", sort=False):
        means = rows.groupby("parameters")["accuracy"].mean()
        style = {"color": colors[method], "marker": _MARKERS[method]}
        axis.plot(rows["parameters"], rows["accuracy"], ls="", alpha=0.4, ms=6, **style)
        name = families.FAMILIES[method].label.replace(" (K = {rank})", "")
        axis.plot(means.index, means, ms=9, mec="black", label=f"{name}, mean", **style)
        if families.FAMILIES[method].ranked:
            for rank, row in rows.groupby("rank"):
                point = row["parameters"].iloc[0], row["accuracy"].mean()
                axis.annotate(
                    f"K = {int(rank)}", point, (7, -12), textcoords="offset points", fontsize=9
                )
    axis.set(xscale="log", xlabel="parameters (log scale)", ylabel="test accuracy")
    _plain_log_ticks(axis, runs["parameters"])
    axis.legend(loc="lower right")
    return figure


def _plain_log_ticks(axis, values):
    ticks = [t for t in (2000, 5000, 10000, 20000, 50000, 100000) if t > 0.7 * values.min()]
    ticks = [t for t in ticks if t < 1.4 * values.max()]
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
    labels = list(dict.fromkeys(curves["label"]))
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
    for label, axis in zip(labels, axes.flat, strict=False):
        groups = curves[curves["label"] == label].groupby("epoch")["accuracy"]
        mean, low, high = groups.mean(), groups.min(), groups.max()
        axis.fill_between(mean.index, low, high, alpha=0.3, lw=0)
        axis.plot(mean.index, mean)
        axis.set_title(label)
    figure.supxlabel("epoch")
    figure.supylabel("test accuracy")
    return figure


def save(figure, outputs, name):
    """Writes a figure as PNG, without the date that would make every file a new one."""
    target = pathlib.Path(outputs, "figures", f"{name}.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110, metadata={"Software": None})
    return target
