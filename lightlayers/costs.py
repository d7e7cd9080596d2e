"""What layers compute: multiply-adds, by one formula for each type of layer."""

import math

import keras

from lightlayers.layers import LightConv2D, LightDense

_FORMULAS = {}  # layer type -> function (layer, input_shape)
# Their weights are looked up, or applied once to each value. Subclasses may do more with them.
_FREE = [
    getattr(keras.layers, name)
    for name in "Embedding LayerNormalization Normalization PReLU RMSNormalization".split()
]


def register(layer_type, multiply_adds):
    """Tells what layers of a type compute, so that they count in budgets and tables.

    Args:
        layer_type: Class of layers. Subclasses are counted alike, unless they are registered too.
        multiply_adds: Function `(layer, input_shape) -> integer`, for one image.

    Example:

    >>> register(keras.layers.Conv3D, count_at_output("kernel"))
    >>> layer = keras.layers.Conv3D(2, 3)
    >>> _ = layer(keras.Input((5, 5, 5, 1)))
    >>> multiply_adds(layer)  # 3³ · 2 weights at 3³ positions
    1458
    """
    _FORMULAS[layer_type] = multiply_adds


def _find_formula(layer):
    """Returns a layer's formula, that of its nearest class that is registered, or `None`."""
    return next((_FORMULAS[each] for each in type(layer).__mro__ if each in _FORMULAS), None)


def has_formula(layer):
    """Returns whether `multiply_adds` knows how often a layer applies its kernel."""
    return _find_formula(layer) is not None


def multiply_adds(layer, input_shape=None):
    """Returns the multiply-adds of one built layer for one image.

    Each weight of a kernel counts one MAC for each position at which that kernel is applied, zero
    padding included. Biases, activations, pooling, normalisation and embeddings count nothing.

    Args:
        layer: A built Keras layer with a fixed input size.
        input_shape: Tuple, what it is applied to. Defaults to what it was first called on.

    Returns:
        Integer, or `None` if the layer has a kernel and `has_formula` is false.
    """
    formula = _find_formula(layer)
    if formula:
        return formula(layer, input_shape or layer.input.shape)
    without_kernel = all(len(weight.shape) < 2 for weight in layer.weights)
    return 0 if without_kernel or type(layer) in _FREE else None


def count_applications(applications, limits=(math.inf, math.inf)):
    """Returns `{path: multiply-adds}` of all applications of each layer, `None` if unknown.

    Args:
        applications: What `graphs.applications` returns.
        limits: Pair, as of `Budget.limits`. Defaults to no limits.

    Raises:
        ValueError: If multiply-adds have a limit and some are unknown.
    """
    counts = {}
    for path, (layer, shapes) in applications.items():
        is_open = any(shape is None or None in shape[1:] for shape in shapes)
        if is_open and has_formula(layer):
            each = [None]
        else:
            each = [multiply_adds(layer, shape) for shape in shapes]
        counts[path] = None if None in each else sum(each)
    unknown = {path: applications[path] for path, count in counts.items() if count is None}
    if not unknown or not math.isfinite(limits[1]):
        return counts
    others = []
    for path, (layer, _) in unknown.items():
        if not has_formula(layer):
            others.append(f"{path!r} ({type(layer).__name__})")
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


def hidden_shape(layer, input_shape=None):
    """Returns the shape between the two convolutions of a built `LightConv2D`."""
    *kernel_size, _, width = layer.factor_1.shape
    arguments = {"data_format": layer.data_format, **layer.stages[0]}
    first = keras.layers.Conv2D(width, kernel_size, **arguments)
    return first.compute_output_shape(input_shape or layer.input.shape)


def count_at_output(*names):
    """Returns the formula of layers that apply weights once at each position of their output.

    Args:
        *names: Strings, the attributes that hold these weights, such as `"kernel"`. The layer
            defines `compute_output_shape`, as all of Keras' do.

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


def _count_lightconv2d(layer, input_shape):
    if layer.implementation == "merged":
        positions = _count_positions(layer, layer.compute_output_shape(input_shape))
        return positions * math.prod(layer.dense_kernel_shape)  # whatever the rank
    hidden = _count_positions(layer, hidden_shape(layer, input_shape))
    first = hidden * math.prod(layer.factor_1.shape)
    return first + count_at_output("factor_2")(layer, input_shape)


register(keras.layers.Dense, count_at_output("kernel"))
register(keras.layers.Conv2D, count_at_output("kernel"))
register(keras.layers.DepthwiseConv2D, count_at_output("kernel"))
register(keras.layers.SeparableConv2D, count_at_output("depthwise_kernel", "pointwise_kernel"))
register(LightDense, count_at_output("factor_1", "factor_2"))
register(LightConv2D, _count_lightconv2d)
