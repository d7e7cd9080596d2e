"""Papermill executions: one job is one row with its missing seeds, in a process of its own."""

import concurrent.futures
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import lightlayers
from lightlayers import datasets, runs, training

# One single-threaded process a core beats one process with as many threads.
SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "NPROC": "1",  # which XLA obeys
}
DAY = 24 * 3600


def cores():
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_TRIES = 2  # a kernel is lost at its start now and then


@dataclasses.dataclass
class Job:
    """Runs of one row, trained by one execution of the data set's notebook."""

    runs: list
    error: str = ""
    trained: float = 0.0  # seconds, of the records that it wrote

    @property
    def name(self):
        return _name(self.runs[0])


def _name(run):
    name = f"{run.dataset}-{run.row}"
    return name if run.recipe == "paper" else f"{name}-{run.recipe}"


class Stopped(Exception):
    """The command was interrupted."""


class Processes:
    """The child processes of a command, so that an interruption ends them all."""

    def __init__(self):
        self.stopped = threading.Event()
        self._live = set()

    def run(self, command, environment):
        """Runs a command to its end; returns its exit status and what it wrote to stderr."""
        if self.stopped.is_set():
            raise Stopped
        with tempfile.TemporaryFile("w+") as complaint:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # open as long as this process lives: _die_with_parent
                stdout=subprocess.DEVNULL,
                stderr=complaint,
                env=os.environ | environment,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
            self._live.add(process)
            try:
                if self.stopped.is_set():
                    process.kill()
                code = process.wait()
            finally:
                self._live.discard(process)
                process.stdin.close()
            if self.stopped.is_set():
                raise Stopped
            complaint.seek(0)
            return code, complaint.read()

    def stop(self):
        """Ends the children, and every thread that waits for one."""
        self.stopped.set()
        for process in list(self._live):
            process.kill()  # its kernel notices within a second and ends too


def notebook(name):
    """Returns the path of a notebook of the repository; the reader's own data sets share one.

    Raises:
        FileNotFoundError: If it is not there.
    """
    name = "own_data" if name in datasets.FILES else name
    here = pathlib.Path.cwd()
    for folder in (here, *here.parents, pathlib.Path(__file__).parents[1]):
        file = folder / "notebooks" / f"{name}.ipynb"
        if file.exists():
            return file
    raise FileNotFoundError(
        f"notebooks/{name}.ipynb is neither here, nor above, nor beside the package. Work in a "
        f"clone of the repository. Received: {here}"
    )


def _from(source, outputs):
    """The path of outputs from a notebook's folder; links lead elsewhere than `..` tells."""
    return os.path.relpath(os.path.realpath(outputs), os.path.realpath(pathlib.Path(source).parent))


def _literal(path):
    """A path as Papermill leaves it, which fills in parameters where there are braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def check_parameters(source, parameters):
    """Papermill only warns of a parameter that the notebook does not have: refuse it.

    Raises:
        ValueError: If there is one, or the notebook can't be read.
    """
    import papermill

    try:
        known = papermill.inspect_notebook(_literal(source))
    except Exception as error:
        raise ValueError(f"{source} can't be read as a notebook ({error}).") from None
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(
            f"{source} has no such parameter. Expected some of {sorted(known)}. "
            f"Received: {', '.join(unknown)}"
        )


def papermill(source, target, parameters, kernel=None, timeout=DAY, environment=None, within=None):
    """Executes a notebook by Papermill in a process of its own.

    Args:
        source: Path of the notebook.
        target: Path of the executed notebook; its folder is made.
        parameters: Dictionary of parameters, checked against the notebook's.
        kernel: String, the name of a kernelspec, or `None` for the notebook's own.
        timeout: Integer, seconds for one cell. Defaults to a day.
        environment: Dictionary of variables added to the process's environment.
        within: `Processes` to run it in, or `None` for new ones.

    Returns:
        String, empty, or what went wrong in one line.

    Raises:
        ValueError: If the notebook has no parameter of a name, or can't be read.
        Stopped: If the command was interrupted.
    """
    check_parameters(source, parameters)
    target = pathlib.Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "lightlayers.execution", _literal(source), _literal(target)]
    command += ["-y", json.dumps(parameters, ensure_ascii=False)]  # YAML knows no surrogates
    command += ["--cwd", str(pathlib.Path(source).parent)]
    command += ["--no-progress-bar", "--log-level", "ERROR"]
    command += ["--execution-timeout", str(timeout), *(["-k", kernel] if kernel else [])]
    environment = dict(environment or {})
    if folder := os.environ.get(datasets.VARIABLE):
        environment[datasets.VARIABLE] = os.path.abspath(folder)  # the kernel works elsewhere
    code, complaint = (within or Processes()).run(command, environment)
    if not code:
        return ""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()] or ["no message"]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt): ", line)]
    return f"{(errors or lines)[-1]} (exit status {code})"


def _perform(planned, source, outputs, options, environment=None, within=None):
    """Trains runs of one row into an outputs folder, again what was lost; returns the error."""
    run = planned[0]
    kept = pathlib.Path(outputs, "failed", f"{_name(run)}.ipynb")
    for _ in range(_TRIES):
        parameters = {
            "rows": [run.row],
            "seeds": [run.seed for run in planned],
            "recipe": run.recipe,
            "epochs": run.epochs,
            "limit": max(run.train_size, run.test_size),
            "train": True,
            "fresh": options["fresh"],
            "together": options["together"],
            "outputs": _from(source, outputs),
            **_file(run.dataset),
        }
        before = {run: _written(outputs, run) for run in planned}
        error = papermill(
            source,
            kept,
            parameters,
            options["kernel"],
            options["timeout"],
            SINGLE_THREADED | (environment or {}),
            within,
        )
        # Papermill's own metadata call a dead kernel completed: a new record is the proof.
        good, _ = runs.stored(outputs, planned)
        planned = [
            run for run in planned if run not in good or _written(outputs, run) == before[run]
        ]
        if not planned:
            kept.unlink(missing_ok=True)
            return ""
        # A lost kernel, or a folder that another command has just removed, does not come again.
        if "Error" in error and "Kernel" not in error and kept.parent.exists():
            break
    return f"{error or 'no record was written'}; see {kept}"


def _file(dataset):
    """The parameter of the notebook for the reader's own data."""
    return {"data": str(datasets.FILES[dataset])} if dataset in datasets.FILES else {}


def _written(outputs, run):
    with contextlib.suppress(FileNotFoundError):
        return runs.path(outputs, run).stat().st_mtime_ns


def perform_remotely(job):
    """What a Dask worker does: train in a folder of its own, and send the records back.

    Args:
        job: Dictionary with the entries `version`, `fingerprint`, `runs`, `ids` (theirs),
            `notebook` (its text) and `options`.

    Returns:
        Dictionary with `records` and `error`.
    """
    if job["version"] != lightlayers.__version__:
        return {
            "records": [],
            "error": f"the worker has lightlayers {lightlayers.__version__}, "
            f"expected {job['version']}",
        }
    planned = [runs.Run(**run) for run in job["runs"]]
    if (known := datasets.FINGERPRINTS[planned[0].dataset]) != job["fingerprint"]:
        error = f"the worker knows the data as {known}, expected {job['fingerprint']}"
        return {"records": [], "error": error}
    if [run.id for run in planned] != job["ids"]:
        error = f"the worker has another version of recipe {planned[0].recipe!r}: install this one"
        return {"records": [], "error": error}
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, f"{planned[0].dataset}.ipynb")
        source.write_text(job["notebook"])
        try:
            error = _perform(planned, source, folder, job["options"] | {"fresh": False})
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        records = list(runs.stored(folder, planned)[0].values())
    # The folder is gone with this job: do not point to it.
    return {"records": records, "error": error.partition("; see ")[0]}


def train(
    planned,
    outputs,
    display,
    workers=None,
    fresh=False,
    kernel=None,
    timeout=DAY,
    scheduler=None,
    together=False,
):
    """Trains the runs that have no good record: several rows at once, here or on a cluster.

    Args:
        planned: List of `runs.Run`.
        outputs: Path of the outputs folder.
        display: A `display.Display`, which is told of everything.
        workers: Positive integer, jobs at once. Defaults to the number of cores.
        fresh: Boolean, whether to train also what is stored.
        kernel: String, the name of a kernelspec, or `None` for the notebooks' own.
        timeout: Integer, seconds for one cell of a notebook. Defaults to a day.
        scheduler: String, the address of a Dask scheduler, or `None` for this machine.
        together: Boolean, whether to train the seeds of a row in one program.

    Returns:
        List of `Job`, those that failed.

    Raises:
        OSError: If there is no scheduler at that address.
        KeyboardInterrupt: If it was interrupted; what is finished is kept.
    """
    good, damaged = runs.stored(outputs, planned)
    grouped = {}
    for run in planned:
        if fresh or run not in good:
            # A lost worker of a cluster should cost one run, not a row of them.
            key = run if scheduler is not None and not together else _name(run)
            grouped.setdefault(key, []).append(run)
    jobs = [Job(found) for found in grouped.values()]
    options = {"fresh": fresh, "kernel": kernel, "timeout": timeout, "together": together}
    workers = min(workers or cores(), max(len(jobs), 1))
    with display.over(jobs, good, planned, damaged, workers, together):
        if not jobs:
            return []
        try:
            if scheduler is not None:
                return _on_cluster(jobs, outputs, display, options, scheduler)
            return _here(jobs, outputs, display, options, workers)
        finally:
            with contextlib.suppress(OSError):  # it is empty where nothing failed
                pathlib.Path(outputs, "failed").rmdir()


@contextlib.contextmanager
def _alone(outputs, name, stopped, display):
    """Holds a row against another `reproduce` on the same outputs; tells whether it waited."""
    from filelock import FileLock, Timeout

    locks = pathlib.Path(outputs, "runs", ".locks")
    locks.mkdir(parents=True, exist_ok=True)
    lock, waited = FileLock(locks / f"{name}.lock"), False
    while not lock.is_locked:
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            if not waited:
                display.held(name)
            waited = True
        if stopped():
            lock.release()
            raise Stopped
    try:
        yield waited
    finally:
        lock.release()


def _left(job, outputs, fresh):
    """The runs of a job that are still to be trained: the other `reproduce` may have done some."""
    done = {} if fresh else runs.stored(outputs, job.runs)[0]
    return [run for run in job.runs if run not in done]


def _here(jobs, outputs, display, options, workers):
    processes = Processes()

    def work(job):
        with _alone(outputs, job.name, processes.stopped.is_set, display) as waited:
            told = options | {"fresh": options["fresh"] and not waited}
            if left := _left(job, outputs, told["fresh"]):
                display.started(job)
                environment = {training.PROGRESS: str(display.progress_file(job))}
                source = notebook(left[0].dataset)
                job.error = _perform(left, source, outputs, told, environment, processes)
                if not job.error:
                    written = runs.stored(outputs, left)[0].values()
                    job.trained = sum(record["seconds"] for record in written)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            return _gather({pool.submit(work, job): job for job in jobs}, display)
        except BaseException:
            processes.stop()
            pool.shutdown(cancel_futures=True)
            raise


def _gather(futures, display, receive=lambda job, result: None):
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
        display.ended(job)
        if job.error:
            failed.append(job)
    return failed


def _on_cluster(jobs, outputs, display, options, address):
    from distributed import Client

    # Its own lines on a lost connection are tracebacks; ours say which runs are missing.
    logging.disable(logging.ERROR)
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except Exception as error:
        raise OSError(
            f"No Dask scheduler answers there ({type(error).__name__}). Start one with `dask "
            f"scheduler`, and workers with `dask worker`. Received: --scheduler {address}"
        ) from None
    display.workers(sum(client.nthreads().values()))
    with client, contextlib.ExitStack() as held:
        names = sorted({job.name for job in jobs})
        waited = [
            held.enter_context(_alone(outputs, name, lambda: False, display)) for name in names
        ]
        pool = held.enter_context(client.get_executor(pure=False, retries=_TRIES - 1))
        fresh = options["fresh"] and not any(waited)
        futures = {}
        for job in jobs:
            if not _left(job, outputs, fresh):
                continue
            display.started(job)
            shipped = {
                "version": lightlayers.__version__,
                "fingerprint": datasets.FINGERPRINTS[job.runs[0].dataset],
                "runs": [dataclasses.asdict(run) for run in job.runs],
                "ids": [run.id for run in job.runs],
                "notebook": notebook(job.runs[0].dataset).read_text(),
                "options": options,
            }
            futures[pool.submit(perform_remotely, shipped)] = job

        def receive(job, result):
            for record in result["records"]:
                runs.write(outputs, record)
            job.error = result["error"]

        try:
            return _gather(futures, display, receive)
        except BaseException:
            pool.shutdown(wait=False)  # else it waits for all that is to be trained, for nothing
            raise


def render(name, outputs, parameters, result=None, kernel=None, timeout=DAY):
    """Executes a notebook from stored runs into outputs, with its tables and figures.

    Args:
        name: String, the notebook's.
        outputs: Path of the outputs folder.
        parameters: Dictionary of parameters.
        result: String, the executed notebook's name. Defaults to `name`.
        kernel: String, the name of a kernelspec, or `None` for the notebook's own.
        timeout: Integer, seconds for one cell. Defaults to a day.

    Returns:
        Path of the executed notebook.

    Raises:
        RuntimeError: If it fails.
    """
    import nbformat

    target = pathlib.Path(outputs, "notebooks", f"{result or name}.ipynb")
    source = notebook(name)
    where = {"outputs": _from(source, outputs)}
    parameters = parameters | where | {"save": True} | _file(name)
    with tempfile.TemporaryDirectory() as scratch:
        draft = pathlib.Path(scratch, target.name)
        if error := papermill(source, draft, parameters, kernel, timeout):
            kept = pathlib.Path(outputs, "failed", target.name)
            kept.parent.mkdir(parents=True, exist_ok=True)
            if draft.exists():
                shutil.copy(draft, kept)
            raise RuntimeError(f"{source} failed: {error}; see {kept}")
        # Papermill's times, paths and ids would make every execution a different file.
        executed = nbformat.read(draft, as_version=4)
        for part in (executed, *executed.cells):
            if "injected-parameters" in part.metadata.get("tags", ()):
                part.id = "injected-parameters"
            for noise in ("papermill", "execution", "widgets"):
                part.metadata.pop(noise, None)
        target.parent.mkdir(parents=True, exist_ok=True)
        runs.replace_text(target, nbformat.writes(executed) + "\n")
    return target


def _die_with_parent():
    # A killed coordinator must leave no training behind: its end of the pipe closes.
    os.read(0, 1)  # unbuffered: a lock on sys.stdin would break the interpreter's exit
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from papermill.__main__ import papermill as main

    main()
