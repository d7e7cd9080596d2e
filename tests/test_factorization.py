"""The factors: exactness against dense layers, truncated SVD, starts and break-even ranks."""

import math

import keras
import numpy as np
import pytest

from lightlayers import LightConv2D, LightDense, factorization

if keras.backend.backend() == "jax":
    import jax
else:
    import tensorflow as tf

LINEAR = ("channel", "spatial")


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def matrices(kernel, form, groups=1):
    """Returns each group's matrix whose rank the form limits, written out block by block."""
    parts = np.split(numpy(kernel), groups, axis=-1)
    if form == "dense":
        return parts
    if form == "channel":
        return [part.reshape(-1, part.shape[-1]) for part in parts]
    return [np.block([list(column) for column in part.swapaxes(0, 1)]) for part in parts]


def truncated(matrix, rank):
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


def with_weights(layer, x, *weights):
    layer.build(x.shape)
    for variable, value in zip(layer.weights, weights, strict=True):
        variable.assign(value)
    return layer


def output_and_gradient(layer, x):
    """Returns a layer's output and the gradient of a weighted sum of it by its input."""
    weights = random(*layer.compute_output_shape(x.shape), seed=9)

    def weighted(x):
        output = layer(x)
        return keras.ops.sum(output * weights), output

    if keras.backend.backend() == "jax":
        (_, output), gradient = jax.jit(jax.value_and_grad(weighted, has_aux=True))(x)
    else:
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value, output = weighted(x)
        gradient = tape.gradient(value, x)
    return numpy(output), numpy(gradient)


def assert_same_function(layer, dense, x):
    pairs = zip(output_and_gradient(layer, x), output_and_gradient(dense, x), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


GEOMETRIES = [
    {"kernel_size": 3},
    {"kernel_size": (3, 2), "padding": "same", "groups": 2},
    {"kernel_size": (3, 4), "padding": "same", "strides": 2},
    {"kernel_size": (2, 3), "strides": (1, 2), "groups": 2},
    {"kernel_size": (4, 3), "padding": "same", "strides": (3, 2)},
    {"kernel_size": (3, 2), "dilation_rate": (2, 1)},
    {"kernel_size": (2, 3), "padding": "same", "dilation_rate": (1, 3), "groups": 2},
]


@pytest.mark.parametrize("form", LINEAR)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_full_rank_convolution_is_conv2d(form, geometry):
    groups, (kh, kw) = geometry.get("groups", 1), np.broadcast_to(geometry["kernel_size"], 2)
    x, kernel, bias = random(2, 7, 8, 4), random(kh, kw, 4 // groups, 6, seed=1), random(6, seed=2)
    full = min(matrices(kernel, form, groups)[0].shape)
    factors = factorization.split(kernel, full, form, groups)
    merged = factorization.merge(*factors, form, groups)
    np.testing.assert_allclose(numpy(merged), kernel, atol=1e-5, strict=True)
    zeros = {"kernel_initializer": "zeros", **geometry}  # JAX compiles no draw of them
    layer = with_weights(LightConv2D(6, rank=full, form=form, **zeros), x, *factors, bias)
    assert_same_function(layer, with_weights(keras.layers.Conv2D(6, **zeros), x, kernel, bias), x)


@pytest.mark.parametrize("form", LINEAR)
@pytest.mark.parametrize("geometry", GEOMETRIES[1:4:2])
def test_low_rank_convolution_is_conv2d_with_its_kernel(form, geometry):
    x = random(2, 7, 8, 4)
    layer = LightConv2D(6, **geometry, rank=2, form=form, bias_initializer="glorot_uniform")
    layer.build(x.shape)
    dense = keras.layers.Conv2D(6, kernel_initializer="zeros", **geometry)
    assert_same_function(layer, with_weights(dense, x, layer.kernel, layer.bias), x)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5)])
def test_dense_is_keras_dense_with_its_kernel(shape):
    x, kernel, bias = random(*shape), random(5, 7, seed=1), random(7, seed=2)
    full = with_weights(LightDense(7, rank=5), x, *factorization.split(kernel, 5, "dense"), bias)
    assert_same_function(full, with_weights(keras.layers.Dense(7), x, kernel, bias), x)
    for scale in (None, "paper"):
        low = LightDense(7, rank=2, scale=scale, bias_initializer="glorot_uniform")
        low.build(x.shape)
        dense = with_weights(keras.layers.Dense(7), x, low.kernel, low.bias)
        assert_same_function(low, dense, x)


GROUPED = [("dense", 1), ("channel", 1), ("channel", 2), ("spatial", 1), ("spatial", 2)]


@pytest.mark.parametrize(("form", "groups"), GROUPED)
def test_split_is_the_nearest_of_its_rank(form, groups):
    kernel = random(9, 7) if form == "dense" else random(3, 2, 4, 6)
    exact = matrices(kernel, form, groups)
    for rank in (1, 2):
        factors = factorization.split(kernel, rank, form, groups)
        product = factorization.merge(*factors, form, groups)
        for near, whole in zip(matrices(product, form, groups), exact, strict=True):
            tail = np.linalg.svd(whole, compute_uv=False)[rank:]
            error = np.linalg.norm(whole - near)
            np.testing.assert_allclose(error, np.linalg.norm(tail), rtol=1e-5)


# ----------------------------------------------------------------------------- starts

SEEDED = {
    "by an integer": lambda seed: keras.initializers.GlorotUniform(seed=seed),
    "by a generator": lambda seed: keras.initializers.GlorotUniform(
        seed=keras.random.SeedGenerator(seed)
    ),
    "for all": lambda seed: keras.utils.set_random_seed(seed) or "glorot_uniform",
}


def started(start, form, groups, initializer, channels=8, filters=12, rank=3):
    """Returns a built layer and the shape of its dense kernel."""
    kwargs = {"rank": rank, "factor_initializer": start, "kernel_initializer": initializer}
    if form == "dense":
        layer, shape = LightDense(filters, **kwargs), (channels, filters)
    else:
        layer = LightConv2D(filters, (3, 2), form=form, groups=groups, **kwargs)
        shape = (3, 2, channels // groups, filters)
    layer.build((None, 8, 8, channels))
    return layer, shape


def grams(layer, groups):
    """Returns U'U and VV' of each group's factors U and V."""
    one, two = numpy(layer.factor_1), numpy(layer.factor_2)
    for u, v in zip(np.split(one, groups, axis=-1), np.split(two, groups, axis=-1), strict=True):
        u, v = u.reshape(-1, layer.rank), np.moveaxis(v, -2, 0).reshape(layer.rank, -1)
        yield u.T @ u, v @ v.T


@pytest.mark.parametrize("start", ["independent", "variance"])
@pytest.mark.parametrize("seeded", SEEDED)
def test_no_two_factors_are_drawn_alike(start, seeded):
    drawn = []
    for seed in (1, 2):  # as a user seeds one layer after the other
        kwargs = {"kernel_initializer": SEEDED[seeded](seed), "factor_initializer": start}
        layer = LightDense(64, rank=64, **kwargs)
        layer.build((None, 64))
        drawn += [numpy(layer.factor_1).ravel(), numpy(layer.factor_2).ravel()]
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 0.1


class Scaled(keras.initializers.HeNormal):
    """One of the user's own that does not say how it is made."""

    def __init__(self, factor, seed=None):
        super().__init__(seed=seed)
        self.factor = factor

    def __call__(self, shape, dtype=None):
        return super().__call__(shape, dtype) * self.factor


@pytest.mark.parametrize("seed", [None, 3])
def test_an_initializer_without_a_configuration_draws_both_factors(seed):
    layer = LightDense(200, rank=200, kernel_initializer=Scaled(0.01, seed))
    layer.build((None, 200))
    one, two = numpy(layer.factor_1).ravel(), numpy(layer.factor_2).ravel()
    for drawn in (one, two):
        np.testing.assert_allclose(drawn.std(), 0.01 * (2 / 200) ** 0.5, rtol=0.05)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05


@pytest.mark.parametrize("start", ["spectral", "variance"])
@pytest.mark.parametrize(("form", "groups"), GROUPED)
def test_a_start_at_zero_can_be_trained(start, form, groups):
    layer, shape = started(start, form, groups, "zeros")
    assert tuple(layer.kernel.shape) == shape and not numpy(layer.kernel).any()
    energies = [np.diag(gram) for gram, _ in grams(layer, groups)]
    assert np.all(np.array(energies) > 0.1) and np.all(np.array(energies) < 10)


def test_directions_that_a_kernel_has_none_of_can_be_trained():
    kernel = np.zeros((6, 5))
    kernel[:, 2] = 3
    one, two = factorization.split(kernel, 4, "dense")
    np.testing.assert_allclose(one @ two, kernel, atol=1e-12)
    assert (np.linalg.norm(one, axis=0) > 1).all() and not two[1:].any()


@pytest.mark.parametrize("seeded", SEEDED)
def test_the_two_biases_of_the_paper_form_are_drawn_apart(seeded):
    layer = LightConv2D(256, 1, rank=256, bias_initializer=SEEDED[seeded](1))
    layer.build((None, 4, 4, 1))
    assert abs(np.corrcoef(numpy(layer.intermediate_bias), numpy(layer.bias))[0, 1]) < 0.4


@pytest.mark.parametrize(("form", "groups"), [*GROUPED, ("paper", 2)])
def test_independent_start_draws_each_factor_by_the_initializer(form, groups):
    layer, _ = started("independent", form, groups, keras.initializers.GlorotUniform(seed=7))
    expected = keras.initializers.GlorotUniform(seed=7)(layer.factor_1.shape)
    np.testing.assert_array_equal(numpy(layer.factor_1), numpy(expected))
    *window, fan_in, fan_out = layer.factor_2.shape
    limit = math.sqrt(6 / (math.prod(window) * (fan_in + fan_out)))
    assert 0.9 * limit < np.abs(numpy(layer.factor_2)).max() <= limit


@pytest.mark.parametrize(("form", "groups"), GROUPED)
def test_spectral_start_is_the_truncated_draw_and_balanced(form, groups):
    layer, shape = started("spectral", form, groups, keras.initializers.GlorotUniform(seed=7))
    draw = keras.initializers.GlorotUniform(seed=7)(shape)
    products = matrices(layer.kernel, form, groups)
    for product, exact in zip(products, matrices(draw, form, groups), strict=True):
        np.testing.assert_allclose(product, truncated(exact, 3), atol=1e-5)
    for one, two in grams(layer, groups):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize(("form", "groups"), GROUPED)
def test_variance_start_has_the_mean_square_of_the_draw(form, groups):
    large = {"channels": 256, "filters": 256, "rank": 16}
    layer, shape = started(
        "variance", form, groups, keras.initializers.GlorotUniform(seed=7), **large
    )
    draw = numpy(keras.initializers.GlorotUniform(seed=7)(shape))
    ratio = np.mean(np.square(numpy(layer.kernel))) / np.mean(np.square(draw))
    assert 0.9 < ratio < 1.1


@pytest.mark.parametrize("start", ["independent", "spectral", "variance"])
@pytest.mark.parametrize("seeded", SEEDED)
def test_seeds_are_honoured(start, seeded):
    one, same, other = (
        [numpy(w) for w in started(start, "spatial", 2, SEEDED[seeded](seed))[0].weights[:2]]
        for seed in (1, 1, 2)
    )
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.any(a != c)


class Subclassed(keras.Model):
    """A model whose layers Keras first asks for shapes alone, while it traces."""

    def __init__(self, stack):
        super().__init__()
        self.stack = stack

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x


@pytest.mark.parametrize("model", [keras.Sequential, Subclassed])
def test_starts_inside_fit(model):
    conv = LightConv2D(6, 3, form="spatial", rank=2, factor_initializer="spectral")
    dense = LightDense(3, rank=2, factor_initializer="variance")
    model = model([conv, keras.layers.Flatten(), dense])
    model.compile(keras.optimizers.SGD(0.0), "mse")  # builds at the first batch, then stays
    model.fit(random(4, 7, 8, 4), random(4, 3), verbose=0)
    for one, two in grams(conv, 1):
        np.testing.assert_allclose(one, two, atol=1e-5)
        assert np.all(np.diag(one) > 0.1)
    assert all(np.std(numpy(factor)) > 0.1 for factor in (dense.factor_1, dense.factor_2))


# ------------------------------------------------------------------------- break-even


@pytest.mark.parametrize(
    ("layer", "channels", "kwargs", "weights"),
    [
        *((LightDense, channels, {"units": 10}, channels * 10) for channels in (784, 64, 32)),
        (LightDense, 4, {"units": 4}, 16),  # even at rank 2
        (LightConv2D, 4, {"filters": 5, "kernel_size": 1}, 20),  # the first bias decides
        (LightConv2D, 12, {"filters": 8, "kernel_size": 1, "groups": 2}, 48),  # and counts once
        *(
            (LightConv2D, 16, {"filters": 32, "kernel_size": (3, 2), **kwargs}, weights)
            for form in ("paper", *LINEAR)
            for kwargs, weights in (({"form": form}, 3072), ({"form": form, "groups": 2}, 1536))
        ),
    ],
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_break_even_rank(layer, channels, kwargs, weights, use_bias):
    def built(rank):
        one = layer(rank=rank, use_bias=use_bias, kernel_initializer="zeros", **kwargs)
        one.build((None, 8, 8, channels))
        output_bias = math.prod(one.bias.shape) if use_bias else 0
        return one.break_even_rank, one.count_params() - output_bias

    even = built(1)[0]
    (below, fewer), (at, enough) = built(even - 1), built(even)
    assert below == at == even > 1
    assert fewer < weights <= enough
