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


TOGETHER = """
import json, sys
import numpy as np
from lightlayers.suite import backend, datasets, networks, plans, recipes, training
keras = backend.load()
keras.config.set_floatx("float64")
networks.filters_of = lambda shape, width: (8,)  # one block of three: a third to compile
shuffle, stop, plateau, batched = json.loads(sys.argv[1])
if batched:  # as on a GPU, where all models are one batch
    backend.devices = lambda: ["none"]
# Digits has many equal neighbours: pooling breaks such ties as the rounding has it.
random = np.random.default_rng(0)
x = random.integers(0, 256, (300, 8, 8, 1), dtype="uint8")
y = random.integers(0, 10, 300).astype("int32")
datasets.load = lambda name: datasets.Data(x[:200], y[:200], x[200:], y[200:])
# Of these seeds the second stops early, while the first goes on.
schedule = recipes.Schedule(8, 0.01, plateau_patience=plateau, stop_patience=stop)
recipe = recipes.Recipe("paper", 99, (("digits", schedule),), shuffle=shuffle)
recipes.RECIPES["paper"] = recipe
planned = plans.plan("digits", ["lightlayers-2"], [4, 3], epochs=5, limit=200 if shuffle else 192)
found = [*training.train_seeds(planned), training.train(planned[1])]
names = ("id", "history", "test", "shown")
print(json.dumps([{name: record[name] for name in names} for record in found]))
"""


@pytest.mark.parametrize(
    ("shuffle", "stop", "plateau", "batched"),
    [(True, 9, None, False), (False, 2, 1, True)],
)
def test_together_gives_what_each_seed_gives_alone(shuffle, stop, plateau, batched):
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER, json.dumps([shuffle, stop, plateau, batched])],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    other, ours, alone = json.loads(done.stdout.splitlines()[-1])
    assert ours["id"] == alone["id"] != other["id"]
    for name in ("loss", "val_loss", "learning_rate"):
        # Keras' normalisation rounds to single precision, which Adam makes larger.
        both = ours["history"][name], alone["history"][name]
        np.testing.assert_allclose(*both, rtol=1e-3, err_msg=name)
    assert ours["history"]["loss"][0] == pytest.approx(alone["history"]["loss"][0], rel=1e-5)
    assert ours["test"]["loss"] == pytest.approx(alone["test"]["loss"], rel=1e-3)
    shown = (np.array(each["shown"]["per_mille"]) for each in (ours, alone))
    np.testing.assert_allclose(*shown, atol=5)
    rates = [each["history"]["learning_rate"] for each in (ours, other)]
    assert shuffle or rates[0] != rates[1], "the schedules are all the same: nothing shown"


EXACT = """
import json
import numpy as np
from lightlayers import LightConv2D
from lightlayers.suite import backend, datasets
from lightlayers.suite.training.loops import make_loop
import keras
keras.config.set_floatx("float64")
data, random = datasets.load("digits"), np.random.default_rng(0)
orders = np.stack([random.permutation(256) for _ in range(2)])

def make(seed):
    keras.utils.set_random_seed(seed)
    layers = LightConv2D(6, 3, rank=2), keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10, "softmax")])

def trained(seeds, orders):
    models = [make(seed) for seed in seeds]
    loop = make_loop(models, [keras.optimizers.Adam(0.01) for _ in models], 32)
    x, y = loop.to_device(data.x_train[:256]), loop.to_device(data.y_train[:256].astype("int32"))
    loop.train(x, y, orders)
    found = []
    for i in range(len(seeds)):
        loop.take(i)
        found.append([np.asarray(each) for each in models[i].weights])
    return found

kinds = backend.devices, lambda: ["none"]  # the latter as on a GPU
alone = [trained([seed], orders[i : i + 1])[0] for i, seed in enumerate((1, 2))]
gaps = []
for backend.devices in kinds:
    pairs = zip(trained([1, 2], orders), alone, strict=True)
    gaps.append(max(np.abs(a - b).max() for pair in pairs for a, b in zip(*pair, strict=True)))
moved = max(np.abs(a - b).max() for a, b in zip(alone[0], alone[1], strict=True))
print(json.dumps([float(moved), *map(float, gaps)]))
"""


def test_together_is_exact_in_double_precision():
    """Eight steps on digits, without normalisation, which Keras rounds to single precision."""
    done = subprocess.run(
        [sys.executable, "-c", EXACT],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    between_seeds, *gaps = json.loads(done.stdout.splitlines()[-1])
    assert between_seeds > 0.01 and len(gaps) == 2
    assert max(gaps) < 1e-12


def test_together_is_refused_where_it_cannot_be():
    planned = plans.plan("digits", ["conv2d"], [1, 2], epochs=1, limit=64)
    other = Run("digits", "separableconv2d", epochs=1, train_size=64, test_size=64)
    with pytest.raises(ValueError, match="differ in their seeds alone"):
        training.train_seeds([*planned, other])
    if backend.name() == "tensorflow":
        with pytest.raises(ValueError, match="KERAS_BACKEND=jax.*Received: tensorflow"):
            training.train_seeds(planned)
