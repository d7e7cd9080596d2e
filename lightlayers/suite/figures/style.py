"""What figures share: axes, panels, colours, ticks, and how they are written and shown."""

import io

import numpy as np

from lightlayers.suite.files import write_file

# Okabe and Ito's colours of verdicts, told apart by all: green, blue, orange, vermilion, grey.
VERDICT_COLORS = ("#009E73", "#56B4E9", "#E69F00", "#D55E00", "#999999")
HUES = 10  # of seaborn's colour-blind palette

# Of accuracies and losses on axes that are not linear, the roundest first.
_TICKS = {
    "accuracy": [0.5, 0.1, 0.9, 0.01, 0.99, 0.2, 0.8, 0.05, 0.95, 0.02, 0.98, 0.3, 0.7, 0.4, 0.6],
    "loss": [1, 0.1, 0.01, 2, 0.5, 0.2, 5, 0.05, 0.02, 3, 4, 1.5, 2.5, 3.5, 4.5, 1.2, 0.8],
}
_FEWEST_TICKS = 3
# Ten thousand test images can't tell 1 from 0.99995.
_LEAST_ACCURACY = 5e-5


NO_RUNS = "no runs yet"
WIDTH = 7.2  # inches: at this width letters of the theme are read on a telephone too


def set_theme(font_scale=1.0):
    """Sets seaborn's theme, the same for all figures."""
    import seaborn as sns

    sns.set_theme(
        context="notebook", style="whitegrid", palette="colorblind", font_scale=font_scale
    )


def make_axes(columns=1, rows=1, width=WIDTH, height=4.2, **kwargs):
    """Returns a figure and its axes, as `plt.subplots` does."""
    import matplotlib.pyplot as plt

    set_theme()
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **kwargs)


def make_panels(count, columns, row_height, margin=0.0, **kwargs):
    """Returns a figure and an array of axes, one for each of several panels.

    Where axes share a scale, the lowest panel of each column has its numbers.

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
    for axis in axes.flat[max(0, count - columns) : count]:
        axis.tick_params(labelbottom=True)
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
    if len(ticks) < _FEWEST_TICKS:  # so near each other they are as on a linear axis
        ticks = _divide_evenly(limits)
    axis.set(**{f"{which}lim": limits, f"{which}ticks": ticks})
    side.set_ticklabels([f"{tick:.6g}" for tick in ticks])
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


def _divide_evenly(limits):
    """Returns round numbers at equal distances, at least three of them."""
    from matplotlib.ticker import MaxNLocator

    low, high = limits
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10], min_n_ticks=_FEWEST_TICKS).tick_values(low, high)
    return [tick for tick in ticks if low <= tick <= high]


def set_parameter_ticks(axis, values):
    """Gives a logarithmic axis limits around numbers of parameters, and round ones in full.

    Args:
        axis: Matplotlib axes.
        values: List of the numbers that are drawn; of none, nothing changes.
    """
    if not values:
        return
    low, high = 0.75 * min(values), 1.3 * max(values)
    powers = range(len(str(int(high))))
    ticks = [step * 10**power for power in powers for step in (1, 2, 5)]
    ticks = [tick for tick in ticks if low < tick < high]
    if len(ticks) < _FEWEST_TICKS:
        ticks = _divide_evenly((low, high))
    axis.set_xlim(low, high)
    axis.set_xticks(ticks, [f"{tick:,.6g}" for tick in ticks])
    axis.minorticks_off()


def place_legend(figure, handles=None, columns=3, **kwargs):
    """Places one legend below all axes of a figure, where it covers nothing.

    Args:
        figure: Matplotlib figure.
        handles: List of artists with labels, or `None` for those of the first axes.
        columns: Integer, the most that are tried. Defaults to `3`.
        **kwargs: Further arguments of `figure.legend`.
    """
    if handles is None:
        handles = figure.axes[0].get_legend_handles_labels()[0]
    if not handles:
        return
    place = {"handles": handles, "loc": "outside lower center"}
    legend = figure.legend(ncols=columns, **place, **kwargs)
    while columns > 1 and legend.get_window_extent().width > figure.bbox.width:
        legend.remove()
        columns -= 1
        legend = figure.legend(ncols=columns, **place, **kwargs)


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
    write_file(target, lambda file: figure.savefig(file, dpi=110, metadata={"Software": None}))
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
