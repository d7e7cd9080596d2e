"""What layers compute: multiply-adds and activations, by one formula for each type of layer."""

import math

import keras

from lightlayers.layers import LightConv2D, LightDense, LightLayer

_FORMULAS = {}  # layer type -> (multiply_adds, activations or None)
# Their weights are looked up, or applied once to each value. Subclasses may do more with them.
_FREE = [
    getattr(keras.layers, name)
    for name in "Embedding LayerNormalization Normalization PReLU RMSNormalization".split()
]


def register(layer_type, multiply_adds, activations=None):
    """Tells what layers of a type compute, so that they count in budgets and tables.

    Args:
        layer_type: Class of layers. Subclasses are counted alike, unless they are registered too.
        multiply_adds: Function `(layer, input_shape) -> integer`, for one image.
        activations: Function `(layer) -> integer`, the values that a layer which was called on a
            symbolic input computes for one image. Defaults to those of its output.

    Example:

    >>> register(keras.layers.Conv3D, count_at_output("kernel"))
    >>> layer = keras.layers.Conv3D(2, 3)
    >>> _ = layer(keras.Input((5, 5, 5, 1)))
    >>> multiply_adds(layer)  # 3³ · 2 weights at 3³ positions
    1458
    """
    _FORMULAS[layer_type] = multiply_adds, activations


def _find_formulas(layer):
    """Returns a layer's formulas, those of its nearest class that is registered, or `None`."""
    for layer_type in type(layer).__mro__:
        if layer_type in _FORMULAS:
            return _FORMULAS[layer_type]
    return None


def has_formula(layer):
    """Returns whether `multiply_adds` knows how often a layer applies its kernel."""
    return _find_formulas(layer) is not None


def multiply_adds(layer, input_shape=None):
    """Returns the multiply-adds of one built layer for one image.

    A multiply-add is one MAC: each weight of a kernel counts once for each position at
    which that kernel is applied, zero padding included. Biases, activations, pooling,
    normalisation and embeddings count nothing.

    Args:
        layer: A built Keras layer with a fixed input size.
        input_shape: Tuple, what it is applied to. Defaults to what it was first called on.

    Returns:
        Integer, or `None` if the layer has a kernel and `has_formula` is false.
    """
    formulas = _find_formulas(layer)
    if formulas:
        return formulas[0](layer, input_shape or layer.input.shape)
    without_kernel = all(len(weight.shape) < 2 for weight in layer.weights)
    return 0 if without_kernel or type(layer) in _FREE else None


def activations(layer):
    """Returns how many values a layer computes for one image.

    They are its output, and what is between its two factors or convolutions, if it has two.

    Args:
        layer: Keras layer that was called on a symbolic input of fixed size.
    """
    formulas = _find_formulas(layer)
    if formulas and formulas[1]:
        return formulas[1](layer)
    return _count_outputs(layer)


def count_applications(applications, limits=(math.inf, math.inf)):
    """Returns `{path: multiply-adds}` of all applications of each layer, `None` if unknown.

    Args:
        applications: What `graphs.applications` returns.
        limits: Pair, the most parameters and multiply-adds, as of `Budget.limits`. Defaults to no
            limits.

    Raises:
        ValueError: If multiply-adds have a limit and some are unknown.
    """
    counts = {}
    for path, (layer, shapes) in applications.items():
        is_open = any(shape is None or None in shape[1:] for shape in shapes)
        if is_open and has_formula(layer):
            counts[path] = None
            continue
        each = [multiply_adds(layer, shape) for shape in shapes]
        counts[path] = None if None in each else sum(each)
    unknown = {path: applications[path] for path, count in counts.items() if count is None}
    if not unknown or not math.isfinite(limits[1]):
        return counts
    others = [
        f"{path!r} ({type(layer).__name__})"
        for path, (layer, _) in unknown.items()
        if not has_formula(layer)
    ]
    if others:
        raise ValueError(
            f"Multiply-adds are known of {', '.join(each.__name__ for each in _FORMULAS)}, not of "
            "other layers with a kernel: give a budget of parameters, or tell them by "
            f"`costs.register`. Received: {', '.join(others)}"
        )
    path, (_, shapes) = next(iter(unknown.items()))
    raise ValueError(
        "Multiply-adds depend on the size of the input, which is not fixed. Give a budget of "
        f"parameters. Received: layer {path!r}, applied to {shapes}"
    )


def summary(model):
    """Returns where a network's parameters and multiply-adds are, layer by layer.

    Args:
        model: A built `keras.Model` with a fixed input size.

    Returns:
        A `pandas.DataFrame` with one row per layer that has weights: `layer`, `type`,
        `output` (shape), `parameters`, `multiply-adds` (missing where they are not known),
        `rank`, `break-even rank` (the smallest rank at which the factors hold no fewer weights
        than the dense kernel) and `saves`. The last row is the total.
    """
    import pandas as pd

    rows = []
    for layer in model.layers:
        if not layer.weights:
            continue
        ranks = dict.fromkeys(("rank", "break-even rank", "saves"), "")
        if isinstance(layer, LightLayer):
            even = layer.break_even_rank
            saves = "yes" if layer.rank < even else "no"
            ranks = {"rank": layer.rank, "break-even rank": even, "saves": saves}
        row = {"layer": layer.name, "type": type(layer).__name__}
        row["output"] = " × ".join(map(str, layer.output.shape[1:]))
        row |= {"parameters": layer.count_params(), "multiply-adds": multiply_adds(layer)}
        rows.append(row | ranks)
    total = dict.fromkeys(rows[0], "") | {"layer": "total"}
    for name in ("parameters", "multiply-adds"):
        counts = [row[name] for row in rows]
        total[name] = None if None in counts else sum(counts)
    table = pd.DataFrame([*rows, total])
    return table if total["multiply-adds"] is not None else table.astype({"multiply-adds": "Int64"})


def hidden_shape(layer, input_shape=None):
    """Returns the shape between the two convolutions of a built `LightConv2D`."""
    *kernel_size, _, width = layer.factor_1.shape
    first = keras.layers.Conv2D(
        width, kernel_size, data_format=layer.data_format, **layer.stages[0]
    )
    return first.compute_output_shape(input_shape or layer.input.shape)


def count_at_output(*names):
    """Returns the formula of layers that apply weights once at each position of their output.

    Such a layer defines `compute_output_shape`, as all of Keras' do.

    Args:
        *names: Strings, the attributes that hold these weights, such as `"kernel"`.

    Returns:
        A function `(layer, input_shape) -> integer`.
    """

    def count(layer, input_shape):
        weights = sum(math.prod(getattr(layer, name).shape) for name in names)
        return weights * _count_positions(layer, layer.compute_output_shape(input_shape))

    return count


def _count_positions(layer, shape):
    """Returns how many vectors of channels one image of a shape has."""
    channels_first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return math.prod(shape[2:] if channels_first else shape[1:-1])


def _count_outputs(layer):
    return math.prod(layer.output.shape[1:])


def _count_lightconv2d(layer, input_shape):
    if layer.implementation == "merged":
        positions = _count_positions(layer, layer.compute_output_shape(input_shape))
        return positions * math.prod(layer.dense_kernel_shape)  # whatever the rank
    hidden = _count_positions(layer, hidden_shape(layer, input_shape))
    first = hidden * math.prod(layer.factor_1.shape)
    return first + count_at_output("factor_2")(layer, input_shape)


def _count_lightconv2d_values(layer):
    if layer.implementation == "merged":  # "auto" is not, in training
        return _count_outputs(layer)
    return _count_outputs(layer) + math.prod(hidden_shape(layer)[1:])


def _count_lightdense_values(layer):
    return _count_outputs(layer) // layer.units * (layer.units + layer.rank)


def _count_separable_values(layer):
    between = layer.pointwise_kernel.shape[-2]
    return _count_outputs(layer) // layer.filters * (layer.filters + between)


register(keras.layers.Dense, count_at_output("kernel"))
register(keras.layers.Conv2D, count_at_output("kernel"))
register(keras.layers.DepthwiseConv2D, count_at_output("kernel"))
register(
    keras.layers.SeparableConv2D,
    count_at_output("depthwise_kernel", "pointwise_kernel"),
    _count_separable_values,
)
register(LightDense, count_at_output("factor_1", "factor_2"), _count_lightdense_values)
register(LightConv2D, _count_lightconv2d, _count_lightconv2d_values)
