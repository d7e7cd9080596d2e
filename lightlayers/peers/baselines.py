"""Keras' own layers, which the paper compares with."""

from lightlayers.suite.registry import Block


def _apply_conv2d(x, filters, kernel_size, size, context):
    import keras

    layer = keras.layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=context.recipe.conv_bias,
        name=context.name,
    )
    return layer(x)


def _count_conv2d(kernel_size, channels, filters, size, recipe):
    return [(kernel_size**2 * channels * filters, 1), (filters * recipe.conv_bias, 0)]


def _apply_separableconv2d(x, filters, kernel_size, size, context):
    import keras

    layer = keras.layers.SeparableConv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=context.recipe.conv_bias,
        name=context.name,
    )
    return layer(x)


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
    apply=_apply_conv2d,
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
    apply=_apply_separableconv2d,
    weights=_count_separableconv2d,
    everywhere=True,
)
PEERS = (CONV2D, SEPARABLECONV2D)
