"""Comparisons of recipes, forms and found ranks: the right pairs, seed by seed."""

import numpy as np
import pandas as pd
import pytest
from test_claims import frame, record

from lightlayers import comparisons, figures, networks, published, recipes, replication, runs


@pytest.mark.parametrize("dataset", runs.FITTING)
def test_the_compared_ranks_are_the_largest_that_fit(dataset):
    def count(method, rank):
        return networks.build(dataset, method, rank, "corrected").count_params()

    def largest(form, rank, most):
        return count(form, rank) <= most < count(form, rank + 1)

    for budget, fitting in runs.FITTING[dataset].items():
        most = count("lightlayers", budget)
        for form, rank in zip(("channel", "spatial"), fitting, strict=True):
            assert largest(form, rank, most)
    counts = {row.rank: row.parameters for row in published.rows(dataset)}
    for budget, rank in runs.UNIFORM.get(dataset, {}).items():
        assert largest("spatial", rank, counts[budget])
    assert largest("spatial", runs.AIMED[dataset], comparisons.AIMS[dataset][0])
    assert comparisons.AIMS[dataset][0] in counts.values()


def test_experiments_compare_what_they_say():
    rows = {(run.dataset, run.row) for run in runs.plan_experiment("corrected")}
    assert len(rows) == 8 + 12 + 9 + 8
    found = {
        (dataset, f"{form}-{rank}")
        for dataset, budgets in runs.FITTING.items()
        for fitting in budgets.values()
        for form, rank in zip(("channel", "spatial"), fitting, strict=True)
    }
    assert found < rows
    planned = runs.plan_experiment("starts")
    assert len(planned) == 2 * 4 * 5 + 2 * 5 and {run.recipe for run in planned} == {
        "corrected",
        *recipes.STARTS,
    }
    for run in runs.plan_experiment("starts"):
        assert (run.dataset, run.row) in rows


def test_gains_are_paired():
    found = frame(
        ("mnist", "conv2d", None, (0.90, 0.91, 0.92)),
        ("mnist", "conv2d", None, (0.93, 0.95, 0.94), "corrected"),
        ("mnist", "spatial", 9, (0.5, 0.5, 0.5), "corrected"),
    )
    found.loc[found["recipe"] == "corrected", ["parameters", "multiply_adds"]] = 120, 400
    found.loc[found["recipe"] == "paper", ["parameters", "multiply_adds"]] = 160, 200
    # 3, 4 and 2 points: mean 3, t(0.975, 2) · 1 / sqrt(3) = 2.48.
    assert comparisons.of_recipes(found).values.tolist() == [
        ["mnist", "Conv2D, corrected", "Conv2D, paper", 120, "75%", "200%", 3, 3.0, 0.52, 5.48]
    ]


def test_forms_stand_against_the_papers_layer_and_found_ranks_against_uniform_ones():
    runs_ = frame(
        ("cifar10", "lightlayers", 5, (0.60, 0.61), "corrected"),
        ("cifar10", "spatial", 15, (0.71, 0.72), "corrected"),
        ("cifar10", "spatial", 14, (0.70, 0.73), "corrected"),
        ("cifar10", "automatic", 5, (0.71, 0.72), "corrected"),
    )
    table = comparisons.of_forms(runs_)
    assert table[["method", "over", "gain"]].values.tolist() == [
        ["spatial form (rank 15)", "LightLayers (K = 5)", 11.0]
    ]
    separable = frame(("cifar10", "separableconv2d", None, (0.70, 0.73), "corrected"))
    table = comparisons.of_forms(pd.concat([runs_, separable]))
    assert table[["method", "over", "gain"]].values.tolist()[1:] == [
        ["spatial form (rank 15)", "SeparableConv2D", 0.0]
    ]
    table = comparisons.of_ranks(runs_)
    assert table[["method", "over", "gain"]].values.tolist() == [
        ["ranks found (as K = 5)", "spatial form (rank 14)", 0.0]
    ]
    rules = frame(
        ("cifar10", "greedy", 5, (0.71, 0.72), "corrected"),
        ("cifar10", "uniform", 5, (0.70, 0.70), "corrected"),
    )
    greedy, uniform = (f"Conv2D, then {rule} ranks (as K = 5)" for rule in ("greedy", "uniform"))
    table = comparisons.of_ranks(rules)
    assert table[["method", "over", "gain"]].values.tolist() == [[greedy, uniform, 1.5]]


def test_what_gains_tell_is_said_for_each_data_set():
    labels = [("Conv2D", "a"), ("Conv2D", "b")]
    values = {"a": (0.93, 0.95, 0.94), "b": (0.90, 0.91, 0.92)}
    found = frame(
        *(
            (name, "conv2d", None, seeds[:count], recipe)
            for name, count in (("mnist", 3), ("cifar10", 2))
            for recipe, seeds in values.items()
        )
    )

    def told(*pairs):
        return comparisons.told(comparisons.gains(found, pairs), dict.fromkeys(p[0] for p in pairs))

    up, down, none = ("mnist", *labels), ("mnist", *labels[::-1]), ("mnist", labels[0], labels[0])
    assert told(up, none) == [
        "mnist: better: Conv2D, a over Conv2D, b (+3.0); worse: nothing; undecided: 1 of 2"
    ]
    assert "better: nothing; worse: Conv2D, b over Conv2D, a (-3.0)" in told(down)[0]
    few = "cifar10: fewer than three pairs of seeds"
    assert told(("cifar10", *labels)) == [few]
    assert comparisons.told(comparisons.gains(found, []), ["cifar10"]) == [few]


def test_the_figure_of_chosen_ranks_has_every_seed_and_each_mean_in_the_same_colours():
    runs_ = frame(
        ("digits", "spatial", 3, (0.90, 0.91), "corrected"),
        ("digits", "product", 1, (0.95, 0.97), "corrected"),
        ("cifar10", "product", 5, (0.71, 0.72), "corrected"),
    )
    figure = figures.chosen_ranks(runs_)
    digits, cifar10 = figure.axes
    assert [text.get_text() for text in digits.get_xticklabels()] == ["K = 1"]
    assert [text.get_text() for text in cifar10.get_xticklabels()] == ["K = 5"]

    def drawn(axis):
        points = [each.get_offsets().data for each in axis.collections if len(each.get_offsets())]
        means = [line.get_ydata().tolist() for line in axis.lines if len(line.get_ydata())]
        return sorted(np.concatenate(points)[:, 1].round(2)), means

    seeds, means = drawn(digits)
    assert seeds == [0.90, 0.91, 0.95, 0.97]
    assert sorted(round(y, 4) for ys in means for y in ys if y == y) == [0.905, 0.96]
    colors = {name: color for axis in (digits, cifar10) for name, color in legend(axis)}
    assert len(set(colors.values())) == len(colors) == 5
    assert legend(digits)[3] == legend(cifar10)[3]
    assert figures.chosen_ranks(runs_[:0]).axes


def legend(axis):
    handles, names = axis.get_legend_handles_labels()
    return [(name, line.get_color()) for line, name in zip(handles, names, strict=True)]


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
        return comparisons.helps(table, "product-l2", "corrected", names)

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


def test_aims_are_met_by_the_mean_and_entries_chosen_on_held_out_images():
    def reached(*groups):
        found = []
        for method, rank, parameters, held_out, accuracies in groups:
            for seed, accuracy in enumerate(accuracies):
                each = record("mnist", method, rank, seed, accuracy, "corrected")
                each["recipe"] = {"validation": "held-out"}
                each["history"]["val_accuracy"] = [0.1, held_out]
                each["parameters"]["total"] = parameters
                found.append(each)
        table = comparisons.aims(replication.frame(found))
        table = table[table["data set"] == "mnist"].set_index("entry")
        return [tuple(line) for line in table[["method", "n", "reached"]].values]

    ours = "spatial form (rank 9)"
    before = ("spatial", 9, 5818, 0.992)
    assert reached((*before, (0.995, 0.994, 0.993))) == [(ours, 3, "yes")] * 2
    assert reached((*before, (0.994, 0.994, 0.993))) == [(ours, 3, "no")] * 2
    assert reached((*before, (0.995, 0.995))) == [
        (ours, 2, "fewer than 3 seeds"),
        ("", 0, "not run"),
    ]
    better = ("product", 3, 6130, 0.993, (0.990, 0.990, 0.990))  # on the test set it is not
    large = ("conv2d", None, 18818, 0.999, (0.999, 0.999, 0.999))
    few = ("channel", 6, 6000, 0.998, (0.998, 0.998))
    plain = ("separableconv2d", None, 3499, 0.999, (0.999, 0.999, 0.999))  # not a light layer
    entries = reached((*before, (0.995, 0.995, 0.995)), better, large, few, plain)
    assert entries == [(ours, 3, "yes"), ("Conv2D, then product ranks (as K = 3)", 3, "no")]
    assert reached() == [(ours, 0, "not run"), ("", 0, "not run")]


def test_found_ranks_are_averaged_over_the_seeds():
    records = [record("cifar10", "automatic", 5, seed, 0.7, "corrected") for seed in (1, 2)]
    for each, rank in zip(records, (3, 4), strict=True):
        each["ranks"] = {"block1_conv1": rank}
    table = replication.found_ranks([*records, record("cifar10", "conv2d", None, 1, 0.7)])
    assert table.columns.tolist() == ["data set", "method", "block1_conv1"]
    assert table.values.tolist() == [["cifar10", "ranks found (as K = 5)", 3.5]]
    assert replication.found_ranks([]).empty
