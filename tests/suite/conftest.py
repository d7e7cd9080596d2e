"""What the tests of the suite share."""

import numpy as np
import pytest

from lightlayers.suite import datasets, plans


@pytest.fixture
def own(tmp_path):
    """Writes NAME.npz and adds it; what the process knows of it is forgotten afterwards."""

    def add(name, channels=1, seed=0):
        x = np.random.default_rng(seed).integers(0, 256, (12, 8, 9, channels), dtype="uint8")
        y = np.arange(12) % 2
        np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
        return plans.add_data(tmp_path / f"{name}.npz")

    yield add
    datasets.forget_own()
