"""Changes of the protocol: every seed is a point, and the stairs add changes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from suite.analysis.records import RECORDS, frame

from lightlayers.suite.analysis import intervals, tables
from lightlayers.suite.figures import changes


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_ablation_figure_has_a_point_for_every_seed():
    runs = tables.frame(RECORDS)
    both = pd.concat([runs, runs.assign(recipe="no-scale", accuracy=runs["accuracy"] + 0.05)])
    light = both[both["method"] == "lightlayers"]
    (axis,) = changes.ablation(light).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["paper", "no-scale"]
    drawn = np.concatenate([line.get_xdata() for line in axis.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(sorted(drawn), sorted(light["accuracy"]))
    assert changes.ablation(runs[:0]).axes


def test_rows_of_one_data_set_have_panels_of_their_own_with_one_order_of_recipes():
    runs = frame(
        ("cifar100", "lightlayers", 5, (0.06, 0.05), "no-scale"),
        ("cifar100", "lightlayers", 5, (0.05, 0.04)),
        ("cifar100", "conv2d", None, (0.3, 0.31)),
    )
    axes = changes.ablation(runs).axes
    titles = [axis.get_title() for axis in axes]
    assert titles == ["cifar100\nLightLayers (K = 5)", "cifar100\nConv2D"]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["paper", "no-scale"]


def test_stairs_lead_over_the_best_single_change_to_all():
    means = {"paper": 0.06, "shuffled": 0.05, "no-scale": 0.15, "rate-1e-3": 0.17}
    means |= {"first-four": 0.24, "all-changes": 0.3, "corrected": 0.5}
    groups = []
    for recipe, mean in means.items():
        groups.append(("cifar100", "lightlayers", 5, (mean - 0.01, mean, mean + 0.01), recipe))
    runs = frame(*groups)
    (axis,) = changes.change_steps(runs).axes
    labels = [text.get_text() for text in axis.get_yticklabels()]
    assert labels[:4] == ["paper", "shuffled", "no-scale", "rate-1e-3"]
    assert labels[4:] == [
        "first-four:\n+ no-scale, zero-biases,\nshuffled",
        "all-changes:\n+ no-relu, no-l2",
    ]
    texts = [text.get_text() for text in axis.texts]
    assert texts == ["6.0%", "17.0%", "24.0%", "30.0%"]
    _, low, high = intervals.mean_interval(pd.Series([0.16, 0.17, 0.18]))
    pairs = [line.get_xdata() for line in axis.lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(pair, [low, high]) for pair in pairs)
    assert changes.change_steps(runs[:0]).axes
