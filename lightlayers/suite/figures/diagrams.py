"""Figures 1 to 3 of the paper, drawn from live layers and networks."""

import math
import re

from lightlayers import costs

_LINE = {"color": "0.4", "lw": 1.2, "zorder": 1}
# Places in seaborn's colour-blind palette: of tensors, and of layers by a part of their type.
_TENSORS = {"input": 0, "hidden": 1, "output": 2}
_TYPES = {"Conv": 0, "Dense": 2, "Normalization": 7, "ReLU": 1, "Pooling": 4, "Add": 3, "": 9}


def _make_canvas(width, height):
    """Returns a figure, its axes in inches, and the palette."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    fig = plt.figure(figsize=(width, height))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return fig, ax, sns.color_palette("colorblind")


def _write(ax, x, y, text, **kwargs):
    ax.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": 10, **kwargs})


def _write_title(ax, x, y, name, counted):
    title = f"{name}: {counted.count_params():,} parameters"
    _write(ax, x, y, title, ha="left", fontsize=12, weight="bold")


def _write_note(ax, x, y, text, color):
    _write(ax, x, y, text, fontsize=9, style="italic", color=color)


def _draw_box(ax, x, y, width, height, **style):
    """Draws a box around (x, y)."""
    ax.bar(x, height, width, y - height / 2, **{"edgecolor": "white", "zorder": 2, **style})


def _draw_arrow(ax, *points):
    """Draws a line through points, with a head at the last."""
    ax.plot(*zip(*points[:-1], strict=True), **_LINE)
    head = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 11, **_LINE}
    ax.annotate("", points[-1], points[-2], arrowprops=head, zorder=1)


def _join_sizes(sizes):
    return " × ".join(map(str, sizes))


def _describe_weights(name, kernel, bias_name, bias):
    """Returns a kernel's name and shape, and how many weights and biases there are, in words."""
    biases = "no biases" if bias is None else f"biases {bias_name}: {bias.shape[0]}"
    return name, kernel.shape, f"{math.prod(kernel.shape):,} weights\n{biases}"


def _describe_layer(layer):
    """Returns what a figure says of a layer.

    Returns:
        Triple: the title, the sizes of its tensors by name (`"input"`, of a light layer
        `"hidden"`, `"output"`), channels last, and a list of what `_describe_weights`
        returns, one for each step between two tensors.
    """
    title, shapes = type(layer).__name__, {"input": layer.input.shape}
    if hasattr(layer, "factor_1"):
        title = f"{title}, rank {layer.rank}"
        conv = hasattr(layer, "stages")
        shapes["hidden"] = costs.hidden_shape(layer) if conv else (None, layer.rank)
        first = getattr(layer, "intermediate_bias", None)
        last_name = "b" if first is None else "b₂"
        weights = [
            _describe_weights("W₁", layer.factor_1, "b₁", first),
            _describe_weights("W₂", layer.factor_2, last_name, layer.bias),
        ]
    else:
        weights = [_describe_weights("W", layer.kernel, "b", layer.bias)]
    shapes["output"] = layer.output.shape
    turn = 1 if getattr(layer, "data_format", None) == "channels_first" else 0
    sizes = {name: [*shape[1 + turn :], *shape[1 : 1 + turn]] for name, shape in shapes.items()}
    return title, sizes, weights


def _draw_stack(ax, x, y, sizes, side, colour, cells=False):
    """Draws one sheet for each channel around (x, y), and returns half the width of all.

    Args:
        ax: Matplotlib axes.
        x: Float, inches.
        y: Float, inches.
        sizes: Triple of integers, height, width and channels.
        side: Float, inches of the longer of height and width.
        colour: Colour of the sheets.
        cells: Boolean, whether the first sheet shows its cells, as a kernel does.
    """
    height, width, channels = sizes
    cell, step = side / max(height, width), min(0.07, 0.5 / channels)
    style = {"color": colour, "edgecolor": "white", "lw": 12 * step}
    for i in reversed(range(channels)):
        shift = step * (i - (channels - 1) / 2)
        _draw_box(ax, x + shift, y + shift, cell * width, cell * height, **style)
    for i in range(height * width if cells else 0):
        column, row = i % width - (width - 1) / 2, i // width - (height - 1) / 2
        _draw_box(ax, x + shift + cell * column, y + shift + cell * row, cell, cell, **style)
    return cell * width / 2 + step * (channels - 1) / 2


def conv2d_against_lightconv2d(dense_layer, light_layer):
    """Returns Figure 1: a convolution, and the LightConv2D that takes its place.

    Args:
        dense_layer: `keras.layers.Conv2D`, called on a `keras.Input` of fixed size.
        light_layer: `LightConv2D`, called on one too.
    """
    fig, ax, palette = _make_canvas(9, 6)
    for y, layer in ((4.35, dense_layer), (1.3, light_layer)):
        _draw_convolutions(ax, y, layer, palette)
    return fig


def _draw_convolutions(ax, y, layer, palette):
    """Draws the tensors of a convolution at height y, and its kernels between them."""
    title, tensors, weights = _describe_layer(layer)
    _write_title(ax, 0.3, y + 1.4, title, layer)
    places = {"input": 1.1, "hidden": 4.1, "output": 7.9}
    ends = []
    for name, sizes in tensors.items():
        side = max(sizes[:2]) / max(tensors["input"][:2])
        half = _draw_stack(ax, places[name], y, sizes, side, palette[_TENSORS[name]]) + 0.06
        ends += [places[name] - half, places[name] + half]
        _write(ax, places[name], y - 1, f"{name}\n{_join_sizes(sizes)}")
    activation = getattr(layer, "intermediate_activation", None)
    activation = getattr(activation, "__name__", "linear").replace("relu", "ReLU")
    gaps = zip(ends[1::2], ends[2::2], weights, strict=False)
    for start, end, (name, kernel, counts) in gaps:
        _draw_arrow(ax, (start, y), (end, y))
        x = (start + end) / 2 + 0.5 * (name == "W₂" and activation != "linear")
        _draw_stack(ax, x, y, kernel[:-1], 0.4, palette[7], cells=True)
        _write(ax, x, y + 0.75, f"{name}: {_join_sizes(kernel)}")
        _write(ax, x, y - 0.82, counts)
    if activation != "linear":
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": palette[3]}
        _write(ax, 5.4, y, activation, color=palette[3], bbox=box)
        _write_note(ax, 5.4, y + 0.45, "in the code,\nnot in the figure", palette[3])


def dense_against_lightdense(dense_layer, light_layer):
    """Returns Figure 2: a dense layer, and the LightDense that takes its place.

    Args:
        dense_layer: `keras.layers.Dense`, called on a `keras.Input`.
        light_layer: `LightDense`, called on one too.
    """
    fig, ax, palette = _make_canvas(9, 4.3)
    _draw_neurons(ax, (0.7, 3.1), dense_layer, palette)
    _draw_neurons(ax, (4.8, 6.5, 8.2), light_layer, palette)
    return fig


def _draw_neurons(ax, places, layer, palette):
    """Draws a dense layer's tensors as columns of dots at some places, all joined by lines."""
    title, tensors, weights = _describe_layer(layer)
    _write_title(ax, places[0] - 0.4, 4.05, title, layer)
    columns = []
    for x, (name, (size,)) in zip(places, tensors.items(), strict=True):
        rows = range(min(size, 11))  # of more than ten, the sixth place has an ellipsis
        dots = [(x, 1.9 + 0.2 * (i - (len(rows) - 1) / 2)) for i in rows]
        if size > 10:
            _write(ax, *dots.pop(5), "⋮", fontsize=12)
        ax.scatter(*zip(*dots, strict=True), s=80, color=palette[_TENSORS[name]], zorder=3)
        _write(ax, x, 0.5, f"{name}\n{size}")
        columns.append(dots)
    for start, end, (name, kernel, counts) in zip(columns, columns[1:], weights, strict=False):
        for one in start:
            for two in end:
                ax.plot(*zip(one, two, strict=True), **_LINE | {"lw": 0.4})
        x = (start[0][0] + end[0][0]) / 2
        _write(ax, x, 3.4, f"{name}: {_join_sizes(kernel)}\n{counts}")
    if "hidden" in tensors:
        _write_note(ax, places[1], 0.13, "b₁: in the figure, not in the counts", palette[3])


def _find_paths(model):
    """Returns how a network is laid out.

    Returns:
        Pair: the lines of the longest path, lists of layers, of which pooling ends each; and
        a list of what is beside it, `(join, fork, *layers between)`.
    """
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
        for source in before[layer]:
            if source is previous:
                continue
            chain = [source]
            while chain[0] not in path:
                chain[:0] = before[chain[0]]
            beside.append((layer, *chain))
    return lines, beside


class _Boxes:
    """The boxes of a network's layers, and where each begins and ends."""

    def __init__(self, ax, palette):
        self.ax, self.palette = ax, palette
        self.left, self.right = {}, {}

    def draw(self, layers, x, y):
        """Draws layers from (x, y) to the right, with arrows between them."""
        for layer in layers:
            end = self._draw_layer(layer, x, y)
            self.left[layer], self.right[layer] = (x, y), (end, y)
            x = end + 0.145
        for one, two in zip(layers, layers[1:], strict=False):
            _draw_arrow(self.ax, self.right[one], self.left[two])

    def _draw_layer(self, layer, x, y):
        kind = type(layer).__name__
        words = re.sub("(?<=[a-z])(?=[A-Z][a-z])", "\n", kind).split("\n")
        half = 0.06 + 0.037 * max(9, *map(len, words))
        words.append("×".join(map(str, layer.output.shape[1:])))
        if layer.weights:
            words.append(f"{layer.count_params():,}")
        place = next(place for part, place in _TYPES.items() if part in kind)
        colour = self.palette[place]
        fill = {"color": (*colour, 0.25), "edgecolor": colour}
        _draw_box(self.ax, x + half, y, 2 * half, 0.8, **fill)
        _write(self.ax, x + half, y, "\n".join(words), fontsize=9)
        return x + 2 * half

    def draw_line_break(self, last, first, y):
        """Draws the arrow from the last layer of a line to the first of the next, at height y."""
        x, above = self.right[last][0] - 0.4, self.right[last][1] - 0.4
        corners = [(x, above), (x, y + 0.6), (0.55, y + 0.6), (0.55, y)]
        _draw_arrow(self.ax, *corners, self.left[first])

    def draw_branch(self, branch, line, y):
        """Draws what is beside a line, at height y: its layers, if any, and the way around.

        Args:
            branch: Tuple (join, fork, *layers between).
            line: List of layers that have been drawn, with the join.
            y: Float, inches.
        """
        join, fork, *chain = branch
        self.draw(chain, 2.9, y)
        at = self.left[line[0]][1]
        begin = line[line.index(fork) + 1] if fork in line else line[0]
        x = self.left[begin][0] - 0.075
        start, end = [(x, at), (x, y)], (self.left[join][0] + self.right[join][0]) / 2
        if chain:
            _draw_arrow(self.ax, *start, self.left[chain[0]])
            start = [self.right[chain[-1]]]
        _draw_arrow(self.ax, *start, (end, y), (end, at - 0.4))


def network(model):
    """Returns Figure 3: a network's layers with their output shapes and parameters.

    Args:
        model: A functional `keras.Model` with one input and one output. Pooling ends a
            line; layers beside the longest path, such as a shortcut's, stand below it.
    """
    lines, beside = _find_paths(model)
    height = 0.4 + 1.25 * len(lines) + 1.05 * len(beside)
    fig, ax, palette = _make_canvas(9, height)
    _write_title(ax, 0.1, height - 0.2, model.name, model)
    _write_note(ax, 7.65, height - 0.2, "each box: layer, output, parameters", "0.3")
    boxes = _Boxes(ax, palette)
    y, last = height - 0.95, None
    for line in lines:
        boxes.draw(line, 1.04 if last else 0.1, y)
        if last:
            boxes.draw_line_break(last, line[0], y)
        last = line[-1]
        for branch in beside:
            if branch[0] in line:
                y -= 1.05
                boxes.draw_branch(branch, line, y)
        y -= 1.25
    return fig
