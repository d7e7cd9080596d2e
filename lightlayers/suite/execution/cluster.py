"""Jobs on a Dask cluster: the records come back to this machine."""

import asyncio
import contextlib
import dataclasses
import logging
import threading

import lightlayers
from lightlayers.suite import datasets
from lightlayers.suite.execution import notebooks, rows
from lightlayers.suite.execution.processes import Processes
from lightlayers.suite.execution.scratch import temporary_folder
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store

TIMEOUT = 10  # seconds for the scheduler's answer
POLL = 1  # seconds between a worker's looks at whether its job is still wanted


async def _reach(address):
    """Opens a connection to a scheduler, and closes it."""
    from distributed import Security
    from distributed.comm import connect

    options = Security().get_connection_args("client")
    await (await connect(address, timeout=TIMEOUT, **options)).close()


def _explain(error):
    """Returns what an error of Dask says, and its cause."""
    cause = str(error.__cause__ or "").rpartition(">: ")[2]  # without the object that was at work
    return f"{error}: {cause}" if cause else str(error)


def _connect(address):
    from distributed import Client

    # What it logs of a lost connection are tracebacks. Ours says which runs are missing.
    logging.disable(logging.ERROR)
    try:
        asyncio.run(_reach(address))  # a client that finds none can't be closed without noise
        return Client(address, timeout=TIMEOUT, set_as_default=False)
    except Exception as error:
        raise OSError(
            f"No Dask scheduler answers there ({_explain(error)}). Start one with `dask scheduler "
            f"--host ADDRESS`, and workers with `dask worker`. Received: --scheduler {address}"
        ) from None


def _describe_job(job, settings):
    """Returns what a worker needs of a job, in plain values: its classes may be older."""
    dataset = job.runs[0].dataset
    return {
        "version": lightlayers.__version__,
        "fingerprint": datasets.get(dataset).fingerprint,
        "runs": [run.to_record() for run in job.runs],
        "ids": [run.id for run in job.runs],
        "notebook": notebooks.find_notebook(dataset).read_text(encoding="utf-8"),
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


@contextlib.contextmanager
def _stop_when_unwanted(processes):
    """Ends the processes of a worker's job when its result is no longer wanted.

    That is so after Ctrl-C, and when the client is gone.
    """
    from distributed import get_worker

    worker = get_worker()
    key, ended = worker.get_current_task(), threading.Event()

    def watch():
        while not ended.wait(POLL):
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":
                processes.stop()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


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
    processes = Processes()
    with temporary_folder() as folder, _stop_when_unwanted(processes):
        source = folder / f"{planned[0].dataset}.ipynb"
        source.write_text(job["notebook"], encoding="utf-8")
        store = Store(folder)
        try:
            error = rows.train_row(planned, source, store, settings, processes=processes)
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        records, _ = store.read(planned)
    # The message must not name a file of that folder: it is gone.
    return {"records": list(records.values()), "error": error.partition("; see ")[0]}


def receive(job, answer, store):
    """Writes the records that a worker has returned for a job.

    They are read as stored ones are before they replace any.

    Args:
        job: `Job`, which gets an error unless the answer has a good record of each of its runs and
            no other.
        answer: What `train_remotely` has returned.
        store: `Store` of the records.
    """
    with temporary_folder() as folder:
        arrived = Store(folder)
        for record in answer["records"]:
            arrived.write(record)
        records, _ = arrived.read(job.runs)
    for record in records.values():
        store.write(record)
    job.error = answer["error"]
    if job.error:
        return
    missing = [str(run.seed) for run in job.runs if run not in records]
    if missing:
        job.error = f"the worker has returned no good record of seed {', '.join(missing)}"
    elif len(answer["records"]) > len(records):
        job.error = "the worker has returned records of other runs, which are not kept"


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
    client = _connect(address)
    workers = sum(client.nthreads().values())
    display.set_workers(workers)
    if not workers:
        display.say(f"The cluster has no worker yet. To start one: dask worker {address}")
    with client, contextlib.ExitStack() as stack:
        waited = False
        for name in sorted({job.name for job in jobs}):
            waited |= stack.enter_context(rows.hold_row(name, store, display))
        pool = stack.enter_context(client.get_executor(pure=False, retries=notebooks.TRIES - 1))
        futures = {}
        for job in jobs:
            # What another command has trained in the meantime is fresh enough.
            if store.missing(job.runs) or (settings.fresh and not waited):
                display.tell_start(job)
                futures[pool.submit(train_remotely, _describe_job(job, settings))] = job
        try:
            return rows.gather(futures, display, lambda job, answer: receive(job, answer, store))
        except BaseException:
            pool.shutdown(wait=False)  # cancels them, which the workers notice
            raise
