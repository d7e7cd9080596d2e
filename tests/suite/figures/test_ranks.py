"""Figures of chosen ranks: every seed and mean, and each layer's rank."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from suite.analysis.records import frame

from lightlayers.suite.figures import ranks


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def legend(axis):
    handles, names = axis.get_legend_handles_labels()
    return [(name, line.get_color()) for line, name in zip(handles, names, strict=True)]


def test_the_figure_of_chosen_ranks_has_every_seed_and_each_mean_in_the_same_colours():
    runs_ = frame(
        ("digits", "spatial", 3, (0.90, 0.91), "corrected"),
        ("digits", "product", 1, (0.95, 0.97), "corrected"),
        ("cifar10", "product", 5, (0.71, 0.72), "corrected"),
    )
    figure = ranks.chosen_ranks(runs_)
    digits, cifar10 = figure.axes
    assert [text.get_text() for text in digits.get_xticklabels()] == ["K = 1"]
    assert [text.get_text() for text in cifar10.get_xticklabels()] == ["K = 5"]

    def drawn(axis):
        points = [each.get_offsets().data for each in axis.collections if len(each.get_offsets())]
        means = [line.get_ydata().tolist() for line in axis.lines if len(line.get_ydata())]
        return sorted(np.concatenate(points)[:, 1].round(2)), means

    seeds, means = drawn(digits)
    assert seeds == [0.90, 0.91, 0.95, 0.97]
    assert sorted(round(y, 4) for ys in means for y in ys if y == y) == [0.905, 0.96]
    colors = {name: color for axis in (digits, cifar10) for name, color in legend(axis)}
    assert len(set(colors.values())) == len(colors) == 2
    assert legend(digits)[1] == legend(cifar10)[1]
    assert ranks.chosen_ranks(runs_[:0]).axes


def test_the_map_has_every_rank_and_says_which_layers_stay_dense():
    lines = [["digits", "one (as K = 1)", None, 2.3], ["mnist", "two (as K = 3)", 5, 21]]
    table = pd.DataFrame(lines, columns=["data set", "method", "block1_conv1", "block1_conv2"])
    figure = ranks.rank_map(table)
    texts = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert texts == [["–", "2.3"], ["5", "21"]]
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == ["block1\nconv1", "block1\nconv2"]
    assert ranks.rank_map(table[:0]).axes
