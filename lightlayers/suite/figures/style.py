"""What figures share: axes, panels, colours, ticks, and how they are written and shown."""

import io

import numpy as np

# Okabe and Ito's colours of verdicts, told apart by all: green, blue, orange, vermilion, grey.
VERDICT_COLORS = ("#009E73", "#56B4E9", "#E69F00", "#D55E00", "#999999")
HUES = 10  # of seaborn's colour-blind palette

# Of accuracies and losses on axes that are not linear, the roundest first.
_TICKS = {
    "accuracy": [0.5, 0.1, 0.9, 0.01, 0.99, 0.2, 0.8, 0.05, 0.95, 0.02, 0.98, 0.3, 0.7, 0.4, 0.6],
    "loss": [1, 0.1, 0.01, 2, 0.5, 0.2, 5, 0.05, 0.02, 3, 4, 1.5, 2.5, 3.5, 4.5, 1.2, 0.8],
}
_PARAMETER_TICKS = (2000, 5000, 10000, 20000, 50000, 100000)
# Ten thousand test images can't tell 1 from 0.99995.
_LEAST_ACCURACY = 5e-5


def set_theme(font_scale=0.95):
    """Sets seaborn's theme, the same for all figures."""
    import seaborn as sns

    sns.set_theme(
        context="notebook", style="whitegrid", palette="colorblind", font_scale=font_scale
    )


def make_axes(columns=1, rows=1, width=9.0, height=4.2, **kwargs):
    """Returns a figure and its axes, as `plt.subplots` does."""
    import matplotlib.pyplot as plt

    set_theme()
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **kwargs)


def make_panels(count, columns, row_height, margin=0.0, **kwargs):
    """Returns a figure and an array of axes, one for each of several panels.

    Args:
        count: Integer, panels. Axes that are left over in the last row are blank.
        columns: Integer, the most panels side by side.
        row_height: Float, inches.
        margin: Float, inches below the last row. Defaults to `0.0`.
        **kwargs: Further arguments of `plt.subplots`.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    height = row_height * rows + margin
    figure, axes = make_axes(columns, rows, height=height, squeeze=False, **kwargs)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, axes


def colors(names):
    """Returns a colour for each name, by its place, however many there are.

    The first ten are seaborn's colour-blind palette. Ten further ones have the same hues
    darker, ten more lighter, since lightness is what every reader sees; then they repeat.

    Args:
        names: Sequence of strings.

    Returns:
        Dictionary from each name to a triple of floats in 0..1.
    """
    import seaborn as sns

    hues = np.array(sns.color_palette("colorblind", HUES))
    shades = np.concatenate([hues, 0.55 * hues, 0.45 + 0.55 * hues])
    return {name: tuple(shades[i % len(shades)]) for i, name in enumerate(names)}


def rescale_axis(axis, which, measure, values):
    """Gives an axis the scale on which intervals are computed, and limits around the values.

    Args:
        axis: Matplotlib axes.
        which: String, `"x"` or `"y"`.
        measure: String, `"accuracy"` (logit scale) or `"loss"` (logarithmic).
        values: Array of numbers, NaN where there is none.
    """
    if measure == "accuracy":
        kind, most = "logit", 1 - _LEAST_ACCURACY
    else:
        kind, most = "log", np.inf
    axis.set(**{f"{which}scale": kind})
    side = getattr(axis, f"{which}axis")
    scale = side.get_transform()
    ends = np.clip([np.nanmin(values), np.nanmax(values)], _LEAST_ACCURACY, most)
    low, high = scale.transform(ends)
    edge = 0.08 * (high - low) or 0.1
    limits = scale.inverted().transform(np.array([low - edge, high + edge]))
    ticks = _choose_ticks(_TICKS[measure], limits, scale.transform)
    axis.set(**{f"{which}lim": limits, f"{which}ticks": ticks})
    side.set_ticklabels([f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def _choose_ticks(ticks, limits, scale):
    """Returns those ticks that fit side by side; earlier ones come before later ones."""
    low, high = scale(np.array(limits))
    distance = (high - low) / 7
    places = {}
    for tick, place in zip(ticks, scale(np.array(ticks)), strict=True):
        crowded = any(abs(place - other) < distance for other in places.values())
        if low <= place <= high and not crowded:
            places[tick] = place
    return sorted(places)


def set_parameter_ticks(axis, values):
    """Writes round numbers of parameters below a logarithmic axis, in full.

    Args:
        axis: Matplotlib axes.
        values: List of the numbers that are drawn; of none, nothing changes.
    """
    if not values:
        return
    low, high = 0.7 * min(values), 1.4 * max(values)
    ticks = [tick for tick in _PARAMETER_TICKS if low < tick < high]
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.minorticks_off()


def save_figure(figure, store, name):
    """Writes a figure as PNG, without the date that would make every file a new one.

    Args:
        figure: Matplotlib figure.
        store: `Store`, in whose folder of figures it is written.
        name: String, the file's name without `.png`.

    Returns:
        Path of the file.
    """
    target = store.figures / f"{name}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110, metadata={"Software": None})
    return target


def show(figure, alt):
    """Shows a figure in a notebook, once, as a PNG of 256 colours: a third as large as usual.

    Args:
        figure: Matplotlib figure, which is closed.
        alt: String, the figure in words, for readers who do not see it.
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
