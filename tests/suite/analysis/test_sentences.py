"""Sentences: what is said of tables, word for word where it matters."""

import pytest
from suite.analysis.records import RECORDS, frame

from lightlayers.suite.analysis import comparisons, sentences, tables


@pytest.fixture
def runs():
    return tables.frame(RECORDS)


def test_methods_stand_against_the_baseline_by_welch(runs):
    (line,) = sentences.describe_differences(runs)
    # 71, 72, 73 less 90: mean -18, t(0.975, 2) · 1 / sqrt(3) = 2.48.
    assert "50% of Conv2D's parameters" in line
    assert "-18.0 points" in line and "-20.5 to -15.5; below it in 9 of 9 pairs of runs" in line
    light = runs["method"] != "conv2d"
    assert "No run of Conv2D is stored" in sentences.describe_differences(runs[light])[0]
    (few,) = sentences.describe_differences(runs[light | (runs["seed"] == 1)])
    assert few.endswith("is -18.0 points of accuracy from it.")  # of other seeds, and no interval


def test_what_gains_tell_is_said_for_each_data_set():
    labels = [("Conv2D", "corrected"), ("Conv2D", "paper")]
    values = {"corrected": (0.93, 0.95, 0.94), "paper": (0.90, 0.91, 0.92)}
    found = frame(
        *(
            (name, "conv2d", None, seeds[:count], recipe)
            for name, count in (("mnist", 3), ("cifar10", 2))
            for recipe, seeds in values.items()
        )
    )

    def told(*pairs):
        return sentences.describe_gains(
            comparisons.gains(found, pairs), dict.fromkeys(p[0] for p in pairs)
        )

    up, down, none = ("mnist", *labels), ("mnist", *labels[::-1]), ("mnist", labels[0], labels[0])
    assert told(up, none) == [
        "mnist: better: Conv2D, corrected over Conv2D, paper (+3.0); worse: nothing; "
        "no difference of 0.5 points: Conv2D over Conv2D (+0.0); undecided: 0 of 2"
    ]
    assert "better: nothing; worse: Conv2D, paper over Conv2D, corrected (-3.0)" in told(down)[0]
    few = "cifar10: fewer than three seeds"
    assert told(("cifar10", *labels)) == [few]
    assert sentences.describe_gains(comparisons.gains(found, []), ["cifar10"]) == [few]


def test_a_change_helps_only_if_it_does_on_all_data_sets():
    low, high = (0.5, 0.51, 0.52, 0.51, 0.5), (0.6, 0.62, 0.61, 0.6, 0.61)

    def told(*values):
        found = [
            (name, "spatial", 9, accuracies, recipe)
            for name, chosen in zip(("mnist", "cifar10"), values, strict=False)
            for recipe, accuracies in (("corrected", low), ("product-l2", chosen))
        ]
        return decided(frame(*found))

    def decided(table, names=("mnist", "cifar10")):
        # What the test set says has no say.
        table = table.assign(held_out=table["accuracy"], accuracy=1 - table["accuracy"])
        return sentences.describe_change(table, "product-l2", "corrected", names)

    assert told(high, high).startswith("helps on all")
    assert told(high).startswith("not decided")  # the other data set has no runs at all
    assert told(high, low) == "its interval does not lie above zero on cifar10: left out"
    assert "on mnist, cifar10: left out" in told(low, low)
    assert told(high[:4], high).startswith("not decided")
    unpaired = [("mnist", "spatial", 9, low[:3], "corrected")]
    unpaired += [("mnist", "spatial", 9, high, "product-l2")]
    assert decided(frame(*unpaired), ["mnist"]).startswith("not decided")
    assert "on mnist: left out" in told(low, high[:4])  # the other can't change that
    assert decided(frame()).startswith("not decided")
    near = [0.5, 0.51, 0.52, 0.51, 0.5], [0.5001, 0.51008, 0.52009, 0.51011, 0.5001]
    table = frame(
        *(
            ("mnist", "spatial", 9, x, r)
            for x, r in zip(near, ("corrected", "product-l2"), strict=True)
        )
    )
    assert decided(table, ["mnist"]).startswith("helps")  # by less than the tables show
