"""The store: identities, atomic writing, and what is done about a damaged record."""

import dataclasses
import errno
import json
import os
import pathlib
import re
import subprocess

import numpy as np
import pytest

from lightlayers import datasets, networks, ranks, recipes, runs, training
from lightlayers.runs import Run

ROOT = pathlib.Path(__file__).parents[1]
RUN = Run("digits", "lightlayers", 2, seed=7, epochs=1)
RECORD = {"run": vars(RUN), "id": RUN.id, "test": {"accuracy": 0.5}}
COMMITTED = [file for name in datasets.NAMES for file in ROOT.glob(f"outputs/runs/{name}/*.json")]


def test_the_command_for_runs_plans_them_again(tmp_path):
    outputs = runs.outputs_folder()
    assert runs.command(runs.plan("mnist"), outputs) == "lightlayers reproduce mnist"
    chosen = ["conv2d", "lightlayers-1"], [42, 7], "no-l2", 2, 100
    assert runs.command(runs.plan("digits", *chosen), tmp_path / "a b") == (
        "lightlayers reproduce digits --rows conv2d,lightlayers-1 --recipe no-l2 --seeds 42,7 "
        f"--epochs 2 --limit 100 --outputs '{tmp_path}/a b'"
    )
    few = runs.plan_experiment("collapse", [2, 1])
    assert runs.command(few, outputs, "collapse") == "lightlayers reproduce collapse --seeds 2,1"
    planned = runs.plan_experiment("starts")
    assert runs.command(planned, outputs, "starts") == "lightlayers reproduce starts"


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
    ],
)
def test_every_part_of_the_configuration_is_in_the_id(change):
    assert Run(**{**vars(RUN), **change}).id != RUN.id


def test_recipe_version_and_data_are_in_the_id(monkeypatch):
    known = RUN.id
    monkeypatch.setitem(datasets.FINGERPRINTS, "digits", "other")
    assert RUN.id != known
    monkeypatch.undo()
    changed = recipes.dataclasses.replace(recipes.PAPER, version=recipes.PAPER.version + 1)
    monkeypatch.setitem(recipes.RECIPES, "paper", changed)
    assert RUN.id != known


def test_a_revision_for_one_method_leaves_the_runs_of_others_good(monkeypatch):
    runs_ = [Run("digits", method, rank) for method, rank in (("lightlayers", 2), ("conv2d", None))]
    light, dense = (run.id for run in runs_)
    revised = recipes.dataclasses.replace(recipes.PAPER, revised=(("lightlayers", 2),))
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
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"epochs": 0}, "epochs=0"),
        ({"train_size": True}, "train_size=True"),
    ],
)
def test_wrong_configuration_is_refused(wrong, received):
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        Run(**{**vars(RUN), **wrong})


def test_plan_names_rows_as_the_tables_do():
    planned = runs.plan("mnist", seeds=[42, 1])
    assert [run.row for run in planned[::2]] == [
        "conv2d",
        "separableconv2d",
        *(f"lightlayers-{k}" for k in range(1, 5)),
    ]
    with pytest.raises(ValueError, match="Received: 'lightlayers-x'"):
        runs.plan("digits", rows=["lightlayers-x"])
    assert len(runs.plan("digits", rows=["conv2d", "conv2d"], seeds=[1, 1])) == 1


def test_stored_runs_of_further_seeds_come_with_the_suites(tmp_path):
    choice = {"rows": ["conv2d", "lightlayers-1"], "epochs": 1}
    usual = runs.plan("digits", **choice)
    assert [run.seed for run in usual] == 2 * list(runs.SEEDS)
    for changes in ({"seed": 9}, {"seed": 7}, {"seed": 8, "epochs": 2}, {"recipe": "no-l2"}):
        run = dataclasses.replace(usual[0], **changes)
        runs.write(tmp_path, {"test": {}, "run": vars(run), "id": run.id})
    found = runs.plan("digits", **choice, outputs=tmp_path)
    assert [run.seed for run in found] == [*runs.SEEDS, 7, 9, *runs.SEEDS]
    assert [run.row for run in found] == 7 * ["conv2d"] + 5 * ["lightlayers-1"]
    assert runs.plan("digits", **choice, seeds=[1], outputs=tmp_path) == [usual[1], usual[6]]
    one = runs.plan_experiment("starts")[0]
    one = dataclasses.replace(one, seed=9)
    runs.write(tmp_path, {"test": {}, "run": vars(one), "id": one.id})
    more = runs.plan_experiment("starts", outputs=tmp_path)
    assert [run.seed for run in more[:7]] == [*runs.SEEDS, 9, runs.SEEDS[0]]


def test_write_then_read(tmp_path):
    file = runs.write(tmp_path, RECORD)
    assert file == runs.path(tmp_path, RUN)
    assert runs.read(file)["test"] == {"accuracy": 0.5}
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("damage", ["truncated", "emptied", "garbage", "edited", "older", "list"])
def test_a_damaged_record_is_named_and_not_used(tmp_path, damage):
    file = runs.write(tmp_path, RECORD)
    text = file.read_text()
    content = {
        "truncated": text[: len(text) // 2],
        "emptied": "",
        "garbage": b"\x00\xff\x13".decode("latin1") * 50,
        "edited": text.replace("0.5", "0.9"),
        "older": text.replace(f'"schema": {runs.SCHEMA}', '"schema": 0'),
        "list": "[1, 2]",
    }[damage]
    assert content != text
    file.write_text(content)
    found, damaged = runs.stored(tmp_path, [RUN])
    assert not found
    assert len(damaged) == 1 and file.name in damaged[0]


def test_a_newer_record_is_not_trained_over(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SCHEMA", runs.SCHEMA + 1)
    runs.write(tmp_path, RECORD)
    monkeypatch.undo()
    for look in (runs.stored, runs.every):
        with pytest.raises(RuntimeError, match="newer version of lightlayers: update"):
            look(tmp_path, [RUN] if look == runs.stored else RUN.dataset)


def test_folders_of_records_are_tried_before_the_training(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / RUN.dataset).write_text("mine")
    runs.check_writable(tmp_path)
    with pytest.raises(ValueError, match=f"can't be written.*Received: .*{RUN.dataset}"):
        runs.check_writable(tmp_path, [RUN])
    assert [file.name for file in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("wrong", [{"seeds": 42}, {"rows": "conv2d"}, {"seeds": []}])
def test_rows_and_seeds_are_lists(wrong):
    ((name, value),) = wrong.items()
    expected = f"`{name}` must be a list like .*{name}={re.escape(repr(value))}"
    with pytest.raises(ValueError, match=expected):
        runs.plan("digits", **wrong)


def test_the_record_of_another_run_is_not_used(tmp_path):
    other = Run(**{**vars(RUN), "seed": 8})
    os.rename(runs.write(tmp_path, RECORD), runs.path(tmp_path, other))
    found, damaged = runs.stored(tmp_path, [other])
    assert not found and "another run" in damaged[0]


def test_a_full_disk_leaves_the_old_record_and_no_litter(tmp_path, monkeypatch):
    file = runs.write(tmp_path, RECORD)
    before = file.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        runs.write(tmp_path, {**RECORD, "test": {"accuracy": 0.6}})
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(not COMMITTED, reason="no records yet")
def test_committed_records_are_whole_and_of_clean_code_in_history():
    assert len(COMMITTED) >= 424  # none is lost
    commits = set()
    for file in COMMITTED:
        record = runs.read(file)
        run = Run(**record["run"])
        assert runs.path(ROOT / "outputs", run) == file, file.name
        assert record["id"] == run.id
        assert record["revision"]["clean"], file.name
        assert not {"host", "user"} & set(record["environment"])
        assert str(pathlib.Path.home()) not in json.dumps(record)
        assert len(json.dumps(record["shown"])) < 10_000
        commits.add(record["revision"]["commit"])
    for commit in commits:
        command = ["git", "-C", ROOT, "merge-base", "--is-ancestor", commit, "HEAD"]
        assert subprocess.run(command, capture_output=True).returncode == 0, commit


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes NAME.npz and adds it; what the process knows of it is forgotten afterwards."""
    known = [datasets.FILES, datasets.FINGERPRINTS, datasets.CLASSES, networks.SPECIFICATIONS]
    before = [(each, dict(each)) for each in (*known, recipes.LIKE, runs.SIZES)]

    def add(name, channels=1, seed=0):
        x = np.random.default_rng(seed).integers(0, 256, (12, 8, 9, channels), dtype="uint8")
        y = np.arange(12) % 2
        np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
        return runs.add_data(tmp_path / f"{name}.npz")

    yield add
    for each, content in before:
        each.clear()
        each.update(content)
    datasets.load.cache_clear()


def test_own_data_is_a_data_set_by_its_name(own, tmp_path):
    assert own("mine") == "mine"
    run = Run("mine", "lightlayers", 2)
    assert (run.epochs, run.train_size, run.test_size) == (10, 12, 4) and run.whole
    assert runs.table_rows("mine") == runs.table_rows("mnist")
    assert networks.specification("mine") == ((8, 9, 1), 2)
    runs.write(tmp_path, {"test": {}, "run": vars(run), "id": run.id})
    assert str(tmp_path) not in runs.path(tmp_path, run).read_text()
    assert list(runs.every(tmp_path, "mine")[0]) == [run]
    assert "mine" not in runs.NAMES


@pytest.mark.parametrize("recipe", ["paper", "corrected"])
def test_own_colour_data_gets_the_network_of_the_cifars(own, recipe):
    run = Run(own("colours", channels=3), "lightlayers", 2, recipe)
    assert run.epochs == recipes.get(recipe).schedule("cifar10").epochs == 20
    model = networks.build(run.dataset, run.method, run.rank, recipe)
    assert model.output_shape == (None, 2) and model.get_layer("block1_shortcut")
    assert model(np.zeros((1, 8, 9, 3))).shape == (1, 2)


def test_own_data_sorted_by_class_is_not_trained_on(own, tmp_path):
    own("mine")
    arrays = dict(np.load(tmp_path / "mine.npz"))
    arrays["y_train"] = np.repeat([0, 1], [11, 1])  # the last tenth is held out
    np.savez(tmp_path / "sorted.npz", **arrays)
    run = Run(runs.add_data(tmp_path / "sorted.npz"), "conv2d", recipe="corrected", epochs=1)
    with pytest.raises(datasets.DataError, match="shuffle the file.*Received: none of 1"):
        training.train(run)


def test_own_data_has_the_budget_of_its_own_network(own):
    run = Run(own("mine"), "greedy", 2)
    count = networks.build("mine", "lightlayers", 2).count_params()
    assert training._budget(run) == ranks.Budget(parameters=count)


def test_changed_own_data_is_another_data_set(own):
    known = Run(own("mine"), "conv2d").id
    assert Run(own("mine"), "conv2d").id == known
    assert Run(own("mine", seed=1), "conv2d").id != known
    assert Run(own("other", seed=1), "conv2d").id != Run("mine", "conv2d").id


def test_own_data_that_changes_under_way_is_noticed(own, tmp_path):
    own("other", seed=1)
    own("mine")
    os.replace(tmp_path / "other.npz", tmp_path / "mine.npz")
    with pytest.raises(datasets.DataError, match="mine.npz is not the mine that"):
        datasets.load("mine")


def test_two_files_of_one_name(own, tmp_path):
    own("mine")
    (tmp_path / "other").mkdir()
    other = (tmp_path / "mine.npz").rename(tmp_path / "other" / "mine.npz")
    with pytest.raises(ValueError, match=f"rename one. Received: .*mine.npz and {other}"):
        runs.add_data(other)


@pytest.mark.parametrize("name", ["mnist", "collapse", "report", "my data", "a.b"])
def test_a_name_that_own_data_can_not_have(own, name):
    with pytest.raises(ValueError, match=f"Received: {name}.npz"):
        own(name)
    assert datasets.FILES == {}
