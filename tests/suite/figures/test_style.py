"""Colours, ticks, text that can be read, the files of figures, and what a notebook shows."""

import matplotlib.pyplot as plt
import pytest
import seaborn
from IPython import display
from matplotlib.text import Text
from suite.analysis.records import RECORDS, record

from lightlayers.suite import registry
from lightlayers.suite.analysis import tables, verdicts
from lightlayers.suite.figures import accuracies, answer, changes, network, results, style
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store

TELEPHONE = 390  # pixels


def draw_accuracies():
    return accuracies.accuracy_against_parameters(tables.frame(RECORDS), "digits")


def test_a_saved_figure_is_the_same_file_each_time(tmp_path):
    files = []
    for folder in ("a", "b"):
        store = Store(tmp_path / folder)
        files.append(style.save_figure(draw_accuracies(), store, "x"))
        assert files[-1] == tmp_path / folder / "figures" / "x.png"
    plt.close("all")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_show(monkeypatch):
    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    style.show(draw_accuracies(), "a network")
    (image,) = shown
    assert image.data.startswith(b"\x89PNG") and image.data[25] == 3  # colours by palette
    assert image.alt == "a network"
    assert not plt.get_fignums()


def test_the_nine_methods_have_the_colours_that_they_always_had():
    colors = style.colors(registry.entries())
    expected = seaborn.color_palette("colorblind", 9)
    assert list(colors.values())[:9] == [tuple(color) for color in expected]
    assert list(colors)[:9] == [
        *("conv2d", "separableconv2d", "lightlayers", "channel", "spatial"),
        *("automatic", "greedy", "product", "uniform"),
    ]


def test_thirty_names_have_colours_of_their_own_and_more_have_some():
    colors = style.colors(range(30))
    assert len(set(colors.values())) == 30
    assert len(style.colors(range(45))) == 45
    assert style.colors(range(45))[29] == colors[29]
    assert all(0 <= part <= 1 for color in colors.values() for part in color)


@pytest.mark.parametrize(
    ("measure", "values"),
    [
        ("accuracy", (0.8, 0.93)),
        ("accuracy", (0.985, 0.995)),
        ("accuracy", (0.1, 0.99)),
        ("accuracy", (0.5, 0.5)),
        ("loss", (0.021, 0.024)),
        ("loss", (0.02, 3)),
    ],
)
def test_an_axis_has_three_ticks_however_narrow(measure, values):
    axis = style.make_axes()[1]
    style.rescale_axis(axis, "y", measure, values)
    low, high = axis.get_ylim()
    ticks = [tick for tick in axis.get_yticks() if low <= tick <= high]
    assert 3 <= len(ticks) <= 9
    assert len({text.get_text() for text in axis.get_yticklabels()}) == len(axis.get_yticks())
    plt.close("all")


@pytest.mark.parametrize("values", [[2649, 18818], [3499], [90, 110], [5938, 2_000_000]])
def test_parameters_have_three_round_ticks_whatever_their_size(values):
    axis = style.make_axes()[1]
    axis.set_xscale("log")
    style.set_parameter_ticks(axis, values)
    low, high = axis.get_xlim()
    assert low < min(values) and max(values) < high < 2 * max(values)
    assert len(axis.get_xticks()) >= 3
    assert all(low <= tick <= high for tick in axis.get_xticks())
    plt.close("all")


def draw_verdicts():
    runs = tables.frame(RECORDS).assign(dataset="mnist")
    return results.verdicts({"mnist": verdicts.against_paper(runs, "mnist")})


def draw_curves(validation="test"):
    records = [each | {"recipe": {"validation": validation}} for each in RECORDS]
    return results.learning_curves(records)


def draw_kernels():
    shown = {"shown": {"first_kernels": [[[[0.5, -0.5]]]]}}
    records = [
        record("lightlayers", k, seed, 0.8) | shown for k in range(1, 7) for seed in range(5)
    ]
    return network.kernel_grid(records)


FIGURES = {
    "accuracy": draw_accuracies,
    "ablation": lambda: changes.ablation(tables.frame(RECORDS)),
    "costs": lambda: network.cost_map([Run.from_row("cifar10", "lightlayers-5")]),
    "curves": draw_curves,
    "curves of held-out images": lambda: draw_curves("held-out"),
    "frontier": lambda: accuracies.frontier(tables.frame(RECORDS), "digits"),
    "headline": lambda: answer.headline(answer.collect_headline(tables.frame(RECORDS))),
    "kernels": draw_kernels,
    "verdicts": draw_verdicts,
}


@pytest.mark.parametrize("name", FIGURES)
def test_text_stays_in_the_figure_and_is_read_on_a_telephone(name):
    figure = FIGURES[name]()
    figure.canvas.draw()
    tight, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    edge = 0.01
    assert -edge <= tight.x0 and tight.x1 <= width + edge
    assert -edge <= tight.y0 and tight.y1 <= height + edge
    for text in figure.findobj(Text):
        if text.get_text():
            assert text.get_fontsize() / 72 / width * TELEPHONE >= 6, text.get_text()
    plt.close("all")
