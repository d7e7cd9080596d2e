"""Keras' own layers, which the paper compares with."""

import functools

from lightlayers.suite.registry import Block


def _apply_layer(x, filters, kernel_size, size, context, name):
    import keras

    layer = getattr(keras.layers, name)(
        filters,
        kernel_size,
        padding="same",
        use_bias=context.recipe.conv_bias,
        name=context.name,
    )
    return layer(x)


def _count_conv2d(kernel_size, channels, filters, size, recipe):
    return [(kernel_size**2 * channels * filters, 1), (filters * recipe.conv_bias, 0)]


def _count_separableconv2d(kernel_size, channels, filters, size, recipe):
    return [(channels * (kernel_size**2 + filters), 1), (filters * recipe.conv_bias, 0)]


CONV2D = Block(
    name="conv2d",
    label="Conv2D",
    source="Keras",
    fidelity="faithful",
    group="Keras",
    marker="s",
    baseline=True,
    apply=functools.partial(_apply_layer, name="Conv2D"),
    weights=_count_conv2d,
    everywhere=True,
)
SEPARABLECONV2D = Block(
    name="separableconv2d",
    label="SeparableConv2D",
    source="Keras; Chollet, arXiv 1610.02357",
    fidelity="faithful",
    group="Keras",
    marker="D",
    apply=functools.partial(_apply_layer, name="SeparableConv2D"),
    weights=_count_separableconv2d,
    everywhere=True,
)
PEERS = (CONV2D, SEPARABLECONV2D)
