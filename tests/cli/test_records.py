"""`lightlayers status` and `report`."""

import json
import subprocess
import sys

from cli.command import ROOT, refused
from suite.stored import record_of

from lightlayers import cli
from lightlayers.suite import plans
from lightlayers.suite.analysis import headline
from lightlayers.suite.execution import notebooks
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store


def test_status_tells_recipes_of_an_experiment_apart(tmp_path, capsys):
    run = Run("cifar100", "lightlayers", 5, "no-scale", seed=1)
    Store(tmp_path).write(record_of(run))
    assert cli.main(["status", "--outputs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "cifar100: 0 runs stored" in said and "collapse: 1 runs stored" in said
    assert "  cifar100 lightlayers-5 no-scale  1 seeds, missing 42, 2\n" in said
    assert "  cifar100 lightlayers-5 paper  0 seeds, missing 42, 1, 2\n" in said


def test_status_counts_whole_short_and_damaged(tmp_path, capsys):
    for choice in ({"seed": 42}, {"epochs": 1}, {"seed": 9}):
        run = Run("digits", "conv2d", **choice)
        Store(tmp_path).write(record_of(run))
    bad = Store(tmp_path).path(Run("digits", "conv2d", seed=9))
    bad.write_text("{")
    assert cli.main(["status", "digits", "--outputs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "digits: 2 runs stored" in said
    assert "conv2d            1 seeds, missing 1, 2, 3, 4 (1 shortened runs besides)" in said
    assert f"damaged: {bad}" in said


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m lightlayers.cli status digits | true"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_report_of_shortened_runs_alone_trains_nothing(tmp_path, capsys, monkeypatch):
    record = json.loads(next(ROOT.glob("outputs/runs/digits/*.json")).read_text())
    for name in ("mnist", "digits"):
        run = Run(name, "conv2d", epochs=1, train_size=100, test_size=100)
        Store(tmp_path).write(record | {"run": run.to_record(), "id": run.id})
    run = Run("digits", "conv2d")
    Store(tmp_path).write(record | {"run": run.to_record(), "id": run.id})
    chosen = {}
    monkeypatch.setattr(notebooks, "render", lambda name, _, choice: chosen.update({name: choice}))
    assert cli.main(["report", "--outputs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "no runs   report: lightlayers reproduce all" in said
    assert "no runs   mnist: lightlayers reproduce mnist" in said
    assert chosen == {"layers": {}, "audit": {}, "digits": {"train": False}}


def test_report_of_other_outputs_leaves_the_readme_alone(tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "notebooks").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    readme = project / "README.md"
    monkeypatch.chdir(project)
    monkeypatch.setattr(notebooks, "render", lambda *arguments: "")
    for folder, written in (("mine", False), ("outputs", True)):
        readme.write_text(f"{headline.BEGIN}\nstale\n{headline.END}")
        assert cli.main(["report", "--outputs", folder]) == 0
        assert ("stale" not in readme.read_text()) == written


def test_report_of_no_runs_says_how_to_train_them(tmp_path, capsys, monkeypatch):
    rendered = []
    monkeypatch.setattr(notebooks, "render", lambda name, *_: rendered.append(name))
    assert cli.main(["report", "--outputs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert rendered == ["layers", "audit"]
    assert "no runs   ranks: lightlayers reproduce ranks\n" in said
    assert "no runs   speed: lightlayers bench layers\n" in said
    assert "no runs   report: lightlayers reproduce all\n" in said


def test_one_notebook_that_fails_keeps_no_other_from_the_report(tmp_path, capsys, monkeypatch):
    def render(name, *_):
        if name == "layers":
            raise RuntimeError("planted")
        return name

    for record in Store(ROOT / "outputs").read(plans.plan("digits", ["conv2d"], [1]))[0].values():
        Store(tmp_path).write(record)
    monkeypatch.setattr(notebooks, "render", render)
    assert cli.main(["report", "--outputs", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "notebook  digits\n" in said and "failed: layers: planted\n" in said


def test_options_that_would_change_nothing_are_refused(capsys, tmp_path):
    assert "recipes of its own" in refused(capsys, "status", "collapse", "--recipe", "corrected")
    assert "set LIGHTLAYERS_DATA" in refused(capsys, "data", "check", tmp_path)
