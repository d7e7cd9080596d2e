"""`lightlayers reproduce`, as a user meets it: results, refusals in one line, exit statuses."""

import copy
import importlib.util
import json
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from cli.command import ROOT, SHORT, lightlayers, refused
from suite.stored import record_of

from lightlayers import cli
from lightlayers.cli import reproduce
from lightlayers.suite import datasets, doctor, pilots, plans, recipes
from lightlayers.suite.execution import jobs, notebooks
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store, read_record


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
    probe = f"try: Store({str(outputs)!r}).check_writable()\n"
    probe += "except ValueError as error: print(error)"
    code = f"from lightlayers.suite.store import Store\n{first}{probe}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "can't be written (Permission denied)" in done.stdout, done.stderr


def test_dry_run_names_what_is_missing_and_writes_nothing(tmp_path):
    done = lightlayers("reproduce", "digits", *SHORT, "--dry-run", "--outputs", tmp_path / "o")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 6
    assert "missing: digits conv2d seed 1" in done.stdout
    assert not (tmp_path / "o").exists()


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """A file of the reader's own data; the commands work where its notebook is found."""
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype="uint8")
    arrays = {"x_train": x, "y_train": np.arange(40) % 2, "x_test": x, "y_test": np.arange(40) % 2}
    np.savez(tmp_path / "mine.npz", **arrays)
    monkeypatch.chdir(ROOT)
    yield tmp_path / "mine.npz"
    datasets.forget_own()


def test_own_data_is_trained_and_everything_is_written(own_file):
    """The only test here that trains, by real kernels."""
    outputs = own_file.parent / "outputs"
    choice = ["--rows", "separableconv2d", "--seeds", "1", "--epochs", "1", "--limit", "32"]
    done = lightlayers("reproduce", own_file, *choice, "--outputs", outputs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1/1 runs done" in done.stdout
    names = {str(file.relative_to(outputs)) for file in outputs.rglob("*.*") if file.is_file()}
    (name,) = (name for name in names if name.startswith("runs/mine/"))
    kept = {name for name in names if not name.startswith("runs/")}
    assert kept == {
        "tables/mine/mine-corrected.csv",
        "tables/mine/mine-corrected.md",
        "tables/mine/mine-corrected.tex",
        "figures/mine/mine-corrected-accuracy.png",
        "notebooks/mine/mine-corrected.ipynb",
    }
    executed = nbformat.read(outputs / "notebooks" / "mine" / "mine-corrected.ipynb", as_version=4)
    assert "papermill" not in executed.metadata
    assert "injected-parameters" in [cell.id for cell in executed.cells]  # not one at random
    plans.add_data(own_file)
    record = read_record(outputs / name)
    assert record["environment"]["threads"] == 1
    assert record["run"]["test_size"] == 32
    assert str(own_file.parent) not in (outputs / name).read_text()
    done = lightlayers("status", own_file, "--outputs", outputs)
    assert "mine: 1 runs stored" in done.stdout, done.stderr


@pytest.mark.parametrize("command", [["reproduce", "digits"], ["report"]])
def test_results_do_not_replace_the_notebooks_that_are_executed(
    tmp_path, monkeypatch, capsys, command
):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "train", lambda *_, **__: pytest.fail("trained"))
    line = refused(capsys, *command, "--outputs", ".")
    assert "is no result of this command, which would replace it" in line
    assert not list(tmp_path.glob("runs/*/*.json"))


def test_own_data_are_planned_and_refused(own_file, capsys):
    choice = [own_file, "--outputs", own_file.parent / "outputs"]
    assert cli.main(["reproduce", *map(str, choice), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.count("missing: mine ") == 7 * 5
    assert "missing: mine lightlayers-5 corrected seed 42" in said
    line = refused(capsys, "reproduce", *choice, "--scheduler", "tcp://localhost:1")
    assert "leave out --scheduler" in line
    own_file.write_bytes(b"nothing")
    assert "mine.npz can't be read" in refused(capsys, "reproduce", *choice)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Outputs with one committed run, and the options that ask for it."""
    monkeypatch.chdir(ROOT)
    (run,) = plans.plan("digits", ["separableconv2d"], [1])
    (record,) = Store(ROOT / "outputs").read([run])[0].values()
    file = Store(tmp_path / "outputs").write(record)
    choice = ["--rows", "separableconv2d", "--seeds", "1", "--outputs", str(tmp_path / "outputs")]
    return record, file, choice


def test_a_second_call_trains_nothing_and_fresh_trains_again(stored, capsys, monkeypatch):
    record, file, choice = stored
    before = file.stat().st_mtime_ns
    rendered = []
    monkeypatch.setattr(notebooks, "render", lambda *arguments: rendered.append(arguments))
    arguments = ["reproduce", "digits", *choice]
    assert cli.main(arguments) == 0
    assert "1 of 1 runs are stored, 0 to train" in capsys.readouterr().out
    assert file.stat().st_mtime_ns == before and len(rendered) == 1
    asked = []

    def execute(source, target, parameters, *_):
        asked.append(parameters["fresh"])
        Store(choice[-1]).write(record | {"started": "later"})
        return ""

    monkeypatch.setattr(notebooks, "execute", execute)
    assert cli.main([*arguments, "--fresh"]) == 0
    assert asked == [True] and read_record(file)["started"] == "later"


def test_results_are_compared_with_those_of_other_outputs(stored, capsys, monkeypatch, tmp_path):
    record, _, choice = stored
    monkeypatch.setattr(notebooks, "render", lambda *arguments: "executed")
    arguments = ["reproduce", "digits", *choice]
    other = tmp_path / "other"
    Store(other).write(record | {"test": record["test"] | {"accuracy": 0.1234}})
    assert cli.main([*arguments, "--compare", str(other)]) == 0
    said = capsys.readouterr().out
    head, line = said[said.index("here and stored in") :].splitlines()[2:4]
    assert head.split() == "method parameters n accuracy sd n stored accuracy stored sd".split() + [
        "stored"
    ]
    accuracy = f"{record['test']['accuracy']:.4f}"
    assert [float(x) for x in (line.split()[3], line.split()[6])] == [float(accuracy), 0.1234]
    assert cli.main([*arguments, "--compare", str(tmp_path / "none")]) == 0
    assert f"No stored runs to compare with in {tmp_path / 'none'}" in capsys.readouterr().out


def test_an_experiment_is_planned_recipe_by_recipe(capsys, tmp_path):
    choice = ["collapse", "--seeds", "7", "--outputs", str(tmp_path)]
    assert cli.main(["reproduce", *choice, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9 + 4
    assert lines[0].startswith("missing: cifar100 lightlayers-5 seed 7 (")
    assert lines[1].startswith("missing: cifar100 lightlayers-5 no-scale seed 7 (")
    assert "leave out --rows" in refused(capsys, "reproduce", *choice, "--rows", "conv2d")
    assert "leave out --recipe" in refused(capsys, "reproduce", *choice, "--recipe", "no-l2")


@pytest.mark.parametrize("command", [("reproduce", "digits"), ("bench", "networks")])
def test_a_backend_without_loops_is_refused(capsys, tmp_path, monkeypatch, command):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    line = refused(capsys, *command, "--outputs", tmp_path / "outputs")
    assert "expected tensorflow or jax. Received: torch" in line
    assert not (tmp_path / "outputs").exists()


def test_unknown_kernel_is_refused(capsys, tmp_path):
    outputs = tmp_path / "outputs"
    line = refused(capsys, "reproduce", "digits", "--kernel", "nope", "--outputs", outputs)
    assert "--kernel nope" in line and "lightlayers kernels" in line and not outputs.exists()


def test_compare_tells_recipes_apart(tmp_path, capsys):
    record = json.loads(next(ROOT.glob("outputs/runs/digits/*.json")).read_text())
    planned = [Run("digits", "conv2d", None, name, 1) for name in ("paper", "no-scale")]
    for folder, first in (("here", 0.25), ("there", 0.75)):
        for i, run in enumerate(planned):
            test = record["test"] | {"accuracy": first + i / 100}
            changed = {"run": run.to_record(), "id": run.id, "test": test}
            Store(tmp_path / folder).write(record | changed)
    planned.append(Run("digits", "conv2d", None, "no-l2", 1))
    reproduce.print_comparison(planned, Store(tmp_path / "here"), Store(tmp_path / "there"))
    said = capsys.readouterr().out
    for name, here in (("paper", 0.25), ("no-scale", 0.26)):
        table = said[said.index(f"digits, recipe {name}, here and stored") :].splitlines()
        assert list(map(float, table[3].split()[3:7:3])) == [here, here + 0.5]
    assert f"to compare with in {tmp_path / 'here'}: digits, recipe no-l2" in said


def test_an_interruption_says_what_is_kept(tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "train", interrupted)
    monkeypatch.setattr(doctor, "diagnose", interrupted)
    choice = ["digits", "--outputs", str(tmp_path)]
    for arguments, kept in (
        (["reproduce", *choice], "is kept; the same command goes on"),
        (["reproduce", *choice, "--fresh"], "is kept; leave out --fresh"),
        (["doctor"], "interrupted.\n"),
    ):
        assert cli.main(arguments) == 130
        assert kept in capsys.readouterr().err


def test_a_cluster_has_workers_of_its_own(capsys):
    choice = ["reproduce", "digits", "--scheduler", "tcp://here:1", "--workers", 2]
    assert "leave out --workers" in refused(capsys, *choice)


def test_names_beside_all_are_looked_at(capsys, tmp_path):
    assert "Received: 'typo'" in refused(capsys, "reproduce", "all", "typo", "--dry-run")


def test_the_kernel_that_is_chosen_writes_the_results_too(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "check_kernel", lambda name: None)
    monkeypatch.setattr(jobs, "train", lambda *_, **__: [])
    asked = []
    monkeypatch.setattr(notebooks, "render", lambda *arguments: asked.append(arguments[3]))
    choice = ["--kernel", "mine", "--timeout", "77", "--outputs", str(tmp_path)]
    assert cli.main(["reproduce", "digits", *choice]) == 0
    assert [(each.kernel, each.timeout) for each in asked] == [("mine", 77)]


def test_a_cluster_needs_its_package(tmp_path, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "distributed" else found(name)
    )
    choice = ["digits", "--scheduler", "tcp://here:1", "--outputs", tmp_path / "outputs"]
    assert "lightlayers[dask]" in refused(capsys, "reproduce", *choice)


def test_results_of_some_runs_say_that_they_lack_others(tmp_path, capsys, monkeypatch):
    planned = plans.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    for record in Store(ROOT / "outputs").read(planned)[0].values():
        Store(tmp_path).write(record)
    monkeypatch.setattr(notebooks, "render", lambda *_: "executed")
    choice = ["reproduce", "digits", "--outputs", str(tmp_path), "--seeds", "1,2", "--rows"]
    assert cli.main([*choice, "conv2d"]) == 0
    assert "They lack 2 stored runs: `lightlayers report`" in capsys.readouterr().out
    monkeypatch.setattr(jobs, "train", lambda *_, **__: [])
    # Those of another recipe have files of their own.
    for all_of_them in (["conv2d,lightlayers-1"], ["conv2d", "--recipe", "no-l2"]):
        assert cli.main([*choice, *all_of_them]) == 0
        assert "They lack" not in capsys.readouterr().out


def test_results_of_another_recipe_have_names_of_their_own():
    assert plans.result_name("mnist", "paper") == "mnist"
    assert plans.result_name("mnist", "shuffled") == "mnist-shuffled"


def test_a_budget_gives_rows_the_largest_size_that_fits(capsys, tmp_path):
    choice = ["--budget", "20557", "--seeds", "1", "--dry-run", "--outputs", str(tmp_path)]
    rows = ["--rows", "conv2d,separableconv2d,spatial"]
    assert cli.main(["reproduce", "cifar10", *rows, *choice]) == 0
    said = capsys.readouterr().out.splitlines()
    rows = [line.split()[2] for line in said]
    assert [row.partition("-")[0] for row in rows] == ["conv2d", "separableconv2d", "spatial"]
    assert rows == plans.fit_rows(
        "cifar10", ["conv2d", "separableconv2d", "spatial"], "paper", 20557
    )
    assert "say which with --rows" in refused(capsys, "reproduce", "cifar10", *choice)
    assert "leave out --budget" in refused(capsys, "reproduce", "collapse", *choice)
    zero = ["--rows", "conv2d", "--budget", "0"]
    assert "at least 1. Received: 0" in refused(capsys, "reproduce", "cifar10", *zero)


def test_a_budget_is_no_parameter_of_the_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "train", lambda *_, **__: [])
    asked = []
    monkeypatch.setattr(notebooks, "render", lambda *arguments: asked.append(arguments[2]))
    choice = ["--rows", "conv2d", "--budget", "5000", "--outputs", str(tmp_path)]
    assert cli.main(["reproduce", "digits", *choice]) == 0
    rows = plans.fit_rows("digits", ["conv2d"], "paper", 5000)
    assert asked == [{"rows": rows, "train": False}]


def test_pilot_runs_come_first_and_choose_the_recipes_of_others(tmp_path, monkeypatch, capsys):
    experiment = plans.Experiment((), (42, 1), tuned=(("digits", "conv2d"),))
    monkeypatch.setitem(plans.EXPERIMENTS, "rivals", experiment)
    best, trained = "corrected-l2-1e-3", []

    def train(planned, store, *_):
        trained.append([(run.recipe, run.seed, run.epochs) for run in planned])
        for run in planned:
            record = copy.deepcopy(record_of(run))
            record["history"]["val_accuracy"][-1] = 0.9 if run.recipe == best else 0.8
            store.write(record)
        return []

    monkeypatch.setattr(jobs, "train", train)
    monkeypatch.setattr(notebooks, "render", lambda *arguments: "executed")
    monkeypatch.chdir(ROOT)
    choice = ["reproduce", "rivals", "--outputs", str(tmp_path)]
    assert cli.main([*choice, "--dry-run"]) == 0
    assert capsys.readouterr().out.count("missing: digits conv2d corrected") == 12
    assert cli.main(choice) == 0
    assert trained[0] == [(recipe, pilots.SEED, 20) for recipe in recipes.TUNED]
    assert trained[1:] == [[(best, 42, 40), (best, 1, 40)]]
    assert cli.main(["status", "rivals", "--outputs", str(tmp_path)]) == 0
    assert f"digits conv2d {best}  2 seeds" in capsys.readouterr().out
