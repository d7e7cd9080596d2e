"""A record is checked before anything is computed from it, and named if it is not good."""

import builtins
import errno
import json
import math
import os

import pytest
from suite.stored import record_of

from lightlayers.suite.records import RecordError, format_record, read_record
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store

RUN = Run("digits", "lightlayers", 2, seed=7)
RECORD = record_of(RUN)


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        ("test.accuracy", 17.5, "a number of 0 to 1 in test.accuracy. Received: 17.5"),
        ("test.accuracy", math.nan, "a number of 0 to 1 in test.accuracy. Received: nan"),
        ("test.accuracy", "0.9", "Received: '0.9'"),
        ("test.accuracy", True, "Received: True"),
        ("test.loss", -1, "a number from 0, or NaN in test.loss. Received: -1"),
        ("test", None, "an object in test. Received: None"),
        ("seconds", math.inf, "a finite number from 0 in seconds. Received: inf"),
        ("parameters.total", 1.5, "an integer from 0 in parameters.total. Received: 1.5"),
        ("parameters.total", 10**400, "an integer from 0 in parameters.total."),
        ("multiply_adds", [], "in multiply_adds"),
        ("history.val_accuracy", [0.5, 2], "of each epoch a number of 0 to 1"),
        ("history.val_accuracy", 0.5, "a list in history.val_accuracy. Received: 0.5"),
        ("history.seconds", [], "as many epochs in each list of history"),
        ("shown.per_mille", [[1, 2], [3]], "numbers in 2 dimensions in shown.per_mille"),
        ("shown.first_kernels", [[[["x"]]]], "numbers in 4 dimensions"),
        ("environment.threads", "1", "an integer from 0 in environment.threads"),
        ("ranks", {"conv": 0.5}, "integers from 0 by name in ranks"),
        ("run.seed", math.nan, "an integer from 0 in run.seed"),
        ("run.method", "nothing", "of no known run .*Unknown method"),
        ("run.dataset", ["digits"], "of no known run"),
    ],
)
def test_a_value_of_a_wrong_type_or_out_of_range_is_named(tmp_path, place, value, expected):
    *parents, last = place.split(".")
    record = json.loads(json.dumps(RECORD))
    part = record
    for key in parents:
        part = part[key]
    part[last] = value
    file = tmp_path / "one.json"
    file.write_text(format_record(record))
    with pytest.raises(RecordError, match=f"^{file}: .*{expected}"):
        read_record(file)


def test_what_is_missing_is_named(tmp_path):
    file, not_needed = tmp_path / "one.json", []
    for key in RECORD.keys() - {"schema", "digest"}:
        file.write_text(format_record({name: RECORD[name] for name in RECORD if name != key}))
        try:
            read_record(file)
            not_needed.append(key)
        except RecordError as error:
            assert str(error) == f"{file}: it has no {key}"
    # No result is computed from them, or not every method has them.
    assert set(not_needed) <= {"revision", "weight_file_bytes", "ranks"}


def test_a_training_that_diverged_has_a_record(tmp_path):
    epochs = len(RECORD["history"]["loss"])
    history = RECORD["history"] | dict.fromkeys(("loss", "val_loss"), epochs * [math.nan])
    test = RECORD["test"] | {"loss": math.nan, "cross_entropy": math.inf}
    Store(tmp_path).write(RECORD | {"history": history, "test": test})
    assert list(Store(tmp_path).read([RUN])[0]) == [RUN]


ODD = {
    "nested": lambda file: file.write_text("[" * 100_000),
    "said twice": lambda file: file.write_text('{"id": 1,' + format_record(RECORD)[1:]),
    "no object": lambda file: file.write_text("[1, 2]"),
    "no body": lambda file: file.write_text(format_record({})),
    "version NaN": lambda file: file.write_text('{"schema": NaN}'),
    "pipe": os.mkfifo,
    "folder": os.mkdir,
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_file_is_named_and_the_others_are_read(tmp_path, what):
    store = Store(tmp_path)
    other = Run("digits", "lightlayers", 2, seed=8)
    store.write(record_of(other))
    ODD[what](store.path(RUN))
    for found, damaged in (store.read([RUN, other]), store.every("digits"), store.runs("digits")):
        assert list(found) == [other]
        assert len(damaged) == 1 and damaged[0].startswith(f"{store.path(RUN)}: ")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_record_that_can_not_be_read_is_not_trained_over(tmp_path, monkeypatch, code):
    store = Store(tmp_path)
    file = store.write(RECORD)

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(builtins, "open", refuse)
    for look in (lambda: store.read([RUN]), lambda: store.every("digits")):
        with pytest.raises(RuntimeError, match=f"^{file} can't be read .{os.strerror(code)}"):
            look()
