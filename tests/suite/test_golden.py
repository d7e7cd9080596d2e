"""Training computes what it computed before: histories kept from an earlier revision.

They are made anew by `KERAS_BACKEND=... python tests/suite/test_golden.py`, on each backend, and
only where a recipe's version is raised.
"""

import json
import os
import pathlib

import numpy as np
import pytest

from lightlayers.suite import backend, datasets, plans, training

FILE = pathlib.Path(__file__).with_name("golden.json")
SETTINGS = [
    ("digits", "conv2d", "paper"),
    ("digits", "separableconv2d", "paper"),
    ("digits", "lightlayers-2", "paper"),
    ("digits", "lightlayers-2", "corrected"),
    ("digits", "channel-2", "corrected"),
    ("digits", "spatial-3", "product-l2"),
    ("digits", "automatic-2", "corrected"),
    ("digits", "greedy-2", "corrected"),
    ("colours", "lightlayers-1", "paper"),
]
# JAX compiles for ten seconds for each: the others differ by their layers alone.
CHECKED = SETTINGS if backend.name() == "tensorflow" else [SETTINGS[i] for i in (0, 3, 5, 7, 8)]


def trained(dataset, row, recipe):
    """The parts of a record that are computed; two epochs, so that ranks are found halfway."""
    limit = 96 if dataset == "digits" else 64
    (run,) = plans.plan(dataset, [row], [42], recipe, epochs=2, limit=limit)
    record = training.train(run)
    history = {name: record["history"][name] for name in ("loss", "val_loss", "learning_rate")}
    found = {name: record[name] for name in ("id", "parameters", "multiply_adds")}
    return found | {"history": history, "ranks": record.get("ranks")}


def colours(folder):
    """A data set of random colour images, for the network of the CIFARs."""
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (96, 16, 16, 3), dtype="uint8")
    y = np.arange(96) % 3
    file = pathlib.Path(folder, "colours.npz")
    np.savez(file, x_train=x[:64], y_train=y[:64], x_test=x[64:], y_test=y[64:])
    plans.add_data(file)


@pytest.fixture(scope="module", autouse=True)
def own_data(tmp_path_factory):
    colours(tmp_path_factory.mktemp("data"))
    yield
    datasets.forget_own()


@pytest.mark.parametrize("setting", CHECKED, ids=" ".join)
def test_a_run_gives_what_it_gave(setting):
    expected = json.loads(FILE.read_text())[backend.name()][" ".join(setting)]
    found = trained(*setting)
    history, before = found.pop("history"), expected.pop("history")
    assert found == expected
    # Processors round otherwise, and Adam makes that larger.
    for name, values in before.items():
        np.testing.assert_allclose(history[name], values, rtol=5e-3, err_msg=name)


if __name__ == "__main__":
    import tempfile

    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # as in the tests
    with tempfile.TemporaryDirectory() as folder:
        colours(folder)
        golden = json.loads(FILE.read_text()) if FILE.exists() else {}
        golden[backend.name()] = {" ".join(each): trained(*each) for each in SETTINGS}
        FILE.write_text(json.dumps(golden, indent=1) + "\n")
