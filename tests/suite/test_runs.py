"""Runs: what identifies one, and its row in a table."""

import dataclasses

import pytest

from lightlayers.suite import datasets, recipes
from lightlayers.suite.runs import Run, parse_row

RUN = Run("digits", "lightlayers", 2, seed=7, epochs=1)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "mnist"},
        {"method": "conv2d", "rank": None},
        {"rank": 3},
        {"seed": 8},
        {"epochs": 2},
        {"train_size": 100},
        {"test_size": 100},
        {"width": 50},
    ],
)
def test_every_part_of_the_configuration_is_in_the_id(change):
    assert Run(**{**vars(RUN), **change}).id != RUN.id


def test_recipe_version_and_data_are_in_the_id(monkeypatch):
    known = RUN.id
    other = dataclasses.replace(datasets.get("digits"), fingerprint="other")
    monkeypatch.setitem(datasets.DATASETS, "digits", other)
    assert RUN.id != known
    monkeypatch.undo()
    changed = dataclasses.replace(recipes.PAPER, version=recipes.PAPER.version + 1)
    monkeypatch.setitem(recipes.RECIPES, "paper", changed)
    assert RUN.id != known


def test_a_revision_for_one_method_leaves_the_runs_of_others_good(monkeypatch):
    runs_ = [Run("digits", method, rank) for method, rank in (("lightlayers", 2), ("conv2d", None))]
    light, dense = (run.id for run in runs_)
    revised = dataclasses.replace(recipes.PAPER, revised=(("lightlayers", 2),))
    monkeypatch.setitem(recipes.RECIPES, "paper", revised)
    assert runs_[0].id != light and runs_[1].id == dense


def test_defaults_are_the_recipe_and_the_whole_data_set():
    run = Run("cifar10", "conv2d")
    assert (run.epochs, run.train_size, run.test_size) == (20, 50000, 10000)
    assert run == Run("cifar10", "conv2d", epochs=20, train_size=10**6, test_size=10000)


@pytest.mark.parametrize(
    ("wrong", "received"),
    [
        ({"dataset": "imagenet"}, "'imagenet'"),
        ({"method": "resnet"}, "'resnet'"),
        ({"rank": None}, "rank=None"),
        ({"rank": 0}, "rank=0"),
        ({"method": "conv2d"}, "rank=2"),
        ({"recipe": "cake"}, "'cake'"),
        ({"method": "greedy", "recipe": "product-l2"}, "method='greedy'"),
        ({"method": "automatic", "recipe": "corrected-l2-1e-3"}, "method='automatic'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"epochs": 0}, "epochs=0"),
        ({"train_size": True}, "train_size=True"),
        ({"width": 0}, "width=0"),
    ],
)
def test_wrong_configuration_is_refused(wrong, received):
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        Run(**{**vars(RUN), **wrong})


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ("conv2d", ("conv2d", None, 100)),
        ("conv2d-w56", ("conv2d", None, 56)),
        ("lightlayers-3", ("lightlayers", 3, 100)),
        ("lightlayers-3-w80", ("lightlayers", 3, 80)),
    ],
)
def test_a_row_names_method_rank_and_width(row, parts):
    assert parse_row(row) == parts
    run = Run.from_row("digits", row)
    assert (run.method, run.rank, run.width) == parts
    assert run.row == row


@pytest.mark.parametrize("row", ["", "conv2d-", "lightlayers-x", "conv2d-w", "conv2d-50-60"])
def test_what_is_no_row_is_refused(row):
    with pytest.raises(ValueError, match=f"Unknown row.*Received: '{row}'"):
        parse_row(row)


def test_the_usual_width_is_in_no_record():
    assert "width" not in RUN.to_record()  # else the stored ones would have other ids
    narrow = dataclasses.replace(RUN, width=50)
    assert narrow.to_record()["width"] == 50
    assert Run.of({"run": narrow.to_record()}) == narrow
    assert Run.of({"run": RUN.to_record()}) == RUN
    assert narrow.label == "LightLayers (K = 2), 50% of the filters"
