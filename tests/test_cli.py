"""The command line, as a user meets it: results, refusals in one line, exit statuses."""

import errno
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import nbformat
import numpy as np
import pytest

from lightlayers import backend, bench, cli, display, execution, headline, runs

ROOT = pathlib.Path(__file__).parents[1]
SHORT = ["--seeds", "1", "--epochs", "1", "--limit", "64"]


def lightlayers(*arguments, **kwargs):
    command = [sys.executable, "-m", "lightlayers.cli", *map(str, arguments)]
    kwargs = {"cwd": ROOT, "capture_output": True, "text": True} | kwargs
    return subprocess.run(command, **kwargs)


def refused(capsys, *arguments):
    """The one line that a wrong use gives; the parser leaves by SystemExit, we by a status."""
    try:
        status = cli.main([str(part) for part in arguments])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("lightlayers")
    return lines[-1]


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        (["imagenet"], "'imagenet'"),
        (["digits", "--rows", "resnet"], "'resnet'"),
        (["digits", "--rows", "lightlayers-0"], "rank=0"),
        (["digits", "--rows", "lightlayers-x"], "'lightlayers-x'"),
        (["digits", "--rows", "conv2d-3"], "rank=3"),
        (["digits", "--epochs", "0"], "epochs=0"),
        (["digits", "--limit", "-1"], "train_size=-1"),
        (["digits", "--seeds", "-5"], "-5"),
        (["digits", "--seeds", ""], "one or more, with commas. Received: ''"),
        (["digits", "--seeds", "99999999999"], "seed=99999999999"),
        (["digits", "--rows", ""], "one or more, with commas. Received: ''"),
        (["digits", "--rows", "lightlayers-²"], "'lightlayers-²'"),
        (["digits", "--recipe", "corrected", "--limit", "1"], "train_size=1"),
        (["digits", "--workers", "0"], "0"),
        (["digits", "--seeds", "1,two"], "two"),
        (["digits", "--recipe", "cake"], "cake"),
        (["digits", "--rowz", "conv2d"], "--rowz"),
        ([], "NAME"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(capsys, tmp_path, arguments, received):
    outputs = tmp_path / "outputs"
    line = refused(capsys, "reproduce", *arguments, "--outputs", outputs)
    assert received in line
    assert not outputs.exists()


def test_outputs_that_can_not_be_written(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    line = refused(capsys, "reproduce", "digits", *SHORT, "--outputs", file / "outputs")
    assert "--outputs" in line and str(file) in line
    assert file.read_text() == "mine"


def test_outputs_of_another_user(closed):
    outputs, first = closed
    probe = f"try: runs.check_writable({str(outputs)!r})\nexcept ValueError as error: print(error)"
    code = f"from lightlayers import runs\n{first}{probe}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "can't be written (Permission denied)" in done.stdout, done.stderr


def test_seeds_together_on_jax(tmp_path):
    pytest.importorskip("jax")
    choice = ["--rows", "conv2d", "--seeds", "1,2", "--epochs", "1", "--limit", "64"]
    done = lightlayers(
        *("reproduce", "digits", "--together", *choice, "--outputs", tmp_path),
        env=os.environ | {"KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [runs.read(file)["environment"] for file in tmp_path.glob("runs/digits/*.json")]
    assert [(each["backend"], each["together"]) for each in found] == [("jax", 2)] * 2


def test_dry_run_names_what_is_missing_and_writes_nothing(tmp_path):
    done = lightlayers("reproduce", "digits", *SHORT, "--dry-run", "--outputs", tmp_path / "o")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 6
    assert "missing: digits conv2d seed 1" in done.stdout
    assert not (tmp_path / "o").exists()


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    rows = ["--rows", "separableconv2d"]
    done = lightlayers("reproduce", "digits", *rows, *SHORT, "--outputs", outputs)
    assert done.returncode == 0, done.stdout + done.stderr
    return outputs, rows, done


def test_reproduce_trains_and_writes_everything(reproduced):
    outputs, _, done = reproduced
    names = {str(file.relative_to(outputs)) for file in outputs.rglob("*.*") if file.is_file()}
    kept = {name for name in names if not name.startswith("runs/")}
    assert kept == {
        "tables/digits.csv",
        "tables/digits.md",
        "tables/digits.tex",
        "figures/digits-accuracy.png",
        "figures/digits-curves.png",
        "notebooks/digits.ipynb",
    }
    assert sum(name.endswith(".json") for name in names - kept) == 1
    assert "1/1 runs done" in done.stdout
    executed = nbformat.read(outputs / "notebooks" / "digits.ipynb", as_version=4)
    assert "papermill" not in executed.metadata
    assert "injected-parameters" in [cell.id for cell in executed.cells]  # not one at random
    record = runs.read(next(outputs.glob("runs/digits/*.json")))
    assert record["environment"]["threads"] == 1
    assert record["run"]["train_size"] == 64


def test_a_second_call_trains_nothing_and_fresh_trains_again(reproduced, capsys, monkeypatch):
    outputs, rows, _ = reproduced
    files = sorted(outputs.glob("runs/digits/*.json"))
    before = [file.stat().st_mtime_ns for file in files]
    monkeypatch.chdir(ROOT)
    rendered = []
    monkeypatch.setattr(execution, "render", lambda *arguments: rendered.append(arguments))
    arguments = ["reproduce", "digits", *rows, *SHORT, "--outputs", str(outputs)]
    record = runs.read(files[0])
    other = outputs / "other"
    runs.write(other, record | {"test": record["test"] | {"accuracy": 0.1234}})
    assert cli.main([*arguments, "--compare", str(other)]) == 0
    said = capsys.readouterr().out
    assert "1 of 1 runs are stored, 0 to train" in said
    head, line = said[said.index("here and stored in") :].splitlines()[2:4]
    assert head.split() == "method parameters n accuracy sd n stored accuracy stored sd".split() + [
        "stored"
    ]
    accuracy = f"{record['test']['accuracy']:.4f}"
    assert [float(x) for x in (line.split()[3], line.split()[6])] == [float(accuracy), 0.1234]
    assert cli.main([*arguments, "--compare", str(outputs / "none")]) == 0
    assert f"No stored runs to compare with in {outputs / 'none'}" in capsys.readouterr().out
    rendered.clear()
    assert cli.main(arguments) == 0
    assert [file.stat().st_mtime_ns for file in files] == before
    assert len(rendered) == 1
    asked = []

    def papermill(source, target, parameters, *_):
        asked.append(parameters["fresh"])
        runs.write(outputs, record | {"started": "later"})
        return ""

    monkeypatch.setattr(execution, "papermill", papermill)
    assert cli.main([*arguments, "--fresh"]) == 0
    assert asked == [True] and runs.read(files[0])["started"] == "later"


def test_own_data_from_the_command_line(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype="uint8")
    arrays = {"x_train": x, "y_train": np.arange(40) % 2, "x_test": x, "y_test": np.arange(40) % 2}
    np.savez(tmp_path / "mine.npz", **arrays)
    choice = [tmp_path / "mine.npz", "--outputs", tmp_path / "outputs"]
    done = lightlayers("reproduce", *choice, "--dry-run")
    assert done.stdout.count("missing: mine ") == 7 * 5, done.stderr
    assert "missing: mine lightlayers-5 corrected seed 42" in done.stdout
    done = lightlayers("reproduce", *choice, "--rows", "conv2d", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("outputs/runs/mine/*.json")
    assert str(tmp_path) not in file.read_text()
    assert (tmp_path / "outputs" / "tables" / "mine-corrected.csv").exists()
    done = lightlayers("status", *choice)
    assert "mine: 1 runs stored" in done.stdout, done.stderr
    done = lightlayers("reproduce", *choice, "--scheduler", "tcp://localhost:1")
    assert done.returncode == 2 and "leave out --scheduler" in done.stderr
    (tmp_path / "mine.npz").write_bytes(b"nothing")
    done = lightlayers("reproduce", *choice)
    assert done.returncode == 2 and "mine.npz can't be read" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_experiment_is_planned_recipe_by_recipe(capsys, tmp_path):
    choice = ["collapse", "--seeds", "7", "--outputs", str(tmp_path)]
    assert cli.main(["reproduce", *choice, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9 + 4
    assert lines[0].startswith("missing: cifar100 lightlayers-5 seed 7 (")
    assert lines[1].startswith("missing: cifar100 lightlayers-5 no-scale seed 7 (")
    assert "leave out --rows" in refused(capsys, "reproduce", *choice, "--rows", "conv2d")
    assert "leave out --recipe" in refused(capsys, "reproduce", *choice, "--recipe", "no-l2")


def test_rows_of_an_experiment_are_jobs_of_their_own():
    planned = runs.plan_experiment("collapse", [1, 2])
    assert len(planned) == len(set(planned)) == 26
    assert len({execution.Job([run]).name for run in planned}) == 13
    assert execution.Job(planned[:1]).name == "cifar100-lightlayers-5"


def test_status_tells_recipes_of_an_experiment_apart(tmp_path, capsys):
    run = runs.Run("cifar100", "lightlayers", 5, "no-scale", seed=1)
    runs.write(tmp_path, {"test": {}, "run": vars(run), "id": run.id})
    assert cli.main(["status", "--outputs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "cifar100: 0 runs stored" in said and "collapse: 1 runs stored" in said
    assert "  cifar100 lightlayers-5 no-scale  1 seeds, missing 42, 2\n" in said
    assert "  cifar100 lightlayers-5 paper  0 seeds, missing 42, 1, 2\n" in said


def test_results_of_another_recipe_have_names_of_their_own():
    assert runs.result_name("mnist", "paper") == "mnist"
    assert runs.result_name("mnist", "shuffled") == "mnist-shuffled"


def test_plain_papermill(tmp_path):
    """The notebook is an ordinary Papermill notebook, without the command around it."""
    target = tmp_path / "out.ipynb"
    parameters = {"rows": ["separableconv2d"], "seeds": [1], "limit": 64, "outputs": str(tmp_path)}
    command = [sys.executable, "-m", "papermill", "notebooks/digits.ipynb", target]
    command += ["-p", "epochs", "2", "-y", json.dumps(parameters), "--no-progress-bar"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("runs/digits/*.json")
    assert len(runs.read(file)["history"]["loss"]) == 2


def test_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="no such parameter.*Received: epoch$"):
        execution.papermill(execution.notebook("digits"), tmp_path / "out.ipynb", {"epoch": 2})
    assert not list(tmp_path.iterdir())


def test_data_is_exported_and_checked(tmp_path, capsys, monkeypatch):
    assert cli.main(["data", "export", str(tmp_path), "--names", "digits"]) == 0
    arrays = np.load(tmp_path / "digits.npz")
    assert arrays["x_train"].shape == (1437, 8, 8, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["digits.npz"]
    assert cli.main(["data", "check", "--names", "digits"]) == 0
    assert "OK     digits" in capsys.readouterr().out
    (tmp_path / "mnist.npz").write_bytes(b"nothing")
    monkeypatch.setenv("LIGHTLAYERS_DATA", str(tmp_path))
    assert cli.main(["data", "check", "--names", "mnist"]) == 1
    assert f"WRONG  {tmp_path / 'mnist.npz'} can't be read" in capsys.readouterr().out
    assert "'svhn'" in refused(capsys, "data", "check", "--names", "svhn")
    assert "export DIR" in refused(capsys, "data", "export")


def test_kernels_carry_their_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert cli.main(["kernels"]) == 0
    found = {
        file.parent.name: json.loads(file.read_text())["env"]
        for file in tmp_path.rglob("kernel.json")
    }
    assert found["lightlayers-cpu"]["CUDA_VISIBLE_DEVICES"] == "-1"
    assert found["lightlayers-gpu"]["LIGHTLAYERS_DEVICE"] == "gpu"


def test_unknown_kernel_is_refused(capsys, tmp_path):
    outputs = tmp_path / "outputs"
    line = refused(capsys, "reproduce", "digits", "--kernel", "nope", "--outputs", outputs)
    assert "--kernel nope" in line and "lightlayers kernels" in line and not outputs.exists()


def test_status_counts_whole_short_and_damaged(tmp_path, capsys):
    for choice in ({"seed": 42}, {"epochs": 1}, {"seed": 9}):
        run = runs.Run("digits", "conv2d", **choice)
        runs.write(tmp_path, {"test": {}, "run": vars(run), "id": run.id})
    bad = runs.path(tmp_path, runs.Run("digits", "conv2d", seed=9))
    bad.write_text("{")
    assert cli.main(["status", "digits", "--outputs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "digits: 2 runs stored" in said
    assert "conv2d            1 seeds, missing 1, 2, 3, 4 (1 shortened runs besides)" in said
    assert f"damaged: {bad}" in said


def test_display_tells_what_remains(tmp_path, monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    planned = runs.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    jobs = [execution.Job(planned[:2]), execution.Job(planned[2:])]
    view = display.Display(live=False)
    with view.over(jobs, {}, planned, [], workers=1):
        view.started(jobs[0])
        view.progress_file(jobs[0]).write_text(
            json.dumps({"id": planned[1].id, "epoch": 3, "epochs": 40})
        )
        text = "\n".join(map(str, view._view().renderables))
        assert "0/4 runs done, 2 running, 2 waiting, 0 failed" in text
        assert "digits-conv2d: seed 2, epoch 3 of 40" in text
        now[0] += 60
        jobs[0].trained = 48.0
        view.ended(jobs[0])
        jobs[1].error = "lost"
        view.ended(jobs[1])
    said = capsys.readouterr().out
    assert "2/4 runs done, 0 running, 2 waiting, 0 failed · 1:00 so far, about 1:00 left" in said
    assert "FAILED digits-lightlayers-1: lost" in said
    assert "Papermill, kernel start and imports took 12 s a job" in said


def test_an_interruption_is_none_of_the_folder_that_a_kernel_still_writes_to(tmp_path, monkeypatch):
    def busy(*_, **__):
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "rmdir", busy)
        with display.Display(live=False).over([], {}, [], [], workers=1):
            raise KeyboardInterrupt


def test_what_remains_is_told_at_the_pace_of_this_machine(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    planned = runs.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    jobs = [execution.Job([run]) for run in planned if run.seed == 2]
    stored = {run: {"seconds": 100.0} for run in planned if run.seed == 1}
    stored[planned[2]]["seconds"] = 200.0
    view = display.Display(live=False)
    with view.over(jobs, stored, planned, [], workers=1):
        assert "about 5:00 left" in view._counts()
        view.started(jobs[0])
        now[0] += 10
        view.ended(jobs[0])
    assert "about 0:20 left" in capsys.readouterr().out


def test_what_remains_is_of_the_jobs_that_can_run(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    planned = runs.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    jobs = [execution.Job([run]) for run in planned[:3]]
    view = display.Display(live=False)
    with view.over(jobs, {}, planned[:3], [], workers=4):
        view.workers(2)  # of a cluster, which is given all at once
        for job in jobs:
            view.started(job)
        assert "2 running, 1 waiting" in view._counts()
        now[0] += 60
        for job in jobs[:2]:
            view.ended(job)
        now[0] += 20
        assert "2/3 runs done, 1 running, 0 waiting" in view._counts()
        assert view._left() == pytest.approx(
            40
        )  # the third has run for 20 s, and has no use for two workers
    together = execution.Job(planned[:2])
    with view.over([together], {}, planned[:2], [], workers=1, together=True):
        view.started(together)
        told = {"id": planned[0].id, "epoch": 10, "epochs": 40}
        view.progress_file(together).write_text(json.dumps(told))
        now[0] += 10
        assert view._left() == pytest.approx(30)


def test_a_log_is_told_of_jobs_that_run(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(display, "_EVERY", 0.02)
    planned = runs.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    jobs = [execution.Job(planned[:2]), execution.Job(planned[2:])]
    view = display.Display(live=False)
    with view.over(jobs, {}, planned, [], workers=1):
        assert view._left() is None
        view.started(jobs[0])
        # The second of two seeds is half done after 30 s: 10 s remain, and 40 for the other row.
        told = {"id": planned[1].id, "epoch": 20, "epochs": 40}
        view.progress_file(jobs[0]).write_text(json.dumps(told))
        now[0] += 30
        deadline = time.time() + 30
        while "about 0:50 left" not in (said := capsys.readouterr().out):
            assert time.time() < deadline
            time.sleep(0.02)
    assert "  digits-conv2d: seed 2, epoch 20 of 40, 0:30" in said
    time.sleep(0.1)
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_compare_tells_recipes_apart(tmp_path, capsys):
    record = json.loads(next(ROOT.glob("outputs/runs/digits/*.json")).read_text())
    planned = [runs.Run("digits", "conv2d", None, name, 1) for name in ("paper", "no-scale")]
    for folder, first in (("here", 0.25), ("there", 0.75)):
        for i, run in enumerate(planned):
            test = record["test"] | {"accuracy": first + i / 100}
            runs.write(tmp_path / folder, record | {"run": vars(run), "id": run.id, "test": test})
    planned.append(runs.Run("digits", "conv2d", None, "no-l2", 1))
    cli._compare(planned, tmp_path / "here", tmp_path / "there")
    said = capsys.readouterr().out
    for name, here in (("paper", 0.25), ("no-scale", 0.26)):
        table = said[said.index(f"digits, recipe {name}, here and stored") :].splitlines()
        assert list(map(float, table[3].split()[3:7:3])) == [here, here + 0.5]
    assert f"to compare with in {tmp_path / 'here'}: digits, recipe no-l2" in said


def test_outputs_are_found_from_a_linked_checkout(tmp_path):
    clone, outputs = tmp_path / "deep" / "er" / "clone", tmp_path / "work" / "outputs"
    (clone / "notebooks").mkdir(parents=True)
    outputs.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(clone)
    found = execution._from(link / "notebooks" / "digits.ipynb", outputs)
    # As a kernel does that is started in the notebook's folder.
    assert (clone / "notebooks" / found).resolve() == outputs.resolve()


def test_an_interruption_says_what_is_kept(tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "train", interrupted)
    monkeypatch.setattr(cli.doctor, "diagnose", interrupted)
    choice = ["digits", "--outputs", str(tmp_path)]
    for arguments, kept in (
        (["reproduce", *choice], "is kept; the same command goes on"),
        (["reproduce", *choice, "--fresh"], "is kept; leave out --fresh"),
        (["doctor"], "interrupted.\n"),
    ):
        assert cli.main(arguments) == 130
        assert kept in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m lightlayers.cli status digits | true"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_backend_that_is_not_there(tmp_path):
    choice = ["merge", tmp_path / "a.keras", "--to", tmp_path / "b.keras"]
    done = lightlayers(*choice, env=os.environ | {"KERAS_BACKEND": "torch"})
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "torch" in done.stderr and "lightlayers doctor" in done.stderr


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_models_without_a_kernel_or_a_shape_are_refused(tmp_path, capsys):
    keras = backend.load()
    file = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()]).save(file)
    assert "no layer with a kernel" in refused(capsys, "plan", file, "--parameters", 100)
    keras.Sequential([keras.layers.Dense(3)]).save(file)
    assert "Build the model before" in refused(capsys, "export", file, "--data", "digits")
    plan = tmp_path / "plan.json"
    plan.write_text('[{"layer": ["conv"], "rank": 2}]')
    light = tmp_path / "light.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(file)
    assert "Each row of a plan has" in refused(capsys, "convert", file, plan, "--to", light)


def test_a_model_is_not_written_over(tmp_path, capsys):
    file = tmp_path / "model.keras"
    file.write_text("mine")
    assert "another file than the model" in refused(capsys, "merge", file, "--to", file)
    plan = tmp_path / "plan.json"
    plan.write_text("[]")
    assert "another file than" in refused(capsys, "convert", file, plan, "--to", file)
    assert file.read_text() == "mine"


def test_measurements_are_not_replaced_by_fewer(tmp_path, capsys, monkeypatch):
    rows = [{"dataset": "mnist", "row": "conv2d"}, {"dataset": "mnist", "row": "lightlayers-1"}]
    file = tmp_path / "bench" / "networks.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"rows": rows}))
    monkeypatch.setattr(bench, "measure_networks", lambda planned: {"rows": len(planned)})
    choice = ["bench", "networks", "--names", "mnist", "--outputs", tmp_path]
    line = refused(capsys, *choice, "--rows", "conv2d")
    assert "also has mnist lightlayers-1: measure" in line
    assert "one or more" in refused(capsys, *choice, "--rows", ",")
    for broken in ("{}", "{", "[]"):
        file.write_text(broken)
        assert "networks.json is no measurement that can be read" in refused(capsys, *choice)
    file.write_text(json.dumps({"rows": rows}))
    table = tmp_path / "tables" / "bench-grid.csv"
    table.parent.mkdir()
    table.write_text("dataset,row,suite\nmnist,conv2d,1\nmnist,lightlayers-1,1\ngeometric mean,,1")
    grid = ["bench", "grid", "--names", "mnist", "--outputs", tmp_path, "--rows", "conv2d"]
    assert "bench-grid.csv also has mnist lightlayers-1: measure" in refused(capsys, *grid)
    table.with_name("bench-grid-parts.csv").write_text(
        "dataset,row,fit (ms/step),input\nmnist,conv2d,1,1\nmean,,1,1"
    )
    parts = [*grid, "--variants", "processes,suite"]
    assert "bench-grid-parts.csv also has fit, input: measure" in refused(capsys, *parts)
    ranks = ["bench", "ranks", "--names", "cifar100", "--outputs", tmp_path]
    assert "Received: cifar100" in refused(capsys, *ranks)
    assert json.loads(file.read_text()) == {"rows": rows}
    assert cli.main([str(part) for part in choice]) == 0
    assert json.loads(file.read_text()) == {"rows": 6}


def test_report_of_shortened_runs_alone_trains_nothing(tmp_path, capsys, monkeypatch):
    record = json.loads(next(ROOT.glob("outputs/runs/digits/*.json")).read_text())
    for name in ("mnist", "digits"):
        run = runs.Run(name, "conv2d", epochs=1, train_size=100, test_size=100)
        runs.write(tmp_path, record | {"run": vars(run), "id": run.id})
    run = runs.Run("digits", "conv2d")
    runs.write(tmp_path, record | {"run": vars(run), "id": run.id})
    chosen = {}
    monkeypatch.setattr(execution, "render", lambda name, _, choice: chosen.update({name: choice}))
    assert cli.main(["report", "--outputs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "no runs   report: lightlayers reproduce all" in said
    assert "no runs   mnist: lightlayers reproduce mnist" in said
    assert chosen == {"layers": {}, "digits": {"train": False}}


def test_report_of_other_outputs_leaves_the_readme_alone(tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "notebooks").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    readme = project / "README.md"
    monkeypatch.chdir(project)
    monkeypatch.setattr(execution, "render", lambda *arguments: "")
    for folder, written in (("mine", False), ("outputs", True)):
        readme.write_text(f"{headline.BEGIN}\nstale\n{headline.END}")
        assert cli.main(["report", "--outputs", folder]) == 0
        assert ("stale" not in readme.read_text()) == written


def test_a_cluster_has_workers_of_its_own(capsys):
    choice = ["reproduce", "digits", "--scheduler", "tcp://here:1", "--workers", 2]
    assert "leave out --workers" in refused(capsys, *choice)


def test_names_beside_all_are_looked_at(capsys, tmp_path):
    assert "Received: 'typo'" in refused(capsys, "reproduce", "all", "typo", "--dry-run")


def test_options_that_would_change_nothing_are_refused(capsys, tmp_path):
    assert "recipes of its own" in refused(capsys, "status", "collapse", "--recipe", "corrected")
    assert "set LIGHTLAYERS_DATA" in refused(capsys, "data", "check", tmp_path)


def test_the_kernel_that_is_chosen_writes_the_results_too(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "_known_kernel", lambda name: None)
    monkeypatch.setattr(execution, "train", lambda *_, **__: [])
    asked = []
    monkeypatch.setattr(execution, "render", lambda *arguments: asked.append(arguments[4:]))
    choice = ["--kernel", "mine", "--timeout", "77", "--outputs", str(tmp_path)]
    assert cli.main(["reproduce", "digits", *choice]) == 0
    assert asked == [("mine", 77)]


def test_a_cluster_needs_its_package(tmp_path, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "distributed" else found(name)
    )
    choice = ["digits", "--scheduler", "tcp://here:1", "--outputs", tmp_path / "outputs"]
    assert "lightlayers[dask]" in refused(capsys, "reproduce", *choice)


def test_report_of_no_runs_says_how_to_train_them(tmp_path, capsys, monkeypatch):
    rendered = []
    monkeypatch.setattr(execution, "render", lambda name, *_: rendered.append(name))
    assert cli.main(["report", "--outputs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert rendered == ["layers"]
    assert "no runs   ranks: lightlayers reproduce ranks\n" in said
    assert "no runs   speed: lightlayers bench layers\n" in said
    assert "no runs   report: lightlayers reproduce all\n" in said


def test_results_of_some_runs_say_that_they_lack_others(tmp_path, capsys, monkeypatch):
    planned = runs.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    for record in runs.stored(ROOT / "outputs", planned)[0].values():
        runs.write(tmp_path, record)
    monkeypatch.setattr(execution, "render", lambda *_: "executed")
    choice = ["reproduce", "digits", "--outputs", str(tmp_path), "--seeds", "1,2", "--rows"]
    assert cli.main([*choice, "conv2d"]) == 0
    assert "They lack 2 stored runs: `lightlayers report`" in capsys.readouterr().out
    monkeypatch.setattr(execution, "train", lambda *_, **__: [])
    # Those of another recipe have files of their own.
    for all_of_them in (["conv2d,lightlayers-1"], ["conv2d", "--recipe", "no-l2"]):
        assert cli.main([*choice, *all_of_them]) == 0
        assert "They lack" not in capsys.readouterr().out
