"""Papermill executions: one job is one row with its missing seeds, in a process of its own."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from lightlayers import runs, training

# One single-threaded process a core beats one process with as many threads.
SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
_TRIES = 2  # a kernel is lost at its start now and then


@dataclasses.dataclass
class Job:
    """Runs of one row, trained by one execution of the data set's notebook."""

    runs: list
    missing: list
    error: str = ""

    @property
    def name(self):
        run = self.runs[0]
        return f"{run.dataset}-{run.row}"


def notebook(name):
    """Returns the path of a notebook of the repository.

    Raises:
        FileNotFoundError: If it is not there.
    """
    folders = [pathlib.Path.cwd(), *pathlib.Path.cwd().parents, pathlib.Path(__file__).parents[1]]
    for folder in folders:
        file = folder / "notebooks" / f"{name}.ipynb"
        if file.exists():
            return file
    raise FileNotFoundError(
        f"notebooks/{name}.ipynb is neither here, nor above, nor beside the package. Work in a "
        f"clone of the repository. Received: {pathlib.Path.cwd()}"
    )


def as_parameter(outputs, name):
    """Returns the outputs folder as a notebook is told it: relative, so that no path is kept."""
    return os.path.relpath(outputs, notebook(name).parent)


def papermill(source, target, parameters, environment=None, timeout=None):
    """Executes a notebook by Papermill in a process of its own.

    Args:
        source: Path of the notebook.
        target: Path of the executed notebook; its folder is made.
        parameters: Dictionary of parameters, checked against the notebook's.
        environment: Dictionary of variables added to the process's environment.
        timeout: Float, seconds for one cell, or `None`.

    Returns:
        String, empty, or what went wrong.

    Raises:
        ValueError: If the notebook has no parameter of a name, or can't be read.
    """
    check_parameters(source, parameters)
    target = pathlib.Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "lightlayers.execution", str(source), str(target)]
    command += ["-y", json.dumps(parameters), "--cwd", str(pathlib.Path(source).parent)]
    command += ["--no-progress-bar", "--log-level", "ERROR"]
    if timeout:
        command += ["--execution-timeout", str(int(timeout))]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # stays open as long as this process lives: see _die_with_parent
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (environment or {}),
    )
    try:
        # Not communicate(): it would close stdin, which tells the child that we are gone.
        complaint = process.stderr.read()
        code = process.wait()
    finally:
        process.stdin.close()
        process.stderr.close()
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code:
        last = [line for line in complaint.strip().splitlines() if line.strip()]
        return f"{last[-1] if last else 'no message'} (exit status {code}; see {target})"
    return ""


def check_parameters(source, parameters):
    """Papermill only warns of a parameter that the notebook does not have: refuse it.

    Raises:
        ValueError: If there is one, or the notebook can't be read.
    """
    import papermill

    try:
        known = papermill.inspect_notebook(str(source))
    except Exception as error:
        raise ValueError(f"{source} can't be read as a notebook ({error}).") from None
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(
            f"{source} has no such parameter. Expected some of {sorted(known)}. "
            f"Received: {', '.join(unknown)}"
        )


def _run(job, outputs, scratch, fresh):
    """Executes one job, again if it was lost, and returns it with its missing runs and error."""
    progress = pathlib.Path(scratch, f"{job.name}.progress")
    target = pathlib.Path(outputs, "failed", f"{job.name}.ipynb")
    run = job.runs[0]
    started = time.time()
    for _ in range(_TRIES):
        parameters = {
            "rows": [run.row],
            "seeds": [run.seed for run in job.missing],
            "recipe": run.recipe,
            "epochs": run.epochs,
            "limit": max(run.train_size, run.test_size),
            "train": True,
            "fresh": fresh,
            "outputs": as_parameter(outputs, run.dataset),
        }
        environment = SINGLE_THREADED | {training.PROGRESS: str(progress)}
        job.error = papermill(notebook(run.dataset), target, parameters, environment)
        # Papermill's own metadata call a dead kernel completed: a new record is the proof.
        files = {run: runs.path(outputs, run) for run in job.missing}
        good, _ = runs.stored(outputs, job.missing)
        new = [run for run in good if files[run].stat().st_mtime >= started - 1]
        job.missing = [run for run in job.missing if run not in new]
        if not job.missing:
            job.error = ""
            target.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                target.parent.rmdir()
            break
        job.error = job.error or f"no record was written (see {target})"
        if "Error:" in job.error:  # the notebook itself failed, and would again
            break
    return job


def train(planned, outputs, workers=None, fresh=False, report=print):
    """Trains the runs that have no good record, row by row, several rows at once.

    Args:
        planned: List of `runs.Run`.
        outputs: Path of the outputs folder.
        workers: Positive integer, jobs at once. Defaults to the number of cores.
        fresh: Boolean, whether to train also what is stored.
        report: Function that takes one line of progress.

    Returns:
        List of the `Job`s that failed.
    """
    good, damaged = runs.stored(outputs, planned)
    for message in damaged:
        report(f"damaged, to be trained again: {message}")
    grouped = {}
    for run in planned:
        if fresh or run not in good:
            grouped.setdefault((run.dataset, run.row), []).append(run)
    jobs = [Job(found, list(found)) for found in grouped.values()]
    total = sum(len(job.runs) for job in jobs)
    report(f"{len(planned) - total} of {len(planned)} runs are stored, {total} to train.")
    workers = min(workers or os.cpu_count() or 1, max(len(jobs), 1))
    failed, started = [], time.monotonic()
    with (
        tempfile.TemporaryDirectory() as scratch,
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        waiting = {pool.submit(_run, job, outputs, scratch, fresh): job for job in jobs}
        done = 0
        try:
            for future in concurrent.futures.as_completed(waiting):
                job = waiting[future]
                try:
                    future.result()
                except (OSError, ValueError) as error:
                    job.error = str(error)
                done += len(job.runs)
                elapsed = time.monotonic() - started
                left = elapsed / done * (total - done)
                if job.error:
                    failed.append(job)
                    report(f"FAILED {job.name}: {job.error}")
                else:
                    report(
                        f"{done}/{total} runs done ({job.name}), {elapsed:.0f} s so far, "
                        f"about {left:.0f} s left"
                    )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def render(name, outputs, parameters):
    """Executes a table notebook from stored runs into outputs, with its tables and figures.

    Returns:
        Path of the executed notebook.

    Raises:
        RuntimeError: If it fails.
    """
    import nbformat

    target = pathlib.Path(outputs, "notebooks", f"{name}.ipynb")
    with tempfile.TemporaryDirectory() as scratch:
        draft = pathlib.Path(scratch, target.name)
        if error := papermill(notebook(name), draft, parameters):
            kept = pathlib.Path(outputs, "failed", target.name)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(draft, kept)
            raise RuntimeError(error.replace(str(draft), str(kept)))
        # Papermill's times and paths would make every execution a different file.
        executed = nbformat.read(draft, as_version=4)
        for part in (executed, *executed.cells):
            for noise in ("papermill", "execution", "widgets"):
                part.metadata.pop(noise, None)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(executed, target)
    return target


def _die_with_parent():
    # A killed coordinator must leave no training behind: its end of the pipe closes.
    os.read(0, 1)  # unbuffered: a lock on sys.stdin would break the interpreter's exit
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from papermill.__main__ import papermill as main

    main()
