"""The store: atomic writing, and what is done about a damaged record."""

import errno
import json
import os
import pathlib
import subprocess

import pytest

from lightlayers.suite import datasets
from lightlayers.suite import store as stores
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store, read_record

ROOT = pathlib.Path(__file__).parents[2]
RUN = Run("digits", "lightlayers", 2, seed=7, epochs=1)
RECORD = {"run": RUN.to_record(), "id": RUN.id, "test": {"accuracy": 0.5}}
COMMITTED = [file for name in datasets.NAMES for file in ROOT.glob(f"outputs/runs/{name}/*.json")]


def test_write_then_read(tmp_path):
    file = Store(tmp_path).write(RECORD)
    assert file == Store(tmp_path).path(RUN)
    assert read_record(file)["test"] == {"accuracy": 0.5}
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("damage", ["truncated", "emptied", "garbage", "edited", "older", "list"])
def test_a_damaged_record_is_named_and_not_used(tmp_path, damage):
    file = Store(tmp_path).write(RECORD)
    text = file.read_text()
    content = {
        "truncated": text[: len(text) // 2],
        "emptied": "",
        "garbage": b"\x00\xff\x13".decode("latin1") * 50,
        "edited": text.replace("0.5", "0.9"),
        "older": text.replace(f'"schema": {stores.SCHEMA}', '"schema": 0'),
        "list": "[1, 2]",
    }[damage]
    assert content != text
    file.write_text(content)
    found, damaged = Store(tmp_path).read([RUN])
    assert not found
    assert len(damaged) == 1 and file.name in damaged[0]


def test_a_newer_record_is_not_trained_over(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "SCHEMA", stores.SCHEMA + 1)
    Store(tmp_path).write(RECORD)
    monkeypatch.undo()
    store = Store(tmp_path)
    for look in (lambda: store.read([RUN]), lambda: store.every(RUN.dataset)):
        with pytest.raises(RuntimeError, match="newer version of lightlayers: update"):
            look()


def test_folders_of_records_are_tried_before_the_training(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / RUN.dataset).write_text("mine")
    Store(tmp_path).check_writable()
    with pytest.raises(ValueError, match=f"can't be written.*Received: .*{RUN.dataset}"):
        Store(tmp_path).check_writable([RUN])
    assert [file.name for file in tmp_path.iterdir()] == ["runs"]


def test_the_record_of_another_run_is_not_used(tmp_path):
    other = Run(**{**vars(RUN), "seed": 8})
    os.rename(Store(tmp_path).write(RECORD), Store(tmp_path).path(other))
    found, damaged = Store(tmp_path).read([other])
    assert not found and "another run" in damaged[0]


def test_a_full_disk_leaves_the_old_record_and_no_litter(tmp_path, monkeypatch):
    file = Store(tmp_path).write(RECORD)
    before = file.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Store(tmp_path).write({**RECORD, "test": {"accuracy": 0.6}})
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(not COMMITTED, reason="no records yet")
def test_committed_records_are_whole_and_of_clean_code_in_history():
    assert len(COMMITTED) >= 424  # none is lost
    commits = set()
    for file in COMMITTED:
        record = read_record(file)
        run = Run.of(record)
        assert Store(ROOT / "outputs").path(run) == file, file.name
        assert record["id"] == run.id
        assert record["revision"]["clean"], file.name
        assert not {"host", "user"} & set(record["environment"])
        assert str(pathlib.Path.home()) not in json.dumps(record)
        assert len(json.dumps(record["shown"])) < 10_000
        commits.add(record["revision"]["commit"])
    for commit in commits:
        command = ["git", "-C", ROOT, "merge-base", "--is-ancestor", commit, "HEAD"]
        assert subprocess.run(command, capture_output=True).returncode == 0, commit
