"""Jobs on this machine, several at once: one single-threaded process a core.

That is faster than one process with as many threads.
"""

import concurrent.futures
import dataclasses

from lightlayers.suite.execution import notebooks, rows
from lightlayers.suite.execution.processes import Processes
from lightlayers.suite.training import PROGRESS


def _train_job(job, store, display, settings, processes):
    with rows.hold_row(job.name, store, display, processes.stopped.is_set) as waited:
        # What another command has trained in the meantime is fresh enough.
        settings = dataclasses.replace(settings, fresh=settings.fresh and not waited)
        planned = job.runs if settings.fresh else store.missing(job.runs)
        if not planned:
            return
        display.tell_start(job)
        source = notebooks.find_notebook(planned[0].dataset)
        environment = {PROGRESS: str(display.progress_file(job))}
        job.error = rows.train_row(planned, source, store, settings, environment, processes)
        if not job.error:
            records, _ = store.read(planned)
            job.trained = sum(record["seconds"] for record in records.values())


def train_jobs(jobs, store, display, settings, workers):
    """Trains jobs on this machine.

    Args:
        jobs: List of `Job`.
        store: `Store` of the records.
        display: `Display`.
        settings: `Settings`.
        workers: Positive integer, jobs at once.

    Returns:
        List of `Job`, those that failed.
    """
    processes = Processes()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            futures = {
                pool.submit(_train_job, job, store, display, settings, processes): job
                for job in jobs
            }
            return rows.gather(futures, display)
        except BaseException:
            processes.stop()
            pool.shutdown(cancel_futures=True)
            raise
