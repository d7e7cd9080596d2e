"""Pilot runs: which there are, and the recipe that they choose."""

import dataclasses

from suite.stored import record_of

from lightlayers.suite import pilots, plans, recipes
from lightlayers.suite.store import Store


def test_a_row_has_a_short_pilot_run_for_each_recipe():
    runs = pilots.plan_pilots("mnist", "conv2d-w55")
    assert [run.recipe for run in runs] == list(recipes.TUNED)
    assert {run.seed for run in runs}.isdisjoint(plans.SEEDS)
    assert {(run.row, run.epochs, run.whole) for run in runs} == {("conv2d-w55", 5, False)}
    assert {run.epochs for run in pilots.plan_pilots("mnist", "conv2d", epochs=1)} == {1}


def write_pilots(store, runs, held_out, test_accuracy=0.5):
    """Records of pilot runs, by their last accuracy on held-out images."""
    for run, accuracy in zip(runs, held_out, strict=True):
        record = record_of(run)
        epochs = len(record["history"]["val_accuracy"])
        history = record["history"] | {"val_accuracy": [*[1.0] * (epochs - 1), accuracy]}
        test = record["test"] | {"accuracy": test_accuracy}
        store.write(record | {"history": history, "test": test})


def test_the_last_held_out_accuracy_chooses_the_recipe(tmp_path):
    store, runs = Store(tmp_path), pilots.plan_pilots("digits", "conv2d", epochs=2, limit=64)
    write_pilots(store, runs[1:], [0.5] * (len(runs) - 1))
    assert pilots.choose_recipe(runs, store) is None  # one is missing
    write_pilots(store, runs[:1], [0.5])
    assert pilots.choose_recipe(runs, store) == "corrected"  # all are equal
    write_pilots(store, runs[3:4], [0.6], test_accuracy=0.1)
    assert pilots.choose_recipe(runs, store) == runs[3].recipe


def test_an_experiment_goes_on_with_what_its_pilot_runs_chose(tmp_path, monkeypatch):
    tuned = (("digits", "conv2d"), ("digits", "spatial-9"))
    groups = tuple((*place, ("corrected",)) for place in tuned)
    experiment = plans.Experiment(groups, (42, 1), tuned)
    monkeypatch.setitem(plans.EXPERIMENTS, "rivals", experiment)
    store, choice = Store(tmp_path), {"epochs": 2, "limit": 64}
    first = plans.plan_experiment("rivals", **choice, store=store)
    assert [(run.row, run.recipe, run.seed) for run in first] == [
        (row, "corrected", seed) for row in ("conv2d", "spatial-9") for seed in (42, 1)
    ]
    runs = plans.plan_pilots("rivals", **choice)
    assert len(runs) == 2 * len(recipes.TUNED) and not set(runs) & set(first)
    count = len(recipes.TUNED)
    write_pilots(store, runs, [0.5] * (count - 1) + [0.6] + [0.6] + [0.5] * (count - 1))
    last = list(recipes.TUNED)[-1]
    assert plans.choose_recipes("rivals", **choice, store=store) == {
        tuned[0]: last,
        tuned[1]: "corrected",  # its runs are there already
    }
    more = plans.plan_experiment("rivals", **choice, store=store)
    assert more == [*first, *(dataclasses.replace(run, recipe=last) for run in first[:2])]


def test_a_pilot_run_is_no_further_seed(tmp_path):
    choice = {"epochs": 1, "limit": 64, "recipe": "corrected"}  # pilots can't be shorter
    (pilot,) = plans.plan("digits", ["conv2d"], [pilots.SEED], **choice)
    store = Store(tmp_path)
    store.write(record_of(pilot))
    assert pilot not in plans.plan("digits", ["conv2d"], **choice, store=store)
