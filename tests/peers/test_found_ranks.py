"""Runs whose ranks are found during training: within the paper's parameters, and learning on."""

import dataclasses

import keras
import numpy as np
import pytest

from lightlayers import Budget
from lightlayers.suite import plans, recipes, training
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store
from lightlayers.suite.training import collection, session

JAX = keras.backend.backend() == "jax"


def test_a_run_with_found_ranks_keeps_to_the_papers_parameters():
    size = {"train_size": 142, "test_size": 14}  # one shape of batches, as below
    record = training.train(Run("digits", "automatic", 3, "corrected", epochs=4, **size))
    assert 6135 - 2 * 3 * 64 < record["parameters"]["total"] <= 6135
    assert len(record["ranks"]) == 6 and min(record["ranks"].values()) >= 1
    assert len(set(record["ranks"].values())) > 1


def test_a_run_converted_halfway_keeps_to_the_papers_parameters_and_learns_on():
    # In whole batches, and with as many images to test on as are held out: one shape each.
    size = {"train_size": 142, "test_size": 14}
    whole = training.train(Run("digits", "conv2d", None, "corrected", epochs=3, **size))
    record = training.train(Run("digits", "product", 1, "corrected", epochs=6, **size))
    assert record["parameters"]["total"] <= 2649 < whole["parameters"]["total"]
    light = record["ranks"]
    assert light and set(light) <= {f"block{i}_conv{j}" for i in (1, 2, 3) for j in (1, 2)}
    loss, rates = record["history"]["loss"], record["history"]["learning_rate"]
    np.testing.assert_allclose(loss[:3], whole["history"]["loss"], rtol=1e-5)
    assert loss[5] < loss[3]
    # Each half has its own rise and fall.
    assert rates[2] == rates[5] == 0 and rates[:2] == rates[3:5]


def test_a_run_whose_budget_can_not_be_held_is_refused_before_it_trains():
    run = Run("digits", "greedy", 1, epochs=4, train_size=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "make_budget", lambda dataset, rank: Budget(parameters=1000))
        with pytest.raises(ValueError, match="Received: .*1,?000"):
            training.train_seeds([run], progress=lambda *_: pytest.fail("trained"))


@pytest.mark.parametrize("method", ["automatic"] if JAX else ["automatic", "product"])
def test_runs_do_not_stop_before_their_ranks_are_chosen_and_plateaus_go_on(method, monkeypatch):
    hasty = recipes.Schedule(12, 1e-5, plateau_patience=1, stop_patience=1)
    changed = dataclasses.replace(recipes.CORRECTED, name="hasty", schedules=(("digits", hasty),))
    monkeypatch.setitem(recipes.RECIPES, "hasty", changed)
    done, make = [], session.make_loop

    def loop(*arguments):
        steps = make(*arguments)
        train, set_rate = steps.train, steps.set_rate
        steps.train = lambda *values: done.append("train") or train(*values)
        steps.set_rate = lambda i, rate: done.append(float(rate)) or set_rate(i, rate)
        done.append("loop")
        return steps

    monkeypatch.setattr(session, "make_loop", loop)
    record = training.train(Run("digits", method, 1, "hasty", train_size=320))
    rates = record["history"]["learning_rate"]
    assert 6 < len(rates) <= 12 and record["parameters"]["total"] <= 2649
    assert rates[5] < 1e-7 and (np.diff(rates) <= 0).all()
    if "loop" in done[1:]:
        assert done[done.index("loop", 1) + 1] == pytest.approx(rates[6])


def test_seeds_that_find_different_ranks_are_not_trained_together():
    planned = [Run("digits", "greedy", 1, "corrected", seed, epochs=2) for seed in (1, 2)]
    with pytest.raises(ValueError, match="can't be trained together. Received: greedy-1"):
        training.train_seeds(planned)


def test_together_trains_them_one_after_the_other(monkeypatch, tmp_path):
    groups = []

    def train_seeds(group, progress):
        groups.append([(run.row, run.seed) for run in group])
        return [{"run": run.to_record(), "id": run.id, "history": {"loss": []}} for run in group]

    monkeypatch.setattr(collection, "train_seeds", train_seeds)
    planned = [Run("digits", "greedy", 1, "corrected", seed) for seed in (1, 2)]
    planned += [Run("digits", "spatial", 3, "corrected", seed) for seed in (1, 2)]
    training.collect(planned, Store(tmp_path), together=True)
    assert groups == [[("greedy-1", 1)], [("greedy-1", 2)], [("spatial-3", 1), ("spatial-3", 2)]]
