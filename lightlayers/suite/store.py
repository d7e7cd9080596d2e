"""The store: the records of runs, and the folders of results."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile

import lightlayers
from lightlayers.suite import datasets
from lightlayers.suite.files import PREFIX, write_text
from lightlayers.suite.records import (
    RecordError,
    format_record,
    name_content,
    parse_record,
    read_content,
    read_record,
)
from lightlayers.suite.runs import Run

_MANY, _CHECKED = 1000, ".checked.json"  # hidden, so it is no record


def find_outputs():
    """Returns the outputs folder of the repository around the working folder.

    Else it is that of the repository which the package is in, and else `outputs`.
    """
    here = pathlib.Path.cwd()
    beside_package = pathlib.Path(lightlayers.__file__).parents[1]
    for folder in (here, *here.parents, beside_package):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").exists():
            return folder / "outputs"
    return here / "outputs"


class Store:
    """A folder of results: the records of runs, tables, figures, notebooks and measurements.

    Args:
        outputs: Path of the folder, which need not exist. Defaults to that of `find_outputs`,
            filled with the results that a wheel brings where it has no runs.

    Raises:
        ValueError: If the path is empty, as a variable that is not set.
    """

    def __init__(self, outputs=None):
        if outputs == "":
            raise ValueError("Expected a folder of outputs. Received: ''")
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
        write_text(target, format_record(record))
        return target

    def read(self, runs):
        """Returns the records of those runs that have a good one, and what is wrong with others.

        Args:
            runs: Iterable of `Run`.

        Returns:
            Dictionary from `Run` to its record, and a list of messages, one for each
            damaged record.

        Raises:
            RuntimeError: If there is a record that can't be read now: see `read_record`.
        """
        found, damaged = {}, []
        for run in runs:
            file = self.path(run)
            try:
                record = read_record(file)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except RecordError as error:
                damaged.append(str(error))
                continue
            same_data = record["fingerprint"] == datasets.get(run.dataset).fingerprint
            if same_data and (Run.of(record), record["id"]) == (run, run.id):
                found[run] = record
            else:
                damaged.append(
                    f"{file}: it is the record of another run, of other data, or of an older recipe"
                )
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

        Raises:
            RuntimeError: If there is a record that can't be read now: see `read_record`.
        """

        def read(file):
            record = read_record(file)
            return Run.of(record), record["id"], record

        found, damaged = self._read_each(dataset, read)
        if recipe:
            found = {run: record for run, record in found.items() if run.recipe == recipe}
        return found, damaged

    def runs(self, dataset):
        """Returns a list of all stored runs of a data set, and messages: see `every`.

        To check thousands of records takes seconds. So the runs of many are kept, by the digest of
        their files.
        """
        kept = self.outputs / "runs" / dataset / _CHECKED
        known, checked = _read_checked(kept), {}
        before = set(known)

        def read(file):
            content = read_content(file)
            digest = name_content(content)
            if digest not in known:
                record = parse_record(content, file)
                known[digest] = record["run"], record["id"]
            fields, identity = checked[digest] = known[digest]
            return Run(**fields), identity, None

        found, damaged = self._read_each(dataset, read)
        if len(checked) > _MANY and checked.keys() != before:
            with contextlib.suppress(OSError):  # of another user
                write_text(kept, json.dumps(checked))
        return list(found), damaged

    def _read_each(self, dataset, read):
        """Returns what a function reads from each record of a data set, by run, and messages.

        Args:
            dataset: String.
            read: Function of a file that returns its `Run`, its id and what is wanted of it.
        """
        found, damaged = {}, []
        for file in self._list_records(dataset):
            try:
                run, identity, value = read(file)
            except FileNotFoundError:  # by now it is gone
                continue
            except RecordError as error:
                damaged.append(str(error))
                continue
            # A record of an older recipe is elsewhere than one of today's.
            if self.path(run) == file and file.stem.endswith(identity):
                found[run] = value
        return found, damaged

    def _list_records(self, dataset):
        """Returns the paths of the files of a data set's records. Hidden ones are not finished."""
        datasets.get(dataset)
        folder = self.outputs / "runs" / dataset
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        return [folder / name for name in names if name[0] != "." and name.endswith(".json")]

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
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def check_found(self, found, command):
        """Returns what was looked for here, and refuses that there is nothing.

        Args:
            found: List, dictionary or `None`.
            command: String, the command that makes it.

        Raises:
            ValueError: If there is nothing.
        """
        if found:
            return found
        raise ValueError(
            f"Nothing of this is stored. To make it: {command}. If another folder has it, name "
            "that: `outputs` in the notebook, with Papermill -p outputs FOLDER. "
            f"Received: {self.outputs}"
        )

    def check_writable(self, runs=()):
        """Makes the folders of some runs' records, and finds out now that they can be written.

        Raises:
            ValueError: If not: hours of training would be lost.
        """
        folders = [self.outputs]
        for file in map(self.path, runs):
            folders.append(file.parent)
            if file.is_dir():
                raise ValueError(f"A record can't replace a folder: move it away. Received: {file}")
        for folder in dict.fromkeys(folders):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.NamedTemporaryFile(dir=folder, prefix=PREFIX):
                    pass
            except OSError as error:
                raise ValueError(
                    f"The outputs folder can't be written ({error.strerror}). Choose another with "
                    f"--outputs, or `outputs` in a notebook. Received: {folder}"
                ) from None


def _read_checked(file):
    """Returns the runs of records that were checked before, by the digests of their files."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(file.read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def _fill_outputs(outputs):
    """Returns a folder of outputs, with the results that a wheel brings where it has no runs."""
    brought = pathlib.Path(lightlayers.__file__).with_name("outputs.zip")
    if brought.exists() and not (outputs / "runs").exists():
        try:
            _unpack(brought, outputs)
        except OSError as error:
            raise ValueError(
                f"The stored results can't be written here ({error.strerror}). Name a folder for "
                "results: `outputs` in the notebook, with Papermill -p outputs FOLDER. "
                f"Received: {outputs}"
            ) from None
    return outputs


def _unpack(archive, outputs):
    """Adds results to a folder. What is there stays."""
    outputs.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=outputs, prefix=PREFIX) as folder:
        shutil.unpack_archive(archive, folder)
        parts = pathlib.Path(folder, "outputs").iterdir()
        for part in sorted(parts, key=lambda part: part.name == "runs"):  # last: then all is there
            target = outputs / part.name
            try:
                part.rename(target)
            except OSError:
                if not target.exists():  # else the reader or another notebook came first
                    raise
