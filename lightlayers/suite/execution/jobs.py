"""Jobs: a job is one row with its missing seeds, trained in a process of its own."""

import contextlib
import dataclasses

from lightlayers.suite.execution import cluster, local, rows
from lightlayers.suite.execution.notebooks import DEFAULTS
from lightlayers.suite.processors import cores


@dataclasses.dataclass
class Job:
    """Runs of one row, trained by one execution of their data set's notebook."""

    runs: list
    error: str = ""
    trained: float = 0.0  # seconds, of the records that it wrote

    @property
    def name(self):
        """The name of the row, such as `"cifar10-lightlayers-3-corrected"`."""
        return rows.name_row(self.runs[0])


def make_jobs(planned, apart=False):
    """Returns jobs for runs: one for each row, or apart, one for each run."""
    groups = {}
    for run in planned:
        groups.setdefault(run if apart else rows.name_row(run), []).append(run)
    return [Job(group) for group in groups.values()]


def train(planned, store, display, settings=DEFAULTS, workers=None, scheduler=None):
    """Trains the runs that have no good record: several rows at once, here or on a cluster.

    Args:
        planned: List of `Run`.
        store: `Store` of the records.
        display: `Display`, which is told of everything.
        settings: `Settings`: kernel, timeout, fresh, together.
        workers: Positive integer, jobs at once. Defaults to the number of cores.
        scheduler: String, the address of a Dask scheduler, or `None` for this machine.

    Returns:
        List of `Job`, those that failed.

    Raises:
        OSError: If there is no scheduler at that address.
        KeyboardInterrupt: If it was interrupted; what is finished is kept.
    """
    stored, damaged = store.read(planned)
    missing = [run for run in planned if settings.fresh or run not in stored]
    # On a cluster a lost worker should cost one run, not a row of them.
    apart = scheduler is not None and not settings.together
    jobs = make_jobs(missing, apart)
    workers = min(workers or cores(), max(len(jobs), 1))
    with display.show(jobs, stored, planned, damaged, workers, settings.together):
        try:
            if not jobs:
                return []
            if scheduler is not None:
                return cluster.train_jobs(jobs, store, display, settings, scheduler)
            return local.train_jobs(jobs, store, display, settings, workers)
        finally:
            _remove_finished(planned, jobs, store)


def _remove_finished(planned, jobs, store):
    """Removes executed notebooks of finished rows, those that an earlier call has left among them.

    Args:
        planned: List of `Run`.
        jobs: List of `Job`, those that this call has trained.
        store: `Store` of the records.
    """
    failed = {job.name for job in jobs if job.error}
    for job in make_jobs(planned):
        kept = store.failed / f"{job.name}.ipynb"
        if job.name not in failed and kept.exists() and not store.missing(job.runs):
            kept.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it is empty where nothing failed
        store.failed.rmdir()
