"""Accuracy against parameters: every seed is drawn, nothing hides a mean, labels can be read."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
from suite.analysis.records import RECORDS, frame, record

from lightlayers.suite import registry
from lightlayers.suite.analysis import tables
from lightlayers.suite.figures import accuracies, results


@pytest.fixture
def runs():
    return tables.frame(RECORDS)


def list_legend(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_every_seed_is_a_point_in_the_figure(runs):
    axis = accuracies.accuracy_against_parameters(runs, "digits").axes[0]
    drawn = np.concatenate([line.get_ydata() for line in axis.lines])
    for accuracy in runs["accuracy"]:
        assert np.isclose(drawn, accuracy).any()
    assert any("K = 2" in text.get_text() for text in axis.texts)
    plt.close("all")


def test_ranks_of_forms_of_one_size_can_be_read():
    rows = (("lightlayers", 5, 9102), ("channel", 10, 8866), ("spatial", 15, 8986))
    other = record("lightlayers", 1, 42, 0.8, 2615)
    runs = tables.frame([other, *(record(*row[:2], 42, 0.91, row[2]) for row in rows)])
    axis = accuracies.accuracy_against_parameters(runs, "digits").axes[0]
    axis.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    plt.close("all")


def test_a_seed_at_chance_or_without_a_fault_leaves_the_others_room(runs):
    runs["accuracy"] = [0.96, 0.98, 0.99, 0.1, 0.95, 1.0]
    axis = accuracies.accuracy_against_parameters(runs, "digits").axes[0]
    axis.figure.canvas.draw()
    low, one, two, high = axis.transAxes.inverted().transform(
        axis.transData.transform([(100, y) for y in (0.1, 0.96, 0.98, 1 - 5e-5)])
    )[:, 1]
    assert 0 < low < one < two < high < 1 and two - one > 0.05
    assert len(axis.get_yticks()) >= 4
    plt.close("all")


def narrowed(record, width):
    return record | {"run": record["run"] | {"width": width}}


def test_a_row_of_another_width_has_it_beside_its_point():
    runs = tables.frame(
        [
            record("conv2d", None, 42, 0.93, 18706),
            narrowed(record("conv2d", None, 42, 0.9, 6100), 56),
            narrowed(record("lightlayers", 3, 42, 0.88, 4100), 80),
            record("spatial", 9, 42, 0.92, 6100),
        ]
    )
    axis = accuracies.accuracy_against_parameters(runs, "digits").axes[0]
    assert {text.get_text() for text in axis.texts} == {"56%", "K = 3, 80%", "9"}
    plt.close("all")


def test_a_peer_that_the_figures_do_not_know_is_drawn_as_it_says(monkeypatch):
    peer = registry.Block(name="new", label="New block (1/{size})", marker="h")
    peer = dataclasses.replace(peer, knob=registry.Knob("ratio", "1/{size}"))
    entries = registry.entries() | {"new": peer}
    monkeypatch.setattr(registry, "entries", lambda: entries)
    runs = tables.frame([record("new", 4, seed, 0.8) for seed in (1, 2, 3)])
    axis = accuracies.accuracy_against_parameters(runs, "digits").axes[0]
    assert [text.get_text() for text in axis.texts] == ["1/4"]
    assert list_legend(axis.figure) == ["New block, mean"]
    assert {line.get_marker() for line in axis.lines} == {"h"}
    (axis,) = results.learning_curves([record("new", 4, 1, 0.8)]).axes
    assert axis.get_title() == "New block (1/4)"
    plt.close("all")


def test_the_legend_of_many_methods_covers_no_data():
    rows = [(entry.name, 1 if entry.knob else None) for entry in registry.entries().values()]
    runs = tables.frame([record(*row, 42, 0.8, 1000 * i) for i, row in enumerate(rows, 2)])
    figure = accuracies.accuracy_against_parameters(runs, "mnist")
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert legend.y1 < figure.axes[0].get_window_extent().y0
    assert legend.width <= figure.bbox.width
    plt.close("all")


def test_a_published_number_is_open_and_beside_our_mean():
    runs = tables.frame([record("conv2d", None, seed, 0.9887, 18818) for seed in (1, 2, 3)])
    axis = accuracies.accuracy_against_parameters(runs, "mnist").axes[0]
    markers = [line for line in axis.lines if line.get_marker() == "s"]
    (published,) = [line for line in markers if line.get_markerfacecolor() == "none"]
    (mean,) = [line for line in markers if line.get_label() == "Conv2D, mean"]

    def find_pixels(line):
        return line.get_transform().transform(line.get_xydata())[0]

    distance = find_pixels(mean) - find_pixels(published)
    half = (mean.get_markersize() + published.get_markersize()) / 2
    assert distance[0] * 72 / axis.figure.dpi >= half and distance[1] == pytest.approx(0)
    plt.close("all")


def rows_of_all_sizes():
    return frame(
        ("digits", "conv2d", None, (0.98, 0.98, 0.98)),
        ("digits", "lightlayers", 1, (0.6, 0.7, 0.8)),
        ("digits", "lightlayers", 1, (0.9, 0.9, 0.9), "corrected"),
        ("digits", "spatial", 3, (0.85, 0.85, 0.85), "corrected"),
        ("digits", "spatial", 9, (0.99, 0.99), "corrected"),  # too few seeds
    ).assign(parameters=[200] * 3 + [100] * 6 + [150] * 3 + [160] * 2)


def test_the_frontier_has_the_rows_that_no_smaller_one_reaches():
    table = accuracies.find_frontier(rows_of_all_sizes())
    rows = table[["method", "recipe", "accuracy", "n"]].values.tolist()
    assert rows == [
        ["LightLayers (K = 1)", "corrected", 0.9, 3],
        ["Conv2D", "paper", 0.98, 3],
    ]


def test_the_figure_of_the_frontier_has_each_recipe_of_a_row():
    figure = accuracies.frontier(rows_of_all_sizes(), "digits")
    (axis,) = figure.axes
    line, *means = axis.lines
    np.testing.assert_allclose(line.get_ydata(), [0.9, 0.98, 0.98])
    drawn = np.concatenate([mean.get_ydata() for mean in means])
    np.testing.assert_allclose(sorted(drawn), [0.7, 0.85, 0.9, 0.98])
    assert list_legend(figure) == ["frontier", "LightLayers", "spatial form", "Conv2D"]
    assert accuracies.frontier(rows_of_all_sizes()[:0], "digits").axes
    plt.close("all")
