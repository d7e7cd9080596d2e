"""A model built anew: weights, state, sharing and compilation stay, the rest is refused."""

import keras
import numpy as np
import pytest
from test_conversion import Subclassed, built, plain, predicted, shifted, tangled, unchanged
from test_factorization import numpy, random

from lightlayers import LightConv2D, LightDense, conversion, graphs, squeeze
from lightlayers.conversion import convert, from_conv2d, merge
from lightlayers.ranks import Budget

layers = keras.layers


def test_adapted_layers_keep_what_they_learned():
    binned = layers.Discretization(num_bins=4, name="binned")
    binned.adapt(random(50, 1))
    parts = [binned, layers.Embedding(4, 8), layers.Flatten(), layers.Dense(8, name="dense")]
    model = built(keras.Sequential([keras.Input((1,)), *parts]))
    x = random(9, 1, seed=3)
    light = convert(model, [{"layer": "dense", "form": "", "rank": 8}])
    assert len(set(numpy(light.layers[0](x)).ravel())) > 2
    np.testing.assert_allclose(predicted(light, x), predicted(model, x), atol=1e-5)


@pytest.mark.parametrize("wrap", [lambda one: layers.Pipeline([one]), layers.TimeDistributed])
def test_adapted_layers_inside_others_keep_what_they_learned(wrap):
    normal = layers.Normalization()
    normal.adapt(random(50, 6) * 3 + 2)
    parts = [wrap(normal), LightDense(4, rank=2)]
    model = keras.Sequential([keras.Input((2, 6)), *parts])
    x = random(3, 2, 6, seed=1) * 3
    expected = predicted(model, x)
    for act in (unchanged, merge, squeeze):
        np.testing.assert_allclose(predicted(act(model), x), expected, atol=1e-5)


def lighten(model):
    return convert(model, [{"layer": "dense", "form": "", "rank": 2}])


@pytest.mark.parametrize("act", [unchanged, lighten, merge, squeeze])
@pytest.mark.parametrize("by", ["var_list", "var_names"])
def test_what_an_optimiser_spares_from_decay_is_spared_in_the_new_model(act, by):
    parts = [layers.Dense(6, name="dense"), LightDense(6, rank=2), layers.LayerNormalization()]
    model = keras.Sequential([keras.Input((6,)), *parts])
    spared = [v for v in model.weights if v.name not in ("bias", "beta")]
    names = [v.name for v in spared]
    optimizer = keras.optimizers.AdamW(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(**{by: {"var_list": spared, "var_names": names}[by]})
    model.compile(optimizer, "mse")
    new = act(model)
    for variable in new.weights:
        variable.assign(np.ones(variable.shape))
    new.optimizer.apply([keras.ops.zeros(v.shape) for v in new.weights], new.weights)
    decayed = {v.name for v in new.weights if (numpy(v) != 1).all()}
    assert decayed == {"bias", "beta"}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="lookups are TensorFlow's")
def test_vocabularies_inside_others_are_kept():
    inputs, x = keras.Input((2,), dtype="int64"), np.array([[3, 5], [9, 4]])
    lookup = layers.Pipeline([layers.IntegerLookup(vocabulary=[5, 4, 3])])
    model = keras.Model(inputs, lookup(inputs))
    np.testing.assert_array_equal(convert(model, [])(x), model(x))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strings are TensorFlow's")
@pytest.mark.parametrize("mode", ["int", "multi_hot", "tf_idf"])
def test_adapted_words_keep_their_numbers(mode):
    tf = pytest.importorskip("tensorflow")

    words = tf.constant([["b"], ["a"], ["c"], ["b"]])
    lookup = layers.TextVectorization(output_mode=mode, name="words")
    lookup.adapt(words)
    text = keras.Input((1,), dtype="string")
    numbers = keras.ops.cast(lookup(text), "float32")
    if mode == "int":
        numbers = keras.ops.reshape(numbers[:, :1], (-1, 1))
    model = keras.Model(text, layers.Dense(6, name="dense")(numbers))
    light = convert(model, [])
    np.testing.assert_array_equal(light(words), model(words))
    assert light.get_layer("words").get_vocabulary() == lookup.get_vocabulary()


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantised_layers_stay_and_keep_their_weights(mode):
    parts = [layers.Dense(32, name="plain"), layers.Dense(8, name="quantised")]
    model = built(keras.Sequential([keras.Input((64,)), *parts]))
    model.layers[-1].quantize(mode)
    table = conversion.plan(model, Budget(parameters=model.count_params() - 1000))
    assert list(table["why not"]) == ["", f"quantised to {mode}"]
    assert table["kernel"][1] == ("32 × 4" if mode == "int4" else "32 × 8")  # two in one byte
    x = random(3, 64)
    for same in (unchanged(model), convert(model, [{"layer": "plain", "form": "", "rank": 32}])):
        np.testing.assert_allclose(predicted(same, x), predicted(model, x), atol=1e-4)


@pytest.mark.parametrize("wrap", [lambda one: layers.Pipeline([one]), layers.TimeDistributed])
def test_quantised_layers_inside_others_keep_their_weights(wrap):
    inner = layers.Dense(8)
    parts = [wrap(inner), layers.Dense(4, name="dense")]
    model = built(keras.Sequential([keras.Input((5, 6)), *parts]))
    inner.quantize("float8")
    same = convert(model, [{"layer": "dense", "form": "", "rank": 4}])
    x = random(3, 5, 6)
    np.testing.assert_allclose(predicted(same, x), predicted(model, x), atol=1e-4)


def test_shared_layers_stay_shared_and_nested_models_nested():
    model = tangled()
    plan = conversion.plan(model, Budget(int(model.count_params() * 0.8)))
    light = convert(model, plan)
    assert [layer.name for layer in light.layers if layer.weights] == [
        layer.name for layer in model.layers if layer.weights
    ]
    assert isinstance(light.get_layer("shared"), LightConv2D)
    assert type(light.get_layer("nested")) is type(model)
    paths = {path: shapes for path, (_, shapes) in graphs.applications(light).items()}
    assert len(paths["shared"]) == len(paths["nested/conv"]) == 2
    conv = from_conv2d(model.get_layer("shared"), light.get_layer("shared").rank)
    np.testing.assert_allclose(light.get_layer("shared").kernel, conv.kernel, atol=1e-5)


class AddIfGiven(layers.Layer):
    def call(self, x, y):
        return x if y is None else x + y

    def compute_output_spec(self, x, y):
        return keras.KerasTensor(x.shape, x.dtype)


def test_inputs_stay_sparse_and_optional():
    sparse, optional = keras.Input((6,), sparse=True), keras.Input((4,), optional=True)
    y = AddIfGiven()(layers.Dense(4, name="dense")(sparse), optional)
    for model in (keras.Model([sparse, optional], y), keras.Sequential([sparse, layers.Dense(4)])):
        copy = graphs.rebuild(model, lambda layer: None)
        for old, new in zip(model.inputs, copy.inputs, strict=True):
            assert (new.shape, new.dtype, new.name) == (old.shape, old.dtype, old.name)
            old, new = old._keras_history.operation, new._keras_history.operation
            assert (new.sparse, new.optional) == (old.sparse, old.optional)
    x = np.eye(3, 6, dtype="float32")
    model = keras.Model([sparse, optional], y)
    light = convert(model, [{"layer": "dense", "form": "", "rank": 4}])
    np.testing.assert_allclose(light([x, None]), model([x, None]), atol=1e-6)


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: plain(layers.Activation(shifted, name="own")), "Layer 'own'"),
        (lambda: plain(layers.Dense(3, shifted, name="own")), "Layer 'own'"),
        (lambda: plain(LightDense(3, shifted, name="own")), "Layer 'own'"),
        (lambda: plain(plain(layers.Lambda(shifted, name="own"))), "Layer 'own'"),
        (lambda: plain(layers.ReLU(), loss=lambda y, x: x), "model 'plain' was compiled with"),
        (lambda: plain(plain(layers.ReLU(), loss=shifted), layers.ReLU()), "function 'shifted'"),
        (lambda: plain(layers.ReLU(), loss="mse", metrics=[shifted]), "function 'shifted'"),
    ],
)
def test_functions_that_no_configuration_can_hold_are_refused(model, said):
    for act in (lambda model: convert(model, []), squeeze):
        with pytest.raises(ValueError) as refused:
            act(model())
        assert said in str(refused.value)
        assert "keras.saving.register_keras_serializable()" in str(refused.value)
        assert "safe_mode" not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_a_lambda_is_refused_by_its_layer_where_keras_does_not_copy_it():
    model, x = plain(layers.Lambda(lambda x: x - 1, name="own")), random(3, 7)
    try:
        same = convert(model, [])  # as Keras did in 3.10
    except ValueError as error:
        assert "Layer 'own'" in str(error) and "safe_mode" not in str(error)
    else:
        np.testing.assert_array_equal(same(x), model(x))


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_adapter_that_is_copied_keeps_its_strength(wrapped):
    dense = layers.Dense(5)
    model = plain(layers.Reshape((1, 7)), layers.TimeDistributed(dense) if wrapped else dense)
    dense.enable_lora(2, lora_alpha=6)
    x = random(3, 7)
    built(model)
    same = convert(model, [])
    np.testing.assert_array_equal(same(x), model(x))


class Fitted(keras.Model):
    """A functional model of a class of its own, which clone_model would lose."""


def tied():
    inputs = keras.Input((4,))
    one, two = layers.Dense(4, name="one"), layers.Dense(4, name="two")
    model = keras.Model(inputs, two(one(inputs)))
    two._trainable_variables[0] = one.kernel
    return model


def tied_by_an_operation():
    inputs = keras.Input((4,))
    embedding = layers.Dense(4, use_bias=False)
    return keras.Model(inputs, keras.ops.matmul(embedding(inputs), embedding.kernel))


def nested_own():
    inputs = keras.Input((4,))
    own = Fitted(inputs, layers.Dense(4)(inputs), name="own")
    outer = keras.Input((4,))
    return keras.Model(outer, own(outer))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Subclassed, "Received: Subclassed"),
        (nested_own, "Received: Fitted (layer 'own')"),
        (lambda: keras.Sequential([layers.Dense(3)]), "Build the model first"),
        (tied, "in 'one' and 'two'"),
        (tied_by_an_operation, "kernel in 'matmul'"),
    ],
)
def test_models_that_cannot_be_rebuilt_are_refused(model, said):
    model = model()
    for act in (lambda m: conversion.plan(m, Budget(1000)), lambda m: convert(m, []), merge):
        with pytest.raises(ValueError) as refused:
            act(model)
        assert said in str(refused.value)


def test_a_copy_has_the_precision_of_its_model():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((6,)), LightDense(6, rank=4)])
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile("adam", "mse")
    assert type(model.optimizer) is keras.optimizers.LossScaleOptimizer
    for act in (unchanged, squeeze):
        new = act(model)
        assert new.dtype_policy.name == "mixed_float16"
        assert type(new.optimizer) is keras.optimizers.LossScaleOptimizer
    assert keras.config.dtype_policy().name == "float32"


def test_a_converted_model_shares_nothing_with_the_given_one():
    layers = [keras.layers.Conv2D(4, 3, name="conv"), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((6, 6, 2)), *layers])
    model.compile("sgd", "mse", jit_compile=True)
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2))
    light = convert(model, [{"layer": "conv", "form": "spatial", "rank": 2}])
    before = light.predict(x, verbose=0)
    model.fit(x, np.ones((8, 4, 4, 4)), verbose=0)  # JAX gives its old arrays away
    np.testing.assert_array_equal(light.predict(x, verbose=0), before)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="as on TensorFlow, and slow")
def test_an_optimizer_that_starts_from_the_weights_starts_from_the_trained_ones():
    keras.utils.set_random_seed(0)
    x = random(64, 8)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(64, "relu"), layers.Dense(8)])
    model.compile(keras.optimizers.ScheduleFreeAdamW(1e-2), "mse")
    model.fit(x, np.tanh(x), epochs=30, verbose=0)
    for change in (merge, squeeze, lambda model: convert(model, [])):
        changed = change(model)
        before = changed.evaluate(x, np.tanh(x), verbose=0)
        changed.fit(x[:32], np.tanh(x[:32]), verbose=0)
        assert changed.evaluate(x, np.tanh(x), verbose=0) < 1.5 * before


def test_what_is_frozen_inside_a_layer_stays_frozen():
    @keras.saving.register_keras_serializable("frozen")
    class Block(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner, self.norm = layers.Dense(6), layers.BatchNormalization()

        def build(self, shape):
            self.inner.build(shape)
            self.norm.build(shape)

        def call(self, x, training=None):
            return self.norm(self.inner(x), training=training)

    model = keras.Sequential([keras.Input((6,)), Block(), layers.Dense(3, name="out")])
    block, out = model.layers
    block.inner.trainable = block.norm.trainable = False
    out.bias.trainable = False
    model.compile("sgd", "mse")
    for new in (convert(model, []), merge(model), squeeze(model)):
        flags = [variable.trainable for variable in new.variables]
        assert flags == [variable.trainable for variable in model.variables]
        assert [v.path for v in new.trainable_variables] == [out.kernel.path]
        assert not new.layers[0].inner.trainable and new.layers[0].trainable
    light = convert(model, [{"layer": "out", "rank": 2}])
    assert not light.layers[0].norm.trainable


def test_light_layers_keep_the_path_of_their_model():
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="a")], name="inner")
    model = keras.Sequential([keras.Input((8,)), inner, layers.Dense(8, name="b")], name="net")
    plan = [{"layer": name, "rank": 2} for name in ("inner/a", "b")]
    found = {weight.path.rpartition("/")[0] for weight in convert(model, plan).weights}
    assert found == {weight.path.rpartition("/")[0] for weight in model.weights}
