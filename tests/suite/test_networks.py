"""The networks: the published counts, what a recipe and a peer change, and counts by arithmetic."""

import dataclasses
import math
import os
import pathlib

import keras
import numpy as np
import pytest

from lightlayers import LightConv2D, costs
from lightlayers.suite import datasets, networks, paper, recipes, registry
from lightlayers.suite.registry import Block

LIGHT_AND_KERAS = [
    name for name, entry in registry.entries().items() if entry.group in ("Keras", "light")
]


@pytest.mark.parametrize("row", paper.ROWS, ids=lambda row: f"{row.dataset}-{row.label}")
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
    counts = networks.summarize(network).set_index("layer")["parameters"]
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


@pytest.mark.parametrize(("dataset", "row"), [("mnist", "lightlayers"), ("cifar10", "ghost")])
def test_networks_state_the_format_of_their_images(dataset, row):
    """Keras' configuration file may say another, and what is made elsewhere keeps to it."""
    rank = 1 if row == "lightlayers" else None
    shapes = [layer.output.shape for layer in networks.build(dataset, row, rank).layers]
    keras.config.set_image_data_format("channels_first")
    try:
        network = networks.build(dataset, row, rank)
        assert [layer.output.shape for layer in network.layers] == shapes
        formats = {layer.data_format for layer in network.layers if hasattr(layer, "data_format")}
        assert formats == {"channels_last"}
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")


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
@pytest.mark.parametrize("method", LIGHT_AND_KERAS)
def test_options_of_the_corrected_recipe_reach_every_method(method, dataset):
    rank = 2 if registry.entries()[method].knob else None
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
def test_a_peer_checks_the_rank_without_making_a_layer(rank):
    with pytest.raises(ValueError, match=f"'lightlayers' needs .* Received: rank={rank}"):
        registry.get("lightlayers", rank)


@pytest.mark.parametrize("dataset", ["digits", "mnist", "cifar100"])
@pytest.mark.parametrize(
    ("method", "rank"), [("conv2d", None), ("separableconv2d", None), ("lightlayers", 4)]
)
def test_summary_adds_up(dataset, method, rank):
    network = networks.build(dataset, method, rank)
    table = networks.summarize(network)
    rows, total = table.iloc[:-1], table.iloc[-1]
    assert total["layer"] == "total"
    assert total["parameters"] == rows["parameters"].sum() == network.count_params()
    counted = [costs.multiply_adds(layer) for layer in network.layers]
    assert total["multiply-adds"] == rows["multiply-adds"].sum() == sum(counted) > 0
    assert set(rows["layer"]) == {layer.name for layer in network.layers if layer.weights}
    if method != "lightlayers":
        assert set(table["rank"]) | set(table["saves"]) == {""}


def test_summary_says_what_saves():
    table = networks.summarize(networks.build("mnist", "lightlayers", 4)).set_index("layer")
    convs = table[table["type"] == "LightConv2D"]
    # dense weights over 9 · (channels + filters) + 1, rounded up
    assert list(convs["break-even rank"]) == [1, 4, 6, 8, 11, 16]
    assert list(convs["saves"]) == ["no", "no", "yes", "yes", "yes", "yes"]
    assert tuple(table.loc["classes", ["rank", "break-even rank", "saves"]]) == (8, 8, "no")
    assert table.loc["block2_conv1", "output"] == "14 × 14 × 16"


def test_summary_of_any_model_says_what_saves():
    parts = [LightConv2D(8, 3, rank=2, name="small"), LightConv2D(8, 3, rank=9, name="large")]
    head = [keras.layers.ReLU(), keras.layers.Flatten(), keras.layers.Dense(3, name="head")]
    model = keras.Sequential([keras.Input((8, 8, 4)), *parts, *head])
    table = networks.summarize(model).set_index("layer")
    assert list(table.index) == ["small", "large", "head", "total"]
    # dense weights over 9 · (channels + filters) + 1, rounded up
    even = [math.ceil(9 * 4 * 8 / (9 * 12 + 1)), math.ceil(9 * 8 * 8 / (9 * 16 + 1))]
    assert list(table["break-even rank"]) == [*even, "", ""]
    assert list(table["saves"]) == ["yes", "no", "", ""]
    assert list(table["rank"]) == [2, 9, "", ""]
    assert table.loc["total", "parameters"] == model.count_params()
    assert table.loc["total", "multiply-adds"] == table["multiply-adds"].iloc[:-1].sum()
    assert table.loc["small", "output"] == "6 × 6 × 8"


class Mixed(keras.layers.Layer):
    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        return keras.ops.matmul(x, self.matrix)

    def compute_output_shape(self, input_shape):
        return input_shape


def test_a_registered_layer_counts_in_the_summary():
    model = keras.Sequential([keras.Input((8, 4)), Mixed(), keras.layers.Dense(3, name="dense")])
    table = networks.summarize(model).set_index("layer")["multiply-adds"]
    assert table.isna().tolist() == [True, False, True] and table["dense"] == 8 * 12
    costs.register(Mixed, costs.count_at_output("matrix"))
    table = networks.summarize(model).set_index("layer")["multiply-adds"]
    assert table["total"] == 8 * (16 + 12)


@pytest.mark.parametrize("width", [25, 56, 100, 130])
@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_a_width_narrows_or_widens_every_block(dataset, width):
    network = networks.build(dataset, "conv2d", width=width)
    usual = networks.filters_of(datasets.get(dataset).shape)
    found = [network.get_layer(f"block{i}_conv2").filters for i in (1, 2, 3)]
    assert found == [round(filters * width / 100) for filters in usual]
    counted = networks.count_parameters(dataset, "conv2d", width=width)
    assert network.count_params() == counted


def _apply_pair(x, filters, kernel_size, size, context):
    for part in ("a", "b"):
        name = f"{context.name}_{part}"
        x = keras.layers.Conv2D(filters, 1, use_bias=False, name=name)(x)
        x = keras.layers.ReLU()(context.normalize(x, name))
    return x


def _count_pair(kernel_size, channels, filters, size, recipe):
    return [((channels + filters) * filters, 1), (2 * 4 * filters, 0)]


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_a_unit_brings_its_own_normalisation_and_activation(dataset, monkeypatch):
    pair = Block(name="pair", label="pair", apply=_apply_pair, weights=_count_pair, replaces="unit")
    monkeypatch.setitem(registry.entries(), "pair", pair)
    network = networks.build(dataset, "pair")
    names = {layer.name for layer in network.layers}
    assert "block1_conv1_norm" in names  # the first convolution stays
    unit = "block2" if dataset == "cifar10" else "block2_conv1"
    assert {f"{unit}_a", f"{unit}_b_norm"} <= names and f"{unit}_norm" not in names
    assert not [name for name in names if "shortcut" in name]
    table = networks.count_layers(dataset, "pair")
    assert table["parameters"].sum() == network.count_params()
    counted = [costs.multiply_adds(layer) for layer in network.layers]
    assert table["multiply-adds"].sum() == sum(counted)


@pytest.mark.parametrize(
    ("returned", "received"),
    [
        (lambda x: keras.layers.Concatenate()([x, x]), "shape=.*16"),
        (lambda x: x[:, 1:], "shape=.*7, 8, 8"),
        (lambda x: None, "None"),
    ],
)
def test_a_block_that_returns_something_else_is_named(returned, received, monkeypatch):
    def apply(x, filters, kernel_size, size, context):
        return returned(context.apply_baseline(x, filters, kernel_size))

    wrong = Block(name="wrong", label="wrong", apply=apply, weights=_count_pair)
    monkeypatch.setitem(registry.entries(), "wrong", wrong)
    expected = f"Block 'wrong' has to return .*8, 8, 8.* at block1_conv2. Received: .*{received}"
    with pytest.raises(ValueError, match=expected):
        networks.build("digits", "wrong")


def test_weights_may_be_applied_at_another_resolution(monkeypatch):
    def apply(x, filters, kernel_size, size, context):
        y = context.apply_baseline(x, filters, kernel_size)
        gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(y)
        name = f"{context.name}_gate"
        gate = keras.layers.Conv2D(filters, 1, use_bias=False, name=name)(gate)
        return keras.layers.Multiply()([y, gate])

    def count(kernel_size, channels, filters, size, recipe):
        convolution = registry.baseline().weights(kernel_size, channels, filters, size, recipe)
        return [*convolution, (filters**2, lambda height, width: 1)]

    gated = Block(name="gated", label="gated", apply=apply, weights=count)
    monkeypatch.setitem(registry.entries(), "gated", gated)
    network = networks.build("mnist", "gated")
    table = networks.count_layers("mnist", "gated")
    assert table["parameters"].sum() == network.count_params()
    counted = [costs.multiply_adds(layer) for layer in network.layers]
    assert table["multiply-adds"].sum() == sum(counted)


def test_a_body_of_its_own_replaces_the_papers(monkeypatch):
    def body(x, filters, size, context):
        for i, count in enumerate(filters):
            x = keras.layers.Conv2D(count, 3, strides=2, padding="same", name=f"body{i}")(x)
        return x

    own = Block(name="own", label="own", apply=_apply_pair, weights=_count_pair, network=body)
    monkeypatch.setitem(registry.entries(), "own", own)
    network = networks.build("mnist", "own", width=50)
    assert [layer.filters for layer in network.layers if "body" in layer.name] == [4, 8, 16]
    assert networks.count_parameters("mnist", "own", width=50) == network.count_params()
