"""The explorer: its arithmetic is that of live networks, its widgets answer, without Keras."""

import dataclasses
import functools
import pathlib
import subprocess
import sys

import pytest

from lightlayers.suite import explorer, networks, paper, registry
from lightlayers.suite.explorer import Choice
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store

ROOT = pathlib.Path(__file__).parents[2]
STORE = Store(ROOT / "outputs")


@functools.cache
def stored():
    return explorer.read_records(STORE)


def size_of(method, size):
    return size if registry.entries()[method].knob else None


def totals(choice):
    return tuple(explorer.costs(choice)[["parameters", "multiply-adds"]].sum())


@pytest.mark.parametrize("recipe", ["paper", "corrected"])
@pytest.mark.parametrize(
    ("dataset", "method", "rank"),
    [
        ("mnist", "conv2d", None),
        ("cifar100", "separableconv2d", None),
        *(("mnist", method, size_of(method, 3)) for method in explorer.METHODS[2:]),
        *(("cifar100", method, size_of(method, 5)) for method in explorer.METHODS[2:]),
    ],
)
def test_costs_are_those_of_the_built_network(dataset, method, rank, recipe):
    built = networks.summarize(networks.build(dataset, method, rank, recipe))
    columns = ["layer", "parameters", "multiply-adds"]
    counted = explorer.costs(Choice(dataset, method, rank, recipe))
    # A block of several layers is counted as one: its layers' names begin with its own.
    counted = counted.sort_values("layer")
    places = sorted(counted["layer"], key=len, reverse=True)
    built = built[columns][:-1]
    built["layer"] = [next(p for p in places if name.startswith(p)) for name in built["layer"]]
    expected = built.groupby("layer", as_index=False).sum()
    assert counted.values.tolist() == expected.values.tolist()


def test_costs_are_those_of_the_paper_and_of_the_records():
    for row in paper.ROWS:
        assert totals(Choice(row.dataset, row.method, row.rank))[0] == row.parameters
    for record in stored():
        run = Run.of(record)
        if run.method in explorer.METHODS and run.width == 100:  # it shows no others
            counted = totals(Choice(run.dataset, run.method, run.rank, run.recipe))
            assert counted == (record["parameters"]["total"], record["multiply_adds"]), run


def test_only_records_of_the_choice_are_shown():
    record = {"run": Run("digits", "lightlayers", 2).to_record()}
    other = {"run": Run("digits", "lightlayers", 2, "corrected").to_record()}
    choice = Choice("digits", "lightlayers", 2, "corrected")
    assert choice.select([record, other]) == [record, other]
    assert "No run of it" in explorer.sentences(choice, [record])[1]
    assert len(explorer.sentences(choice, [other])) == 1
    assert not Choice("mnist", "lightlayers", 2).select([record])
    assert not Choice("digits", "lightlayers", 3).select([record])
    narrow = {"run": Run("digits", "lightlayers", 2, width=80).to_record()}
    assert not Choice("digits", "lightlayers", 2).select([narrow])
    assert choice.select([record, other], "corrected") == [other]


def test_accuracies_are_those_of_the_table():
    ours = explorer.accuracies(Choice("digits", "lightlayers", 3), stored())
    assert list(ours["trained by"]) == ["recipe paper"]
    table = (STORE.tables / "digits.csv").read_text()
    assert f"LightLayers (K = 3),6135,79824,5,{ours['accuracy'][0]}" in table
    assert ours["low"][0] < ours["min"][0] < ours["max"][0] < ours["high"][0]
    paper = explorer.accuracies(Choice("mnist", "lightlayers", 3), [])
    assert paper.iloc[0, :4].tolist() == ["the paper, Table 1", 6135, 1, 0.9775]
    assert len(explorer.accuracies(Choice("mnist", "spatial", 3), [])) == 0


def controls(box):
    top, middle, _, view = box.children
    return [*top.children, *middle.children, view]


def test_a_changed_widget_changes_what_is_shown():
    box = explorer.controls(stored(), STORE, Choice("digits", "lightlayers", 3))
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


def test_choices_with_stored_runs_are_marked():
    kept = [("digits", "lightlayers", 2, "paper"), ("mnist", "spatial", 9, "corrected")]
    keys = ("dataset", "method", "rank", "recipe")
    records = [each for each in stored() if tuple(each["run"][key] for key in keys) in kept]
    box = explorer.controls(records, STORE, Choice("digits", "spatial", 9, "corrected"))
    dataset, method, recipe, size, _ = controls(box)

    def marked():
        found = []
        for control in (dataset, method, recipe):
            found.append([value for text, value in control.options if text.startswith("●")])
        return found

    assert marked() == [["mnist"], [], []]
    recipe.value = "paper"
    assert marked() == [[], ["lightlayers"], []]
    dataset.value, recipe.value = "mnist", "corrected"
    assert marked() == [["mnist"], ["spatial"], ["corrected"]]
    assert "Stored sizes: 9." in box.children[2].value
    assert (dataset.value, method.value, recipe.value) == ("mnist", "spatial", "corrected")


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


def test_a_recipe_that_means_nothing_for_a_method_is_told(monkeypatch):
    entry = dataclasses.replace(registry.get("conv2d"), refused_recipes=("corrected",))
    entries = registry.entries() | {"conv2d": entry}
    monkeypatch.setattr(registry, "entries", lambda: entries)
    box = explorer.controls([], STORE, Choice("digits", "conv2d"))
    _, _, recipe, _, view = controls(box)
    assert "18,818 parameters" in view.value
    recipe.value = "corrected"
    assert "Received: method='conv2d'" in view.value
    recipe.value = "paper"
    assert "18,818 parameters" in view.value


def test_it_needs_no_keras_and_says_how_long_it_takes():
    code = f"""
import sys, time
from lightlayers.suite import explorer
from lightlayers.suite.store import Store
store = Store({str(STORE.outputs)!r})
records = explorer.read_records(store)
box = explorer.controls(records, store, explorer.Choice("digits", "lightlayers", 1))
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
