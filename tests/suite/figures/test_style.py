"""Colours, the files of figures, and what a notebook shows."""

import matplotlib.pyplot as plt
import seaborn
from IPython import display
from suite.analysis.records import RECORDS

from lightlayers.suite import registry
from lightlayers.suite.analysis import tables
from lightlayers.suite.figures import results, style
from lightlayers.suite.store import Store


def draw_accuracies():
    return results.accuracy_against_parameters(tables.frame(RECORDS), "digits")


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
