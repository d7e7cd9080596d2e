"""What the tests of the benchmarks share: short measurements of two small runs."""

import pytest

from lightlayers.suite import plans, processors
from lightlayers.suite.bench import grid, timing

ROWS = ["conv2d", "lightlayers-2"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    for name, value in {"ROUNDS": 2, "STEPS": 2, "LEAST_SECONDS": 0}.items():
        monkeypatch.setattr(timing, name, value)
    for name in ("WARM_STEPS", "REPEATS"):
        monkeypatch.setattr(grid, name, 1)
    monkeypatch.setattr(processors, "cores", lambda: 2)


@pytest.fixture(scope="module")
def planned():
    return plans.plan("digits", ROWS, [42], epochs=1)
