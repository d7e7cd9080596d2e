"""What layers compute: multiply-adds by brute force, activations, and what can be registered."""

import functools
import itertools

import keras
import numpy as np
import pytest

from lightlayers import Budget, LightConv2D, LightDense, conversion, costs


def places(size, kernel, stride, dilation, padding):
    """How many places a kernel takes along one axis, by trying each."""
    found = 0
    for start in range(0, size, stride):
        fits = all(start + tap * dilation < size for tap in range(kernel))
        found += padding == "same" or fits
    return found


def by_hand(image, kernel, outputs, strides=(1, 1), dilation=(1, 1), padding="valid"):
    """Multiply-adds of one convolution whose outputs each read `outputs[1]` channels."""
    (h, w), (kh, kw), (filters, read) = image, kernel, outputs
    rows = places(h, kh, strides[0], dilation[0], padding)
    columns = places(w, kw, strides[1], dilation[1], padding)
    count = 0
    for _ in itertools.product(range(rows), range(columns), range(filters)):
        count += kh * kw * read
    return count, (rows, columns)


IMAGE = 9, 11


SETTINGS = [
    {},
    {"padding": "same"},
    {"strides": (2, 3)},
    {"strides": (3, 2), "padding": "same"},
    {"dilation_rate": (2, 1)},
    {"dilation_rate": (1, 3), "padding": "same"},
]


def settings(arguments):
    return {
        "strides": arguments.get("strides", (1, 1)),
        "dilation": arguments.get("dilation_rate", (1, 1)),
        "padding": arguments.get("padding", "valid"),
    }


def measured(layer, channels=4, image=IMAGE):
    layer(keras.Input((*image, channels)))
    return costs.multiply_adds(layer)


@pytest.mark.parametrize("arguments", SETTINGS, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_multiply_adds_of_conv2d(arguments, groups):
    layer = keras.layers.Conv2D(6, (3, 2), groups=groups, **arguments)
    expected, _ = by_hand(IMAGE, (3, 2), (6, 4 // groups), **settings(arguments))
    assert measured(layer) == expected


@pytest.mark.parametrize("arguments", SETTINGS, ids=str)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_multiply_adds_of_depthwise_and_separable(arguments, multiplier):
    if arguments.get("strides", (1, 1))[0] != arguments.get("strides", (1, 1))[1]:
        # TensorFlow's depthwise kernels know one stride for both axes.
        arguments = {**arguments, "strides": (2, 2)}
    depthwise = keras.layers.DepthwiseConv2D((3, 2), depth_multiplier=multiplier, **arguments)
    separable = keras.layers.SeparableConv2D(6, (3, 2), depth_multiplier=multiplier, **arguments)
    wide = 4 * multiplier
    deep, image = by_hand(IMAGE, (3, 2), (wide, 1), **settings(arguments))
    point, _ = by_hand(image, (1, 1), (6, wide))
    assert measured(depthwise) == deep
    assert measured(separable) == deep + point


@pytest.mark.parametrize("arguments", SETTINGS, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("form", ["paper", "channel", "spatial"])
def test_multiply_adds_of_lightconv2d(form, groups, arguments):
    rank, chosen = 3, settings(arguments)
    hidden, outputs = (groups * rank, 4 // groups), (6, rank)
    layer = LightConv2D(6, (3, 2), rank=rank, form=form, groups=groups, **arguments)
    if form == "paper":
        one, image = by_hand(IMAGE, (3, 2), hidden, padding="same")
        two, _ = by_hand(image, (3, 2), outputs, **chosen)
    elif form == "channel":
        one, image = by_hand(IMAGE, (3, 2), hidden, **chosen)
        two, _ = by_hand(image, (1, 1), outputs)
    else:
        (sh, sw), (dh, dw), padding = chosen["strides"], chosen["dilation"], chosen["padding"]
        one, image = by_hand(IMAGE, (1, 2), hidden, (1, sw), (1, dw), padding)
        two, _ = by_hand(image, (3, 1), outputs, (sh, 1), (dh, 1), padding)
    assert measured(layer) == one + two


def test_multiply_adds_count_what_a_layer_of_ones_adds_up():
    """With ones everywhere and no padding, the outputs' sum is the number of products."""
    ones = {"kernel_initializer": "ones", "use_bias": False}
    for layer in (keras.layers.Conv2D(6, 3, **ones), keras.layers.Conv2D(6, 3, strides=2, **ones)):
        expected = float(keras.ops.sum(layer(np.ones((1, *IMAGE, 4), "float32"))))
        assert measured(layer) == expected


def test_multiply_adds_of_dense_layers():
    for shape, uses in (((12,), 1), ((5, 12), 5), ((3, 5, 12), 15)):
        for layer, weights in (
            (keras.layers.Dense(10), 12 * 10),
            (LightDense(10, rank=3), 12 * 3 + 3 * 10),
        ):
            layer(keras.Input(shape))
            assert costs.multiply_adds(layer) == uses * weights


class Scaled(keras.layers.Layer):
    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        return keras.ops.matmul(x, self.matrix)


def test_multiply_adds_of_other_kernels_are_unknown_and_without_a_kernel_none():
    layers = keras.layers
    for layer in (
        layers.Conv1D(4, 3),
        layers.EinsumDense("abc,cd->abd", (None, 6)),
        layers.TimeDistributed(layers.Dense(4)),
        layers.LSTM(4),
        layers.SpectralNormalization(layers.Dense(4)),
        Scaled(),
    ):
        layer(keras.Input((8, 4)))
        assert costs.multiply_adds(layer) is None, layer
    transposed = layers.Conv2DTranspose(4, 3)
    transposed(keras.Input((8, 8, 4)))
    assert costs.multiply_adds(transposed) is None
    for layer in (
        layers.BatchNormalization(),
        layers.LayerNormalization(axis=(1, 2)),
        layers.Normalization(axis=(1, 2)),
        layers.PReLU(),
        layers.Embedding(9, 4),
        layers.ReLU(),
    ):
        layer(keras.Input((8, 4)))
        assert costs.multiply_adds(layer) == 0, layer


@pytest.mark.parametrize("make", [keras.layers.Conv2D, LightConv2D, keras.layers.SeparableConv2D])
def test_multiply_adds_do_not_depend_on_the_order_of_axes(make):
    layer = make(6, 3, strides=2, data_format="channels_first")
    layer(keras.Input((4, *IMAGE)))
    assert costs.multiply_adds(layer) == measured(make(6, 3, strides=2))


def test_a_merged_kernel_costs_what_a_dense_one_does():
    for arguments in ({}, {"groups": 2, "strides": 2}):
        make = functools.partial(LightConv2D, 6, 3, form="channel", rank=1, **arguments)
        dense = measured(keras.layers.Conv2D(6, 3, **arguments))
        assert measured(make(implementation="merged")) == dense > measured(make())


def test_what_costs_nothing():
    for layer in (keras.layers.BatchNormalization(), keras.layers.MaxPooling2D()):
        assert measured(layer) == 0


def test_a_subclass_is_counted_as_its_class():
    class Other(keras.layers.Conv2D):
        pass

    assert measured(Other(6, 3)) == measured(keras.layers.Conv2D(6, 3))
    assert costs.has_formula(Other(6, 3)) and not costs.has_formula(Scaled())


def test_a_registered_layer_counts_in_sums_and_budgets():
    class Mixed(Scaled):
        def compute_output_shape(self, input_shape):
            return input_shape

    def make():
        parts = [Mixed(name="mixed"), keras.layers.Dense(3, name="dense")]
        return keras.Sequential([keras.Input((8, 4)), *parts])

    with pytest.raises(ValueError, match=r"Received: 'mixed' \(Mixed\)$"):
        conversion.plan(make(), Budget(macs=300))
    costs.register(Mixed, costs.count_at_output("matrix"))
    model = make()
    assert costs.multiply_adds(model.layers[0]) == 8 * 16
    assert conversion.plan(model, Budget(macs=300))["multiply-adds"].sum() == 8 * (16 + 12)
