"""Comparisons of recipes, forms and found ranks: the right pairs, seed by seed."""

import pandas as pd
from suite.analysis.records import frame

from lightlayers.suite.analysis import comparisons


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
        + [0.9753, "pairs"]
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
    # Seeds pair no methods with different weights: 11 points, whose error is by Welch.
    assert (table["by"].item(), table["low"].item()) == ("Welch", round(11 - 4.3027 * 0.7071, 2))
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


def test_ablation_pairs_the_seeds_with_those_of_the_paper():
    runs = frame(
        ("cifar10", "lightlayers", 1, (0.30, 0.31, 0.32)),
        ("cifar10", "lightlayers", 1, (0.40, 0.42, 0.41), "no-scale"),
    )
    table = comparisons.ablation(runs, "cifar10").set_index("recipe")
    assert table.loc["paper", ["n", "accuracy"]].tolist() == [3, 0.31]
    assert pd.isna(table.loc["paper", "gain"])
    # Gains 10, 11, 9 points: mean 10, t(0.975, 2) · 1 / sqrt(3) = 2.484.
    found = table.loc["no-scale", ["pairs", "gain", "low", "high"]].tolist()
    assert found == [3, 10.0, 7.52, 12.48]


def test_changes_are_decided_by_their_intervals():
    runs = frame(
        ("cifar100", "lightlayers", 5, (0.05, 0.06, 0.07)),
        ("cifar100", "lightlayers", 5, (0.15, 0.16, 0.175), "no-scale"),
        ("cifar100", "lightlayers", 5, (0.02, 0.03, 0.045), "no-relu"),
        ("cifar100", "lightlayers", 5, (0.04, 0.06, 0.09), "shuffled"),
        ("cifar100", "lightlayers", 5, (0.55, 0.56), "no-l2"),  # two pairs decide nothing
    )
    table = comparisons.ablation(runs, "cifar100")
    assert comparisons.decided(table) == (["no-scale (+10.2)"], ["no-relu (-2.8)"])
    assert comparisons.decided(comparisons.ablation(runs, "cifar10")) == ([], [])


def test_no_difference_takes_an_interval_within_the_tolerance():
    base = ("mnist", "lightlayers", 1, (0.900, 0.910, 0.905))
    runs = frame(
        base,
        (*base[:3], (0.9005, 0.9101, 0.9048), "shuffled"),  # ± 0.1 points
        (*base[:3], (0.890, 0.930, 0.899), "no-relu"),  # ± 4: contains zero, and says nothing
        (*base[:3], (0.901, 0.911, 0.9061), "no-l2"),  # gains, if by little
    )
    table = comparisons.ablation(runs, "mnist")
    assert comparisons.equivalent(table) == ["shuffled (+0.0)"]
    assert comparisons.decided(table) == (["no-l2 (+0.1)"], [])
