"""One record as a file: its format, its digest, and what each of its values may be."""

import dataclasses
import hashlib
import json
import math
import os
import reprlib
import stat

import numpy as np

from lightlayers.suite.runs import Run

SCHEMA = 1
_ENCODE = json.JSONEncoder(sort_keys=True, check_circular=False).encode


class RecordError(Exception):
    """A record that is damaged, edited, or of another version of its format."""


@dataclasses.dataclass(frozen=True)
class _Value:
    """One value of a record.

    Args:
        name: String, for messages.
        types: Tuple of types.
        least: Number.
        most: Number.
        nan: Boolean, whether it may be NaN, as the loss of a training that diverged.
    """

    name: str
    types: tuple
    least: float = -math.inf
    most: float = math.inf
    nan: bool = False

    def allows(self, value):
        if type(value) not in self.types:  # a boolean is no integer here
            return False
        if value is None or str in self.types:
            return True
        return self.least <= value <= self.most or (self.nan and value != value)

    def allows_all(self, values):
        """Returns whether each of a list is allowed: a record has hundreds of numbers."""
        if not set(map(type, values)) <= set(self.types):
            return False
        return all(self.least <= value <= self.most for value in values) or (
            self.nan and all(map(self.allows, values))
        )


@dataclasses.dataclass(frozen=True)
class _Array:
    """Numbers in lists of lists, all of one length at each depth."""

    dimensions: int

    @property
    def name(self):
        return f"numbers in {self.dimensions} dimensions"

    def allows(self, value):
        try:
            array = np.array(value)
        except ValueError:  # lengths differ
            return False
        return array.ndim == self.dimensions and array.dtype.kind in "if"


@dataclasses.dataclass(frozen=True)
class _Counts:
    """Integers by name."""

    name = "integers from 0 by name"

    def allows(self, value):
        return type(value) is dict and _COUNT.allows_all(value.values())


_TEXT = _Value("a text", (str,))
_COUNT = _Value("an integer from 0", (int,), 0, 2**63 - 1)
_COUNT_OR_NONE = dataclasses.replace(_COUNT, types=(int, type(None)))
_SHARE = _Value("a number of 0 to 1", (int, float), 0, 1)
_AMOUNT = _Value("a finite number from 0", (int, float), 0, 1e18)
_LOSS = _Value("a number from 0, or NaN", (int, float), 0, nan=True)
_OBJECTIVE = _Value("a number, or NaN", (int, float), nan=True)  # a peer's own may be negative
# What a record has at least. `?` marks what not every method has.
_FORMAT = {
    "schema": _COUNT,
    "run": {"seed": _COUNT},  # the rest is checked by `Run`
    "id": _TEXT,
    "recipe": {"validation": _TEXT},
    "fingerprint": _TEXT,
    "test": {"accuracy": _SHARE, "loss": _LOSS, "cross_entropy": _LOSS},
    "parameters": {"total": _COUNT, "trainable": _COUNT},
    "multiply_adds": _COUNT_OR_NONE,
    "history": {
        "loss": [_OBJECTIVE],
        "accuracy": [_SHARE],
        "val_loss": [_LOSS],
        "val_accuracy": [_SHARE],
        "learning_rate": [_AMOUNT],
        "seconds": [_AMOUNT],
    },
    "started": _TEXT,
    "seconds": _AMOUNT,
    "environment": {"backend": _TEXT, "device": _TEXT, "processor": _TEXT, "threads": _COUNT},
    "shown": {"per_mille": _Array(2), "first_kernels?": _Array(4)},
    "ranks?": _Counts(),
    "bits?": _COUNT,
}
_CHECKS = repr(_FORMAT).encode()  # what was checked by another format is checked again


def _check_value(value, kind, place):
    """Refuses a value that is not of a kind.

    Args:
        value: Any value that JSON has.
        kind: A `_Value`, `_Array` or `_Counts`, a list of the kind of each item, or a dictionary of
            kinds.
        place: Tuple of the value's keys, for messages.
    """
    if isinstance(kind, dict):
        _check_object(value, kind, place)
    elif isinstance(kind, list):
        if type(value) is not list:
            _refuse(value, "a list", place)
        if not kind[0].allows_all(value):
            _refuse(value, f"of each epoch {kind[0].name}", place)
    elif not kind.allows(value):
        _refuse(value, kind.name, place)


def _check_object(value, kinds, place):
    if type(value) is not dict:
        _refuse(value, "an object", place)
    for key, kind in kinds.items():
        name = key.rstrip("?")
        if name in value:
            _check_value(value[name], kind, (*place, name))
        elif name == key:
            raise RecordError(f"it has no {'.'.join((*place, name))}")


def _refuse(value, expected, place):
    raise RecordError(f"expected {expected} in {'.'.join(place)}. Received: {reprlib.repr(value)}")


def check_record(record):
    """Finds out that each value that results are computed from is of its type and in its range.

    Args:
        record: Dictionary, as `Store.read` returns it.

    Returns:
        The `Run` that it is of.

    Raises:
        RecordError: If one is not, or if it is the record of nothing that is known.
    """
    _check_value(record, _FORMAT, ())
    lengths = {len(record["history"][name]) for name in _FORMAT["history"]}
    if len(lengths) != 1 or 0 in lengths:
        raise RecordError(f"expected as many epochs in each list of history. Received: {lengths}")
    try:
        return Run.of(record)
    except (ValueError, TypeError) as error:
        raise RecordError(f"it is of no known run ({error})") from None


def _digest(record):
    body = {key: value for key, value in record.items() if key != "digest"}
    return hashlib.sha256(_ENCODE(body).encode()).hexdigest()[:16]


def format_record(record):
    """Returns the text of a record's file."""
    record = record | {"schema": SCHEMA}
    record["digest"] = _digest(record)
    # One line per entry reads well in a diff, and keeps long lists on one line.
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_record(file):
    """Returns the record in a file, having checked it: see `check_record`.

    Raises:
        FileNotFoundError: If there is none.
        RecordError: If it is truncated, edited, or not a record.
        RuntimeError: If it can't be read now, or a newer version of the suite has written it. It
            is no damage, and must not be trained over.
    """
    return parse_record(read_content(file), file)


def read_content(file):
    """Returns the bytes of a record's file. Raises what `read_record` does."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise RecordError(f"{file}: expected a file. Received: a folder, a pipe or a device")
        with open(file, "rb") as opened:
            return opened.read()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise RuntimeError(
            f"{file} can't be read ({error.strerror}). It may be the record of a finished run: "
            "make it readable, or move it away"
        ) from None


def name_content(content):
    """Returns a digest of a file's bytes, and of what is checked in them."""
    return hashlib.sha256(_CHECKS + content).hexdigest()


def parse_record(content, file):
    """Returns the record in a file's bytes; `file` says in errors where they are from."""
    try:
        record = json.loads(content, object_pairs_hook=_refuse_twice)
        _check_version(record["schema"], file)
        if record["digest"] != _digest(record):
            raise RecordError("its content is not what was written")
        check_record(record)
    except RecordError as error:
        raise RecordError(f"{file}: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordError(f"{file}: not a whole record ({type(error).__name__})") from None
    return record


def _check_version(version, file):
    if version > SCHEMA:
        raise RuntimeError(
            f"{file} has been written by a newer version of lightlayers: update the package, "
            f"or choose other outputs. Received: format {version}, expected {SCHEMA}"
        )
    if version != SCHEMA:
        raise RecordError(f"its format is version {version}, expected {SCHEMA}")


def _refuse_twice(pairs):
    """Returns the dictionary of the keys and values of a JSON object."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found
