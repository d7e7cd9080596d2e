"""One network in a figure: what its layers cost, what it says of images, its first kernels."""

import numpy as np

_COLUMNS = {"parameters": 0.35, "multiply-adds": 1.8}  # where their bars begin
_MOST_KERNELS = 16  # what there is room for
_LAYER_COLOR, _NORM_COLOR, _WRONG_COLOR = "#0173b2", "#de8f05", "#D55E00"


def choice(costs, record=None, sheet=None, names=()):
    """Returns a figure of one network: where its cost is, what it says of images, its kernels.

    Args:
        costs: DataFrame, as `networks.count_layers` returns it.
        record: The record of one run of the network, or `None`.
        sheet: Path, as `shown_sheet` returns it, of the record's data set.
        names: Sequence of strings, the names of all classes.
    """
    from matplotlib.figure import Figure

    # An interactive view draws this at each change: few artists, placed by hand.
    if record is None:
        figure = Figure((10, 3.2))
        _draw_costs(figure.add_axes((0, 0, 1, 1)), costs)
        return figure
    figure = Figure((10, 5.8))
    _draw_costs(figure.add_axes((0, 0.5, 1, 0.5)), costs)
    axis = figure.add_axes((0.01, 0, 0.98, 0.49))
    axis.axis("off")
    side = _draw_predictions(axis, record, sheet, names)
    _draw_kernels(axis, record["shown"].get("first_kernels"), side)
    return figure


def _draw_costs(axis, costs):
    """Draws two bars for each layer: its parameters, its multiply-adds."""
    axis.axis("off")
    layers = costs[~costs["layer"].str.endswith("_norm")]
    norms = costs.set_index("layer")["parameters"].reindex(layers["layer"] + "_norm").fillna(0)
    _draw_bars(axis, costs, layers, norms.to_numpy(), "parameters")
    _draw_bars(axis, costs, layers, np.zeros(len(layers)), "multiply-adds")
    for y, name in enumerate(layers["layer"]):
        axis.text(0.33, y, name, ha="right", va="center", fontsize=9)
    axis.set(xlim=(0, 3.15), ylim=(len(layers) - 0.4, -1.6))


def _draw_bars(axis, costs, layers, norms, column):
    """Draws one column of bars; `norms` is what batch normalisation adds to each layer."""
    left, values = _COLUMNS[column], layers[column].to_numpy()
    ends = values + norms
    most, places = ends.max(), range(len(layers))
    axis.barh(places, values / most, left=left, color=_LAYER_COLOR)
    note = ""
    if norms.any():
        axis.barh(places, norms / most, left=left + values / most, color=_NORM_COLOR)
        note = " (orange: of batch normalisation)"
    for y, end in enumerate(ends):
        axis.text(left + end / most + 0.01, y, f"{round(end):,}", va="center", fontsize=8)
    axis.text(left, -1, f"{costs[column].sum():,} {column}{note}", va="center")


def _make_mosaic(images, columns, gap_x, gap_y):
    """Returns a canvas with images side by side on white, and the lower middle of each.

    Args:
        images: Array of shape `(n, height, width, 3)`, values in 0..1.
        columns: Integer, images in a row.
        gap_x: Integer, pixels between images.
        gap_y: Integer, pixels below each image.
    """
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    canvas = np.ones((rows * (height + gap_y), columns * (width + gap_x), 3))
    middles = []
    for i, image in enumerate(images):
        y, x = i // columns * (height + gap_y), i % columns * (width + gap_x) + gap_x // 2
        canvas[y : y + height, x : x + width] = image
        middles.append((x + width / 2 - 0.5, y + height))
    return canvas, middles


def _read_sheet(sheet):
    """Returns the images of a sheet, `(n, side, side, 3)` in 0..1, and their labels."""
    from PIL import Image

    with Image.open(sheet) as picture:
        labels = [int(label) for label in picture.text["labels"].split()]
        row = np.asarray(picture.convert("RGB")) / 255
    return np.stack(np.split(row, len(labels), axis=1)), labels


def _draw_predictions(axis, record, sheet, names):
    """Draws test images with what a run says of them, and returns the width of all, in pixels."""
    images, labels = _read_sheet(sheet)
    side = images.shape[1]
    canvas, middles = _make_mosaic(images, 8, side // 2, round(side * 0.6))
    axis.imshow(canvas, interpolation="nearest")
    right = 0
    per_mille = record["shown"]["per_mille"]
    for (x, y), chances, label in zip(middles, per_mille, labels, strict=True):
        predicted = int(np.argmax(chances))
        text = f"{names[predicted]}: {chances[predicted] / 10:.0f}%"
        font = {"color": "black"}
        if predicted == label:
            right += 1
        else:
            text += f"\nnot {names[label]}"
            font = {"color": _WRONG_COLOR, "weight": "bold"}
        axis.text(x, y, text.replace("_", " "), ha="center", va="top", fontsize=7.5, **font)
    text = f"seed {record['run']['seed']} on the first {len(labels)} test images: {right} right"
    axis.text(0, -side / 5, text, va="bottom")
    return canvas.shape[1]


def _draw_kernels(axis, kernels, left):
    """Draws a network's first kernels to the right of the images, if its record has them.

    Args:
        axis: Matplotlib axes.
        kernels: Nested list of shape `(height, width, channels, n)`, or `None`.
        left: Integer, where the images end, in pixels. The limits of the axes follow it.
    """
    axis.set(xlim=(0, left * 1.3), ylim=(left / 3.2, -left / 30))
    if kernels is None:
        return
    from matplotlib import colormaps

    kernels = np.moveaxis(np.asarray(kernels), -1, 0)[:_MOST_KERNELS]
    scaled = 0.5 + kernels / (2 * np.abs(kernels).max())
    if kernels.shape[-1] == 3:
        images, meaning = scaled, "as colours"
    else:
        images, meaning = colormaps["RdBu_r"](scaled[..., 0])[..., :3], "red: positive"
    canvas, _ = _make_mosaic(images, 4, 1, 1)
    pixel = left / 60  # the side of one pixel of a kernel
    height, width = pixel * canvas.shape[0], pixel * canvas.shape[1]
    axis.imshow(canvas, interpolation="nearest", extent=(left, left + width, height, 0))
    axis.text(left, -left / 60, f"its first kernels ({meaning})", va="bottom")
    axis.set(xlim=(0, left * 1.3), ylim=(left / 3.2, -left / 30))  # which imshow has changed
