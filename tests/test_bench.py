"""The benchmarks run, say what they measured, and count memory right; times are not asserted."""

import json
import shutil

import keras
import pandas as pd
import pytest
from test_ranks import exhaustive, least, problem

from lightlayers import (
    LightConv2D,
    bench,
    cli,
    datasets,
    exporting,
    families,
    networks,
    ranks,
    replication,
    runs,
)

ROWS = ["conv2d", "lightlayers-2"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    for name, value in {"_ROUNDS": 2, "_STEPS": 2, "_LEAST": 0, "_WARM": 1, "_REPEATS": 1}.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(bench, "_BATCHES", (1, 256))
    monkeypatch.setattr(bench.execution, "cores", lambda: 2)


@pytest.fixture(scope="module")
def planned():
    return runs.plan("digits", ROWS, [42], epochs=1)


def test_networks(planned, tmp_path, capsys):
    arguments = ["bench", "networks", "--names", "digits", "--rows", ",".join(ROWS)]
    assert cli.main([*arguments, "--outputs", str(tmp_path)]) == 0
    assert "networks.json" in capsys.readouterr().out
    timings = replication.timings(tmp_path)
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


@pytest.mark.parametrize(
    ("make", "between"),
    [
        (lambda: keras.layers.Conv2D(6, 3, padding="same"), 0),
        (lambda: keras.layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2), 8),
        (lambda: LightConv2D(6, 3, padding="same", rank=5), 5),
        (lambda: LightConv2D(6, 3, padding="same", rank=5, form="spatial"), 5),
        (lambda: LightConv2D(6, 3, padding="same", rank=5, form="channel"), 5),
        (
            lambda: LightConv2D(
                6, 3, padding="same", rank=5, form="channel", implementation="merged"
            ),
            0,
        ),
    ],
)
def test_activations_count_what_is_between_the_factors(make, between):
    layer = make()
    layer(keras.Input((7, 9, 4)))
    assert families.activations(layer) == 7 * 9 * (6 + between)


def test_layers():
    found = bench.measure_layers(((6, 16, 16, 1), (None, 32, 10, 4)), say=lambda line: None)
    key = ("method", "form", "rank", "implementation", "task")
    rows = {tuple(row[name] for name in key): row for row in found["rows"]}
    conv2d = rows["Conv2D", "", 0, "", "forward"]
    assert (conv2d["ratio"], conv2d["multiply_adds"]) == (1, 36 * 9 * 16 * 16)
    assert conv2d["activations"] == 4 * 36 * (16 + 16)
    assert {each[1:4:2] for each in rows if each[0] == "LightConv2D"} == {
        ("paper", "factored"),
        *((form, how) for form in ("channel", "spatial") for how in ("factored", "merged")),
    }
    spatial = {each[2]: row for each, row in rows.items() if each[1] == "spatial"}
    assert list(spatial) == [1, 3, 6, 12, 18, 24]  # at 24 the factors have as many weights
    two = rows["LightConv2D", "spatial", 6, "factored", "train"]
    assert two["activations"] == 4 * 36 * (16 + 6 + 16) and "share" not in two
    assert two["multiply_adds"] == 36 * (3 * 16 * 6 + 3 * 6 * 16)
    one = rows["LightConv2D", "spatial", 6, "merged", "forward"]
    assert one["multiply_adds"] == conv2d["multiply_adds"]
    assert one["activations"] == conv2d["activations"]
    assert found["matrix_rate"] > 0 and 0 < conv2d["share"]
    dense = rows["Dense", "", 0, "", "forward"]
    assert (dense["ratio"], dense["multiply_adds"]) == (1, 320)
    light = rows["LightDense", "", 2, "", "forward"]
    assert light["multiply_adds"] == 2 * (32 + 10) and light["activations"] == 4 * (32 + 2 + 10)
    assert set(json.loads(json.dumps(found))) == {"environment", "revision", "matrix_rate", "rows"}


def test_together(planned, monkeypatch):
    if keras.backend.backend() != "jax":
        with pytest.raises(ValueError, match="Set KERAS_BACKEND=jax"):
            bench.measure_together(planned)
        return
    monkeypatch.setattr(bench, "_in_processes", lambda *given: ({1: 0.2, 2: 0.3}[given[-1]], 100))
    found = bench.measure_together(planned[:1], seeds=(1, 2), say=lambda line: None)
    told = [(row["seeds"], row["milliseconds"], row["speedup"]) for row in found["rows"]]
    assert told == [(1, 200, 1), (2, 150, 1.333)]


def test_the_optimum_is_that_of_an_exhaustive_search():
    for seed in range(10):
        spectra, costs = problem(seed, layers=3, most=5)
        low, high = least(spectra, costs), costs.total([None] * 3)[0]
        for budget in map(ranks.Budget, range(low, high + 1, max(1, (high - low) // 4))):
            found = bench._optimum(ranks._Options(spectra, costs, budget))
            assert found == pytest.approx(exhaustive(spectra, costs, budget))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="as on TensorFlow, and slow")
def test_no_rule_of_ranks_keeps_more_than_the_optimum(planned, monkeypatch):
    few = datasets.load("digits").limited(200, 100)
    monkeypatch.setattr(datasets, "load", lambda name: few)
    rows = bench.measure_ranks(planned, say=lambda line: None)["rows"]
    assert {(row["K"], row["rule"]) for row in rows} == {
        (k, rule) for k in (1, 3, 5) for rule in ranks.RULES
    }
    assert all(0 < row["kept"] <= row["optimum"] + 1e-4 for row in rows)
    gaps = {(row["K"], row["rule"]): row["gap"] for row in rows}
    assert all(gaps[k, "greedy"] <= min(gaps[k, "uniform"], 0.1) for k in (1, 3, 5))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow exports")
@pytest.mark.filterwarnings("ignore")  # TFLite's interpreter announces its successor
def test_export_compares_each_format_with_the_same_of_the_first_row(planned, monkeypatch):
    monkeypatch.setattr(exporting, "_SECONDS", 0.01)
    some = exporting.available()[:2]
    monkeypatch.setattr(exporting, "available", lambda: some)
    rows = bench.measure_export(planned, count=8, say=lambda line: None)["rows"]
    formats = exporting.available()
    assert [(row["row"], row["format"]) for row in rows] == [(r, f) for r in ROWS for f in formats]
    first, second = rows[: len(formats)], rows[len(formats) :]
    assert {row["runtime"] for row in first} <= {"TFLite with XNNPACK", "ONNX Runtime"}
    assert {row["kB ratio"] for row in first} == {row["time ratio"] for row in first} == {1}
    for one, two in zip(first, second, strict=True):
        assert two["kB ratio"] == pytest.approx(two["kB"] / one["kB"], abs=1e-3)


def test_the_grid_measures_each_network_in_processes_of_its_own(planned, monkeypatch):
    started, popen = [], bench.subprocess.Popen
    said = iter([(0.4, 100), (0.3, 200), (0.1, 300), (0.3, 250)])

    def noted(command, env, **kwargs):
        started.append((command[3], env.get("OMP_NUM_THREADS") == "1"))
        return popen([bench.sys.executable, "-c", f"print({list(next(said))})"], env=env, **kwargs)

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(bench.execution, "cores", lambda: 2)
    monkeypatch.setattr(bench.backend, "devices", list)
    monkeypatch.setattr(bench.subprocess, "Popen", noted)
    table = bench.grid(planned[:1], ["fit", "suite"], steps=2, say=lambda line: None)
    # fit is started twice, the better counts; the suite's are as many as there are cores.
    assert started == [("fit", False)] * 2 + [("suite", True)] * 2
    assert table["row"].tolist() == ["conv2d", ""]
    told = table[["fit (ms/step)", "fit (MB)", "suite", "suite (MB)"]].iloc[0].tolist()
    assert told == [300, 200, 3, 300]  # of 0.3 s a step, and of 0.2 s for one on both cores


def test_a_measurement_in_a_process_of_its_own(planned, monkeypatch):
    monkeypatch.setattr(bench.execution, "cores", lambda: 1)
    seconds, megabytes = bench._in_processes("suite", planned[0], bench._WARM)
    assert 0 < seconds < 10 and megabytes > 100


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="as on TensorFlow, and slow")
@pytest.mark.parametrize("variant", bench.GRID)
def test_every_variant_of_the_grid_trains(variant, planned):
    seconds, megabytes = bench.measure(variant, planned[0], 2)
    assert seconds > 0 and megabytes > 100


def test_the_command_names_the_grids_tables(tmp_path, monkeypatch, capsys):
    asked = []

    def grid(planned, variants, steps):
        asked.append(([run.row for run in planned], variants, steps))
        return pd.DataFrame({"row": [run.row for run in planned]})

    monkeypatch.setattr(bench, "grid", grid)
    common = ["bench", "grid", "--names", "digits", "--rows", "conv2d", "--outputs", str(tmp_path)]
    assert cli.main(common) == 0
    assert cli.main([*common, "--variants", "fit,steps,suite", "--steps", "7"]) == 0
    assert asked == [
        (["conv2d"], ["fit", "suite"], 100),
        (["conv2d"], ["fit", "steps", "suite"], 7),
    ]
    names = {file.stem for file in (tmp_path / "tables").iterdir()}
    assert names == {"bench-grid", "bench-grid-parts"}
    assert cli.main([*common, "--variants", "fit,magic"]) == 2
    assert "magic" in capsys.readouterr().err


def test_a_variant_that_fails_is_told(planned, monkeypatch):
    monkeypatch.setattr(bench.sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match="fit of digits conv2d failed"):
        bench._in_processes("fit", planned[0], 2)
