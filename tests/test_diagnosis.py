"""What is said of a network before its first step, against a computation of its own."""

import numpy as np
import pytest

from lightlayers import backend, datasets, diagnosis, networks, runs


def run(recipe, rank=3):
    return runs.Run("digits", "lightlayers", rank, recipe, seed=1)


def test_the_scale_divides_the_logits_by_half_the_classes():
    paper, without = (diagnosis.start(run(name), 64) for name in ("paper", "no-scale"))
    assert without["logit_sd"] / paper["logit_sd"] == pytest.approx(10 / 2, rel=1e-3)
    assert without["dead"] == paper["dead"]


def test_zero_biases_leave_fewer_channels_dead():
    seeds = range(5)
    dead = {
        recipe: [
            diagnosis.start(runs.Run("digits", "lightlayers", 1, recipe, seed=s), 64)["dead"]
            for s in seeds
        ]
        for recipe in ("paper", "zero-biases")
    }
    assert np.mean(dead["paper"]) > np.mean(dead["zero-biases"])


def test_gradients_are_those_of_the_loss():
    tf = pytest.importorskip("tensorflow")
    if backend.name() != "tensorflow":
        pytest.skip("the tape is TensorFlow's")
    keras = backend.load()
    found = diagnosis.start(run("paper"), 64)
    data = datasets.load("digits").limited(64, 1)
    keras.utils.set_random_seed(1)
    model = networks.build("digits", "lightlayers", 3)
    layers = [layer for layer in model.layers if hasattr(layer, "intermediate_bias")]
    factors = [factor for layer in layers for factor in (layer.factor_1, layer.factor_2)]
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(data.x_train / np.float32(255), training=True)
        loss = keras.losses.sparse_categorical_crossentropy(data.y_train, outputs)
        loss, penalty = tf.reduce_mean(loss), tf.add_n(model.losses)

    def rms(of):
        gradients = tape.gradient(of, [factor.value for factor in factors])
        return np.sqrt(np.mean(np.concatenate([np.ravel(each) for each in gradients]) ** 2))

    assert found["gradient"] == pytest.approx(rms(loss), rel=1e-2)
    assert found["pull"] == pytest.approx(rms(penalty), rel=1e-3)
    bias = tape.gradient(loss, model.layers[-1].bias.value)
    assert found["bias_gradient"] == pytest.approx(np.sqrt(np.mean(np.square(bias))), rel=1e-2)


def test_what_was_computed_is_stored_and_read_again(tmp_path, monkeypatch):
    planned = [run("paper"), run("no-scale"), runs.Run("digits", "lightlayers", 3, seed=2)]
    table = diagnosis.stored(planned, tmp_path)
    assert table[["recipe", "seed"]].values.tolist() == [
        ["paper", 1],
        ["no-scale", 1],
        ["paper", 2],
    ]
    monkeypatch.setattr(diagnosis, "start", lambda run: {"logit_sd": 7})
    assert diagnosis.stored(planned, tmp_path).equals(table)
    assert list(diagnosis.stored(planned, tmp_path, renew=True)["logit_sd"]) == [7] * 3
