"""The README's picture: who enters, what is left out, and that each accuracy is written."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from suite.analysis.records import frame

from lightlayers.suite.figures import answer

BUDGET = 6135  # of MNIST


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def collect(*groups):
    """The lines of MNIST, of groups as `frame` takes them with held-out accuracy and parameters."""
    parts = []
    for method, rank, accuracies, recipe, held_out, parameters in groups:
        group = frame(("mnist", method, rank, accuracies, recipe))
        parts.append(group.assign(held_out=held_out, parameters=parameters))
    table = answer.collect_headline(pd.concat(parts, ignore_index=True))
    return table[table["dataset"] == "mnist"].set_index("contestant")


def test_contestants_are_chosen_on_held_out_images_within_the_budget():
    table = collect(
        ("lightlayers", 3, (0.95, 0.96, 0.97), "paper", float("nan"), BUDGET),
        ("spatial", 9, (0.990, 0.991, 0.992), "product-l2", 0.98, 5818),
        ("spatial", 8, (0.993, 0.994, 0.995), "corrected", 0.97, 5500),  # better on test images
        ("spatial", 15, (0.999, 0.999, 0.999), "corrected", 0.99, 8986),  # too large
        ("channel", 6, (0.999, 0.999), "corrected", 0.99, 5500),  # too few seeds
        ("conv2d", None, (0.98, 0.98, 0.98), "corrected", 0.97, 6100),
        ("separableconv2d", None, (0.98, 0.98, 0.98), "corrected", 0.97, 3499),  # too small
    )
    assert table["accuracy"].round(4).to_dict() == {
        "LightLayers, published": 0.9775,
        "LightLayers, our runs": 0.96,
        "light layers, trained better": 0.991,
        "Conv2D, same size": 0.98,
    }
    assert table.loc["light layers, trained better", "recipe"] == "product-l2"


def test_what_is_not_stored_has_no_place_in_the_picture():
    runs = frame(("cifar10", "lightlayers", 5, (0.55, 0.56, 0.57)))
    table = answer.collect_headline(runs)
    figure = answer.headline(table)
    (axis,) = figure.axes
    written = [text.get_text() for text in axis.texts]
    assert written == ["97.8%", "88.2%", "55.8%", "56.0%", "5.9%"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["LightLayers, published", "LightLayers, our runs"]
    names = [text.get_text().split("\n")[0] for text in axis.get_yticklabels()]
    assert names == ["MNIST", "FASHION-MNIST", "CIFAR-10", "CIFAR-100"]
