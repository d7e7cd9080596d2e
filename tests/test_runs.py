"""The store: identities, atomic writing, and what is done about a damaged record."""

import errno
import json
import os
import pathlib
import subprocess

import pytest

from lightlayers import datasets, recipes, runs
from lightlayers.runs import Run

ROOT = pathlib.Path(__file__).parents[1]
RUN = Run("digits", "lightlayers", 2, seed=7, epochs=1)
RECORD = {"run": vars(RUN), "test": {"accuracy": 0.5}}
COMMITTED = sorted(ROOT.glob("outputs/runs/*/*.json"))


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
