"""Networks in figures: what their layers cost, what they say of images, their first kernels."""

import numpy as np

from lightlayers.suite import networks, registry
from lightlayers.suite.figures import style
from lightlayers.suite.runs import Run

_COLUMNS = {"parameters": 0.35, "multiply-adds": 1.8}  # where their bars begin
_MOST_KERNELS = 16  # what there is room for
_LEAST_COLUMNS = 5  # of seeds: of fewer the kernels would be as large as a hand
_LAYER_COLOR, _NORM_COLOR, _WRONG_COLOR = "#0173b2", "#de8f05", "#D55E00"
_GHOST_COLOR = "0.88"
_ROOM = 1.08  # of the widest bar of the network that others are compared with


def choice(costs, record=None, sheet=None, names=(), base=None):
    """Returns a figure of one network: where its cost is, what it says of images, its kernels.

    Args:
        costs: DataFrame, as `networks.count_layers` returns it.
        record: The record of one run of the network, or `None`.
        sheet: Path, as `shown_sheet` returns it, of the record's data set.
        names: Sequence of strings, the names of all classes.
        base: DataFrame like `costs`, of the network whose bars stand behind and set the scale.
            Defaults to the network itself.
    """
    from matplotlib.figure import Figure

    # An interactive view draws this at each change: few artists, placed by hand.
    if record is None:
        figure = Figure((10, 3.2))
        _draw_costs(figure.add_axes((0, 0, 1, 1)), costs, base)
        return figure
    figure = Figure((10, 5.8))
    _draw_costs(figure.add_axes((0, 0.5, 1, 0.5)), costs, base)
    axis = figure.add_axes((0.01, 0, 0.98, 0.49))
    axis.axis("off")
    side = _draw_predictions(axis, record, sheet, names)
    _draw_kernels(axis, record["shown"].get("first_kernels"), side)
    return figure


def _draw_costs(axis, costs, base):
    """Draws two bars for each layer, its parameters and its multiply-adds, over those of `base`."""
    axis.axis("off")
    layers, norms = _split_norms(costs)
    behind = None if base is None else _match_layers(base, layers["layer"])
    _draw_bars(axis, costs, layers, norms, "parameters", behind)
    _draw_bars(axis, costs, layers, np.zeros(len(layers)), "multiply-adds", behind)
    for y, name in enumerate(layers["layer"]):
        axis.text(0.33, y, name, ha="right", va="center", fontsize=9)
    axis.set(xlim=(0, 3.15), ylim=(len(layers) - 0.4, -1.6))


def _split_norms(costs):
    """Returns the layers without batch normalisations, and the parameters of the one of each."""
    layers = costs[~costs["layer"].str.endswith("_norm")]
    norms = costs.set_index("layer")["parameters"].reindex(layers["layer"] + "_norm").fillna(0)
    return layers, norms.to_numpy()


def _match_layers(costs, names):
    """Returns what the layers of one network cost in the places that another has.

    A unit of another stands for all layers whose names begin with its own.
    """
    longest = sorted(names, key=len, reverse=True)
    places = []
    for layer in costs["layer"]:
        places.append(next((name for name in longest if layer.startswith(name)), None))
    sums = costs.assign(layer=places).groupby("layer")[["parameters", "multiply-adds"]].sum()
    return sums.reindex(names).fillna(0)


def _draw_bars(axis, costs, layers, norms, column, behind):
    """Draws one column of bars; `norms` is what batch normalisation adds to each layer."""
    left, values = _COLUMNS[column], layers[column].to_numpy()
    ends, places, edge = values + norms, range(len(layers)), _ROOM
    if behind is None:
        most = ends.max()
    else:
        most = behind[column].max()
        axis.barh(places, behind[column] / most, left=left, color=_GHOST_COLOR)
    shown = np.minimum(ends / most, edge)
    axis.barh(places, shown, left=left, height=0.5, color=_LAYER_COLOR)
    note = ""
    if norms.any():
        start = np.minimum(values / most, edge)
        axis.barh(places, shown - start, left=left + start, height=0.5, color=_NORM_COLOR)
        note = " (orange: of batch normalisation)"
    if behind is not None and not note:
        note = f" (grey: {registry.baseline().label}'s)"
    for y, end in enumerate(ends):
        text, look = f"{round(end):,}", {"va": "center", "fontsize": 8}
        if end / most > edge:  # it goes on
            text, look = f"{text} → ", look | {"ha": "right", "color": "white", "weight": "bold"}
        axis.text(left + shown[y] + 0.01, y, text, **look)
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


def _paint_kernels(kernels):
    """Returns kernels as images of shape `(n, height, width, 3)`, and what their colours mean."""
    from matplotlib import colormaps

    kernels = np.moveaxis(np.asarray(kernels), -1, 0)[:_MOST_KERNELS]
    scaled = 0.5 + kernels / (2 * np.abs(kernels).max() or 1)
    if kernels.shape[-1] == 3:
        return scaled, "as colours"
    return colormaps["RdBu_r"](scaled[..., 0])[..., :3], "red: positive"


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
    images, meaning = _paint_kernels(kernels)
    canvas, _ = _make_mosaic(images, 4, 1, 1)
    pixel = left / 60  # the side of one pixel of a kernel
    height, width = pixel * canvas.shape[0], pixel * canvas.shape[1]
    axis.imshow(canvas, interpolation="nearest", extent=(left, left + width, height, 0))
    axis.text(left, -left / 60, f"its first kernels ({meaning})", va="bottom")
    axis.set(xlim=(0, left * 1.3), ylim=(left / 3.2, -left / 30))  # which imshow has changed


def cost_map(runs):
    """Returns a figure of parameters beside multiply-adds, layer by layer, over Conv2D's.

    Args:
        runs: List of `Run`, one for each network.
    """
    import matplotlib.pyplot as plt

    style.set_theme()
    tables = [_count_places(run) for run in runs]
    rows = [len(table) for table in tables]
    options = {"height_ratios": rows, "squeeze": False, "layout": "constrained"}
    size = style.WIDTH, 0.27 * sum(rows) + 0.9 * len(rows) + 0.5
    figure, axes = plt.subplots(len(runs), 2, figsize=size, sharey="row", **options)
    for run, table, row in zip(runs, tables, axes, strict=True):
        places = range(len(table))
        for axis, column in zip(row, _COLUMNS, strict=True):
            base, ours = table[f"base {column}"], table[column]
            dense = axis.barh(places, base, color="0.8", label=registry.baseline().label)
            light = axis.barh(places, ours, height=0.45, color=_LAYER_COLOR, label="light layers")
            axis.set_title(f"{column}:\n{ours.sum():,.0f} of {base.sum():,.0f}", fontsize=11)
            axis.xaxis.set_major_formatter("{x:,.0f}")
            axis.locator_params(axis="x", nbins=4)
            axis.grid(visible=False, axis="y")
        row[0].set_yticks(places, table.index)
        row[0].set_ylim(len(table) - 0.4, -0.6)
        row[0].set_ylabel(f"{run.dataset}, {run.label}", fontsize=11)
    style.place_legend(figure, [dense, light])
    return figure


def _count_places(run):
    """Returns what each layer of a run costs, with its normalisation, and what it does densely."""
    costs = networks.count_layers(run.dataset, run.method, run.rank, run.recipe, run.width)
    base = networks.count_layers(run.dataset, registry.baseline().name, recipe=run.recipe)
    names = _split_norms(costs)[0]["layer"]
    return _match_layers(costs, names).join(_match_layers(base, names).add_prefix("base "))


def kernel_grid(records):
    """Returns a figure of the first kernels, a row for each row of the runs, a column a seed.

    Args:
        records: List of records of one data set and recipe. Shown are the seeds that all rows
            have. What keeps no kernels is left out.
    """
    found = {}
    for record in records:
        kernels = record["shown"].get("first_kernels")
        if kernels is not None:
            run = Run.of(record)
            found.setdefault(run.label, {})[run.seed] = kernels
    seeds = list(next(iter(found.values()), []))
    seeds = [seed for seed in seeds if all(seed in kernels for kernels in found.values())]
    columns, rows = max(_LEAST_COLUMNS, len(seeds)), max(1, len(found))
    # So high that the width limits the squares: else Matplotlib's layout cuts the names.
    figure, axis = style.make_axes(height=0.9 + 6 * rows / columns)
    axis.set_title(style.NO_RUNS)
    for y, kernels in enumerate(found.values()):
        for x, seed in enumerate(seeds):
            images, meaning = _paint_kernels(kernels[seed])
            side = int(np.ceil(np.sqrt(len(images))))
            canvas, _ = _make_mosaic(images, side, 1, 1)
            height, width = (0.86 * pixels / max(canvas.shape[:2]) for pixels in canvas.shape[:2])
            extent = x - width / 2, x + width / 2, y + height / 2, y - height / 2
            axis.imshow(canvas, interpolation="nearest", extent=extent)
            axis.set_title(f"first kernels ({meaning}; plain: all zero)", fontsize=12)
    axis.set_xticks(range(len(seeds)), [f"seed {seed}" for seed in seeds])
    axis.set_yticks(range(len(found)), found)
    axis.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal")
    axis.grid(visible=False)
    return figure
