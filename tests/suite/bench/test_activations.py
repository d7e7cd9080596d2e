"""Activations: what a layer computes, between its factors too."""

import math

import keras
import pytest

from lightlayers import LightConv2D, LightDense
from lightlayers.suite.bench.activations import count_activations


def test_activations_are_what_the_convolutions_put_out():
    layers = keras.layers
    inputs = keras.Input((8, 8, 4))
    for layer, between in (
        (layers.Conv2D(6, 3), 0),
        (layers.SeparableConv2D(6, 3, depth_multiplier=2), 6 * 6 * 8),
        (LightConv2D(6, 3, rank=2), 8 * 8 * 2),
        (LightConv2D(6, 3, rank=2, form="spatial", groups=2), 8 * 6 * 4),
        (LightConv2D(6, 3, rank=2, form="channel", implementation="merged"), 0),
    ):
        layer(inputs)
        assert count_activations(layer) == 6 * 6 * 6 + between, layer
    for layer, values in ((layers.Dense(10), 10), (LightDense(10, rank=3), 13)):
        layer(keras.Input((5, 12)))
        assert count_activations(layer) == 5 * values
    relu = layers.ReLU()
    relu(inputs)
    assert count_activations(relu) == math.prod(inputs.shape[1:])


@pytest.mark.parametrize(
    ("make", "between"),
    [
        (lambda: keras.layers.Conv2D(6, 3, padding="same"), 0),
        (lambda: keras.layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2), 8),
        (lambda: LightConv2D(6, 3, padding="same", rank=5), 5),
        (lambda: LightConv2D(6, 3, padding="same", rank=5, form="spatial"), 5),
        (lambda: LightConv2D(6, 3, padding="same", rank=5, form="channel"), 5),
        (
            lambda: LightConv2D(
                6, 3, padding="same", rank=5, form="channel", implementation="merged"
            ),
            0,
        ),
    ],
)
def test_activations_count_what_is_between_the_factors(make, between):
    layer = make()
    layer(keras.Input((7, 9, 4)))
    assert count_activations(layer) == 7 * 9 * (6 + between)
