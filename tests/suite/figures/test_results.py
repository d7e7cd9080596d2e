"""The figures of results: what is drawn is what the runs say, and stays readable."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from suite.analysis.records import RECORDS, frame, record

from lightlayers.suite import registry
from lightlayers.suite.analysis import tables, verdicts
from lightlayers.suite.figures import results


@pytest.fixture
def runs():
    return tables.frame(RECORDS)


def test_every_seed_is_a_point_in_the_figure(runs):
    axis = results.accuracy_against_parameters(runs, "digits").axes[0]
    drawn = np.concatenate([line.get_ydata() for line in axis.lines])
    for accuracy in runs["accuracy"]:
        assert np.isclose(drawn, accuracy).any()
    assert any("K = 2" in text.get_text() for text in axis.texts)
    plt.close("all")


def test_ranks_of_forms_of_one_size_can_be_read():
    rows = (("lightlayers", 5, 9102), ("channel", 10, 8866), ("spatial", 15, 8986))
    other = record("lightlayers", 1, 42, 0.8, 2615)
    runs = tables.frame([other, *(record(*row[:2], 42, 0.91, row[2]) for row in rows)])
    axis = results.accuracy_against_parameters(runs, "digits").axes[0]
    axis.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    plt.close("all")


def test_a_seed_at_chance_or_without_a_fault_leaves_the_others_room(runs):
    runs["accuracy"] = [0.96, 0.98, 0.99, 0.1, 0.95, 1.0]
    axis = results.accuracy_against_parameters(runs, "digits").axes[0]
    axis.figure.canvas.draw()
    low, one, two, high = axis.transAxes.inverted().transform(
        axis.transData.transform([(100, y) for y in (0.1, 0.96, 0.98, 1 - 5e-5)])
    )[:, 1]
    assert 0 < low < one < two < high < 1 and two - one > 0.05
    assert len(axis.get_yticks()) >= 4
    plt.close("all")


def test_curves_show_mean_and_range():
    axes = results.learning_curves(RECORDS).axes
    titles = [axis.get_title() for axis in axes]
    assert titles == ["Conv2D", "LightLayers (K = 2)"]
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), [0.36, 0.72])
    band = axes[1].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.355, 0.73))
    plt.close("all")


def test_ablation_figure_has_a_point_for_every_seed(runs):
    both = pd.concat([runs, runs.assign(recipe="no-scale", accuracy=runs["accuracy"] + 0.05)])
    light = both[both["method"] == "lightlayers"]
    (axis,) = results.ablation(light).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["paper", "no-scale"]
    drawn = np.concatenate([line.get_xdata() for line in axis.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(sorted(drawn), sorted(light["accuracy"]))
    assert results.ablation(runs[:0]).axes
    plt.close("all")


@pytest.mark.parametrize(("losses", "bars"), [([2.3, 0.01], 0), ([2.3, 0.01, 0.02], 1)])
def test_verdict_figure_stays_readable_whatever_the_interval(losses, bars):
    runs = tables.frame(
        [record("conv2d", None, seed, 1 - loss / 3) for seed, loss in enumerate(losses)]
    ).assign(dataset="mnist", loss=losses)
    table = verdicts.against_paper(runs, "mnist")
    assert table["high"].max() > 10
    figure = results.verdicts({"mnist": table})
    for axis in figure.axes:
        # Of what was printed and run, .018 to 2.3, and a twelfth more at each end of its logarithm.
        assert axis.get_xlim()[1] < 4
        assert len(axis.get_xticks()) >= 3 and not axis.get_xticks(minor=True).any()
        assert sum(line.get_linewidth() == 7 for line in axis.lines) == bars
    plt.close(figure)


def legend(axis):
    handles, names = axis.get_legend_handles_labels()
    return [(name, line.get_color()) for line, name in zip(handles, names, strict=True)]


def test_the_figure_of_chosen_ranks_has_every_seed_and_each_mean_in_the_same_colours():
    runs_ = frame(
        ("digits", "spatial", 3, (0.90, 0.91), "corrected"),
        ("digits", "product", 1, (0.95, 0.97), "corrected"),
        ("cifar10", "product", 5, (0.71, 0.72), "corrected"),
    )
    figure = results.chosen_ranks(runs_)
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
    assert len(set(colors.values())) == len(colors) == 5
    assert legend(digits)[3] == legend(cifar10)[3]
    assert results.chosen_ranks(runs_[:0]).axes


def test_the_figure_of_verdicts_has_every_published_number(runs):
    table = verdicts.against_paper(runs.assign(dataset="mnist"), "mnist")
    empty = verdicts.against_paper(tables.frame([]), "cifar100")
    figure = results.verdicts({"mnist": table, "cifar100": empty})
    drawn = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert drawn == list(table["published"][::3])
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
    axis = results.accuracy_against_parameters(runs, "digits").axes[0]
    assert {text.get_text() for text in axis.texts} == {"56%", "K = 3, 80%", "9"}
    plt.close("all")


def test_a_peer_that_the_figures_do_not_know_is_drawn_as_it_says(monkeypatch):
    peer = registry.Block(name="new", label="New block (1/{size})", marker="h")
    peer = dataclasses.replace(peer, knob=registry.Knob("ratio", "1/{size}"))
    entries = registry.entries() | {"new": peer}
    monkeypatch.setattr(registry, "entries", lambda: entries)
    runs = tables.frame([record("new", 4, seed, 0.8) for seed in (1, 2, 3)])
    axis = results.accuracy_against_parameters(runs, "digits").axes[0]
    assert [text.get_text() for text in axis.texts] == ["1/4"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["New block, mean"]
    assert {line.get_marker() for line in axis.lines} == {"h"}
    (axis,) = results.learning_curves([record("new", 4, 1, 0.8)]).axes
    assert axis.get_title() == "New block (1/4)"
    plt.close("all")


def test_many_methods_have_their_legend_beside_the_axes():
    rows = [(entry.name, 1 if entry.knob else None) for entry in registry.entries().values()]
    runs = tables.frame([record(*row, 42, 0.8, 1000 * i) for i, row in enumerate(rows, 2)])
    axis = results.accuracy_against_parameters(runs, "mnist").axes[0]
    axis.figure.canvas.draw()
    legend = axis.get_legend().get_window_extent()
    assert legend.x0 > axis.get_window_extent().x1
    assert legend.x1 <= axis.figure.bbox.x1
    plt.close("all")
