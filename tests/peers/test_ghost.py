"""Ghost: the first half of its channels is the primary convolution's."""

import keras
import numpy as np

from lightlayers.peers import ghost
from lightlayers.suite import networks, recipes


def test_the_first_half_of_the_channels_is_the_primary_path():
    inputs = keras.Input((8, 8, 4))
    context = networks.Context("unit", recipes.CORRECTED)
    outputs = ghost.apply_ghost(inputs, 6, 3, None, context)
    model = keras.Model(inputs, outputs)
    primary = keras.Model(inputs, model.get_layer("unit_cheap").input)
    images = np.random.default_rng(0).random((2, 8, 8, 4), "float32")
    found = np.asarray(model(images))
    assert found.shape == (2, 8, 8, 6)
    np.testing.assert_array_equal(found[..., :3], np.asarray(primary(images)))


def test_an_odd_number_of_filters_is_cut_to_size():
    inputs = keras.Input((8, 8, 4))
    context = networks.Context("unit", recipes.CORRECTED)
    assert ghost.apply_ghost(inputs, 5, 3, None, context).shape == (None, 8, 8, 5)


def test_the_weights_are_those_of_the_module():
    # k² · channels · m + 9 · m for m = 8, and 16 + 16 numbers of each normalisation
    assert ghost.count_ghost(3, 16, 16, None, recipes.CORRECTED) == [(1224, 1), (64, 0)]
