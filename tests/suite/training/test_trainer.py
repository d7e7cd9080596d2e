"""Training: the same as Keras' own fit, the recipe's schedule, and a whole record."""

import base64
import json
import math

import numpy as np
import pytest

from lightlayers.suite import backend, datasets, networks, recipes, training
from lightlayers.suite.runs import Run

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
    assert record["run"] == run.to_record() and record["id"] == run.id
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
