"""Networks are timed, their memory and weight files are counted right."""

import pytest
from suite.bench.conftest import ROWS

from lightlayers import cli
from lightlayers.suite import networks
from lightlayers.suite.store import Store


def test_networks(planned, tmp_path, capsys):
    arguments = ["bench", "networks", "--names", "digits", "--rows", ",".join(ROWS)]
    assert cli.main([*arguments, "--outputs", str(tmp_path)]) == 0
    assert "networks.json" in capsys.readouterr().out
    timings = Store(tmp_path).measurement("networks")
    found = {(row["row"], row["task"]): row for row in timings["rows"]}
    times = ["forward 1", "forward 256", "train"]
    assert set(found) == {(row, task) for row in ROWS for task in [*times, "memory", "file"]}
    assert {row["ratio"] for (name, _), row in found.items() if name == "conv2d"} == {1}
    assert all(found[row, task]["milliseconds"] > 0 for row in ROWS for task in times)

    # Of an image of 8 × 8: convolution, normalisation and ReLU, twice; the pool leaves a quarter.
    places = {8: 64, 16: 16, 32: 4}
    values = 64 + sum(n * (6 * size + size // 4) for n, size in places.items()) + 32 + 10
    between = sum(2 * 2 * size for size in places.values()) + 8  # and within the head
    for row, computed, run in zip(ROWS, (values, values + between), planned, strict=True):
        model, file = networks.build("digits", run.method, run.rank), tmp_path / "n.weights.h5"
        statistics = 2 * 2 * (8 + 16 + 32)  # of batch normalisation: neither gradient nor moments
        weights = 4 * (model.count_params() - statistics) + statistics
        megabytes = (64 * computed + weights) * 4 / 1e6
        assert found[row, "memory"]["megabytes"] == pytest.approx(megabytes, abs=6e-4)
        # In records of some versions it held Adam's moments as well, three times as much.
        model.save_weights(file)
        assert found[row, "file"]["kilobytes"] == file.stat().st_size / 1000
    for task, unit in (("memory", "megabytes"), ("file", "kilobytes")):
        ratio = found["lightlayers-2", task][unit] / found["conv2d", task][unit]
        assert found["lightlayers-2", task]["ratio"] == pytest.approx(ratio, abs=1e-3)
