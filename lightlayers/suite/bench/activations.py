"""How many values layers compute, which a training step keeps."""

import math


def count_activations(layer):
    """Returns how many values a layer computes for one image: its output, and between its factors.

    Args:
        layer: Keras layer that was called on a symbolic input of fixed size.
    """
    import keras

    from lightlayers import costs
    from lightlayers.layers import LightConv2D, LightDense

    outputs = math.prod(layer.output.shape[1:])
    if isinstance(layer, LightConv2D):
        merged = layer.implementation == "merged"  # "auto" is not, in training
        return outputs + (0 if merged else math.prod(costs.hidden_shape(layer)[1:]))
    if isinstance(layer, LightDense):
        return outputs + outputs // layer.units * layer.rank
    if isinstance(layer, keras.layers.SeparableConv2D):
        return outputs + outputs // layer.filters * layer.pointwise_kernel.shape[-2]
    return outputs
