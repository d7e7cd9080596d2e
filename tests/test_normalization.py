"""BatchNormalization: the same as Keras' own, fused where it can be."""

import keras
import numpy as np
import pytest

from lightlayers.normalization import BatchNormalization


@pytest.mark.parametrize("arguments", [{}, {"renorm": True}, {"synchronized": True}])
def test_normalisation_is_that_of_keras(arguments):
    x = np.random.default_rng(0).normal(2, 3, (16, 4, 4, 3)).astype("float32")
    try:
        layers = [
            make(momentum=0.5, **arguments)
            for make in (BatchNormalization, keras.layers.BatchNormalization)
        ]
    except (TypeError, ValueError) as error:
        pytest.skip(f"not in this Keras: {error}")
    for images in (x, np.abs(x).astype("uint8")):
        ours, theirs = (
            [np.asarray(layer(images, training=True)), *layer.get_weights()] for layer in layers
        )
        for one, two in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
