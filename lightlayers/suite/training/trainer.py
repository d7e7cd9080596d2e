"""Training one run, or several that differ in their seeds alone, and the records of them."""

import dataclasses
import datetime
import time

from lightlayers.suite import backend, registry
from lightlayers.suite.training import provenance
from lightlayers.suite.training.cascade import train_cascade
from lightlayers.suite.training.record import (
    describe_model,
    describe_shown,
    list_ranks,
    make_record,
)
from lightlayers.suite.training.session import Session


def train(run, progress=None, keep=None):
    """Trains one run from its seed to its last epoch, and returns its record.

    Args:
        run: A `runs.Run`.
        progress: Function `(epoch, epochs)`, called after each epoch, or `None`.
        keep: Function that takes the trained model, or `None`.

    Returns:
        Dictionary, the record: see `store.Store.write`.

    Raises:
        datasets.DataError: If the data set can't be had.
        backend.DeviceError: If a GPU was asked for and there is none.

    Example:

    >>> record = train(Run("digits", "lightlayers", rank=1, epochs=1))
    >>> record["parameters"]["total"]
    2649
    """
    (record,) = train_seeds([run], progress, keep)
    return record


def check_together(runs):
    """Refuses runs that can't be trained in one program.

    Raises:
        ValueError: If they differ in more than their seeds, or several can't be trained together
            by their method or on this backend.
    """
    run = runs[0]
    if any(dataclasses.replace(each, seed=run.seed) != run for each in runs):
        raise ValueError(f"Runs trained together differ in their seeds alone. Received: {runs}")
    if len(runs) == 1:
        return
    if not can_train_together(run):
        raise ValueError(
            f"Networks converted halfway can't be trained together. Received: {run.row}"
        )
    if backend.name() != "jax":
        raise ValueError(
            "Only the JAX backend trains seeds together: set KERAS_BACKEND=jax. "
            f"Received: {backend.name()}"
        )


def can_train_together(run):
    """Returns whether several seeds of a run's method can be trained in one program."""
    return registry.get(run.method, run.rank).seeds_together


def train_seeds(runs, progress=None, keep=None):
    """Trains runs that differ in their seeds alone in one program, and returns their records.

    Each seed has its own weights, order and schedule. Records tell the seconds of the
    program divided by the number of seeds, and that number.

    Args:
        runs: List of `runs.Run`. More than one needs Keras' JAX backend.
        progress: Function `(epoch, epochs)`, called after each epoch, or `None`.
        keep: Function that takes each trained model, or `None`.

    Returns:
        List of records, see `store.Store.write`.

    Raises:
        ValueError: If the runs can't be trained together, the budget of ranks can't be held, or
            what the network costs can't be told.
        datasets.DataError: If the data set can't be had.
        backend.DeviceError: If a GPU was asked for and there is none.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    backend.check_device()
    check_together(runs)
    origin = {
        "started": started.isoformat(timespec="seconds"),
        "environment": provenance.environment() | {"together": len(runs)},
        "revision": provenance.revision(),
    }
    entry = registry.get(runs[0].method, runs[0].rank)
    if isinstance(entry, registry.Cascade):
        records = [train_cascade(runs[0], entry, progress)]
    else:
        records = _train_networks(runs, entry, progress, keep)
    if provenance.revision() != origin["revision"]:  # what ran is what was imported before
        origin["revision"] = (origin["revision"] or {"commit": None}) | {"clean": False}
    seconds = round((time.perf_counter() - clock) / len(runs), 2)
    return [record | origin | {"seconds": seconds} for record in records]


def _train_networks(runs, entry, progress, keep):
    """Returns the records of networks of one row, one a seed, without their origin."""
    session = Session(runs, progress)
    session.finish_models(entry.train(session))
    records = []
    for i, model in enumerate(session.models):
        seed, penalties = session.seeds[i], float(sum(model.losses))
        right = session.right[i]
        record = make_record(seed.run, seed.history, *session.results[i], penalties, right)
        record |= describe_model(model)
        record["shown"] = describe_shown(model, session.data)
        if getattr(entry, "chooses_ranks", False):
            record["ranks"] = list_ranks(model)
        if isinstance(entry, registry.Compression):
            record["bits"] = entry.bits(model)
        records.append(record)
        if keep:
            keep(model)
    return records
