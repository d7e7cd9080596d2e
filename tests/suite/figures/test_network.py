"""The figure of one network: predictions are counted right, and kernels may be missing."""

import numpy as np
import pytest

from lightlayers.suite import datasets, networks
from lightlayers.suite.figures import network, samples
from lightlayers.suite.store import Store


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    return samples.shown_sheet("digits", Store(tmp_path_factory.mktemp("outputs")))


@pytest.fixture
def record():
    """A record that says the true class of all images but one."""
    chances = np.eye(10, dtype=int)[datasets.load("digits").y_test[:16]] * 1000
    chances[3] = np.roll(chances[3], 1)
    shown = {"per_mille": chances.tolist(), "first_kernels": np.ones((3, 3, 1, 2)).tolist()}
    return {"run": {"seed": 7}, "shown": shown}


def draw_texts(record, sheet):
    figure = network.choice(networks.count_layers("digits", "conv2d"), record, sheet, "abcdefghij")
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_predictions_are_counted_right(record, sheet):
    texts = draw_texts(record, sheet)
    assert "seed 7 on the first 16 test images: 15 right" in texts
    assert sum("\nnot " in text for text in texts) == 1
    assert "its first kernels (red: positive)" in texts


def test_a_record_without_kernels_is_drawn_without(record, sheet):
    del record["shown"]["first_kernels"]
    texts = draw_texts(record, sheet)
    assert "seed 7 on the first 16 test images: 15 right" in texts
    assert not any("kernels" in text for text in texts)
