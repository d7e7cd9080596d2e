"""The store: one JSON record for each run, written atomically, and the folders of results."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import tempfile

import lightlayers
from lightlayers.suite import datasets
from lightlayers.suite.runs import Run

SCHEMA = 1


class RecordError(Exception):
    """A record that is damaged, edited, or of another version of its format."""


def find_outputs():
    """Returns the outputs folder of the repository around the working folder, else `outputs`."""
    here = pathlib.Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").exists():
            return folder / "outputs"
    return here / "outputs"


def write_text(target, text):
    """Writes a file, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _digest(record):
    body = {key: value for key, value in record.items() if key != "digest"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def read_record(file):
    """Returns the record in a file.

    Raises:
        RecordError: If it is truncated, edited, or not a record.
        RuntimeError: If a newer version of the suite has written it: it is no damage, and must
            not be trained over.
    """
    try:
        record = json.loads(pathlib.Path(file).read_text())
        if record["schema"] > SCHEMA:
            raise RuntimeError(
                f"{file} has been written by a newer version of lightlayers: update the package, "
                f"or choose other outputs. Received: format {record['schema']}, expected {SCHEMA}"
            )
        if record["schema"] != SCHEMA:
            raise RecordError(
                f"{file}: its format is version {record['schema']}, expected {SCHEMA}"
            )
        if record["digest"] != _digest(record):
            raise RecordError(f"{file}: its content is not what was written")
        Run.of(record), record["id"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RecordError(f"{file}: not a whole record ({type(error).__name__})") from None
    return record


class Store:
    """A folder of results: the records of runs, tables, figures, notebooks and measurements.

    Args:
        outputs: Path of the folder, which need not exist. Defaults to that of the repository around
            the working folder, filled with the results that a wheel brings if it is missing.
    """

    def __init__(self, outputs=None):
        self.outputs = pathlib.Path(outputs) if outputs else _fill_outputs(find_outputs())
        self.tables = self.outputs / "tables"
        self.figures = self.outputs / "figures"
        self.notebooks = self.outputs / "notebooks"
        self.bench = self.outputs / "bench"
        self.failed = self.outputs / "failed"

    def path(self, run):
        """Returns where the record of a run is kept."""
        name = f"{run.row}-seed{run.seed}-{run.id}.json"
        return self.outputs / "runs" / run.dataset / name

    def write(self, record):
        """Writes a record, whole or not at all, and returns its path."""
        target = self.path(Run.of(record))
        target.parent.mkdir(parents=True, exist_ok=True)
        record = record | {"schema": SCHEMA}
        record["digest"] = _digest(record)
        # One line per entry reads well in a diff, and keeps long lists on one line.
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
        write_text(target, "{\n" + ",\n".join(lines) + "\n}\n")
        return target

    def read(self, runs):
        """Returns the records of those runs that have a good one, and what is wrong with others.

        Args:
            runs: Iterable of `Run`.

        Returns:
            Dictionary from `Run` to its record, and a list of messages, one for each
            damaged record.
        """
        found, damaged = {}, []
        for run in runs:
            file = self.path(run)
            try:
                record = read_record(file)
            except FileNotFoundError:
                continue
            except (RecordError, OSError) as error:
                damaged.append(str(error))
                continue
            if (Run.of(record), record["id"]) == (run, run.id):
                found[run] = record
            else:
                damaged.append(f"{file}: it is the record of another run, or of an older recipe")
        return found, damaged

    def missing(self, runs):
        """Returns those of the runs that have no good record."""
        found, _ = self.read(runs)
        return [run for run in runs if run not in found]

    def every(self, dataset, recipe=None):
        """Returns all stored runs of a data set, and what is wrong with damaged records.

        Args:
            dataset: String, the name of a data set.
            recipe: String, one of `recipes.RECIPES`, or `None` for all of them.

        Returns:
            Dictionary from `Run` to its record, and a list of messages.
        """
        datasets.get(dataset)
        found, damaged = {}, []
        for file in sorted((self.outputs / "runs" / dataset).glob("*.json")):
            try:
                record = read_record(file)
            except (RecordError, OSError) as error:
                damaged.append(str(error))
                continue
            run = Run.of(record)
            if recipe in (None, run.recipe) and record["id"] == run.id and self.path(run) == file:
                found[run] = record
        return found, damaged

    def whole_records(self, names):
        """Returns the records of all whole runs of some data sets."""
        records = []
        for name in names:
            found, _ = self.every(name)
            records += [record for run, record in found.items() if run.whole]
        return records

    def measurement(self, name):
        """Returns what `lightlayers bench NAME` has measured, `None` before it has."""
        file = self.bench / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else None

    def check_writable(self, runs=()):
        """Makes the folders of some runs' records, and finds out now that they can be written.

        Raises:
            ValueError: If not: hours of training would be lost.
        """
        folders = [self.outputs, *(self.path(run).parent for run in runs)]
        for folder in dict.fromkeys(folders):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.NamedTemporaryFile(dir=folder, prefix="."):
                    pass
            except OSError as error:
                raise ValueError(
                    f"The outputs folder can't be written ({error.strerror}). Choose another with "
                    f"--outputs, or `outputs` in a notebook. Received: {folder}"
                ) from None


def _fill_outputs(outputs):
    """Returns a folder of outputs, with the results that a wheel brings if it is missing."""
    brought = pathlib.Path(lightlayers.__file__).with_name("outputs.zip")
    if not brought.exists() or outputs.exists():
        return outputs
    with tempfile.TemporaryDirectory(dir=outputs.parent) as folder:
        shutil.unpack_archive(brought, folder)
        try:
            pathlib.Path(folder, "outputs").rename(outputs)
        except OSError:
            if not outputs.exists():  # else another notebook came first
                raise
    return outputs
