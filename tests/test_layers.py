"""The layers: Keras' own layer test, the paper's equations, saving, dtypes and errors."""

import doctest
import importlib
import inspect
import itertools
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras.src import testing

import lightlayers
from lightlayers import LightConv2D, LightDense, factorization, layers

TENSORFLOW = keras.backend.backend() == "tensorflow"
if TENSORFLOW:
    import tensorflow as tf
else:
    import jax

# ---------------------------------------------------------------- Keras' own layer test

# JAX has no float64 unless its user switches it on for the whole process.
DTYPES = ["float32", "bfloat16", "mixed_float16", "mixed_bfloat16", "float64"][: 4 + TENSORFLOW]
SHARED = {
    "use_bias": [True, False],
    "activation": [None, "relu", "softmax"],
    "kernel_regularizer": [None, "l2"],
    "bias_regularizer": [None, "l1"],
    "activity_regularizer": [None, "l2"],
    "product_regularizer": [None, "l2", "l1"],
    "kernel_constraint": [None, "max_norm"],
    "bias_constraint": [None, "non_neg"],
    "factor_initializer": ["independent", "spectral", "variance"],
    "rank": [1, 2, 5],
    "dtype": DTYPES,
}
FACTORS = {
    LightConv2D: {
        "form": ["paper", "channel", "spatial"],
        "kernel_size": [1, 3, (3, 2)],
        "strides": [1, 2, (1, 2)],
        "padding": ["valid", "same"],
        "dilation_rate": [1, 2, (2, 1)],
        "groups": [1, 2],
        "intermediate_activation": ["auto", "tanh", None],
        "implementation": ["auto", "merged", "factored"],
        **SHARED,
    },
    LightDense: {
        "input_shape": [(3, 4), (2, 3, 4), (2, 3, 2, 4)],
        "units": [3, 6],
        "scale": [None, "paper"],
        **SHARED,
    },
}


def forbidden(*levels):
    """Whether Keras or the layers rightly refuse these two levels together."""
    two = dict(levels)
    start = two.get("factor_initializer", "independent")
    # Keras' fit on TensorFlow adds penalties to a float32 loss without a cast: Dense fails too.
    penalties = [name for name, level in levels if level and name.endswith("_regularizer")]
    policy = two.get("dtype", "float32") if TENSORFLOW else "float32"
    return (
        (policy in ("bfloat16", "float64") and penalties)
        or (policy.startswith("mixed") and penalties == ["activity_regularizer"])
        or (two.get("strides", 1) != 1 and two.get("dilation_rate", 1) != 1)
        or (start != "independent" and (two.get("form") == "paper" or two.get("scale")))
        or (two.get("form", "paper") != "paper" and two.get("intermediate_activation") == "tanh")
        or (two.get("form") == "paper" and two.get("implementation") == "merged")
        or (two.get("form") == "paper" and two.get("product_regularizer"))
        or (two.get("intermediate_activation") == "tanh" and two.get("product_regularizer"))
        or (two.get("implementation") == "merged" and two.get("intermediate_activation") == "tanh")
        # The one wants form "paper", the other does not.
        or (start != "independent" and two.get("intermediate_activation") == "tanh")
        # Beyond the full rank of a 1 × 1 kernel for 4 channels in 2 groups.
        or (start == "spectral" and two.get("rank") == 5)
    )


def valid_pairs(factors):
    """Returns all pairs of levels of two factors that can be together in one case."""
    levels = [[(name, level) for level in values] for name, values in factors.items()]
    return {
        frozenset(pair)
        for one, other in itertools.combinations(levels, 2)
        for pair in itertools.product(one, other)
        if not forbidden(*pair)
    }


def pairs_of(case):
    return {frozenset(pair) for pair in itertools.combinations(case.items(), 2)}


def pairwise(factors):
    """Returns few cases that hold every valid pair: each case grows by its best level."""
    order = [(name, level) for name, values in factors.items() for level in values]
    missing, cases = valid_pairs(factors), []
    while missing:
        case = dict(next(p for p in itertools.combinations(order, 2) if frozenset(p) in missing))
        for name, values in factors.items():
            if name not in case:
                case[name] = max(
                    (v for v in values if not any(forbidden((name, v), i) for i in case.items())),
                    key=lambda v: sum(frozenset([(name, v), i]) in missing for i in case.items()),
                )
        cases.append(case)
        missing -= pairs_of(case)
    return cases


CASES = {layer: pairwise(factors) for layer, factors in FACTORS.items()}


def test_cover_is_complete_and_small():
    for layer, cases in CASES.items():
        assert set().union(*map(pairs_of, cases)) == valid_pairs(FACTORS[layer])
    assert sum(map(len, CASES.values())) <= 80


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")  # by Keras' own test
@pytest.mark.parametrize(("light", "i"), [(c, i) for c in CASES for i in range(len(CASES[c]))])
def test_layers_pass_keras_layer_test(light, i):
    case = dict(CASES[light][i])
    if light is LightConv2D:
        case["filters"], shape, form = 6, (2, 7, 8, 4), case["form"]
        names = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups")
        dense = keras.layers.Conv2D(**{name: case[name] for name in names})
    else:
        shape, form = case.pop("input_shape"), None
        dense = keras.layers.Dense(case["units"])
    layer = light(**case)
    revived = light.from_config(layer.get_config())
    for name, parameter in inspect.signature(light).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:  # Keras' own test misses what is left out
            mine, theirs = getattr(layer, name), getattr(revived, name)
            if name == "product_regularizer" and mine:
                mine, theirs = mine.get_config(), theirs.get_config()
            assert theirs == mine

    biases = case["use_bias"] * (2 if form == "paper" else 1)
    keras_test = testing.TestCase()
    keras_test.setUp()
    keras_test.run_layer_test(
        light,
        case,
        shape,
        expected_output_shape=dense.compute_output_shape(shape),
        expected_output_dtype=case["dtype"].removeprefix("mixed_"),
        expected_num_trainable_weights=2 + biases,
        expected_num_non_trainable_weights=0,
        expected_num_losses=(2 if case["kernel_regularizer"] else bool(case["product_regularizer"]))
        + biases * bool(case["bias_regularizer"])
        + bool(case["activity_regularizer"]),
        supports_masking=dense.supports_masking,
        # Mixed precision is a dtype of the cover: no need to repeat it for every other.
        run_mixed_precision_check=case["dtype"] == "float32",
    )


# ------------------------------------------------------------- the paper's equations


def convolve(x, kernel, strides=1, padding="same", dilation_rate=1):
    """Returns a convolution by its definition, position by position; groups by shapes."""
    (sh, sw), (dh, dw) = np.broadcast_to(strides, 2), np.broadcast_to(dilation_rate, 2)
    kh, kw, channels, filters = kernel.shape
    if padding == "same":  # as TensorFlow: the odd row or column is added at the end
        pads = [(0, 0)]
        for size, s, reach in ((x.shape[1], sh, (kh - 1) * dh), (x.shape[2], sw, (kw - 1) * dw)):
            total = max((-(-size // s) - 1) * s + reach + 1 - size, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [*pads, (0, 0)])
    rows = range(0, x.shape[1] - (kh - 1) * dh, sh)
    columns = range(0, x.shape[2] - (kw - 1) * dw, sw)
    outputs = np.zeros((len(x), len(rows), len(columns), filters))
    each = filters // (x.shape[3] // channels)
    for (i, row), (j, column), f in itertools.product(
        enumerate(rows), enumerate(columns), range(filters)
    ):
        first = f // each * channels
        patch = x[:, row : row + kh * dh : dh, column : column + kw * dw : dw]
        patch = patch[:, :kh, :kw, first : first + channels]
        outputs[:, i, j, f] = np.sum(patch * kernel[..., f], axis=(1, 2, 3))
    return outputs


def randomized(layer, x, seed=0):
    """Returns the layer, built for x, with every weight drawn, the biases too."""
    if not layer.built:
        layer.build(x.shape)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def images(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


ACTIVATIONS = {"auto": lambda h: np.maximum(h, 0), "tanh": np.tanh, None: lambda h: h}


@pytest.mark.parametrize(
    ("geometry", "between", "use_bias"),
    [
        ({"kernel_size": 3}, "auto", True),
        ({"kernel_size": (3, 2), "padding": "same"}, "auto", True),
        ({"kernel_size": (3, 4), "padding": "same", "strides": 2}, "auto", True),
        ({"kernel_size": (2, 3), "strides": (1, 2), "groups": 2}, "auto", True),
        ({"kernel_size": 3, "padding": "same", "dilation_rate": (2, 1)}, "tanh", True),
        ({"kernel_size": (3, 2), "dilation_rate": 2, "groups": 2}, "auto", False),
        ({"kernel_size": (1, 2), "padding": "same", "strides": (3, 2)}, None, True),
    ],
)
def test_paper_form_is_the_papers_two_convolutions(geometry, between, use_bias):
    x = images(2, 7, 8, 4)
    kwargs = {"rank": 3, "use_bias": use_bias, "kernel_initializer": "zeros"}
    layer = LightConv2D(6, activation="tanh", intermediate_activation=between, **geometry, **kwargs)
    randomized(layer, x)
    outputs = numpy(layer(x))
    b1, b2 = (layer.intermediate_bias, layer.bias) if use_bias else (np.zeros(1), np.zeros(1))

    hidden = ACTIVATIONS[between](convolve(x, numpy(layer.factor_1)) + numpy(b1))
    strided = {k: v for k, v in geometry.items() if k not in ("kernel_size", "groups")}
    strided = {"padding": "valid", **strided}
    expected = np.tanh(convolve(hidden, numpy(layer.factor_2), **strided) + numpy(b2))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    dense = keras.layers.Conv2D(6, kernel_initializer="zeros", **geometry)
    assert outputs.shape == dense(x).shape


@pytest.mark.parametrize("scale", [None, "paper"])
def test_dense_is_the_papers_product(scale):
    x = images(2, 3, 7)
    layer = randomized(LightDense(5, activation="tanh", rank=2, scale=scale), x)
    w1, w2, b = map(numpy, layer.weights)
    if scale:
        w1, w2 = w1 * np.sqrt(2 / 5), w2 * np.sqrt(2 / 5)
    np.testing.assert_allclose(numpy(layer(x)), np.tanh(x @ w1 @ w2 + b), atol=1e-5)
    np.testing.assert_allclose(numpy(layer.kernel), w1 @ w2, atol=1e-6)


@pytest.mark.parametrize("form", layers.FORMS)
def test_channels_first_is_channels_last_transposed(form):
    # Between the factors and after them the images are as wide as they have channels.
    x, kwargs = images(2, 7, 8, 4), {"strides": (1, 2), "padding": "same", "form": form, "rank": 8}
    last = randomized(LightConv2D(4, (3, 2), data_format="channels_last", **kwargs), x)
    expected = numpy(last(x)).transpose(0, 3, 1, 2)
    x = x.transpose(0, 3, 1, 2)
    first = randomized(LightConv2D(4, (3, 2), data_format="channels_first", **kwargs), x)
    try:
        outputs = numpy(first(x))
    except Exception as error:
        if "only supports the NHWC" not in str(error):
            raise
        pytest.skip("TensorFlow has no channels_first for this processor")
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------ Keras' arguments

SHARED_POSITIONAL = ["relu", False, "he_normal", "ones", "l1", "l2", "L1L2", "max_norm", "non_neg"]


@pytest.mark.parametrize(
    ("light", "dense", "positional"),
    [
        (LightDense, keras.layers.Dense, [6]),
        (LightConv2D, keras.layers.Conv2D, [6, (3, 2), 2, "same", "channels_first", (1, 1), 3]),
    ],
)
def test_positional_arguments_and_defaults_are_those_of_keras(light, dense, positional):
    ours, theirs = (list(inspect.signature(c).parameters.values()) for c in (light, dense))
    last = [p.name for p in theirs].index("bias_constraint")
    assert ours[: last + 1] == theirs[: last + 1]  # names, order, kinds and defaults
    assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in ours[last + 1 :])

    config = light(*positional, *SHARED_POSITIONAL, name="same").get_config()
    expected = dense(*positional, *SHARED_POSITIONAL, name="same").get_config()
    expected.pop("quantization_config", None)
    assert {name: config[name] for name in expected} == expected


@pytest.mark.parametrize("light", [LightDense, LightConv2D])
def test_constraints_act_on_every_weight(light):
    args = (2,) if light is LightDense else (2, 3)
    layer = light(*args, kernel_constraint="non_neg", bias_constraint="non_neg")
    model = keras.Sequential([keras.Input((4, 4, 3)), layer])
    randomized(layer, images(1, 4, 4, 3))
    assert all(numpy(weight).min() < 0 for weight in layer.weights)
    model.compile("sgd", "mse")
    model.train_on_batch(images(2, 4, 4, 3), numpy(model(images(2, 4, 4, 3))))
    assert all(numpy(weight).min() >= 0 for weight in layer.weights)


class Half(keras.regularizers.L2):
    """An L2 of one's own, which computes something else."""

    def __call__(self, x):
        return super().__call__(x) / 2


@pytest.mark.parametrize("regularizer", ["l2", keras.regularizers.L1L2(0.1, 0.2), Half(0.1)])
@pytest.mark.parametrize("light", ["dense", "scaled", "channel", "spatial"])
def test_product_penalty_is_that_of_the_merged_kernel(light, regularizer):
    kwargs = {"kernel_regularizer": "l1", "product_regularizer": regularizer, "rank": 2}
    if light in ("dense", "scaled"):
        layer = LightDense(6, scale="paper" if light == "scaled" else None, **kwargs)
        layer.build((None, 5))
    else:
        layer = LightConv2D(6, (3, 2), form=light, groups=2, **kwargs)
        layer.build((None, 5, 5, 4))

    def expected(factor_1, factor_2):
        form = "dense" if light in ("dense", "scaled") else light
        kernel = factorization.merge(factor_1, factor_2, form, 1 if form == "dense" else 2)
        if light == "scaled":
            kernel = kernel * 2 / 6
        of_product = keras.regularizers.get(regularizer)(kernel)
        return of_product + sum(layer.kernel_regularizer(factor) for factor in (factor_1, factor_2))

    factors = [factor.value for factor in (layer.factor_1, layer.factor_2)]
    value, wanted = sum(layer.losses), expected(*factors)
    np.testing.assert_allclose(numpy(value), numpy(wanted), rtol=1e-5)
    if TENSORFLOW:
        with tf.GradientTape(persistent=True) as tape:
            value, wanted = sum(layer.losses), expected(*factors)
        found, gradients = tape.gradient(value, factors), tape.gradient(wanted, factors)
    else:
        variables = [layer.factor_1, layer.factor_2]

        def of_layer(*values):
            with keras.StatelessScope(zip(variables, values, strict=True)):
                return sum(layer.losses)

        found = jax.grad(of_layer, argnums=(0, 1))(*factors)
        gradients = jax.grad(expected, argnums=(0, 1))(*factors)
    for one, other in zip(found, gradients, strict=True):
        np.testing.assert_allclose(numpy(one), numpy(other), rtol=1e-4, atol=1e-6)


# --------------------------------------------------------- models, dtypes and saving


def network(shape=(8, 8, 3), optimizer="sgd", jit_compile="auto", dtype=None):
    """Returns a compiled model with all forms and both layers."""
    inputs = x = keras.Input(shape)
    for form, start in zip(layers.FORMS, ("independent", "spectral", "variance"), strict=True):
        kwargs = {"strides": (1, 2), "padding": "same", "rank": 2, "dtype": dtype}
        initial = {"factor_initializer": start, "bias_initializer": "glorot_uniform"}
        x = LightConv2D(5, 3, form=form, kernel_regularizer="l2", **kwargs, **initial)(x)
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
    x = LightDense(3, activation="softmax", rank=2, scale="paper", dtype=dtype)(x)
    model = keras.Model(inputs, x)
    model.compile(optimizer, "categorical_crossentropy", jit_compile=jit_compile)
    return model


def labels(n):
    return np.eye(3, dtype="float32")[np.arange(n) % 3]


def test_symbolic_sizes_and_compilation_change_nothing():
    keras.utils.set_random_seed(0)
    model, plain = (network((None, None, 3), jit_compile=jit) for jit in (True, False))
    before = model.get_weights()
    plain.set_weights(before)
    for shape in ((2, 8, 8, 3), (3, 11, 9, 3)):
        expected = x = images(*shape)
        for layer in model.layers[1:]:
            expected = layer(expected)
        for each in (model, plain):
            np.testing.assert_allclose(each.predict(x, verbose=0), numpy(expected), rtol=1e-5)
    for each in (model, plain):
        each.train_on_batch(x, labels(3))
    for old, one, two in zip(before, model.get_weights(), plain.get_weights(), strict=True):
        assert np.any(old != one)
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_float32_weights(policy):
    # Wide enough: on processors with AMX, TensorFlow 2.21 gives noise or NaN in bfloat16 where
    # any convolution of stride 2 meets images that are at most 2 wide.
    shape = (8, 16, 3)
    # A start whose gradients don't cancel: of what is left then, rounding is any share.
    keras.utils.set_random_seed(4)
    model, exact = network(shape, dtype=policy), network(shape, dtype="float32")
    exact.set_weights(model.get_weights())
    x = images(3, *shape)
    assert {layer.compute_dtype for layer in model.layers[1:]} == {policy.removeprefix("mixed_")}
    assert all(output.dtype == policy.removeprefix("mixed_") for output in model.outputs)
    np.testing.assert_allclose(numpy(model(x)), numpy(exact(x)), atol=5e-3)
    before = model.get_weights()
    for each in (model, exact):
        each.train_on_batch(x, labels(3))
    moved, expected = (
        [new - old for new, old in zip(each.get_weights(), before, strict=True)]
        for each in (model, exact)
    )
    for weight, one, two in zip(model.weights, moved, expected, strict=True):
        assert weight.dtype == "float32"
        # As far, but for a few thousandths (float16) or hundredths (bfloat16), whichever way.
        assert 0 < np.linalg.norm(two) and np.linalg.norm(one - two) < 0.1 * np.linalg.norm(two)


RESUME = """
import numpy as np
{imports}
model = keras.models.load_model({folder!r} + "/model.keras")
data = np.load({folder!r} + "/data.npz")
history = model.fit(data["x"], data["y"], batch_size=8, epochs=2, shuffle=False, verbose=0)
variables = model.weights + model.optimizer.variables
np.savez({out!r}, history.history["loss"], *map(keras.ops.convert_to_numpy, variables))
"""


def python(code):
    """Starts a fresh Python on the same backend, from whichever folder."""
    env = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    return subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.PIPE)


def test_saved_model_goes_on_training_exactly(tmp_path):
    keras.utils.set_random_seed(0)
    x, y = images(24, 8, 8, 3), labels(24)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    model = network(optimizer=keras.optimizers.Adam(1e-2))
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")

    orders = (
        "import keras; import lightlayers",
        "import lightlayers; import keras; from lightlayers import LightConv2D",
    )
    runs = []
    for imports in orders:
        out = str(tmp_path / f"{len(runs)}.npz")
        code = RESUME.format(imports=imports, folder=str(tmp_path), out=out)
        runs.append((out, python(code)))

    before = model.get_weights()
    losses = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
    expected = [losses, *map(numpy, model.weights + model.optimizer.variables)]
    for out, run in runs:
        error = run.communicate()[1]
        assert run.returncode == 0, error.decode()
        for a, b in zip(expected, np.load(out).values(), strict=True):
            np.testing.assert_array_equal(a, b)


LAZY = """
import sys
import lightlayers
assert not {"keras", "tensorflow", "jax"} & set(sys.modules), "import is not lazy"
assert {"LightConv2D", "LightDense"} <= set(dir(lightlayers))
assert "keras" not in sys.modules, "dir() is not lazy"
lightlayers.LightDense
import keras
assert keras.saving.get_registered_object("lightlayers>LightConv2D") is lightlayers.LightConv2D
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(2)  # refused once anything was computed
"""

BROKEN = """
import sys
class Broken:
    def find_spec(self, name, *_):
        if name == "keras":
            raise AttributeError("module 'numpy' has no attribute 'bool8'")
sys.meta_path.insert(0, Broken())
try:
    from lightlayers import LightDense
except ImportError as error:
    assert "bool8" in str(error), error
else:
    raise SystemExit("no error")
"""


def test_package_imports_keras_only_for_a_layer():
    with pytest.raises(AttributeError, match="'lightlayers' has no attribute 'LightConv3D'"):
        lightlayers.LightConv3D  # noqa: B018
    for run in [python(LAZY), python(BROKEN)]:
        error = run.communicate()[1]
        assert run.returncode == 0, error.decode()


# --------------------------------------------------------------- errors and examples


def conv(channels=4, size=8, **kwargs):
    layer = LightConv2D(**{"filters": 4, "kernel_size": 3, "rank": 2, **kwargs})
    layer.build((None, size, 8, channels))
    return layer


def dense(**kwargs):
    layer = LightDense(**{"units": 4, "rank": 2, **kwargs})
    layer.build((None, 4))
    return layer


def test_an_initializer_need_not_say_how_it_is_made():
    class Ones(keras.initializers.Initializer):
        def __init__(self, value):
            self.value = value

        def __call__(self, shape, dtype=None):
            return keras.ops.ones(shape, dtype) * self.value

    light = dense(kernel_initializer=Ones(3), bias_initializer=Ones(2))
    assert {float(w) for weight in light.get_weights() for w in weight.ravel()} == {3, 2}


@pytest.mark.parametrize("value", [0, -1, True, 2.5, "3", None])
@pytest.mark.parametrize(
    ("make", "name"), [(dense, "units"), (dense, "rank"), (conv, "filters"), (conv, "rank")]
)
def test_sizes_are_positive_integers(make, name, value):
    with pytest.raises(ValueError, match=re.escape(f"Received: {name}={value!r}")):
        make(**{name: value})


SPECTRAL, CHANNEL = {"factor_initializer": "spectral"}, {"form": "channel"}


@pytest.mark.parametrize(
    ("make", "kwargs", "error", "message"),
    [
        (conv, {"product_regularizer": "l2"}, ValueError, "Received: product_regularizer='l2'"),
        (conv, {"form": "cp"}, ValueError, "'spatial'. Received: form='cp'"),
        (conv, {"factor_initializer": "svd"}, ValueError, "Received: factor_initializer='svd'"),
        (dense, {"factor_initializer": "svd"}, ValueError, "Received: factor_initializer='svd'"),
        (dense, {"scale": 2}, ValueError, "'paper'. Received: scale=2"),
        (
            dense,
            {"scale": "paper", **SPECTRAL},
            ValueError,
            "ceived: factor_initializer='spectral'",
        ),
        (conv, SPECTRAL, ValueError, "'spatial'. Received: factor_initializer='spectral'"),
        (conv, {"intermediate_activation": "relu", **CHANNEL}, ValueError, "Use form='paper'"),
        (conv, {"groups": 2, "channels": 3}, ValueError, "groups=2, input_shape=(None, 8, 8, 3)"),
        (conv, {"groups": 3}, ValueError, "Received: groups=3, filters=4"),
        (conv, {"strides": 2, "dilation_rate": 2}, ValueError, "Received: strides=(2, 2)"),
        (conv, {"size": 2}, ValueError, "inputs shape=(None, 2, 8, 4)"),
        (
            conv,
            {"rank": 5, **CHANNEL, **SPECTRAL},
            ValueError,
            "most rank 4 in form 'channel'. Rec",
        ),
        (dense, {"rank": 5, **SPECTRAL}, ValueError, "at most rank 4 in form 'dense'. Received"),
        (dense, {"lora_rank": 4}, TypeError, "Received: 'lora_rank'"),
        (conv, {"lora_rank": 4}, TypeError, "Received: 'lora_rank'"),
        (conv, {"lora_alpha": 4}, TypeError, "Received: 'lora_alpha'"),
        (dense, {"quantization_config": {}}, TypeError, "Received: 'quantization_config'"),
        (dense, {"dtype": "int8_from_float32"}, TypeError, "Received: 'int8_from_float32'"),
        (conv, {"dtype": "int8_from_float32"}, TypeError, "Received: 'int8_from_float32'"),
    ],
)
def test_wrong_arguments(make, kwargs, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make(**kwargs)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_a_quantised_model_keeps_its_light_layers():
    keras.utils.set_random_seed(0)
    light = LightDense(8, rank=2)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8), light])
    x = np.random.default_rng(0).normal(size=(4, 6))
    before = model.predict(x, verbose=0)
    with pytest.warns(UserWarning, match="LightDense has a kernel of two trained factors"):
        model.quantize("int8")
    assert model.layers[0].quantization_mode == "int8" and light.factor_1.dtype == "float32"
    np.testing.assert_allclose(model.predict(x, verbose=0), before, atol=0.1)


@pytest.mark.parametrize(("make", "instead"), [(dense, "Dense"), (conv, "Conv2D")])
def test_built_layers_refuse_adapters_and_unbuilt_ones_have_no_kernel(make, instead):
    with pytest.raises(TypeError, match=f"'enable_lora'.* keras.layers.{instead} instead"):
        make().enable_lora(4)
    with pytest.raises(NotImplementedError, match=f"'quantize'.* keras.layers.{instead} instead"):
        make().quantize("int8")
    normalized = keras.layers.SpectralNormalization(make())
    refused = f"'SpectralNormalization'.* keras.layers.{instead} instead"
    with pytest.raises(TypeError, match=refused):
        normalized.build((None, 8, 8, 4) if instead == "Conv2D" else (None, 4))
    unbuilt = type(make()).from_config(make().get_config())
    with pytest.raises(AttributeError, match="must build the layer"):
        unbuilt.kernel  # noqa: B018
    with pytest.raises(AttributeError, match="Build the layer"):
        unbuilt.break_even_rank  # noqa: B018
    with pytest.raises(AttributeError, match="stands for no single kernel"):
        conv().kernel  # noqa: B018


@pytest.mark.parametrize("form", ["channel", "spatial"])
@pytest.mark.parametrize(
    "case",
    [
        {"padding": "same", "strides": 2},
        {"padding": "valid", "strides": (1, 2)},
        {"padding": "same", "dilation_rate": (2, 1)},
        {"padding": "same", "groups": 2, "activation": "relu"},
    ],
    ids=str,
)
def test_merged_gives_what_the_factors_give(form, case):
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype("float32")
    factored = LightConv2D(6, (3, 2), rank=2, form=form, implementation="factored", **case)
    merged = LightConv2D(6, (3, 2), rank=2, form=form, implementation="merged", **case)
    factored.build(x.shape)
    merged.build(x.shape)
    merged.set_weights(factored.get_weights())
    for training in (True, False):
        ours, theirs = (np.array(layer(x, training=training)) for layer in (merged, factored))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("rank", "implementation", "training", "convolutions"),
    [
        # Of 9 · 8 · 8 weights at 9 · 8 + 8 a rank: even at rank 7.2, that is 8.
        (7, "auto", False, 2),
        (8, "auto", False, 1),
        (8, "auto", True, 2),
        (2, "merged", True, 1),
        (3, "factored", False, 2),
    ],
)
def test_implementation_decides_how_many_convolutions(
    monkeypatch, rank, implementation, training, convolutions
):
    layer = LightConv2D(8, 3, rank=rank, form="channel", implementation=implementation)
    layer.build((None, 8, 8, 8))
    assert layer.break_even_rank == 8
    calls, conv = [], layers.ops.conv
    monkeypatch.setattr(layers.ops, "conv", lambda *a, **k: calls.append(1) or conv(*a, **k))
    layer(np.ones((1, 8, 8, 8), "float32"), training=training)
    assert len(calls) == convolutions


EXAMPLES = {
    "layers": {"LightConv2D", "LightDense"},
    "factorization": {"split", "merge", "squared_norm"},
    "ranks": {"Budget"},
    "substitution": {"from_dense", "from_conv2d"},
    "conversion": {"plan", "convert"},
    "pruning": {"RankSchedule"},
    "costs": {"register"},
}
FOLDER = pathlib.Path(lightlayers.__file__).parent


def module_names():
    for file in sorted(FOLDER.rglob("*.py")):
        parts = file.relative_to(FOLDER).with_suffix("").parts
        if parts[-1] != "__main__":
            if TENSORFLOW or parts[0] != "suite":  # the suite's examples: once
                yield ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("name", filter(None, module_names()))
def test_docstring_examples(name):
    module = importlib.import_module(f"lightlayers.{name}")
    public = {each: getattr(lightlayers, each) for each in lightlayers.__all__}
    scope = {"np": np, "keras": keras, **public, **vars(module)}
    if name.startswith("suite."):
        scope.setdefault("Run", importlib.import_module("lightlayers.suite.runs").Run)
        scope.setdefault("Store", importlib.import_module("lightlayers.suite.store").Store)
    tests = [t for t in doctest.DocTestFinder().find(module, globs=scope) if t.examples]
    found = {test.name.removeprefix(f"{module.__name__}.") for test in tests}
    assert EXAMPLES.get(name, set()) <= found
    runner = doctest.DocTestRunner()
    for test in tests:
        runner.run(test)
    assert runner.failures == 0


def test_the_readmes_example_runs():
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    count = 2 * 3 * (3 + 16) + 16 + 4 * (16 + 10) + 10
    run = python(f"{code}\nassert model.count_params() == {count}")
    error = run.communicate()[1]
    assert run.returncode == 0, error.decode()
