"""The explorer: its arithmetic is that of live networks, its widgets answer, without Keras."""

import functools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lightlayers import (
    datasets,
    explorer,
    figures,
    networks,
    published,
    runs,
)
from lightlayers.explorer import Choice

ROOT = pathlib.Path(__file__).parents[1]
OUTPUTS = ROOT / "outputs"


@functools.cache
def stored():
    return explorer.stored(OUTPUTS)


def totals(choice):
    return tuple(explorer.costs(choice)[["parameters", "multiply-adds"]].sum())


@pytest.mark.parametrize("recipe", ["paper", "corrected"])
@pytest.mark.parametrize(
    ("dataset", "method", "rank"),
    [
        ("mnist", "conv2d", None),
        ("cifar100", "separableconv2d", None),
        *(("mnist", method, 3) for method in explorer.METHODS[2:]),
        *(("cifar100", method, 5) for method in explorer.METHODS[2:]),
    ],
)
def test_costs_are_those_of_the_built_network(dataset, method, rank, recipe):
    built = networks.summary(networks.build(dataset, method, rank, recipe))
    columns = ["layer", "parameters", "multiply-adds"]
    expected = built[columns][:-1].sort_values("layer").values.tolist()
    counted = explorer.costs(Choice(dataset, method, rank, recipe))
    assert counted.sort_values("layer").values.tolist() == expected


def test_costs_are_those_of_the_paper_and_of_the_records():
    for row in published.ROWS:
        assert totals(Choice(row.dataset, row.method, row.rank))[0] == row.parameters
    for record in stored():
        run = record["run"]
        if run["method"] in explorer.METHODS:
            counted = totals(Choice(run["dataset"], run["method"], run["rank"], run["recipe"]))
            assert counted == (record["parameters"]["total"], record["multiply_adds"]), run


def test_only_records_of_the_choice_are_shown():
    record = {"run": vars(runs.Run("digits", "lightlayers", 2))}
    other = {"run": vars(runs.Run("digits", "lightlayers", 2, "corrected"))}
    choice = Choice("digits", "lightlayers", 2, "corrected")
    assert choice.among([record, other]) == [record, other]
    assert "No run of it" in explorer.sentences(choice, [record])[1]
    assert len(explorer.sentences(choice, [other])) == 1
    assert not Choice("mnist", "lightlayers", 2).among([record])
    assert not Choice("digits", "lightlayers", 3).among([record])


def test_accuracies_are_those_of_the_table():
    ours = explorer.accuracies(Choice("digits", "lightlayers", 3), stored())
    assert list(ours["trained by"]) == ["recipe paper"]
    table = (OUTPUTS / "tables" / "digits.csv").read_text()
    assert f"LightLayers (K = 3),6135,79824,5,{ours['accuracy'][0]}" in table
    assert ours["low"][0] < ours["min"][0] < ours["max"][0] < ours["high"][0]
    paper = explorer.accuracies(Choice("mnist", "lightlayers", 3), [])
    assert paper.iloc[0, :4].tolist() == ["the paper, Table 1", 6135, 1, 0.9775]
    assert len(explorer.accuracies(Choice("mnist", "spatial", 3), [])) == 0


def controls(box):
    top, middle, view = box.children
    return [*top.children, *middle.children, view]


def test_a_changed_widget_changes_what_is_shown():
    box = explorer.controls(stored(), OUTPUTS, Choice("digits", "lightlayers", 3))
    dataset, method, recipe, rank, view = controls(box)
    assert "6,135 parameters" in view.value and "0.8317" in view.value
    seen = {view.value}
    for control, value, expected in [
        (rank, 4, "7,878 parameters"),
        (method, "spatial", "No run of it by recipe paper is stored"),
        (rank, 8, "rank 8"),  # of which no run is planned
        (dataset, "mnist", "5,538 parameters"),
        (recipe, "corrected", "--rows spatial-8 --recipe corrected"),
        (method, "conv2d", "18,706 parameters"),
        (dataset, "cifar100", "the paper, Table 4"),
    ]:
        control.value = value
        assert expected in view.value
        seen.add(view.value)
    assert len(seen) == 8
    assert rank.disabled
    method.value = "lightlayers"
    assert not rank.disabled


def test_what_is_not_stored_says_how_to_train_it():
    said = explorer.sentences(Choice("cifar100", "lightlayers", 9), [])
    assert said[-1].endswith("lightlayers reproduce cifar100 --rows lightlayers-9")
    said = " ".join(explorer.sentences(Choice("digits", "lightlayers", 3), stored()))
    assert "33% of Conv2D" in said and "No run" not in said


@pytest.mark.parametrize(
    "wrong", [("svhn", "conv2d"), ("mnist", "conv2d", 3), ("mnist", "lightlayers", 3, "cake")]
)
def test_a_wrong_choice_is_refused(wrong):
    with pytest.raises(ValueError, match="Received: "):
        Choice(*wrong)


@pytest.mark.parametrize("dataset", datasets.NAMES)
def test_the_sheet_has_the_first_test_images(dataset, tmp_path):
    sheet = OUTPUTS / "figures" / f"{dataset}-shown.png"
    assert sheet.stat().st_size < 50_000
    folder = os.environ.get(datasets.VARIABLE, "nowhere")
    if dataset != "digits" and not pathlib.Path(folder, f"{dataset}.npz").exists():
        pytest.skip(f"{dataset} is not in {datasets.VARIABLE}")
    fresh = figures.shown_sheet(dataset, tmp_path)
    data = datasets.load(dataset)
    for file in (sheet, fresh):
        with Image.open(file) as picture:
            assert picture.text["labels"].split() == [str(label) for label in data.y_test[:16]]
            pixels = np.asarray(picture)
        side = pixels.shape[0]
        for i, image in enumerate(data.x_test[:16]):
            assert (pixels[:, i * side : (i + 1) * side] == image.squeeze()).all()


def test_predictions_are_counted_right(monkeypatch, tmp_path):
    """A record that says the true class of all images but one."""
    sheet = figures.shown_sheet("digits", tmp_path)
    chances = np.eye(10, dtype=int)[datasets.load("digits").y_test[:16]] * 1000
    chances[3] = np.roll(chances[3], 1)
    shown = {"per_mille": chances.tolist(), "first_kernels": np.ones((3, 3, 1, 2)).tolist()}
    record = {"run": {"seed": 7}, "shown": shown}
    figure = figures.choice(explorer.costs(Choice("digits", "conv2d")), record, sheet, "abcdefghij")
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert "seed 7 on the first 16 test images: 15 right" in texts
    assert sum("\nnot " in text for text in texts) == 1


def test_it_needs_no_keras_and_says_how_long_it_takes():
    code = f"""
import sys, time
from lightlayers import explorer
records = explorer.stored({str(OUTPUTS)!r})
box = explorer.controls(records, {str(OUTPUTS)!r}, explorer.Choice("digits", "lightlayers", 1))
slider, times = box.children[1].children[1], []
for rank in (2, 3, 4, 5, 6):
    tick = time.perf_counter()
    slider.value = rank
    times.append(round(1000 * (time.perf_counter() - tick)))
print("milliseconds for a move of the slider:", times)
assert not {{"keras", "tensorflow", "jax"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
