"""`lightlayers plan`, `convert`, `merge` and `export`: what they refuse."""

import os
import subprocess
import sys

import pytest
from cli.command import lightlayers, refused

from lightlayers import cli
from lightlayers.suite import backend


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


def compiled(keras, **arguments):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    model.compile(**arguments)
    return model


def test_a_model_is_compiled_as_it_was_or_it_is_said(tmp_path, capsys):
    keras = backend.load()
    file, plan, light, dense = (tmp_path / f"{name}.keras" for name in ("a", "plan", "b", "c"))
    plan.write_text('[{"layer": "dense", "form": "", "rank": 1}]')
    compiled(keras, optimizer=keras.optimizers.Lion(0.5), loss="mae").save(file)
    assert cli.main(["convert", str(file), str(plan), "--to", str(light)]) == 0
    assert cli.main(["merge", str(light), "--to", str(dense)]) == 0
    for each in (light, dense):
        model = keras.saving.load_model(each)
        assert (model.loss, type(model.optimizer)) == ("mae", keras.optimizers.Lion)
        assert float(model.optimizer.learning_rate) == 0.5
    assert "not compiled" not in capsys.readouterr().out

    def unregistered(labels, outputs):
        return keras.ops.mean(labels - outputs)

    compiled(keras, loss=unregistered).save(file)
    assert cli.main(["convert", str(file), str(plan), "--to", str(light)]) == 0
    assert not keras.saving.load_model(light).compiled
    said = capsys.readouterr().out
    assert "'unregistered'" in said and "The new model is not compiled" in said


@pytest.mark.parametrize("functional", [False, True])
def test_a_class_that_is_not_known_is_named(functional, tmp_path, capsys):
    keras = backend.load()

    class Unknown(keras.layers.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((4,)), Unknown()])
    if functional:
        model = keras.Model(model.inputs, model.outputs)
    model.save(tmp_path / "a.keras")
    said = refused(capsys, "merge", tmp_path / "a.keras", "--to", tmp_path / "b.keras")
    assert "Could not locate class 'Unknown'" in said


def test_models_are_planned_and_converted_without_the_suites_packages(tmp_path):
    keras = backend.load()
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(32, 3)])
    model.save(tmp_path / "model.keras")
    absent = cli.SUITE_PACKAGES - {"packaging", "rich"}  # which Keras brings
    lines = [f"import sys; sys.modules.update(dict.fromkeys({sorted(absent)}))"]
    lines += ["from lightlayers.cli import main"]
    for arguments in (
        ["plan", "model.keras", "--parameters", "700", "--to", "plan.json"],
        ["convert", "model.keras", "plan.json", "--to", "light.keras"],
        ["merge", "light.keras", "--to", "dense.keras"],
    ):
        lines.append(f"assert main({arguments}) == 0")
    lines.append("assert main(['data', 'check', '--names', 'digits']) == 2")
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "dense.keras").exists()
    assert "pip install 'lightlayers[suite]'" in done.stderr
