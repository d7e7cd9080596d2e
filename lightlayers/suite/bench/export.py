"""The exported files of trained networks: size, speed, and how far they agree with Keras."""

import tempfile

import numpy as np

from lightlayers.suite import datasets, exporting
from lightlayers.suite.bench import timing
from lightlayers.suite.training import train


def measure_export(planned, count=200, say=print):
    """Compares the exported files of trained networks.

    Args:
        planned: List of `Run`, one per row.
        count: Integer, training images that calibrate, and test images that are compared on.
            Defaults to `200`.
        say: Function that takes one line of progress.

    Returns:
        Dictionary with `environment`, `revision` and `rows`: dictionaries with `dataset`, `row`,
        `accuracy` (on the test set, in Keras), and what `exporting.export` returns for each
        format, `kB` and `milliseconds` also as `kB ratio` and `time ratio` to the
        data set's first row.
    """
    rows, bases = [], {}
    for run in planned:
        exported = _export_run(run, count)
        for row in exported:
            base = bases.setdefault((run.dataset, row["format"]), row)
            row["kB ratio"] = round(row["kB"] / base["kB"], 3)
            row["time ratio"] = round(row["milliseconds"] / base["milliseconds"], 3)
        rows += exported
        say(f"{run.dataset} {run.row}: {len(exported)} formats")
    return timing.stamp_rows(rows)


def _export_run(run, count):
    """Trains a run, and returns a row for each format that it is exported to."""
    models = []
    record = train(run, keep=models.append)
    data = datasets.load(run.dataset)
    images = data.x_test[:count] / np.float32(255)
    calibration = data.x_train[:count] / np.float32(255)
    with tempfile.TemporaryDirectory() as folder:
        table = exporting.export(*models, folder, images, calibration=calibration)
    accuracy = round(record["test"]["accuracy"], 4)
    named = {"dataset": run.dataset, "row": run.row, "accuracy": accuracy}
    return [named | row for row in table.drop(columns="file").to_dict("records")]
