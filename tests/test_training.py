"""Training: the same as Keras' own fit, the authors' schedule, and a whole record."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from lightlayers import backend, datasets, execution, networks, recipes, runs, training
from lightlayers.runs import Run

keras = backend.load()


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


@pytest.mark.parametrize(("method", "rank"), [("conv2d", None), ("lightlayers", 3)])
def test_training_is_what_fit_computes(method, rank):
    run = Run("digits", method, rank, epochs=2)
    ours, theirs = training.train(run)["history"], fit(run, 2)
    # The first epoch differs by rounding alone; later ones grow apart from it.
    for name, tolerance in (("loss", 2e-3), ("val_loss", 2e-3), ("accuracy", 5e-3)):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=tolerance, err_msg=name)
    assert ours["loss"][0] == pytest.approx(theirs["loss"][0], abs=5e-4)


def test_record_is_whole_and_small():
    heard = []
    run = Run("digits", "lightlayers", 1, epochs=2, train_size=200, test_size=100)
    record = training.train(run, lambda *at: heard.append(at))
    assert heard == [(1, 2), (2, 2)]
    assert record["run"] == vars(run) and record["id"] == run.id
    assert record["parameters"] == {"total": 2649, "trainable": 2425}
    assert record["test"]["loss"] > record["test"]["cross_entropy"]
    assert record["weight_file_bytes"] > 4 * 2649
    assert {len(values) for values in record["history"].values()} == {2}
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
    monkeypatch.setattr(training, "train", lambda run, progress: trained.append(run) or first[0])
    planned = runs.plan("digits", seeds=[1, 2], **choice)
    monkeypatch.setattr(runs, "write", lambda outputs, record: None)
    assert len(training.collect(planned, tmp_path)) == 2
    assert trained == [planned[1]]
    monkeypatch.undo()
    stored = [runs.read(file) for file in tmp_path.glob("runs/*/*.json")]
    assert training.collect(planned, tmp_path, train=False) == stored and len(stored) == 1
    assert "lightlayers reproduce digits" in capsys.readouterr().out


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
method, _, rank = row.partition("-")
keras.utils.set_random_seed(1)
model = networks.build(dataset, method, int(rank) if rank else None)
if backend.name() == "tensorflow":
    np.savez(weights, *model.get_weights())
model.set_weights(list(np.load(weights).values()))
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (160, *model.input_shape[1:]), dtype="uint8")
labels = rng.integers(0, model.output_shape[-1], 160).astype("int32")
optimizer = keras.optimizers.Adam(recipes.PAPER.schedule(dataset).learning_rate)
optimizer.build(model.trainable_variables)
loop = {"tensorflow": training._tensorflow_loop, "jax": training._jax_loop}[backend.name()]
to_device, train, _ = loop(model, optimizer, 16)
x, y = to_device(images), to_device(labels)
np.save(file, [train(x, y, np.arange(i, i + 16))[0] for i in range(0, 160, 16)])
"""
    for case in (["mnist", "lightlayers-2"], ["cifar10", "separableconv2d"]):
        losses = []
        for name in ("tensorflow", "jax"):
            file = tmp_path / f"{name}.npy"
            subprocess.run(
                [sys.executable, "-c", code, *case, tmp_path / "weights.npz", file],
                env=os.environ
                | execution.SINGLE_THREADED
                | {"KERAS_BACKEND": name, "JAX_ENABLE_X64": "1"},
                check=True,
            )
            losses.append(np.load(file))
        assert len(losses[0]) == 10 and np.ptp(losses[0]) > 1e-3
        np.testing.assert_allclose(*losses, rtol=0, atol=1e-4)
