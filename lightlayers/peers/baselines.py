"""Keras' own layers, which the paper compares with."""

from lightlayers.suite.registry import Block


def _apply_conv2d(x, filters, kernel_size, size, context):
    import keras

    l2 = context.recipe.l2
    layer = keras.layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=context.recipe.conv_bias,
        kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
        name=context.name,
    )
    return layer(x)


def _apply_separableconv2d(x, filters, kernel_size, size, context):
    import keras

    layer = keras.layers.SeparableConv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=context.recipe.conv_bias,
        name=context.name,
    )
    outputs = layer(x)
    if context.recipe.l2:
        layer.depthwise_kernel.regularizer = _make_product_penalty(layer, context.recipe.l2)
    return outputs


def _make_product_penalty(layer, l2):
    """Returns the L2 penalty on the dense kernel that a SeparableConv2D stands for.

    `kernel[i, j, c, f] = depthwise[i, j, c] · pointwise[c, f]`, so its squares add up channel by
    channel. Keras' own penalties are on each of the two.
    """
    import keras
    from keras import ops

    class ProductPenalty(keras.regularizers.Regularizer):
        def __call__(self, depthwise_kernel):
            depthwise = ops.sum(ops.square(depthwise_kernel), (0, 1, 3))
            pointwise = ops.sum(ops.square(layer.pointwise_kernel), (0, 1, 3))
            return l2 * ops.sum(depthwise * pointwise)

    return ProductPenalty()


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
    apply=_apply_conv2d,
    weights=_count_conv2d,
    everywhere=True,
    takes_l2=True,
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
    takes_l2=True,
)
PEERS = (CONV2D, SEPARABLECONV2D)
