"""The figures of results: what is drawn is what the runs say, and stays readable."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from suite.analysis.records import RECORDS, record

from lightlayers.suite.analysis import tables, verdicts
from lightlayers.suite.figures import results


@pytest.fixture
def runs():
    return tables.frame(RECORDS)


def test_curves_show_mean_and_range():
    axes = results.learning_curves(RECORDS).axes
    titles = [axis.get_title() for axis in axes]
    assert titles == ["Conv2D", "LightLayers (K = 2)"]
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), [0.36, 0.72])
    band = axes[1].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.355, 0.73))
    plt.close("all")


def test_each_column_of_curves_has_epochs_below_its_lowest_panel():
    records = [record("lightlayers", rank, 1, 0.8) for rank in (1, 2, 3, 4)]
    figure = results.learning_curves(records)
    figure.canvas.draw()
    shown = [axis.xaxis.get_tick_params()["labelbottom"] for axis in figure.axes[:4]]
    assert shown == [False, True, True, True]
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


def test_the_figure_of_verdicts_has_every_published_number(runs):
    table = verdicts.against_paper(runs.assign(dataset="mnist"), "mnist")
    empty = verdicts.against_paper(tables.frame([]), "cifar100")
    figure = results.verdicts({"mnist": table, "cifar100": empty})
    drawn = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() in "oD"]
    assert drawn == list(table["published"][::3])
    plt.close("all")


def cell(**changes):
    line = {"method": "m", "measure": "accuracy", "published": 0.5, "n": 5, "mean": 0.5}
    line |= {"sd": 0.1, "min": 0.4, "max": 0.6, "low": 0.3, "high": 0.7}
    return line | {"verdict": "CONSISTENT, IMPRECISE"} | changes


def draw_verdicts(*cells):
    losses = [each | {"measure": "loss"} for each in cells]
    return results.verdicts({"mnist": pd.DataFrame([*cells, *losses])})


def list_legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_an_interval_that_goes_on_has_an_arrow_at_that_edge():
    within = cell(low=0.41, high=0.59)
    figure = draw_verdicts(within | {"low": 0.001}, cell(low=0.001, high=0.999), within)
    markers = [line.get_marker() for line in figure.axes[0].lines]
    assert markers.count("<") == 2 and markers.count(">") == 1
    words = "the bar goes on beyond the edge"
    assert words in list_legend(figure) and words not in list_legend(draw_verdicts(within))
    plt.close("all")


@pytest.mark.parametrize(
    ("verdict", "marker"),
    [("REPLICATED", "o"), ("CONSISTENT, IMPRECISE", "o"), ("CLOSE", "D"), ("DIFFERENT", "D")],
)
def test_a_number_outside_looks_so_even_on_the_end_of_its_bar(verdict, marker):
    figure = draw_verdicts(cell(low=0.41, high=0.59, published=0.5901, verdict=verdict))
    (published,) = [line for line in figure.axes[0].lines if line.get_marker() in "oD"]
    assert published.get_marker() == marker
    # An open marker shows our mean where it lies on that.
    assert (published.get_markerfacecolor() == "none") == (marker == "o")
    sign = "published, outside the bar" if marker == "D" else "published"
    assert list_legend(figure) == [verdict, "our mean", sign]
    plt.close("all")


def test_both_lines_among_the_times_are_named():
    lines = []
    for task in ("forward", "train"):
        for method, form, adds in (("Conv2D", "", 100), ("LightConv2D", "spatial", 10)):
            lines.append([method, form, adds, task, "factored" if form else ""])
    columns = ["method", "form", "multiply_adds", "task", "implementation"]
    rows = pd.DataFrame(lines, columns=columns).assign(size=8, channels=16, filters=16, ratio=0.04)
    figure = results.time_against_multiply_adds(rows)
    assert list_legend(figure)[-2:] == ["time as multiply-adds", "Conv2D's time"]
    low, high = figure.axes[0].get_ylim()
    assert low < 0.04 < high
    plt.close("all")
