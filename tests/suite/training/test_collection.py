"""Collecting records: what is stored is not trained again, what is trained is written."""

import dataclasses

import pytest

from lightlayers.suite import backend, plans, training
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store, read_record
from lightlayers.suite.training import collection

keras = backend.load()


def test_collect_trains_only_what_is_missing(tmp_path, capsys, monkeypatch):
    choice = {"rows": ["conv2d"], "epochs": 1, "limit": 64}
    store = Store(tmp_path)
    first = training.collect(plans.plan("digits", seeds=[1], **choice), store)
    trained = []
    monkeypatch.setattr(collection, "train_seeds", lambda some, _: trained.extend(some) or first)
    planned = plans.plan("digits", seeds=[1, 2], **choice)
    monkeypatch.setattr(store, "write", lambda record: None)
    assert len(training.collect(planned, store)) == 2
    assert trained == [planned[1]]
    monkeypatch.undo()
    stored = [read_record(file) for file in tmp_path.glob("runs/*/*.json")]
    assert training.collect(planned, store, train=False) == stored and len(stored) == 1
    said = capsys.readouterr().out
    assert "lightlayers reproduce digits" in said and "fewer epochs or images" in said


def test_collect_leaves_out_what_another_process_has_trained_meanwhile(tmp_path, monkeypatch):
    planned = plans.plan("digits", ["conv2d"], [1, 2, 3])
    store = Store(tmp_path)
    record, _ = Store().read(plans.plan("digits", ["conv2d"], [1]))
    (record,) = record.values()
    one, two, three = (record | {"run": run.to_record(), "id": run.id} for run in planned)
    trained = []

    def train_seeds(some, _):
        trained.extend(run.seed for run in some)
        store.write(two)  # by the other process
        return [{1: one, 2: two, 3: three}[some[0].seed]]

    monkeypatch.setattr(collection, "train_seeds", train_seeds)
    found = training.collect(planned, store)
    assert trained == [1, 3] and [each["run"]["seed"] for each in found] == [1, 2, 3]
    training.collect(planned, store, fresh=True)
    assert trained == [1, 3, 1, 2, 3]


def test_nothing_is_stored_in_another_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.config, "floatx", lambda: "float64")
    with pytest.raises(ValueError, match="computed in float32.*Received: floatx='float64'"):
        training.collect(plans.plan("digits", ["conv2d"], [1]), Store(tmp_path))


def test_where_nothing_is_stored_and_nothing_trained_the_error_says_what_to_do(tmp_path):
    planned = plans.plan("digits", ["conv2d"], [1])
    said = "lightlayers reproduce digits .*Papermill -p outputs FOLDER. Received: .*none$"
    with pytest.raises(ValueError, match=said):
        training.collect(planned, Store(tmp_path / "none"), train=False)


@pytest.mark.parametrize("option", ["train", "fresh", "together"])
def test_a_word_is_no_boolean(option, tmp_path):
    # `papermill -p fresh false` gives the word.
    with pytest.raises(ValueError, match=f"must be True or False. Received: {option}='false'"):
        training.collect(
            plans.plan("digits", ["conv2d"], [1]), Store(tmp_path), **{option: "false"}
        )


def test_seeds_of_two_backends_are_told(tmp_path, capsys):
    planned, store = plans.plan("digits", ["conv2d"], [1]), Store(tmp_path)
    (record,) = Store().read(planned)[0].values()
    for seed, name in ((1, "tensorflow"), (2, "jax")):
        run = dataclasses.replace(planned[0], seed=seed)
        changes = {"run": run.to_record(), "id": run.id}
        changes["environment"] = record["environment"] | {"backend": name}
        store.write(record | changes)
    for seeds, told in (([1], False), ([1, 2], True)):
        training.collect(plans.plan("digits", ["conv2d"], seeds), store, train=False)
        assert ("jax and tensorflow: seeds of both are pooled" in capsys.readouterr().out) == told


def test_nothing_is_trained_for_a_folder_that_can_not_be_written(tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("mine")
    monkeypatch.setattr(collection, "train_seeds", lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match="can't be written"):
        training.collect(plans.plan("digits", ["conv2d"], [1]), Store(tmp_path))


def test_a_screen_that_can_not_be_told_stops_no_training(tmp_path, monkeypatch):
    monkeypatch.setenv(training.PROGRESS, str(tmp_path / "none" / "progress.json"))
    collection.write_progress(Run("digits", "conv2d"), 1)
