"""Whole records for tests that need one of some run."""

import functools
import pathlib

from lightlayers.suite import datasets
from lightlayers.suite.records import read_record

ROOT = pathlib.Path(__file__).parents[2]


@functools.cache
def _read_committed():
    return read_record(sorted(ROOT.glob("outputs/runs/digits/*.json"))[0])


def record_of(run):
    """Returns a committed record as if it were of another run."""
    data = datasets.get(run.dataset).fingerprint
    return _read_committed() | {"run": run.to_record(), "id": run.id, "fingerprint": data}
