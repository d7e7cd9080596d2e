"""The loops: the same on both backends, and for seeds together as for each alone."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from lightlayers.suite import backend, plans, processors, training
from lightlayers.suite.runs import Run


def test_both_backends_give_the_same_losses(tmp_path):
    """Equal weights and batches, ten steps on each backend, each in a process of its own."""
    code = """
import sys
import numpy as np
from lightlayers.suite import backend, networks, recipes
from lightlayers.suite.training.loops import make_loop
keras = backend.load()
dataset, row, weights, file = sys.argv[1:]
# Adam turns rounding noise into whole steps: only double precision shows what is computed.
keras.config.set_floatx("float64")
networks.filters_of = lambda shape, width: (8,)  # one block of three: a third to compile
method, _, rank = row.partition("-")
keras.utils.set_random_seed(1)
model = networks.build(dataset, method, int(rank) if rank else None)
if backend.name() == "tensorflow":
    np.savez(weights, *model.get_weights())
model.set_weights(list(np.load(weights).values()))
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (80, *model.input_shape[1:]), dtype="uint8")
labels = rng.integers(0, model.output_shape[-1], 80).astype("int32")
optimizer = keras.optimizers.Adam(recipes.PAPER.schedule(dataset).learning_rate)
loop = make_loop([model], [optimizer], 8)
x, y = loop.to_device(images), loop.to_device(labels)
orders = np.arange(80).reshape(10, 1, 8)
np.save(file, [float(loop.train(x, y, order)[0][0]) for order in orders])
"""
    losses = []
    for name in ("tensorflow", "jax"):
        file = tmp_path / f"{name}.npy"
        subprocess.run(
            [
                sys.executable,
                "-c",
                code,
                "cifar10",
                "lightlayers-2",
                tmp_path / "weights.npz",
                file,
            ],
            env=os.environ
            | processors.SINGLE_THREADED
            | {"KERAS_BACKEND": name, "JAX_ENABLE_X64": "1"},
            check=True,
        )
        losses.append(np.load(file))
    assert len(losses[0]) == 10 and np.ptp(losses[0]) > 1e-3
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-4)


# One process for both: most of its time is JAX's start. The exact part comes first, on digits.
TOGETHER = """
import json
import numpy as np
from lightlayers import LightConv2D
from lightlayers.suite import backend, datasets, networks, plans, recipes, training
from lightlayers.suite.training.loops import make_loop
keras = backend.load()
keras.config.set_floatx("float64")
data, random = datasets.load("digits"), np.random.default_rng(0)
orders = np.stack([random.permutation(256) for _ in range(2)])
real, batched = backend.devices, lambda: ["none"]  # the latter as on a GPU: models in one batch

def make(seed):
    keras.utils.set_random_seed(seed)
    layers = LightConv2D(6, 3, rank=2), keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10, "softmax")])

def train_models(seeds, orders):
    models = [make(seed) for seed in seeds]
    loop = make_loop(models, [keras.optimizers.Adam(0.01) for _ in models], 32)
    x, y = loop.to_device(data.x_train[:256]), loop.to_device(data.y_train[:256].astype("int32"))
    loop.train(x, y, orders)
    found = []
    for i in range(len(seeds)):
        loop.take(i)
        found.append([np.asarray(each) for each in models[i].weights])
    return found

def gap(one, two):
    return float(max(np.abs(a - b).max() for a, b in zip(one, two, strict=True)))

alone = [train_models([seed], orders[i : i + 1])[0] for i, seed in enumerate((1, 2))]
gaps = []
for backend.devices in (real, batched):
    gaps += map(gap, train_models([1, 2], orders), alone)
print(json.dumps({"between seeds": gap(*alone), "gaps": gaps}))

networks.filters_of = lambda shape, width: (8,)  # one block of three: a third to compile
# Digits has many equal neighbours: pooling breaks such ties as the rounding has it.
random = np.random.default_rng(0)
x = random.integers(0, 256, (300, 8, 8, 1), dtype="uint8")
y = random.integers(0, 10, 300).astype("int32")
datasets.load = lambda name: datasets.Data(x[:200], y[:200], x[200:], y[200:])
for shuffle, stop, plateau, backend.devices in ((True, 9, None, real), (False, 2, 1, batched)):
    # Of these seeds the second stops early, while the first goes on.
    schedule = recipes.Schedule(8, 0.01, plateau_patience=plateau, stop_patience=stop)
    recipe = recipes.Recipe("paper", 99, (("digits", schedule),), shuffle=shuffle)
    recipes.RECIPES["paper"] = recipe
    limit = 200 if shuffle else 192
    planned = plans.plan("digits", ["lightlayers-2"], [4, 3], epochs=5, limit=limit)
    found = [*training.train_seeds(planned), training.train(planned[1])]
    names = ("id", "history", "test", "shown", "environment")
    print(json.dumps([{name: record[name] for name in names} for record in found]))
"""


@pytest.fixture(scope="module")
def together():
    """What JAX computes in double precision, for seeds together and alone."""
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    names = ("exact", "shuffled", "stopped")
    return dict(zip(names, map(json.loads, done.stdout.splitlines()[-3:]), strict=True))


@pytest.mark.parametrize("case", ["shuffled", "stopped"])
def test_together_gives_what_each_seed_gives_alone(case, together):
    other, ours, alone = together[case]
    assert ours["id"] == alone["id"] != other["id"]
    assert [each["environment"]["together"] for each in (other, ours, alone)] == [2, 2, 1]
    for name in ("loss", "val_loss", "learning_rate"):
        # Keras' normalisation rounds to single precision, which Adam makes larger.
        both = ours["history"][name], alone["history"][name]
        np.testing.assert_allclose(*both, rtol=1e-3, err_msg=name)
    assert ours["history"]["loss"][0] == pytest.approx(alone["history"]["loss"][0], rel=1e-5)
    assert ours["test"]["loss"] == pytest.approx(alone["test"]["loss"], rel=1e-3)
    shown = (np.array(each["shown"]["per_mille"]) for each in (ours, alone))
    np.testing.assert_allclose(*shown, atol=5)
    rates = [each["history"]["learning_rate"] for each in (ours, other)]
    assert case == "shuffled" or rates[0] != rates[1], "the schedules are all the same"


def test_together_is_exact_in_double_precision(together):
    """Eight steps on digits, without normalisation, which Keras rounds to single precision."""
    exact = together["exact"]
    assert exact["between seeds"] > 0.01 and len(exact["gaps"]) == 4
    assert max(exact["gaps"]) < 1e-12


def test_together_is_refused_where_it_cannot_be():
    planned = plans.plan("digits", ["conv2d"], [1, 2], epochs=1, limit=64)
    other = Run("digits", "separableconv2d", epochs=1, train_size=64, test_size=64)
    with pytest.raises(ValueError, match="differ in their seeds alone"):
        training.train_seeds([*planned, other])
    if backend.name() == "tensorflow":
        with pytest.raises(ValueError, match="KERAS_BACKEND=jax.*Received: tensorflow"):
            training.train_seeds(planned)
