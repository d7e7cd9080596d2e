"""Layer families: a method's name, and how it makes a convolution and a dense layer."""

import dataclasses
import math

from lightlayers import backend


@dataclasses.dataclass(frozen=True)
class Family:
    """One method of building the paper's networks.

    Args:
        name: String, the method's name in records and on the command line.
        label: String, its name in tables, with `{rank}` where it has one.
        conv: Function `(filters, kernel_size, rank, recipe, **kwargs)`, returns a layer.
        dense: Function `(units, recipe, **kwargs)`, returns a layer.
        ranked: Boolean, whether the method has a rank.
        start: Integer. Above 1 the ranks are found in training, under the budget of the
            paper's network at K = `rank`; they start at so many times that.
        rule: String, a name of `ranks.RULES`: half the epochs train Conv2D, which is then
            converted to the ranks of that rule under the same budget, in the spatial form.
    """

    name: str
    label: str
    conv: object
    dense: object
    ranked: bool = False
    start: int = 1
    rule: str = ""

    @property
    def chooses(self):
        """Whether each layer gets a rank of its own, in the first half of the epochs."""
        return self.start > 1 or bool(self.rule)


def _conv2d(filters, kernel_size, rank, recipe, **kwargs):
    layers = backend.load().layers
    return layers.Conv2D(filters, kernel_size, use_bias=recipe.conv_bias, **kwargs)


def _separableconv2d(filters, kernel_size, rank, recipe, **kwargs):
    layers = backend.load().layers
    return layers.SeparableConv2D(filters, kernel_size, use_bias=recipe.conv_bias, **kwargs)


def _l2(strength):
    return backend.load().regularizers.L2(strength) if strength else None


def _lightconv2d(filters, kernel_size, rank, recipe, **kwargs):
    backend.load()
    from lightlayers import layers

    return layers.LightConv2D(
        filters,
        kernel_size,
        rank=rank,
        # Whatever the recipe: no normalisation makes up for the bias before the ReLU inside.
        use_bias=True,
        bias_initializer=recipe.bias_initializer,
        intermediate_activation=recipe.intermediate_activation,
        kernel_regularizer=_l2(recipe.kernel_l2),
        **kwargs,
    )


def _linear(form):
    def conv(filters, kernel_size, rank, recipe, **kwargs):
        backend.load()
        from lightlayers import layers

        return layers.LightConv2D(
            filters,
            kernel_size,
            rank=rank,
            form=form,
            use_bias=recipe.conv_bias,
            factor_initializer=recipe.factor_initializer,
            product_regularizer=_l2(recipe.product_l2),
            **kwargs,
        )

    return conv


def _dense(units, recipe, **kwargs):
    return backend.load().layers.Dense(units, **kwargs)


def _lightdense(units, recipe, **kwargs):
    if recipe.dense_rank is None:
        return _dense(units, recipe, **kwargs)
    backend.load()
    from lightlayers import layers

    return layers.LightDense(units, rank=recipe.dense_rank, scale=recipe.dense_scale, **kwargs)


def _converted(rule):
    label = f"Conv2D, then {rule} ranks (as K = {{rank}})"
    return Family(rule, label, _conv2d, _dense, ranked=True, rule=rule)


FAMILIES = {
    family.name: family
    for family in (
        Family("conv2d", "Conv2D", _conv2d, _dense),
        Family("separableconv2d", "SeparableConv2D", _separableconv2d, _dense),
        Family("lightlayers", "LightLayers (K = {rank})", _lightconv2d, _lightdense, ranked=True),
        Family("channel", "channel form (rank {rank})", _linear("channel"), _lightdense, True),
        Family("spatial", "spatial form (rank {rank})", _linear("spatial"), _lightdense, True),
        Family(
            "automatic", "ranks found (as K = {rank})", _linear("spatial"), _lightdense, True, 5
        ),
        *map(_converted, ("greedy", "product", "uniform")),
    )
}


def get(method, rank=None):
    """Returns the family of a method, having checked that the rank fits it.

    Raises:
        ValueError: If there is no such method, or its rank is missing or too much.
    """
    if method not in FAMILIES:
        raise ValueError(
            f"Unknown method. Expected one of {sorted(FAMILIES)}. Received: {method!r}"
        )
    family = FAMILIES[method]
    if family.ranked and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        raise ValueError(
            f"Method {method!r} needs an integer rank, at least 1. Received: rank={rank!r}"
        )
    if not family.ranked and rank is not None:
        raise ValueError(f"Method {method!r} has no rank. Received: rank={rank}")
    return family


def label(method, rank=None):
    """Returns the name of a row in tables and figures, as the paper prints it."""
    return get(method, rank).label.format(rank=rank)


def hidden_shape(layer, input_shape=None):
    """Returns the shape between the two convolutions of a built `LightConv2D`."""
    *kernel_size, _, width = layer.factor_1.shape
    first = backend.load().layers.Conv2D(
        width, kernel_size, data_format=layer.data_format, **layer.stages[0]
    )
    return first.compute_output_shape(input_shape or layer.input.shape)


def activations(layer):
    """Returns how many values a built layer computes for one image: its output, and what is
    between its two factors or convolutions, if it has two."""
    keras = backend.load()
    from lightlayers import layers

    out = layer.output.shape[1:]
    count = math.prod(out)
    if isinstance(layer, layers.LightConv2D):
        if layer.implementation == "merged":  # "auto" is not, in training
            return count
        return count + math.prod(hidden_shape(layer)[1:])
    if isinstance(layer, layers.LightDense):
        return count + count // layer.units * layer.rank
    if isinstance(layer, keras.layers.SeparableConv2D):
        return count + count // layer.filters * layer.pointwise_kernel.shape[-2]
    return count


def has_formula(layer):
    """Returns whether `multiply_adds` knows how often a layer applies its kernel."""
    layers = backend.load().layers
    return isinstance(
        layer, layers.Conv2D | layers.SeparableConv2D | layers.DepthwiseConv2D | layers.Dense
    )


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
    keras = backend.load()
    from lightlayers import layers

    def positions(shape, channel_axis=-1):
        sizes = list(shape[1:])
        del sizes[channel_axis if channel_axis == -1 else channel_axis - 1]
        return math.prod(sizes)

    def size(weight):
        return math.prod(weight.shape)

    if not has_formula(layer):
        # Their weights are looked up, or applied once to each value.
        names = "Embedding LayerNormalization Normalization PReLU RMSNormalization".split()
        free = type(layer) in [getattr(keras.layers, name) for name in names]
        return 0 if free or all(len(weight.shape) < 2 for weight in layer.weights) else None
    out = layer.compute_output_shape(input_shape or layer.input.shape)
    if isinstance(layer, layers.LightDense):
        return positions(out) * (size(layer.factor_1) + size(layer.factor_2))
    if isinstance(layer, keras.layers.Dense):
        return positions(out) * size(layer.kernel)
    axis = -1 if layer.data_format == "channels_last" else 1
    at_output = positions(out, axis)
    if isinstance(layer, layers.LightConv2D) and layer.implementation == "merged":
        return at_output * math.prod(layer.dense_kernel_shape)  # whatever the rank
    if isinstance(layer, layers.LightConv2D):
        at_hidden = positions(hidden_shape(layer, input_shape), axis)
        return at_hidden * size(layer.factor_1) + at_output * size(layer.factor_2)
    if isinstance(layer, keras.layers.SeparableConv2D):
        return at_output * (size(layer.depthwise_kernel) + size(layer.pointwise_kernel))
    return at_output * size(layer.kernel)
