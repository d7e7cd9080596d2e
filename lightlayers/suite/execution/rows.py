"""What a job does, on this machine and on a worker of a cluster: it trains runs of one row."""

import concurrent.futures
import contextlib

from lightlayers.suite.execution import notebooks
from lightlayers.suite.execution.processes import Stopped
from lightlayers.suite.processors import SINGLE_THREADED


def name_row(run):
    """Returns the name of a run's row among those of all data sets and recipes."""
    name = f"{run.dataset}-{run.row}"
    return name if run.recipe == "paper" else f"{name}-{run.recipe}"


@contextlib.contextmanager
def hold_row(name, store, display, stopped=lambda: False):
    """Holds a row, so that no other command with the same outputs trains it at the same time.

    Args:
        name: String, the row's, see `name_row`.
        store: `Store` of the records.
        display: `Display`, which is told once if another command holds the row.
        stopped: Function that returns whether to give up.

    Yields:
        Boolean, whether another command held the row before.

    Raises:
        Stopped: If `stopped` says so.
    """
    from filelock import FileLock, Timeout

    locks = store.outputs / "runs" / ".locks"
    # Other users of the folder lock the same file.
    lock, waited = FileLock(locks / f"{name}.lock", mode=0o666), False
    while not lock.is_locked:
        try:
            locks.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0.5)
        except Timeout:
            if not waited:
                display.tell_waiting(name)
            waited = True
        except OSError as error:  # of another user, or on a file system without locks
            display.say(
                f"{name} can't be locked ({error.strerror}): let no other command train it here."
            )
            break
        if stopped():
            lock.release()
            raise Stopped
    try:
        yield waited
    finally:
        lock.release()


def _time_written(store, run):
    """Returns when the record of a run was written, or `None` if there is none."""
    with contextlib.suppress(FileNotFoundError):
        return store.path(run).stat().st_mtime_ns


def _row_parameters(planned, source, store, settings):
    run = planned[0]
    return {
        "rows": [run.row],
        "seeds": [run.seed for run in planned],
        "recipe": run.recipe,
        "epochs": run.epochs,
        "limit": max(run.train_size, run.test_size),
        "train": True,
        "fresh": settings.fresh,
        "together": settings.together,
        "outputs": notebooks.relative_outputs(source, store),
        **notebooks.data_parameter(run.dataset),
    }


def train_row(planned, source, store, settings, environment=None, processes=None):
    """Trains runs of one row by their data set's notebook, and tries once more what was lost.

    Args:
        planned: List of `Run`, which differ in their seeds alone.
        source: Path of the notebook.
        store: `Store` of the records.
        settings: `Settings`.
        environment: Dictionary of variables added to the process's environment.
        processes: `Processes` to run it in, or `None` for new ones.

    Returns:
        String, empty if every run has a new record, else what went wrong.
    """
    kept = store.failed / f"{name_row(planned[0])}.ipynb"
    environment = SINGLE_THREADED | (environment or {})
    for _ in range(notebooks.TRIES):
        before = {run: _time_written(store, run) for run in planned}
        parameters = _row_parameters(planned, source, store, settings)
        error = notebooks.execute(source, kept, parameters, settings, environment, processes)
        # Papermill's own metadata call a dead kernel completed: a new record is the proof.
        missing = store.missing(planned)
        planned = [
            run for run in planned if run in missing or _time_written(store, run) == before[run]
        ]
        if not planned:
            kept.unlink(missing_ok=True)
            return ""
        # An error of the notebook comes again. A lost kernel does not, nor does the error of
        # Papermill whose folder another command has just removed.
        if not notebooks.is_passing(error) and kept.parent.exists():
            break
    return f"{error or 'no record was written'}; see {kept}"


def gather(futures, display, receive=lambda job, result: None):
    """Waits for jobs, and tells the display of each that ends.

    Args:
        futures: Dictionary from a future to its `Job`.
        display: `Display`.
        receive: Function of a job and its future's result, called as soon as it is there.

    Returns:
        List of `Job`, those that failed.
    """
    failed = []
    for future in concurrent.futures.as_completed(futures):
        job = futures[future]
        try:
            receive(job, future.result())
        except Stopped:
            continue
        except concurrent.futures.CancelledError:
            job.error = "cancelled, the scheduler is gone"
        except Exception as error:
            job.error = f"{type(error).__name__}: {error}"
        display.tell_end(job)
        if job.error:
            failed.append(job)
    return failed
