"""Training: the same as Keras' own fit, the authors' schedule, and a whole record."""

import base64
import dataclasses
import json
import math
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from lightlayers import backend, datasets, execution, networks, recipes, runs, training
from lightlayers.runs import Run

keras = backend.load()

from lightlayers.normalization import BatchNormalization  # noqa: E402 (Keras first)


def fit(run, epochs):
    """The obvious way: Keras' fit on float images, with Keras' own normalisation."""
    data = datasets.load(run.dataset)
    keras.utils.set_random_seed(run.seed)
    model = networks.build(run.dataset, run.method, run.rank)
    plain = keras.models.clone_model(
        model,
        clone_function=lambda layer: (
            keras.layers.BatchNormalization.from_config(layer.get_config())
            if type(layer).__name__ == "BatchNormalization"
            else type(layer).from_config(layer.get_config())
        ),
    )
    plain.set_weights(model.get_weights())
    plain.compile("adam", loss="categorical_crossentropy", metrics=["accuracy"], jit_compile=False)

    def one_hot(labels):
        return np.eye(10, dtype="float32")[labels]

    history = plain.fit(
        data.x_train / 255.0,
        one_hot(data.y_train),
        batch_size=64,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        validation_data=(data.x_test / 255.0, one_hot(data.y_test)),
    )
    return history.history


@pytest.mark.parametrize("arguments", [{}, {"renorm": True}, {"synchronized": True}])
def test_normalisation_is_that_of_keras(arguments):
    x = np.random.default_rng(0).normal(2, 3, (16, 4, 4, 3)).astype("float32")
    try:
        layers = [
            make(momentum=0.5, **arguments)
            for make in (BatchNormalization, keras.layers.BatchNormalization)
        ]
    except (TypeError, ValueError) as error:
        pytest.skip(f"not in this Keras: {error}")
    for images in (x, np.abs(x).astype("uint8")):
        ours, theirs = (
            [np.asarray(layer(images, training=True)), *layer.get_weights()] for layer in layers
        )
        for one, two in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.fixture
def floats():
    """Returns a function that sets what Keras computes in, until the test is over."""

    def choose(name):
        keras.config.set_floatx(name)
        keras.config.set_dtype_policy(name)

    yield choose
    choose("float32")


# In float32 the second epoch grows apart from rounding, by how much depends on the processor.
@pytest.mark.parametrize(
    ("dtype", "epochs", "tolerances"),
    [("float32", 1, (5e-4, 2e-3, 5e-3)), ("float64", 2, (1e-5, 1e-5, 1e-5))],
)
@pytest.mark.parametrize(("method", "rank"), [("conv2d", None), ("lightlayers", 3)])
def test_training_is_what_fit_computes(method, rank, dtype, epochs, tolerances, floats):
    floats(dtype)
    run = Run("digits", method, rank, epochs=epochs)
    ours, theirs = training.train(run)["history"], fit(run, epochs)
    for name, atol in zip(("loss", "val_loss", "accuracy"), tolerances, strict=True):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=atol, err_msg=name)


def test_record_is_whole_and_small():
    heard = []
    run = Run("digits", "lightlayers", 1, epochs=2, train_size=200, test_size=100)
    record = training.train(run, lambda *at: heard.append(at))
    assert heard == [(1, 2), (2, 2)]
    assert record["run"] == vars(run) and record["id"] == run.id
    assert record["parameters"] == {"total": 2649, "trainable": 2425}
    assert record["test"]["loss"] > record["test"]["cross_entropy"]
    assert {len(values) for values in record["history"].values()} == {2}
    right = np.unpackbits(np.frombuffer(base64.b64decode(record["test"]["right"]), "uint8"))
    assert right[:100].mean() == pytest.approx(record["test"]["accuracy"]) and not right[100:].any()
    assert np.array(record["shown"]["per_mille"]).shape == (16, 10)
    assert np.array(record["shown"]["first_kernels"]).shape == (3, 3, 1, 1)
    assert record["environment"]["backend"] == backend.name()
    assert record["recipe"]["shuffle"] is False
    json.dumps(record)


def test_same_seed_same_record_and_another_seed_another():
    def losses(seed):
        run = Run("digits", "separableconv2d", seed=seed, epochs=1, train_size=128, test_size=64)
        return training.train(run)["history"]["loss"]

    assert losses(1) == losses(1) != losses(2)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_schedule_follows_the_recipe(monkeypatch):
    # With a rate of nothing the loss stands still: a plateau after 1 epoch, a stop after 3.
    still = recipes.Schedule(9, 1e-12, plateau_patience=1, stop_patience=3)
    recipe = recipes.Recipe("paper", 99, (("digits", still),))
    monkeypatch.setitem(recipes.RECIPES, "paper", recipe)
    # Batch normalisation moves: freeze it, so that the watched loss is constant.
    monkeypatch.setattr("lightlayers.normalization.BatchNormalization.call", lambda self, x, **_: x)
    run = Run("digits", "conv2d", train_size=128, test_size=64)
    rates = training.train(run)["history"]["learning_rate"]
    assert rates == pytest.approx([1e-12, 1e-12, 1e-13, 1e-14], rel=1e-3)


def test_corrected_recipe_rises_and_falls_to_zero():
    record = training.train(Run("digits", "spatial", 2, "corrected", epochs=4, train_size=160))
    rates = record["history"]["learning_rate"]
    # 144 images give 3 steps an epoch: 12 steps, the first of them the rise.
    fall = [4e-3 * (1 + math.cos(math.pi * (step - 1) / 11)) / 2 for step in (3, 6, 9, 12)]
    assert rates == pytest.approx(fall, rel=1e-4, abs=1e-9)
    assert record["history"]["loss"][-1] < record["history"]["loss"][0]


@pytest.mark.parametrize("backend_batch", [60, 64])
def test_held_out_recipe_never_watches_the_test_set(monkeypatch, backend_batch):
    schedule = recipes.Schedule(1, 1e-3, plateau_patience=4)
    recipe = recipes.Recipe(
        "paper", 99, (("digits", schedule),), backend_batch, shuffle=True, validation="held-out"
    )
    monkeypatch.setitem(recipes.RECIPES, "paper", recipe)
    record = training.train(Run("digits", "conv2d", train_size=200, test_size=50))
    assert record["history"]["val_loss"][-1] != record["test"]["loss"]
    # 20 held-out images: their accuracy is a multiple of 1/20.
    assert (record["history"]["val_accuracy"][0] * 20) % 1 == pytest.approx(0, abs=1e-4)


def test_collect_trains_only_what_is_missing(tmp_path, capsys, monkeypatch):
    choice = {"rows": ["conv2d"], "epochs": 1, "limit": 64}
    first = training.collect(runs.plan("digits", seeds=[1], **choice), tmp_path)
    trained = []
    monkeypatch.setattr(training, "train_together", lambda some, _: trained.extend(some) or first)
    planned = runs.plan("digits", seeds=[1, 2], **choice)
    monkeypatch.setattr(runs, "write", lambda outputs, record: None)
    assert len(training.collect(planned, tmp_path)) == 2
    assert trained == [planned[1]]
    monkeypatch.undo()
    stored = [runs.read(file) for file in tmp_path.glob("runs/*/*.json")]
    assert training.collect(planned, tmp_path, train=False) == stored and len(stored) == 1
    said = capsys.readouterr().out
    assert "lightlayers reproduce digits" in said and "fewer epochs or images" in said


def test_collect_leaves_out_what_another_process_has_trained_meanwhile(tmp_path, monkeypatch):
    planned = runs.plan("digits", ["conv2d"], [1, 2, 3])
    record, _ = runs.stored(runs.outputs_folder(), runs.plan("digits", ["conv2d"], [1]))
    (record,) = record.values()
    one, two, three = (record | {"run": dataclasses.asdict(run), "id": run.id} for run in planned)
    trained = []

    def train_together(some, _):
        trained.extend(run.seed for run in some)
        runs.write(tmp_path, two)  # by the other process
        return [{1: one, 2: two, 3: three}[some[0].seed]]

    monkeypatch.setattr(training, "train_together", train_together)
    found = training.collect(planned, tmp_path)
    assert trained == [1, 3] and [each["run"]["seed"] for each in found] == [1, 2, 3]
    training.collect(planned, tmp_path, fresh=True)
    assert trained == [1, 3, 1, 2, 3]


def test_records_say_what_was_imported_and_how_it_computes(monkeypatch):
    run = Run("digits", "conv2d", epochs=1, train_size=64, test_size=64)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "")  # as good as none, and no reason to fail
    record = training.train(run)
    assert record["environment"]["floatx"] == "float32"
    assert record["environment"]["threads"] == execution.cores()
    if backend.name() == "tensorflow":
        assert isinstance(record["environment"]["onednn"], bool)
    # Another commit is checked out while it trains.
    seen = iter([{"commit": "a", "clean": True}, {"commit": "b", "clean": True}])
    monkeypatch.setattr(training, "_revision", lambda: next(seen))
    assert training.train(run)["revision"] == {"commit": "a", "clean": False}


def test_a_package_in_another_repository_has_no_revision(tmp_path, monkeypatch):
    copy = tmp_path / "site" / "training.py"
    copy.parent.mkdir()
    copy.touch()
    (tmp_path / ".gitignore").write_text("site\n")
    for command in ("init -q", "add .", "-c user.name=a -c user.email=b commit -qm thesis"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    monkeypatch.setattr(training, "__file__", str(copy))
    assert training._revision() is None


def test_nothing_is_stored_in_another_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.config, "floatx", lambda: "float64")
    with pytest.raises(ValueError, match="computed in float32.*Received: floatx='float64'"):
        training.collect(runs.plan("digits", ["conv2d"], [1]), tmp_path)


@pytest.mark.parametrize("option", ["train", "fresh", "together"])
def test_a_word_is_no_boolean(option, tmp_path):
    # `papermill -p fresh false` gives the word.
    with pytest.raises(ValueError, match=f"must be True or False. Received: {option}='false'"):
        training.collect(runs.plan("digits", ["conv2d"], [1]), tmp_path, **{option: "false"})


def test_seeds_of_two_backends_are_told(tmp_path, capsys):
    planned = runs.plan("digits", ["conv2d"], [1])
    (record,) = runs.stored(runs.outputs_folder(), planned)[0].values()
    for seed, name in ((1, "tensorflow"), (2, "jax")):
        run = dataclasses.replace(planned[0], seed=seed)
        changes = {"run": dataclasses.asdict(run), "id": run.id}
        changes["environment"] = record["environment"] | {"backend": name}
        runs.write(tmp_path, record | changes)
    for seeds, told in (([1], False), ([1, 2], True)):
        training.collect(runs.plan("digits", ["conv2d"], seeds), tmp_path, train=False)
        assert ("jax and tensorflow: seeds of both are pooled" in capsys.readouterr().out) == told


def test_nothing_is_trained_for_a_folder_that_can_not_be_written(tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("mine")
    monkeypatch.setattr(training, "train_together", lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match="can't be written"):
        training.collect(runs.plan("digits", ["conv2d"], [1]), tmp_path)


def test_a_screen_that_can_not_be_told_stops_no_training(tmp_path, monkeypatch):
    monkeypatch.setenv(training.PROGRESS, str(tmp_path / "none" / "progress.json"))
    training._tell(Run("digits", "conv2d"), 1, 2)


def test_both_backends_give_the_same_losses(tmp_path):
    """Equal weights and batches, ten steps on each backend, each in a process of its own."""
    code = """
import sys
import numpy as np
from lightlayers import backend, networks, recipes, training
keras = backend.load()
dataset, row, weights, file = sys.argv[1:]
# Adam turns rounding noise into whole steps: only double precision shows what is computed.
keras.config.set_floatx("float64")
networks.filters_of = lambda shape: (8,)  # one block of three, for a third of the compilation
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
loop = training.loop([model], optimizer, 8)
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
            | execution.SINGLE_THREADED
            | {"KERAS_BACKEND": name, "JAX_ENABLE_X64": "1"},
            check=True,
        )
        losses.append(np.load(file))
    assert len(losses[0]) == 10 and np.ptp(losses[0]) > 1e-3
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-4)


@pytest.mark.skipif(backend.name() != "tensorflow", reason="it is TensorFlow's")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have none")
def test_onednn_computes_on_every_processor():
    # Where TensorFlow chooses, the processor decides: without it training takes twice as long.
    code = (
        "from lightlayers import backend; backend.load()\n"
        "from tensorflow.python.util import _pywrap_util_port as port\n"
        "assert port.IsMklEnabled()"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


TOGETHER = """
import json, sys
import numpy as np
from lightlayers import backend, datasets, networks, recipes, runs, training
keras = backend.load()
keras.config.set_floatx("float64")
networks.filters_of = lambda shape: (8,)  # one block of three, for a third of the compilation
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
planned = runs.plan("digits", ["lightlayers-2"], [4, 3], epochs=5, limit=200 if shuffle else 192)
found = [*training.train_together(planned), training.train(planned[1])]
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
from lightlayers import LightConv2D, backend, datasets, training
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
    loop = training.loop(models, keras.optimizers.Adam(0.01), 32)
    x, y = loop.to_device(data.x_train[:256]), loop.to_device(data.y_train[:256].astype("int32"))
    loop.train(x, y, orders)
    found = []
    for i in range(len(seeds)):
        loop.take(i)
        found.append([np.asarray(each) for each in models[0].weights])
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
    planned = runs.plan("digits", ["conv2d"], [1, 2], epochs=1, limit=64)
    other = Run("digits", "separableconv2d", epochs=1, train_size=64, test_size=64)
    with pytest.raises(ValueError, match="differ in their seeds alone"):
        training.train_together([*planned, other])
    if backend.name() == "tensorflow":
        with pytest.raises(ValueError, match="KERAS_BACKEND=jax.*Received: tensorflow"):
            training.train_together(planned)
