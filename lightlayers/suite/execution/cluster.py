"""Jobs on a Dask cluster: the records come back to this machine."""

import contextlib
import dataclasses
import logging
import pathlib
import tempfile

import lightlayers
from lightlayers.suite import datasets
from lightlayers.suite.execution import notebooks, rows
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store


def _connect(address):
    from distributed import Client

    # What it logs of a lost connection are tracebacks. Ours says which runs are missing.
    logging.disable(logging.ERROR)
    try:
        return Client(address, timeout=10, set_as_default=False)
    except Exception as error:
        raise OSError(
            f"No Dask scheduler answers there ({type(error).__name__}). Start one with `dask "
            f"scheduler`, and workers with `dask worker`. Received: --scheduler {address}"
        ) from None


def _describe_job(job, settings):
    """Returns what a worker needs of a job, in plain values: its classes may be older."""
    dataset = job.runs[0].dataset
    return {
        "version": lightlayers.__version__,
        "fingerprint": datasets.get(dataset).fingerprint,
        "runs": [run.to_record() for run in job.runs],
        "ids": [run.id for run in job.runs],
        "notebook": notebooks.find_notebook(dataset).read_text(),
        "settings": dataclasses.asdict(settings),
    }


def _find_difference(job, planned):
    """Returns in what a worker's package differs from the client's; empty if in nothing."""
    known = datasets.get(planned[0].dataset).fingerprint
    if known != job["fingerprint"]:
        return f"the worker knows the data as {known}, expected {job['fingerprint']}"
    if [run.id for run in planned] != job["ids"]:
        return f"the worker has another version of recipe {planned[0].recipe!r}: install this one"
    return ""


def train_remotely(job):
    """Trains a job on a worker, in a folder of its own.

    Args:
        job: Dictionary with the entries `version`, `fingerprint`, `runs`, `ids`, `notebook` (its
            text) and `settings`, all as the client has them.

    Returns:
        Dictionary with `records` and `error`.
    """
    version = lightlayers.__version__
    if version != job["version"]:
        error = f"the worker has lightlayers {version}, expected {job['version']}"
        return {"records": [], "error": error}
    planned = [Run.of({"run": run}) for run in job["runs"]]
    if error := _find_difference(job, planned):
        return {"records": [], "error": error}
    settings = dataclasses.replace(notebooks.Settings(**job["settings"]), fresh=False)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, f"{planned[0].dataset}.ipynb")
        source.write_text(job["notebook"])
        store = Store(folder)
        try:
            error = rows.train_row(planned, source, store, settings)
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        records, _ = store.read(planned)
    # The message must not name a file of that folder: it is gone.
    return {"records": list(records.values()), "error": error.partition("; see ")[0]}


def train_jobs(jobs, store, display, settings, address):
    """Trains jobs on the workers of a Dask cluster.

    Args:
        jobs: List of `Job`.
        store: `Store` of the records.
        display: `Display`.
        settings: `Settings`.
        address: String, the scheduler's.

    Returns:
        List of `Job`, those that failed.

    Raises:
        OSError: If there is no scheduler at that address.
    """

    def receive(job, result):
        for record in result["records"]:
            store.write(record)
        job.error = result["error"]

    client = _connect(address)
    display.set_workers(sum(client.nthreads().values()))
    with client, contextlib.ExitStack() as stack:
        waited = False
        for name in sorted({job.name for job in jobs}):
            waited |= stack.enter_context(rows.hold_row(name, store, display))
        pool = stack.enter_context(client.get_executor(pure=False, retries=rows.TRIES - 1))
        futures = {}
        for job in jobs:
            # What another command has trained in the meantime is fresh enough.
            if store.missing(job.runs) or (settings.fresh and not waited):
                display.tell_start(job)
                futures[pool.submit(train_remotely, _describe_job(job, settings))] = job
        try:
            return rows.gather(futures, display, receive)
        except BaseException:
            pool.shutdown(wait=False)  # else it waits for all that is still to be trained
            raise
