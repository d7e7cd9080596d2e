"""The diagrams: figures 1 to 3 of the paper read live layers, and no text covers another."""

import itertools

import keras
import matplotlib.pyplot as plt
import pytest

from lightlayers import LightConv2D, LightDense
from lightlayers.suite import networks
from lightlayers.suite.figures import diagrams


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def texts(figure):
    return [text for text in figure.axes[0].texts if text.get_text()]


def words(figure):
    return [text.get_text() for text in texts(figure)]


def on_input(layer, *shape):
    layer(keras.Input(shape))
    return layer


def figure_1(rank, shape=(14, 14, 8), filters=16, **kwargs):
    conv = on_input(keras.layers.Conv2D(filters, 3, padding="same"), *shape)
    light = LightConv2D(filters, 3, padding="same", rank=rank, **kwargs)
    return diagrams.conv2d_against_lightconv2d(conv, on_input(light, *shape))


def figure_2(rank, inputs=32, units=10):
    dense = on_input(keras.layers.Dense(units), inputs)
    return diagrams.dense_against_lightdense(dense, on_input(LightDense(units, rank=rank), inputs))


def test_figure_1_reads_the_layers():
    for rank in (2, 5):
        found = words(figure_1(rank))
        parameters = 9 * 8 * rank + rank + 9 * rank * 16 + 16
        for expected in (
            "Conv2D: 1,168 parameters",
            f"LightConv2D, rank {rank}: {parameters:,} parameters",
            "W: 3 × 3 × 8 × 16",
            f"W₁: 3 × 3 × 8 × {rank}",
            f"W₂: 3 × 3 × {rank} × 16",
            f"{9 * 8 * rank:,} weights\nbiases b₁: {rank}",
            f"hidden\n14 × 14 × {rank}",
            "ReLU",
            "in the code,\nnot in the figure",
        ):
            assert found.count(expected) == 1, expected
        assert found.count("output\n14 × 14 × 16") == found.count("input\n14 × 14 × 8") == 2


def test_figure_1_of_another_form_has_neither_relu_nor_first_bias():
    found = words(figure_1(2, form="spatial"))
    assert "ReLU" not in found and "W₁: 1 × 3 × 8 × 2" in found
    assert "48 weights\nno biases" in found


def test_figure_1_with_groups_and_strides():
    found = words(figure_1(3, groups=2, strides=2))
    assert "W₁: 3 × 3 × 4 × 6" in found and "hidden\n14 × 14 × 6" in found
    assert "output\n7 × 7 × 16" in found


def test_figure_1_with_channels_first():
    options = {"padding": "same", "data_format": "channels_first"}
    layers = keras.layers.Conv2D(16, 3, **options), LightConv2D(16, 3, rank=2, **options)
    found = words(diagrams.conv2d_against_lightconv2d(*(on_input(x, 8, 10, 14) for x in layers)))
    for expected in ("input\n10 × 14 × 8", "hidden\n10 × 14 × 2", "output\n10 × 14 × 16"):
        assert expected in found


def test_figure_1_draws_each_channel():
    def sheets(rank):
        patches = figure_1(rank).axes[0].patches
        return sum(patch.get_width() == pytest.approx(1) for patch in patches)

    assert sheets(5) - sheets(2) == 3 and sheets(2) == 2 * (8 + 16) + 2


def test_figure_2_reads_the_layers():
    for rank in (2, 5):
        figure = figure_2(rank)
        found = words(figure)
        for expected in (
            "Dense: 330 parameters",
            f"LightDense, rank {rank}: {42 * rank + 10} parameters",
            f"W₁: 32 × {rank}\n{32 * rank} weights\nno biases",
            f"W₂: {rank} × 10\n{10 * rank} weights\nbiases b: 10",
            f"hidden\n{rank}",
        ):
            assert found.count(expected) == 1, expected
        columns = [len(dots.get_offsets()) for dots in figure.axes[0].collections]
        assert columns == [10, 10, 10, rank, 10] and found.count("⋮") == 2  # 32 are ten and dots


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_figure_3_has_every_layer_of_the_network(dataset):
    for rank in (2, 5):
        network = networks.build(dataset, "lightlayers", rank)
        title, *rest = words(diagrams.network(network))
        assert title == f"lightlayers_{rank}: {network.count_params():,} parameters"
        boxes = [text.split("\n") for text in rest if "parameters" not in text]
        assert len(boxes) == len(network.layers)
        expected = []
        for layer in network.layers:
            size = "×".join(map(str, layer.output.shape[1:]))
            count = f"{layer.count_params():,}" if layer.weights else ""
            expected.append((type(layer).__name__, size, count))
        found = []
        for box in boxes:
            at = next(i for i, line in enumerate(box) if line[0].isdigit())
            found.append(("".join(box[:at]), box[at], "".join(box[at + 1 :])))
        assert sorted(found) == sorted(expected)


def test_figure_3_draws_the_shortcut_below_its_block():
    network = networks.build("cifar10", "conv2d")
    heights = {text.get_text(): text.get_position()[1] for text in texts(diagrams.network(network))}
    for size, main, shortcut in ((32, 448, 64), (16, 4640, 544), (8, 18496, 2112)):
        line = f"Conv2D\n{size}×{size}×{16 * 32 // size}\n"
        assert heights[f"{line}{shortcut:,}"] < heights[f"{line}{main:,}"]


def test_figure_3_draws_a_shortcut_without_layers():
    inputs = x = keras.Input((8, 8, 4))
    x = keras.layers.Add()([keras.layers.Conv2D(4, 3, padding="same")(x), inputs])
    plain, around = keras.Model(inputs, x), keras.Model(inputs, keras.layers.ReLU()(inputs))
    arrows = [len(diagrams.network(model).axes[0].lines) for model in (plain, around)]
    assert arrows == [3, 1]  # two between the boxes, one around them


FIGURES = {
    "figure 1": lambda: figure_1(3),
    "figure 1, wide": lambda: figure_1(12, (32, 32, 64), 128),
    "figure 2": lambda: figure_2(8),
    "figure 2, wide": lambda: figure_2(12, 784, 100),
    "figure 3, plain": lambda: diagrams.network(networks.build("mnist", "separableconv2d")),
    "figure 3, residual": lambda: diagrams.network(networks.build("cifar100", "lightlayers", 5)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_covers_another_or_leaves_the_figure(name):
    figure = FIGURES[name]()
    figure.canvas.draw()
    boxes = {text: text.get_window_extent() for text in texts(figure)}
    for (one, a), (two, b) in itertools.combinations(boxes.items(), 2):
        assert not a.overlaps(b), (one.get_text(), two.get_text())
    whole = figure.bbox
    for text, box in boxes.items():
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1, text.get_text()
        assert whole.y0 <= box.y0 and box.y1 <= whole.y1, text.get_text()
        assert text.get_fontsize() >= 9


@pytest.mark.parametrize("name", ["figure 1", "figure 1, wide"])
def test_no_text_covers_a_tensor_or_a_kernel(name):
    figure = FIGURES[name]()
    figure.canvas.draw()
    patches = [patch.get_window_extent() for patch in figure.axes[0].patches]
    for text in texts(figure):
        box = text.get_window_extent()
        assert not any(box.overlaps(patch) for patch in patches), text.get_text()


@pytest.mark.parametrize("name", ["figure 3, plain", "figure 3, residual"])
def test_text_stays_in_its_box(name):
    figure = FIGURES[name]()
    figure.canvas.draw()
    patches = [patch.get_window_extent() for patch in figure.axes[0].patches]
    inside = [text.get_window_extent() for text in texts(figure)[2:]]
    for box in inside:
        assert any(
            (p.x0 <= box.x0 and box.x1 <= p.x1 and p.y0 <= box.y0 and box.y1 <= p.y1)
            for p in patches
        )
