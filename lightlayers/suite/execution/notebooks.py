"""Notebooks: found, checked, and executed by Papermill in processes of their own."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import sys

import lightlayers
from lightlayers.suite import datasets
from lightlayers.suite.execution.processes import Processes
from lightlayers.suite.execution.scratch import temporary_folder
from lightlayers.suite.files import write_text

DAY = 24 * 3600
_INJECTED = "injected-parameters"  # the cell that Papermill adds
TRIES = 2  # now and then a kernel is lost at its start


@dataclasses.dataclass(frozen=True)
class Settings:
    """How notebooks are executed.

    Args:
        kernel: String, the name of a kernelspec, or `None` for the notebook's own.
        timeout: Integer, seconds for one cell. Defaults to a day.
        fresh: Boolean, whether to train also the runs that are stored.
        together: Boolean, whether to train the seeds of a row in one program.
    """

    kernel: str | None = None
    timeout: int = DAY
    fresh: bool = False
    together: bool = False


DEFAULTS = Settings()


def find_notebook(name):
    """Returns the path of a notebook of the repository.

    Args:
        name: String, the notebook's name, or that of a data set of the reader's own: they all
            share one notebook.

    Raises:
        FileNotFoundError: If it is not there.
    """
    if name in datasets.own_names():
        name = datasets.get(name).notebook
    here = pathlib.Path.cwd()
    beside_package = pathlib.Path(lightlayers.__file__).parents[1]
    for folder in (here, *here.parents, beside_package):
        file = folder / "notebooks" / f"{name}.ipynb"
        if file.exists():
            return file
    raise FileNotFoundError(
        f"notebooks/{name}.ipynb is neither here, nor above, nor beside the package. Work in a "
        f"clone of the repository. Received: {here}"
    )


def relative_outputs(source, store):
    """Returns the path of the outputs from a notebook's folder.

    Links are resolved first: in a linked folder `..` leads elsewhere than its path says.
    """
    folder = pathlib.Path(source).parent
    return os.path.relpath(os.path.realpath(store.outputs), os.path.realpath(folder))


def data_parameter(dataset):
    """Returns the notebook's parameter `data`, which only data of the reader's own need."""
    if dataset not in datasets.own_names():
        return {}
    return {"data": str(datasets.get(dataset).file)}


def _escape_braces(path):
    """Returns a path as Papermill expects it, which fills in parameters where there are braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def check_parameters(source, parameters):
    """Refuses parameters that a notebook does not have: Papermill only warns of them.

    Raises:
        ValueError: If there is one, or the notebook can't be read.
    """
    import papermill

    try:
        known = papermill.inspect_notebook(_escape_braces(source))
    except Exception as error:
        raise ValueError(f"{source} can't be read as a notebook ({error}).") from None
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(
            f"{source} has no such parameter. Expected some of {sorted(known)}. "
            f"Received: {', '.join(unknown)}"
        )


def papermill_command(source, target, parameters, settings):
    """Returns the command that executes a notebook, see `execute`."""
    command = [sys.executable, "-m", "lightlayers.suite.execution"]
    # Whole paths: the name of a folder may begin as an option does.
    command += [_escape_braces(os.path.abspath(path)) for path in (source, target)]
    command += ["-y", json.dumps(parameters, ensure_ascii=False)]  # YAML knows no surrogates
    command += ["--cwd", str(pathlib.Path(source).parent)]
    command += ["--no-progress-bar", "--log-level", "ERROR"]
    command += ["--execution-timeout", str(settings.timeout)]
    if settings.kernel:
        command += ["-k", settings.kernel]
    return command


def _last_error(stderr):
    """Returns the line that says what went wrong: the last error's, else the last."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt): ", line)]
    return (errors or lines or ["no message"])[-1]


def _describe_end(status, stderr):
    """Returns in one line how a process ended that did not end well."""
    error = _last_error(stderr)
    if status < 0:
        names = {int(each): each.name for each in signal.Signals}
        error = f"ended by {names.get(-status, f'signal {-status}')}"
    if status == -signal.SIGKILL or "DeadKernelError" in error:
        error += ", perhaps because the memory was full"
    return f"{error} (exit status {status})"


def is_passing(error):
    """Returns whether what went wrong may not come again: a lost kernel, no error of a cell."""
    return "Error" not in error or "Kernel" in error


def execute(source, target, parameters, settings=DEFAULTS, environment=None, processes=None):
    """Executes a notebook by Papermill in a process of its own.

    Args:
        source: Path of the notebook.
        target: Path of the executed notebook; its folder is made.
        parameters: Dictionary of parameters, checked against the notebook's.
        settings: `Settings`, of which kernel and timeout count here.
        environment: Dictionary of variables added to the process's environment.
        processes: `Processes` to run it in, or `None` for new ones.

    Returns:
        String, empty, or what went wrong in one line.

    Raises:
        ValueError: If the notebook has no parameter of a name, or can't be read.
        Stopped: If the command was interrupted.
    """
    check_parameters(source, parameters)
    target = pathlib.Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(environment or {})
    if folder := os.environ.get(datasets.VARIABLE):
        # The kernel works in the notebook's folder, where a relative path leads elsewhere.
        environment[datasets.VARIABLE] = os.path.abspath(folder)
    command = papermill_command(source, target, parameters, settings)
    status, stderr = (processes or Processes()).run(command, environment)
    return _describe_end(status, stderr) if status else ""


def find_target(result, store):
    """Returns the path of an executed notebook among the results of a store.

    Raises:
        ValueError: If a notebook is there that was not made so, as in the folder of the sources.
    """
    target = store.notebooks / f"{result}.ipynb"
    if target.exists() and f'"{_INJECTED}"'.encode() not in target.read_bytes():
        raise ValueError(
            f"{target} is no result of this command, which would replace it: choose other "
            f"--outputs. Received: {store.outputs}"
        )
    return target


def _remove_traces(executed):
    """Removes Papermill's times, paths and ids: they would make every execution differ."""
    for part in (executed, *executed.cells):
        if _INJECTED in part.metadata.get("tags", ()):
            part.id = _INJECTED
        for trace in ("papermill", "execution", "widgets"):
            part.metadata.pop(trace, None)


def render(name, store, parameters, settings=DEFAULTS, result=None):
    """Executes a notebook from stored runs, and stores it with its tables and figures.

    If its kernel is lost, that is tried again.

    Args:
        name: String, the notebook's.
        store: `Store` of the runs and the results.
        parameters: Dictionary of parameters.
        settings: `Settings`, of which kernel and timeout count here.
        result: String, the executed notebook's name. Defaults to `name`.

    Returns:
        Path of the executed notebook.

    Raises:
        RuntimeError: If it fails; what there is of it is kept among the failed.
    """
    import nbformat

    source = find_notebook(name)
    target = find_target(result or name, store)
    places = {"outputs": relative_outputs(source, store), "save": True, **data_parameter(name)}
    kept = store.failed / target.name
    with temporary_folder() as folder:
        draft = folder / target.name
        for _ in range(TRIES):
            error = execute(source, draft, parameters | places, settings)
            if not error or not is_passing(error):
                break
        if error:
            kept.parent.mkdir(parents=True, exist_ok=True)
            if draft.exists():
                shutil.copy(draft, kept)
            raise RuntimeError(f"{source} failed: {error}; see {kept}")
        executed = nbformat.read(draft, as_version=4)
    _remove_traces(executed)
    write_text(target, nbformat.writes(executed) + "\n")
    kept.unlink(missing_ok=True)  # of an earlier call that failed
    with contextlib.suppress(OSError):  # others may be kept there
        kept.parent.rmdir()
    return target
