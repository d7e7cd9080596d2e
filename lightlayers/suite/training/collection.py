"""Collecting the records of runs, and training those that are missing."""

import contextlib
import dataclasses
import json
import os
import pathlib

from lightlayers.suite import backend, plans
from lightlayers.suite.training.trainer import can_train_together, train_seeds

PROGRESS = "LIGHTLAYERS_PROGRESS"  # names the file in which a run says how far it is


def collect(runs, store, train=True, fresh=False, together=False, name=None):
    """Returns the records of runs, training those that have none.

    Each record is written as its run is finished, so that an interruption costs one run.

    Args:
        runs: List of `runs.Run`.
        store: `store.Store` of their records.
        train: Boolean, whether to train what is missing. Defaults to `True`. Otherwise
            the command that does is printed, or told in the error if nothing is stored.
        fresh: Boolean, whether to train also what is stored. Defaults to `False`.
        together: Boolean, whether to train the seeds of a row in one program, on Keras'
            JAX backend. Defaults to `False`.
        name: String, what `lightlayers reproduce` calls these runs. Defaults to their data
            set.

    Returns:
        List of records, in the order of `runs`.

    Raises:
        ValueError: If an option is no boolean, the outputs folder can't be written, or nothing is
            stored and nothing trained.
    """
    for option, value in (("train", train), ("fresh", fresh), ("together", together)):
        if not isinstance(value, bool):  # Papermill's -p takes `false` for a word
            raise ValueError(f"`{option}` must be True or False. Received: {option}={value!r}")
    records, damaged = store.read(runs)
    for message in damaged:
        print(f"Not used: {message}")
    missing = runs if fresh else [run for run in runs if run not in records]
    print(f"{len(records)} of {len(runs)} runs are stored.")
    if not all(run.whole for run in runs):
        print("They have fewer epochs or images than the recipe: verdicts on them say nothing.")
    backends = {record["environment"]["backend"] for record in records.values()}
    if len(backends) > 1:
        print(f"They are of {' and '.join(sorted(backends))}: seeds of both are pooled.")
    if missing and train:
        _check_precision()
        store.check_writable(missing)
        _train_missing(missing, store, records, together, fresh)
    elif missing:
        command = plans.command(missing, store, name)
        store.check_found(records, command)
        print(f"{len(missing)} are not. To train them: {command}")
    return [records[run] for run in runs if run in records]


def _check_precision():
    floatx = backend.load().config.floatx()
    if floatx != "float32":
        raise ValueError(
            "Runs are computed in float32: set it in ~/.keras/keras.json, or by "
            f"keras.config.set_floatx. Received: floatx={floatx!r}"
        )


def _train_missing(missing, store, records, together, fresh):
    """Trains runs one after the other, or by rows, and adds their records to the others."""
    from tqdm.auto import tqdm

    groups = {}
    for run in missing:
        alike = together and can_train_together(run)
        groups.setdefault(dataclasses.replace(run, seed=0) if alike else run, []).append(run)
    with tqdm(total=sum(run.epochs for run in missing), unit="epoch") as bar:
        for group in groups.values():
            run = group[0]
            stored = {} if fresh else store.read(group)[0]
            if len(stored) == len(group):  # by another process, since this one has begun
                records.update(stored)
                bar.update(sum(run.epochs for run in group))
                continue
            bar.set_description(f"{run.row}, seed {', '.join(str(run.seed) for run in group)}")

            def progress(epoch, epochs, group=group):
                bar.update(len(group))
                write_progress(group[0], epoch)

            write_progress(run, 0)
            for run, record in zip(group, train_seeds(group, progress), strict=True):
                records[run] = record
                store.write(record)
                # Of a seed that stopped early some epochs remain; together the slowest counts.
                bar.update(0 if together else run.epochs - len(record["history"]["loss"]))


def write_progress(run, epoch):
    """Says in the file that `PROGRESS` names, if any, how far a run is."""
    file = os.environ.get(PROGRESS)
    if not file:
        return
    text = json.dumps({"id": run.id, "epoch": epoch, "epochs": run.epochs})
    with contextlib.suppress(OSError):  # a full disk there costs a line on a screen, no run
        pathlib.Path(file).write_text(text, encoding="utf-8")
