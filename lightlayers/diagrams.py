"""Figures 1 to 3 of the paper, drawn from live layers and networks."""

import math
import re

from lightlayers import families

_LINE = {"color": "0.4", "lw": 1.2, "zorder": 1}
# Places in seaborn's colour-blind palette: of tensors, and of layers by a part of their type.
_TENSORS = {"input": 0, "hidden": 1, "output": 2}
_TYPES = {"Conv": 0, "Dense": 2, "Normalization": 7, "ReLU": 1, "Pooling": 4, "Add": 3, "": 9}


def _canvas(width, height):
    """Returns a figure, its axes in inches, and the palette."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    fig = plt.figure(figsize=(width, height))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return fig, ax, sns.color_palette("colorblind")


def _text(ax, x, y, text, **kwargs):
    ax.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": 10, **kwargs})


def _title(ax, x, y, name, counted):
    title = f"{name}: {counted.count_params():,} parameters"
    _text(ax, x, y, title, ha="left", fontsize=12, weight="bold")


def _note(ax, x, y, text, color):
    _text(ax, x, y, text, fontsize=9, style="italic", color=color)


def _box(ax, x, y, width, height, **style):
    ax.bar(x, height, width, y - height / 2, **{"edgecolor": "white", "zorder": 2, **style})


def _arrow(ax, *points):
    ax.plot(*zip(*points[:-1], strict=True), **_LINE)
    head = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 11, **_LINE}
    ax.annotate("", points[-1], points[-2], arrowprops=head, zorder=1)


def _times(sizes):
    return " × ".join(map(str, sizes))


def _scheme(layer):
    """Returns a layer's title, its tensors' sizes by name, and (name, kernel, counts) between."""

    def between(w, kernel, b, bias):
        biases = "no biases" if bias is None else f"biases {b}: {bias.shape[0]}"
        return w, kernel.shape, f"{math.prod(kernel.shape):,} weights\n{biases}"

    title, shapes = type(layer).__name__, {"input": layer.input.shape}
    if not hasattr(layer, "factor_1"):
        weights = [between("W", layer.kernel, "b", layer.bias)]
    else:
        title = f"{title}, rank {layer.rank}"
        conv = hasattr(layer, "stages")
        shapes["hidden"] = families.hidden_shape(layer) if conv else (None, layer.rank)
        first = getattr(layer, "intermediate_bias", None)
        weights = [between("W₁", layer.factor_1, "b₁", first)]
        weights += [between("W₂", layer.factor_2, "b" if first is None else "b₂", layer.bias)]
    shapes["output"] = layer.output.shape
    turn = 1 if getattr(layer, "data_format", None) == "channels_first" else 0
    sizes = {name: [*shape[1 + turn :], *shape[1 : 1 + turn]] for name, shape in shapes.items()}
    return title, sizes, weights


def _stack(ax, x, y, sizes, side, colour, cells=False):
    """Draws one sheet for each channel around (x, y), with cells for a kernel."""
    height, width, channels = sizes
    cell, step = side / max(height, width), min(0.07, 0.5 / channels)
    style = {"color": colour, "edgecolor": "white", "lw": 12 * step}
    for i in reversed(range(channels)):
        shift = step * (i - (channels - 1) / 2)
        _box(ax, x + shift, y + shift, cell * width, cell * height, **style)
    for i in range(height * width if cells else 0):
        column, row = i % width - (width - 1) / 2, i // width - (height - 1) / 2
        _box(ax, x + shift + cell * column, y + shift + cell * row, cell, cell, **style)
    return cell * width / 2 + step * (channels - 1) / 2


def conv2d_against_lightconv2d(dense_layer, light_layer):
    """Returns Figure 1: a convolution, and the LightConv2D that takes its place.

    Args:
        dense_layer: `keras.layers.Conv2D`, called on a `keras.Input` of fixed size.
        light_layer: `LightConv2D`, called on one too.
    """
    fig, ax, palette = _canvas(9, 6)
    places = {"input": 1.1, "hidden": 4.1, "output": 7.9}
    for y, layer in ((4.35, dense_layer), (1.3, light_layer)):
        title, tensors, weights = _scheme(layer)
        _title(ax, 0.3, y + 1.4, title, layer)
        ends = []
        for name, sizes in tensors.items():
            side = max(sizes[:2]) / max(tensors["input"][:2])
            half = _stack(ax, places[name], y, sizes, side, palette[_TENSORS[name]]) + 0.06
            ends += [places[name] - half, places[name] + half]
            _text(ax, places[name], y - 1, f"{name}\n{_times(sizes)}")
        activation = getattr(layer, "intermediate_activation", None)
        activation = getattr(activation, "__name__", "linear").replace("relu", "ReLU")
        for start, end, (name, kernel, counts) in zip(
            ends[1::2], ends[2::2], weights, strict=False
        ):
            _arrow(ax, (start, y), (end, y))
            x = (start + end) / 2 + 0.5 * (name == "W₂" and activation != "linear")
            _stack(ax, x, y, kernel[:-1], 0.4, palette[7], cells=True)
            _text(ax, x, y + 0.75, f"{name}: {_times(kernel)}")
            _text(ax, x, y - 0.82, counts)
        if activation != "linear":
            box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": palette[3]}
            _text(ax, 5.4, y, activation, color=palette[3], bbox=box)
            _note(ax, 5.4, y + 0.45, "in the code,\nnot in the figure", palette[3])
    return fig


def dense_against_lightdense(dense_layer, light_layer):
    """Returns Figure 2: a dense layer, and the LightDense that takes its place.

    Args:
        dense_layer: `keras.layers.Dense`, called on a `keras.Input`.
        light_layer: `LightDense`, called on one too.
    """
    fig, ax, palette = _canvas(9, 4.3)
    for layer, places in ((dense_layer, (0.7, 3.1)), (light_layer, (4.8, 6.5, 8.2))):
        title, tensors, weights = _scheme(layer)
        _title(ax, places[0] - 0.4, 4.05, title, layer)
        columns = []
        for x, (name, (size,)) in zip(places, tensors.items(), strict=True):
            rows = range(min(size, 11))  # of more than ten, the sixth place has dots
            columns.append([(x, 1.9 + 0.2 * (i - (len(rows) - 1) / 2)) for i in rows])
            if size > 10:
                _text(ax, *columns[-1].pop(5), "⋮", fontsize=12)
            style = {"s": 80, "color": palette[_TENSORS[name]], "zorder": 3}
            ax.scatter(*zip(*columns[-1], strict=True), **style)
            _text(ax, x, 0.5, f"{name}\n{size}")
        for start, end, (name, kernel, counts) in zip(columns, columns[1:], weights, strict=False):
            for pair in [(one, two) for one in start for two in end]:
                ax.plot(*zip(*pair, strict=True), **_LINE | {"lw": 0.4})
            x = (start[0][0] + end[0][0]) / 2
            _text(ax, x, 3.4, f"{name}: {_times(kernel)}\n{counts}")
        if "hidden" in tensors:
            _note(ax, places[1], 0.13, "b₁: in the figure, not in the counts", palette[3])
    return fig


def _paths(model):
    """Returns the lines of the longest path, and (join, fork, layers between) beside it."""
    maker = {id(layer.output): layer for layer in model.layers}
    before, depth = {}, {}
    for layer in model.layers:  # in the order of computation
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        before[layer] = [maker[id(x)] for x in inputs if maker[id(x)] is not layer]
        depth[layer] = 1 + max((depth[source] for source in before[layer]), default=0)
    path = [model.layers[-1]]
    while before[path[0]]:
        path.insert(0, max(before[path[0]], key=depth.get))
    lines, beside = [[]], []
    for previous, layer in zip([None, *path], path, strict=False):
        lines[-1].append(layer)
        if re.match("(Max|Average)Pooling", type(layer).__name__):
            lines.append([])
        for chain in [[source] for source in before[layer] if source is not previous]:
            while chain[0] not in path:
                chain[:0] = before[chain[0]]
            beside.append((layer, *chain))
    return lines, beside


def network(model):
    """Returns Figure 3: a network's layers with their output shapes and parameters.

    Args:
        model: A functional `keras.Model` with one input and one output. Pooling ends a
            line; layers beside the longest path, such as a shortcut's, stand below it.
    """
    lines, beside = _paths(model)
    height = 0.4 + 1.25 * len(lines) + 1.05 * len(beside)
    fig, ax, palette = _canvas(9, height)
    _title(ax, 0.1, height - 0.2, model.name, model)
    _note(ax, 7.65, height - 0.2, "each box: layer, output, parameters", "0.3")
    left, right = {}, {}

    def draw(layers, x, y):
        for layer in layers:
            kind = type(layer).__name__
            words = re.sub("(?<=[a-z])(?=[A-Z][a-z])", "\n", kind).split("\n")
            half = 0.06 + 0.037 * max(9, *map(len, words))
            words.append("×".join(map(str, layer.output.shape[1:])))
            words += [f"{layer.count_params():,}"] if layer.weights else []
            colour = palette[next(place for part, place in _TYPES.items() if part in kind)]
            _box(ax, x + half, y, 2 * half, 0.8, color=(*colour, 0.25), edgecolor=colour)
            _text(ax, x + half, y, "\n".join(words), fontsize=9)
            left[layer], right[layer] = (x, y), (x + 2 * half, y)
            x += 2 * half + 0.145
        for one, two in zip(layers, layers[1:], strict=False):
            _arrow(ax, right[one], left[two])

    y, last = height - 0.95, None
    for line in lines:
        draw(line, 1.04 if last else 0.1, y)
        if last:
            x, above = right[last][0] - 0.4, right[last][1] - 0.4
            _arrow(ax, (x, above), (x, y + 0.6), (0.55, y + 0.6), (0.55, y), left[line[0]])
        last, at = line[-1], y
        for join, fork, *chain in [branch for branch in beside if branch[0] in line]:
            y -= 1.05
            draw(chain, 2.9, y)
            x = left[line[line.index(fork) + 1 if fork in line else 0]][0] - 0.075
            start, end = [(x, at), (x, y)], (left[join][0] + right[join][0]) / 2
            if chain:
                _arrow(ax, *start, left[chain[0]])
                start = [right[chain[-1]]]
            _arrow(ax, *start, (end, y), (end, at - 0.4))
        y -= 1.25
    return fig
