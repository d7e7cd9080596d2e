"""One layer for another: nearest at its rank, all else kept, and back."""

import keras
import numpy as np
import pytest
from test_conversion import GEOMETRIES, MyDense, built, plain, predicted, shifted, tail
from test_factorization import LINEAR, matrices, numpy, random, truncated

from lightlayers import LightConv2D, LightDense, conversion, squeeze
from lightlayers.conversion import convert, from_conv2d, from_dense, merge, to_conv2d, to_dense
from lightlayers.ranks import Budget

layers = keras.layers


def kernel_error(layer, light):
    return np.linalg.norm(numpy(layer.kernel) - numpy(light.kernel))


@pytest.mark.parametrize("form", LINEAR)
@pytest.mark.parametrize("kwargs", GEOMETRIES, ids=str)
def test_convolutions_convert_exactly_and_at_lower_rank_to_the_nearest(form, kwargs):
    layer = built(layers.Conv2D(6, **kwargs), 9, 10, 4)
    x = random(2, 9, 10, 4)
    full = min(matrices(layer.kernel, form, layer.groups)[0].shape)
    light = from_conv2d(layer, full, form)
    np.testing.assert_allclose(light(x), layer(x), atol=1e-5)
    again = to_conv2d(light)
    assert type(again) is layers.Conv2D
    np.testing.assert_allclose(again.kernel, layer.kernel, atol=1e-5)
    np.testing.assert_allclose(again(x), layer(x), atol=1e-5)
    with pytest.raises(ValueError, match=f"an integer from 1 to {full}, "):
        from_conv2d(layer, full + 1, form)
    for rank in {1, full - 1} - {0}:
        light = from_conv2d(layer, rank, form)
        assert light.rank == rank and light.form == form
        assert kernel_error(layer, light) == pytest.approx(tail(layer, rank, form), rel=1e-4)
        np.testing.assert_allclose(to_conv2d(light)(x), light(x), atol=1e-5)


def test_dense_layers_convert_exactly_and_at_lower_rank_to_the_nearest():
    layer, x = built(layers.Dense(5, activation="tanh"), 7), random(2, 3, 7)
    light = from_dense(layer, 5)
    np.testing.assert_allclose(light(x), layer(x), atol=1e-6)
    np.testing.assert_allclose(to_dense(light)(x), layer(x), atol=1e-6)
    for rank in (1, 3):
        light = from_dense(layer, rank)
        assert kernel_error(layer, light) == pytest.approx(tail(layer, rank, "dense"), rel=1e-5)
    scaled = built(LightDense(5, rank=2, scale="paper"), 7)
    np.testing.assert_allclose(to_dense(scaled)(x), scaled(x), atol=1e-6)


@pytest.mark.parametrize("conv", [True, False])
def test_all_else_is_kept_and_comes_back(conv):
    kwargs = {
        "name": "kept",
        "trainable": False,
        "activation": shifted,  # not registered: no configuration can hold it
        "kernel_initializer": keras.initializers.HeNormal(seed=3),
        "bias_initializer": "ones",
        "kernel_regularizer": keras.regularizers.L2(0.1),
        "bias_regularizer": keras.regularizers.L1(0.2),
        "activity_regularizer": keras.regularizers.L2(0.3),
        "bias_constraint": keras.constraints.NonNeg(),
        "dtype": "mixed_bfloat16",
    }
    if conv:
        geometry = {"strides": 2, "data_format": "channels_first", "groups": 2}
        layer = built(layers.Conv2D(4, (3, 2), **geometry, **kwargs), 6, 8, 8)
        light = from_conv2d(layer, 6)
        again = to_conv2d(light)
    else:
        layer = built(layers.Dense(5, **kwargs), 7)
        light = from_dense(layer, 5)
        again = to_dense(light)
    np.testing.assert_array_equal(light.bias, layer.bias)
    ignored = {"quantization_config"}
    config = {name: v for name, v in layer.get_config().items() if name not in ignored}
    found = light.get_config()
    moved = config | {"kernel_regularizer": None}
    assert {name: found[name] for name in moved} == moved
    assert found["product_regularizer"] == config["kernel_regularizer"]
    assert {name: again.get_config()[name] for name in config} == config
    assert not light.trainable_weights and not again.trainable_weights
    assert light.dtype_policy.name == "mixed_bfloat16"
    assert {weight.dtype for weight in (*light.weights, *again.weights)} == {"float32"}

    def penalties(layer):
        layer.trainable = True  # Keras asks only weights that train
        return sorted(float(loss) for loss in layer.losses)

    np.testing.assert_allclose(penalties(light), penalties(layer), rtol=1e-4)
    np.testing.assert_allclose(penalties(again), penalties(layer), rtol=1e-4)


def adapted():
    layer = built(layers.Dense(5), 7)
    layer.enable_lora(2)
    return layer


def infinite():
    layer = built(layers.Dense(5), 7)
    layer.kernel.assign(np.full((7, 5), np.inf))
    return layer


@pytest.mark.parametrize(
    ("convert", "layer", "said"),
    [
        (from_dense, lambda: layers.Dense(5), "not built"),
        (from_dense, lambda: built(layers.Dense(5, kernel_constraint="non_neg"), 7), "constraint"),
        (from_dense, adapted, "LoRA"),
        (from_dense, infinite, "not finite"),
        (from_dense, lambda: built(MyDense(5), 7), "Received: <MyDense"),
        (from_dense, lambda: built(layers.Conv2D(5, 3), 7, 7, 3), "Received: <Conv2D"),
        (from_conv2d, lambda: built(layers.DepthwiseConv2D(3), 7, 7, 3), "<DepthwiseConv2D"),
        (from_conv2d, lambda: built(LightConv2D(5, 3), 7, 7, 3), "<LightConv2D"),
    ],
)
def test_what_has_no_twin_is_refused(convert, layer, said):
    with pytest.raises(ValueError) as refused:
        convert(layer(), 1)
    assert said in str(refused.value)


@pytest.mark.parametrize("rank", [0, 6, 2.5, True, None, "2"])
def test_wrong_ranks_are_refused(rank):
    layer = built(layers.Dense(5, name="head"), 7)
    with pytest.raises(ValueError) as refused:
        from_dense(layer, rank)
    assert "'head' must be an integer from 1 to 5" in str(refused.value)
    assert f"rank={rank!r}" in str(refused.value)


def test_the_papers_form_stands_for_no_kernel():
    with pytest.raises(ValueError, match="form='paper'"):
        from_conv2d(built(layers.Conv2D(5, 3), 7, 7, 3), 1, "paper")
    with pytest.raises(ValueError, match="no single kernel"):
        to_conv2d(built(LightConv2D(5, 3), 7, 7, 3))
    with pytest.raises(ValueError, match="Expected a built LightDense"):
        to_dense(LightDense(5))
    with pytest.raises(ValueError, match="Expected a built LightConv2D"):
        to_conv2d(built(layers.Conv2D(5, 3), 7, 7, 3))


@keras.saving.register_keras_serializable()
class Branched(keras.Model):
    """A model with a call of its own, light where a rank is given."""

    def __init__(self, rank=None, **kwargs):
        super().__init__(**kwargs)
        self.rank = rank
        if rank is None:
            self.conv, self.head = layers.Conv2D(4, 3), layers.Dense(5)
        else:
            self.conv = LightConv2D(4, 3, rank=rank, form="spatial")
            self.head = LightDense(5, rank=rank)

    def call(self, x):
        return self.head(layers.Flatten()(self.conv(x)))

    def get_config(self):
        return super().get_config() | {"rank": self.rank}


def test_a_subclassed_model_becomes_light_as_the_error_says(tmp_path):
    x = random(2, 6, 6, 2)
    old, new = Branched(), Branched(rank=4)
    old(x), new(x)
    with pytest.raises(ValueError, match=r"new.head.set_weights\(from_dense\(old.head, rank\)"):
        convert(old, [])
    new.head.set_weights(from_dense(old.head, 4).get_weights())
    new.conv.set_weights(from_conv2d(old.conv, 4).get_weights())
    assert kernel_error(old.head, new.head) == pytest.approx(tail(old.head, 4, "dense"), rel=1e-4)
    assert kernel_error(old.conv, new.conv) == pytest.approx(tail(old.conv, 4, "spatial"), rel=1e-4)
    new.save(tmp_path / "new.keras")
    again = keras.saving.load_model(tmp_path / "new.keras")
    np.testing.assert_allclose(predicted(again, x), predicted(new, x), atol=1e-6)


@pytest.mark.parametrize("conv", [True, False])
def test_an_activation_with_weights_is_copied_with_them(conv):
    kind = layers.Conv2D(6, 1, activation=layers.PReLU(), name="acted")
    kind = kind if conv else layers.Dense(6, activation=layers.PReLU(), name="acted")
    model = keras.Sequential([keras.Input((2, 2, 6)), kind])
    x = random(3, 2, 2, 6)
    model(x)
    kind.activation.alpha.assign(random(*kind.activation.alpha.shape))
    light = convert(model, [{"layer": "acted", "form": "spatial" if conv else "", "rank": 6}])
    expected = predicted(model, x)
    for new in (light, merge(light), squeeze(light)):
        np.testing.assert_allclose(predicted(new, x), expected, atol=1e-5)
    for variable in light.variables:
        variable.assign(variable + 1)
    np.testing.assert_array_equal(predicted(model, x), expected)


@keras.saving.register_keras_serializable()
def fixed(shape, dtype=None):
    """Returns an array that has its own shape, whatever it is asked for."""
    return keras.ops.reshape(keras.ops.arange(35, dtype="float32") / 35 - 0.2, (7, 5))


@pytest.mark.parametrize("initializer", [fixed, keras.initializers.Constant(numpy(fixed(None)))])
def test_initialisers_with_a_shape_of_their_own_go_on_with_the_kernel(initializer):
    model = plain(layers.Dense(5, name="dense", kernel_initializer=initializer))
    light = convert(model, conversion.plan(model, Budget(parameters=30))).layers[0]
    assert light.rank == 2
    np.testing.assert_allclose(light.kernel, truncated(fixed(None), 2), atol=1e-5)
    again = to_dense(light)
    assert (
        again.get_config()["kernel_initializer"]
        == (model.layers[0].get_config()["kernel_initializer"])
    )
    afresh = LightDense.from_config(light.get_config() | {"rank": 1})
    afresh.build((None, 7))
    np.testing.assert_allclose(afresh.kernel, truncated(fixed(None), 1), atol=1e-5)
    conv = layers.Conv2D(4, 3, kernel_initializer=keras.initializers.Constant(random(3, 3, 2, 4)))
    conv.build((None, 8, 8, 2))
    for form in LINEAR:
        assert from_conv2d(conv, 2, form).rank == 2
