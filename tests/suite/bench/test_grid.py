"""Variants of the training loop are measured in processes of their own."""

import shutil
import subprocess
import sys

import keras
import pandas as pd
import pytest

from lightlayers import cli
from lightlayers.suite import backend, processors
from lightlayers.suite.bench import grid


def test_the_grid_measures_each_network_in_processes_of_its_own(planned, monkeypatch):
    started, popen = [], subprocess.Popen
    said = iter([(0.4, 100), (0.3, 200), (0.1, 300), (0.3, 250)])

    def noted(command, env, **kwargs):
        started.append((command[3], env.get("OMP_NUM_THREADS") == "1"))
        return popen([sys.executable, "-c", f"print({list(next(said))})"], env=env, **kwargs)

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(processors, "cores", lambda: 2)
    monkeypatch.setattr(backend, "devices", list)
    monkeypatch.setattr(subprocess, "Popen", noted)
    table = grid.measure_grid(planned[:1], ["fit", "suite"], steps=2, say=lambda line: None)
    # fit is started twice, the better counts; the suite's are as many as there are cores.
    assert started == [("fit", False)] * 2 + [("suite", True)] * 2
    assert table["row"].tolist() == ["conv2d", ""]
    told = table[["fit (ms/step)", "fit (MB)", "suite", "suite (MB)"]].iloc[0].tolist()
    assert told == [300, 200, 3, 300]  # of 0.3 s a step, and of 0.2 s for one on both cores


def test_a_measurement_in_a_process_of_its_own(planned, monkeypatch):
    monkeypatch.setattr(processors, "cores", lambda: 1)
    seconds, megabytes = grid.measure_in_processes("suite", planned[0], grid.WARM_STEPS)
    assert 0 < seconds < 10 and megabytes > 100


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="as on TensorFlow, and slow")
@pytest.mark.parametrize("variant", grid.GRID)
def test_every_variant_of_the_grid_trains(variant, planned):
    seconds, megabytes = grid.measure_variant(variant, planned[0], 2)
    assert seconds > 0 and megabytes > 100


def test_the_command_names_the_grids_tables(tmp_path, monkeypatch, capsys):
    asked = []

    def measure_grid(planned, variants, steps):
        asked.append(([run.row for run in planned], variants, steps))
        return pd.DataFrame({"row": [run.row for run in planned]})

    monkeypatch.setattr(grid, "measure_grid", measure_grid)
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
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match="fit of digits conv2d failed"):
        grid.measure_in_processes("fit", planned[0], 2)
