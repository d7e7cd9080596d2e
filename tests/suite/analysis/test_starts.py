"""What is said of a network before its first step, against a computation of its own."""

import os
import pathlib

import numpy as np
import pandas as pd
import pytest
from suite.analysis.records import record_of

from lightlayers.suite import backend, datasets, networks
from lightlayers.suite.analysis import starts, tables
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store

ROOT = pathlib.Path(__file__).parents[3]


def run(recipe, rank=3):
    return Run("digits", "lightlayers", rank, recipe, seed=1)


def test_the_scale_divides_the_logits_by_half_the_classes():
    paper, without = (starts.measure_start(run(name), 64) for name in ("paper", "no-scale"))
    assert without["logit_sd"] / paper["logit_sd"] == pytest.approx(10 / 2, rel=1e-3)
    assert without["dead"] == paper["dead"]


def test_zero_biases_leave_fewer_channels_dead(monkeypatch):
    # What counts is computed before the step, which would be compiled each time.
    monkeypatch.setattr(backend.load().Model, "train_on_batch", lambda *_, **__: None)
    seeds = range(5)
    dead = {
        recipe: [
            starts.measure_start(Run("digits", "lightlayers", 1, recipe, seed=s), 64)["dead"]
            for s in seeds
        ]
        for recipe in ("paper", "zero-biases")
    }
    assert np.mean(dead["paper"]) > np.mean(dead["zero-biases"])


def test_a_network_that_is_cut_off_says_the_same_of_every_image():
    keras, found = backend.load(), {}
    x = datasets.load("digits").limited(64, 1).x_train.astype("float32") / 255
    for seed in range(8):
        one = Run("digits", "lightlayers", 1, seed=seed)
        keras.utils.set_random_seed(seed)
        said = networks.build("digits", "lightlayers", 1)(x, training=True)
        logits = np.log(keras.ops.convert_to_numpy(said))
        found[seed] = starts.is_cut_off(one, 64)
        assert found[seed] == (np.ptp(logits, axis=0).max() < 1e-5)
    assert set(found.values()) == {True, False}


def test_outcomes_count_by_how_a_run_starts():
    frame = tables.frame(
        [
            record_of("mnist", "lightlayers", 1, 3, 0.1),
            record_of("mnist", "lightlayers", 1, 4, 0.9),
            record_of("mnist", "lightlayers", 1, 5, 0.8),
            record_of("mnist", "lightlayers", 2, 3, 0.1),  # of other ranks nothing is known
            record_of("mnist", "lightlayers", 1, 300, 0.1),
            record_of("mnist", "lightlayers", 1, 3, 0.9, "zero-biases"),
            record_of("mnist", "conv2d", None, 3, 0.9),
        ]
    )
    frame["cross_entropy"] = np.where(frame["accuracy"] < 0.5, 2.3026, 0.3)
    columns = ["dataset", "recipe", "K", "seeds", "cut off"]
    rows = [("mnist", "paper", 1, 100, [3, 7]), ("mnist", "zero-biases", 1, 100, [4])]
    table = starts.count_outcomes(frame, pd.DataFrame(rows, columns=columns))
    assert table.loc["mnist", 1, "cut off"].tolist() == [1, 1, 0.1, 0.1]
    assert table.loc["mnist", 1, "not"].tolist() == [2, 0, 0.8, 0.9] and len(table) == 2


@pytest.mark.skipif("LIGHTLAYERS_DATA" not in os.environ, reason="needs the real data sets")
@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_stored_starts_are_computed_again(dataset):
    table = starts.find_cut_off_seeds(Store(ROOT / "outputs"))
    mine = (table["dataset"] == dataset) & (table["recipe"] == "paper") & (table["K"] == 1)
    (row,) = table[mine].to_dict("records")
    seeds = {*row["cut off"][:2], 0, 1, 2}
    again = [s for s in seeds if starts.is_cut_off(Run(dataset, "lightlayers", 1, seed=s))]
    assert sorted(again) == sorted(seeds & set(row["cut off"])) != []


def test_gradients_are_those_of_the_loss():
    tf = pytest.importorskip("tensorflow")
    if backend.name() != "tensorflow":
        pytest.skip("the tape is TensorFlow's")
    keras = backend.load()
    found = starts.measure_start(run("paper"), 64)
    data = datasets.load("digits").limited(64, 1)
    keras.utils.set_random_seed(1)
    model = networks.build("digits", "lightlayers", 3)
    layers = [
        layer for layer in model.layers if getattr(layer, "intermediate_bias", None) is not None
    ]
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
    planned = [run("paper"), run("no-scale"), Run("digits", "lightlayers", 3, seed=2)]
    table = starts.measure_starts(planned, Store(tmp_path))
    assert table[["recipe", "seed"]].values.tolist() == [
        ["paper", 1],
        ["no-scale", 1],
        ["paper", 2],
    ]
    monkeypatch.setattr(starts, "measure_start", lambda run: {"logit_sd": 7})
    assert starts.measure_starts(planned, Store(tmp_path)).equals(table)
    assert list(starts.measure_starts(planned, Store(tmp_path), renew=True)["logit_sd"]) == [7] * 3
