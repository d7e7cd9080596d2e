"""The networks against the published counts, multiply-adds by brute force, and the diagrams."""

import dataclasses
import functools
import itertools
import os
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython import display

from lightlayers import (
    LightConv2D,
    LightDense,
    datasets,
    diagrams,
    families,
    figures,
    networks,
    published,
    recipes,
)

# ---------------------------------------------------------------- the networks


@pytest.mark.parametrize("row", published.ROWS, ids=lambda row: f"{row.dataset}-{row.label}")
def test_published_counts(row):
    network = networks.build(row.dataset, row.method, row.rank)
    assert network.count_params() == row.parameters


def test_the_plain_network_layer_by_layer():
    network = networks.build("mnist", "lightlayers", 1)
    kinds = [type(layer).__name__ for layer in network.layers]
    conv = ["LightConv2D", "BatchNormalization", "ReLU"]
    assert kinds == [
        "InputLayer",
        *[*conv, *conv, "MaxPooling2D"] * 3,
        "GlobalAveragePooling2D",
        "LightDense",
    ]
    counts = networks.summary(network).set_index("layer")["parameters"]
    convs = [f"block{i}_conv{j}" for i in (1, 2, 3) for j in (1, 2)]
    assert [counts[name] for name in convs] == [90, 153, 233, 305, 465, 609]
    assert sum(counts[f"{name}_norm"] for name in convs) == 448
    assert counts["classes"] == 32 * 8 + 8 * 10 + 10
    assert counts["total"] == 2649


def test_the_residual_network_adds_a_shortcut():
    network = networks.build("cifar10", "conv2d")
    sizes = {layer.name: tuple(layer.output.shape[1:]) for layer in network.layers}
    for i, (size, filters) in enumerate([(32, 16), (16, 32), (8, 64)], 1):
        for name in ("conv1", "conv2", "shortcut"):
            assert sizes[f"block{i}_{name}"] == (size, size, filters)
        shortcut = network.get_layer(f"block{i}_shortcut")
        assert shortcut.kernel_size == (1, 1)
        assert shortcut.input is network.get_layer(f"block{i}_conv1").input
    adds = [layer for layer in network.layers if isinstance(layer, keras.layers.Add)]
    for i, add in zip((1, 2, 3), adds, strict=True):
        for x, name in zip(add.input, ("conv2_norm", "shortcut_norm"), strict=True):
            assert x is network.get_layer(f"block{i}_{name}").output


def test_output_is_a_distribution():
    network = networks.build(((9, 12, 3), 7), "lightlayers", 2)
    images = np.random.default_rng(0).random((4, 9, 12, 3), "float32")
    outputs = keras.ops.convert_to_numpy(network(images))
    assert outputs.shape == (4, 7)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


def test_the_recipe_reaches_the_layers():
    network = networks.build("digits", "lightlayers", 2)
    conv, dense = network.get_layer("block2_conv1"), network.get_layer("classes")
    assert isinstance(conv.bias_initializer, keras.initializers.GlorotUniform)
    assert float(conv.kernel_regularizer.l2) == pytest.approx(1e-4)
    assert (dense.rank, dense.scale, dense.kernel_regularizer) == (8, "paper", None)
    other = dataclasses.replace(
        recipes.PAPER, bias_initializer="zeros", kernel_l2=0.5, dense_rank=3, dense_scale=None
    )
    network = networks.build("digits", "lightlayers", 2, other)
    conv, dense = network.get_layer("block2_conv1"), network.get_layer("classes")
    assert isinstance(conv.bias_initializer, keras.initializers.Zeros)
    assert float(conv.kernel_regularizer.l2) == pytest.approx(0.5)
    assert (dense.rank, dense.scale) == (3, None)
    assert not networks.build("digits", "conv2d").losses


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
@pytest.mark.parametrize("method", families.FAMILIES)
def test_options_of_the_corrected_recipe_reach_every_method(method, dataset):
    rank = 2 if families.FAMILIES[method].ranked else None
    network = networks.build(dataset, method, rank, "corrected")
    types = {layer.name: type(layer).__name__ for layer in network.layers}
    convs = [layer for layer in network.layers if "conv" in layer.name.removesuffix("_norm")]
    norms = [layer for layer in convs if layer.name.endswith("_norm")]
    assert norms and all(norm.momentum == 0.9 for norm in norms)
    for layer in convs:
        # Between the paper's factors no normalisation takes the bias's place.
        biased = getattr(layer, "form", None) == "paper"
        assert layer in norms or layer.use_bias == biased
        assert not biased or not np.any(layer.intermediate_bias)
    assert {types[name] for name in types if name.endswith("shortcut")} <= {"Conv2D"}
    assert types["classes"] == "Dense" and not network.losses


def test_a_rank_that_saves_nothing_gives_the_dense_kernel():
    for method, dense in (("spatial", ["block1_conv1"]), ("channel", [])):
        network = networks.build("digits", method, 3, "corrected")
        light = [each for each in network.layers if isinstance(each, LightConv2D)]
        assert all(layer.rank < layer.break_even_rank for layer in light)
        found = [each.name for each in network.layers if type(each) is keras.layers.Conv2D]
        assert found == dense
    always = dataclasses.replace(recipes.CORRECTED, dense_where_cheaper=False)
    network = networks.build("digits", "spatial", 3, always)
    assert not any(type(each) is keras.layers.Conv2D for each in network.layers)


@pytest.mark.parametrize("name", datasets.NAMES)
def test_images_are_standardised_by_the_training_pixels(name):
    folder = pathlib.Path(os.environ.get("LIGHTLAYERS_DATA", "none"))
    if name != "digits" and not (folder / f"{name}.npz").exists():
        pytest.skip(f"{name} is not in LIGHTLAYERS_DATA")  # and is not downloaded for this
    images = datasets.load(name).x_train
    images = images[: len(images) * 9 // 10]
    some = np.random.default_rng(0).permutation(len(images))[:5000]
    images = images[some] / np.float32(255)
    network = networks.build(name, "conv2d", None, "corrected")
    found = keras.ops.convert_to_numpy(network.get_layer("standardize")(images)).astype("float64")
    np.testing.assert_allclose(found.mean(axis=(0, 1, 2)), 0, atol=0.02)
    np.testing.assert_allclose(found.std(axis=(0, 1, 2)), 1, atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        (("imagenet", "conv2d"), "'imagenet'"),
        (("mnist", "conv3d"), "'conv3d'"),
        (("mnist", "lightlayers"), "rank=None"),
        (("mnist", "lightlayers", 0), "rank=0"),
        (("mnist", "lightlayers", -1), "rank=-1"),
        (("mnist", "lightlayers", True), "rank=True"),
        (("mnist", "lightlayers", 2.0), "rank=2.0"),
        (("mnist", "lightlayers", "2"), "rank="),
        (("mnist", "conv2d", 3), "rank=3"),
        (("mnist", "separableconv2d", 0), "rank=0"),
        (("mnist", "conv2d", None, "peper"), "'peper'"),
    ],
)
def test_errors_say_what_was_received(arguments, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        networks.build(*arguments)


@pytest.mark.parametrize("rank", [None, 0, True, 1.0])
def test_a_family_checks_the_rank_without_making_a_layer(rank):
    with pytest.raises(ValueError, match=f"'lightlayers' needs .* Received: rank={rank}"):
        families.get("lightlayers", rank)


# ---------------------------------------------------------------- what they cost


@pytest.mark.parametrize("dataset", ["digits", "mnist", "cifar100"])
@pytest.mark.parametrize(
    ("method", "rank"), [("conv2d", None), ("separableconv2d", None), ("lightlayers", 4)]
)
def test_summary_adds_up(dataset, method, rank):
    network = networks.build(dataset, method, rank)
    table = networks.summary(network)
    rows, total = table.iloc[:-1], table.iloc[-1]
    assert total["layer"] == "total"
    assert total["parameters"] == rows["parameters"].sum() == network.count_params()
    costs = [families.multiply_adds(layer) for layer in network.layers]
    assert total["multiply-adds"] == rows["multiply-adds"].sum() == sum(costs) > 0
    assert set(rows["layer"]) == {layer.name for layer in network.layers if layer.weights}
    if method != "lightlayers":
        assert set(table["rank"]) | set(table["saves"]) == {""}


def test_summary_says_what_saves():
    table = networks.summary(networks.build("mnist", "lightlayers", 4)).set_index("layer")
    convs = table[table["type"] == "LightConv2D"]
    # dense weights over 9 · (channels + filters) + 1, rounded up
    assert list(convs["break-even rank"]) == [1, 4, 6, 8, 11, 16]
    assert list(convs["saves"]) == ["no", "no", "yes", "yes", "yes", "yes"]
    assert tuple(table.loc["classes", ["rank", "break-even rank", "saves"]]) == (8, 8, "no")
    assert table.loc["block2_conv1", "output"] == "14 × 14 × 16"


def places(size, kernel, stride, dilation, padding):
    """How many places a kernel takes along one axis, by trying each."""
    found = 0
    for start in range(0, size, stride):
        fits = all(start + tap * dilation < size for tap in range(kernel))
        found += padding == "same" or fits
    return found


def by_hand(image, kernel, outputs, strides=(1, 1), dilation=(1, 1), padding="valid"):
    """Multiply-adds of one convolution whose outputs each read `outputs[1]` channels."""
    (h, w), (kh, kw), (filters, read) = image, kernel, outputs
    rows = places(h, kh, strides[0], dilation[0], padding)
    columns = places(w, kw, strides[1], dilation[1], padding)
    count = 0
    for _ in itertools.product(range(rows), range(columns), range(filters)):
        count += kh * kw * read
    return count, (rows, columns)


IMAGE = 9, 11
SETTINGS = [
    {},
    {"padding": "same"},
    {"strides": (2, 3)},
    {"strides": (3, 2), "padding": "same"},
    {"dilation_rate": (2, 1)},
    {"dilation_rate": (1, 3), "padding": "same"},
]


def settings(arguments):
    return {
        "strides": arguments.get("strides", (1, 1)),
        "dilation": arguments.get("dilation_rate", (1, 1)),
        "padding": arguments.get("padding", "valid"),
    }


def measured(layer, channels=4, image=IMAGE):
    layer(keras.Input((*image, channels)))
    return families.multiply_adds(layer)


@pytest.mark.parametrize("arguments", SETTINGS, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_multiply_adds_of_conv2d(arguments, groups):
    layer = keras.layers.Conv2D(6, (3, 2), groups=groups, **arguments)
    expected, _ = by_hand(IMAGE, (3, 2), (6, 4 // groups), **settings(arguments))
    assert measured(layer) == expected


@pytest.mark.parametrize("arguments", SETTINGS, ids=str)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_multiply_adds_of_depthwise_and_separable(arguments, multiplier):
    if arguments.get("strides", (1, 1))[0] != arguments.get("strides", (1, 1))[1]:
        # TensorFlow's depthwise kernels know one stride for both axes.
        arguments = {**arguments, "strides": (2, 2)}
    depthwise = keras.layers.DepthwiseConv2D((3, 2), depth_multiplier=multiplier, **arguments)
    separable = keras.layers.SeparableConv2D(6, (3, 2), depth_multiplier=multiplier, **arguments)
    wide = 4 * multiplier
    deep, image = by_hand(IMAGE, (3, 2), (wide, 1), **settings(arguments))
    point, _ = by_hand(image, (1, 1), (6, wide))
    assert measured(depthwise) == deep
    assert measured(separable) == deep + point


@pytest.mark.parametrize("arguments", SETTINGS, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("form", ["paper", "channel", "spatial"])
def test_multiply_adds_of_lightconv2d(form, groups, arguments):
    rank, chosen = 3, settings(arguments)
    hidden, outputs = (groups * rank, 4 // groups), (6, rank)
    layer = LightConv2D(6, (3, 2), rank=rank, form=form, groups=groups, **arguments)
    if form == "paper":
        one, image = by_hand(IMAGE, (3, 2), hidden, padding="same")
        two, _ = by_hand(image, (3, 2), outputs, **chosen)
    elif form == "channel":
        one, image = by_hand(IMAGE, (3, 2), hidden, **chosen)
        two, _ = by_hand(image, (1, 1), outputs)
    else:
        (sh, sw), (dh, dw), padding = chosen["strides"], chosen["dilation"], chosen["padding"]
        one, image = by_hand(IMAGE, (1, 2), hidden, (1, sw), (1, dw), padding)
        two, _ = by_hand(image, (3, 1), outputs, (sh, 1), (dh, 1), padding)
    assert measured(layer) == one + two


def test_multiply_adds_count_what_a_layer_of_ones_adds_up():
    """With ones everywhere and no padding, the outputs' sum is the number of products."""
    ones = {"kernel_initializer": "ones", "use_bias": False}
    for layer in (keras.layers.Conv2D(6, 3, **ones), keras.layers.Conv2D(6, 3, strides=2, **ones)):
        expected = float(keras.ops.sum(layer(np.ones((1, *IMAGE, 4), "float32"))))
        assert measured(layer) == expected


def test_multiply_adds_of_dense_layers():
    for shape, uses in (((12,), 1), ((5, 12), 5), ((3, 5, 12), 15)):
        for layer, weights in (
            (keras.layers.Dense(10), 12 * 10),
            (LightDense(10, rank=3), 12 * 3 + 3 * 10),
        ):
            layer(keras.Input(shape))
            assert families.multiply_adds(layer) == uses * weights


class Scaled(keras.layers.Layer):
    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        return keras.ops.matmul(x, self.matrix)


def test_multiply_adds_of_other_kernels_are_unknown_and_without_a_kernel_none():
    layers = keras.layers
    for layer in (
        layers.Conv1D(4, 3),
        layers.EinsumDense("abc,cd->abd", (None, 6)),
        layers.TimeDistributed(layers.Dense(4)),
        layers.LSTM(4),
        layers.SpectralNormalization(layers.Dense(4)),
        Scaled(),
    ):
        layer(keras.Input((8, 4)))
        assert families.multiply_adds(layer) is None, layer
    transposed = layers.Conv2DTranspose(4, 3)
    transposed(keras.Input((8, 8, 4)))
    assert families.multiply_adds(transposed) is None
    for layer in (
        layers.BatchNormalization(),
        layers.LayerNormalization(axis=(1, 2)),
        layers.Normalization(axis=(1, 2)),
        layers.PReLU(),
        layers.Embedding(9, 4),
        layers.ReLU(),
    ):
        layer(keras.Input((8, 4)))
        assert families.multiply_adds(layer) == 0, layer


@pytest.mark.parametrize("make", [keras.layers.Conv2D, LightConv2D, keras.layers.SeparableConv2D])
def test_multiply_adds_do_not_depend_on_the_order_of_axes(make):
    layer = make(6, 3, strides=2, data_format="channels_first")
    layer(keras.Input((4, *IMAGE)))
    assert families.multiply_adds(layer) == measured(make(6, 3, strides=2))


def test_a_merged_kernel_costs_what_a_dense_one_does():
    for arguments in ({}, {"groups": 2, "strides": 2}):
        make = functools.partial(LightConv2D, 6, 3, form="channel", rank=1, **arguments)
        dense = measured(keras.layers.Conv2D(6, 3, **arguments))
        assert measured(make(implementation="merged")) == dense > measured(make())


def test_what_costs_nothing():
    for layer in (keras.layers.BatchNormalization(), keras.layers.MaxPooling2D()):
        assert measured(layer) == 0


# ---------------------------------------------------------------- diagrams


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


def test_show(monkeypatch):
    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    figure = figure_2(3)
    figures.show(figure, "a network")
    (image,) = shown
    assert image.data.startswith(b"\x89PNG") and image.data[25] == 3  # colours by palette
    assert image.alt == "a network"
    assert not plt.get_fignums()
