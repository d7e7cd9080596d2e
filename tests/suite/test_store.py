"""The store: atomic writing, and what is done about a damaged record."""

import errno
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from suite.stored import record_of

from lightlayers.suite import datasets, records
from lightlayers.suite import store as stores
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store, read_record

ROOT = pathlib.Path(__file__).parents[2]
RUN = Run("digits", "lightlayers", 2, seed=7, epochs=1)
RECORD = record_of(RUN)
COMMITTED = [file for name in datasets.NAMES for file in ROOT.glob(f"outputs/runs/{name}/*.json")]


def test_write_then_read(tmp_path):
    file = Store(tmp_path).write(RECORD)
    assert file == Store(tmp_path).path(RUN)
    assert read_record(file)["test"] == RECORD["test"]
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("damage", ["truncated", "emptied", "garbage", "edited", "older", "list"])
def test_a_damaged_record_is_named_and_not_used(tmp_path, damage):
    file = Store(tmp_path).write(RECORD)
    text = file.read_text()
    content = {
        "truncated": text[: len(text) // 2],
        "emptied": "",
        "garbage": b"\x00\xff\x13".decode("latin1") * 50,
        "edited": text.replace(f'"accuracy": {RECORD["test"]["accuracy"]}', '"accuracy": 0.9'),
        "older": text.replace(f'"schema": {records.SCHEMA}', '"schema": 0'),
        "list": "[1, 2]",
    }[damage]
    assert content != text
    file.write_text(content)
    found, damaged = Store(tmp_path).read([RUN])
    assert not found
    assert len(damaged) == 1 and file.name in damaged[0]


def test_a_newer_record_is_not_trained_over(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "SCHEMA", records.SCHEMA + 1)
    Store(tmp_path).write(RECORD)
    monkeypatch.undo()
    store = Store(tmp_path)
    for look in (lambda: store.read([RUN]), lambda: store.every(RUN.dataset)):
        with pytest.raises(RuntimeError, match="newer version of lightlayers: update"):
            look()


def test_no_folder_is_replaced_by_a_record(tmp_path):
    Store(tmp_path).path(RUN).mkdir(parents=True)
    with pytest.raises(ValueError, match=f"move it away. Received: {Store(tmp_path).path(RUN)}"):
        Store(tmp_path).check_writable([RUN])


def test_an_empty_path_is_no_folder_of_outputs():
    with pytest.raises(ValueError, match="Expected a folder of outputs. Received: ''"):
        Store("")


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


def test_the_record_of_other_data_is_not_used(tmp_path):
    Store(tmp_path).write(RECORD | {"fingerprint": "0" * 16})
    found, damaged = Store(tmp_path).read([RUN])
    assert not found and "other data" in damaged[0]


def test_a_full_disk_leaves_the_old_record_and_no_litter(tmp_path, monkeypatch):
    file = Store(tmp_path).write(RECORD)
    before = file.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Store(tmp_path).write(RECORD | {"seconds": 1.0})
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_of_many_records_those_that_changed_are_checked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "_MANY", 1)
    store, parsed = Store(tmp_path), []
    planned = [Run("digits", "conv2d", seed=seed) for seed in (1, 2)]
    files = [store.write(record_of(run)) for run in planned]
    parse = stores.parse_record
    monkeypatch.setattr(stores, "parse_record", lambda *some: parsed.append(some) or parse(*some))
    assert store.runs("digits") == store.runs("digits") == (planned, [])
    assert len(parsed) == 2
    files[0].write_text(files[0].read_text().replace('"clean": true', '"clean": false'))
    found, damaged = store.runs("digits")
    assert found == planned[1:] and str(files[0]) in damaged[0] and len(parsed) == 3
    for file in tmp_path.glob("runs/digits/.*"):
        file.write_text("[[[")
    assert store.runs("digits")[0] == planned[1:]


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


def test_outputs_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    assert Store().outputs == ROOT / "outputs"
    monkeypatch.chdir(tmp_path)  # the package's own repository, as of an editable install
    assert Store().outputs == ROOT / "outputs"
    clone = tmp_path / "clone"
    (clone / "notebooks").mkdir(parents=True)
    (clone / "pyproject.toml").touch()
    monkeypatch.chdir(clone / "notebooks")
    assert Store().outputs == clone / "outputs"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """An installed package that brings results, seen from a folder beside it."""
    package, here = tmp_path / "installed" / "lightlayers", tmp_path / "here"
    for name in ("figures/a.png", "runs/digits/a.json"):
        file = package.parent / "outputs" / name
        file.parent.mkdir(parents=True)
        file.write_text("brought")
    package.mkdir()
    shutil.make_archive(package / "outputs", "zip", package.parent, "outputs")
    monkeypatch.setattr(stores.lightlayers, "__file__", str(package / "__init__.py"))
    here.mkdir()
    monkeypatch.chdir(here)
    return here / "outputs"


@pytest.mark.parametrize("mine", ["", "out.ipynb", "figures/a.png"])
def test_a_wheels_results_come_into_a_folder_without_runs(wheel, mine):
    if mine:
        (wheel / mine).parent.mkdir(parents=True)
        (wheel / mine).write_text("mine")
    assert Store().outputs == wheel
    for name in ("figures/a.png", "runs/digits/a.json"):
        assert (wheel / name).read_text() == ("mine" if name == mine else "brought")
    (wheel / "runs" / "digits" / "a.json").write_text("trained")
    Store()
    assert (wheel / "runs" / "digits" / "a.json").read_text() == "trained"
    assert {file.name for file in wheel.iterdir()} <= {"figures", "runs", "out.ipynb"}


def test_where_a_wheels_results_can_not_be_written_another_folder_is_asked_for(wheel):
    wheel.write_text("a file")
    with pytest.raises(ValueError, match=r"can't be written here .*Papermill -p outputs FOLDER\."):
        Store()


def test_what_is_not_stored_is_refused_where_it_is_needed(tmp_path):
    assert Store(tmp_path).check_found([1], "") == [1]
    for nothing in (Store(tmp_path).whole_records(["digits"]), Store(tmp_path).measurement("grid")):
        with pytest.raises(ValueError, match="To make it: do this. .*Papermill -p outputs FOLDER"):
            Store(tmp_path).check_found(nothing, "do this")
