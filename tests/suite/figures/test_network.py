"""Figures of networks: predictions are counted right, kernels may be missing, bars compare."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from suite.analysis.records import record as make_record

from lightlayers.suite import datasets, networks
from lightlayers.suite.figures import network, samples
from lightlayers.suite.runs import Run
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


def test_bars_keep_their_scale_and_stand_before_those_of_the_network_they_are_compared_with():
    base = networks.count_layers("mnist", "conv2d")
    widths = []
    for rank in (1, 6, 16):
        costs = networks.count_layers("mnist", "lightlayers", rank)
        axis = network.choice(costs, base=base).axes[0]
        behind = [patch.get_width() for patch in axis.patches[:7]]
        widths.append(behind)
        assert max(behind) == 1
        assert max(patch.get_width() for patch in axis.patches) <= 1.1
    assert widths[0] == widths[1] == widths[2]
    cut = [text.get_text() for text in axis.texts if "→" in text.get_text()]
    assert "1,806,336 → " in cut  # multiply-adds at rank 16, four times Conv2D's


def test_a_unit_stands_before_all_layers_that_it_replaces():
    base = networks.count_layers("cifar10", "conv2d")
    names = pd.Series(["block1_conv1", "block1", "block2", "block3", "classes"])
    costs = pd.DataFrame({"layer": names, "parameters": 1, "multiply-adds": 1})
    axis = network.choice(costs, base=base).axes[0]
    block3 = base[base["layer"].str.startswith("block3")]["parameters"].sum()
    block2 = base[base["layer"].str.startswith("block2")]["parameters"].sum()
    assert axis.patches[2].get_width() == pytest.approx(block2 / block3)


def test_the_map_of_costs_has_all_of_two_networks():
    runs = [Run.from_row("mnist", "lightlayers-3"), Run.from_row("cifar10", "lightlayers-5")]
    figure = network.cost_map(runs)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "parameters:\n6,135 of 18,818"
    assert titles[2:] == [
        "parameters:\n20,557 of 76,794",
        "multiply-adds:\n4,475,472 of 10,191,488",
    ]
    for axis, total in zip(figure.axes[::2], (6135, 20557), strict=True):
        ours = axis.containers[1]
        assert sum(bar.get_width() for bar in ours) == total
    plt.close(figure)


def test_the_grid_of_kernels_has_the_seeds_that_all_rows_have():
    kernels = {"shown": {"first_kernels": np.ones((3, 3, 1, 2)).tolist()}}
    rows = (("conv2d", None), ("lightlayers", 1))
    records = [make_record(*row, seed, 0.8) | kernels for row in rows for seed in (42, 7)]
    records.append(make_record("conv2d", None, 3, 0.8) | kernels)
    records.append(make_record("ghost", None, 42, 0.8) | {"shown": {}})
    (axis,) = network.kernel_grid(records).axes
    assert [text.get_text() for text in axis.get_xticklabels()] == ["seed 42", "seed 7"]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["Conv2D", "LightLayers (K = 1)"]
    assert len(axis.images) == 4
    assert network.kernel_grid([]).axes
    plt.close("all")
