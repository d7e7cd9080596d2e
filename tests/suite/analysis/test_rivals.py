"""Rivals: McNemar's test, its pairs, and who wins at equal parameters."""

import base64
import math

import numpy as np
import pytest
from suite.analysis.records import record_of

from lightlayers.suite import networks, plans
from lightlayers.suite.analysis import rivals
from lightlayers.suite.runs import parse_row

IMAGES = 400


def alternate(*counts):
    """Images of which so many are right, then so many wrong, and so on."""
    return np.concatenate([np.full(count, i % 2 == 0) for i, count in enumerate(counts)])


@pytest.mark.parametrize(
    ("both", "ours", "others"), [(700, 144, 256), (5, 9, 1), (0, 5, 0), (3, 1, 1), (5, 0, 0)]
)
def test_mcnemar_counts_what_only_one_has_right(both, ours, others):
    first, second = alternate(both + ours, others), alternate(both, ours, others)
    trials, least = ours + others, min(ours, others)
    tail = sum(math.comb(trials, k) for k in range(least + 1)) / 2**trials
    assert rivals.mcnemar(first, second) == pytest.approx(min(1, 2 * tail))


def test_pairs_of_networks_are_judged_by_holm_and_each_image_counts_once():
    # Alone each p-value is 2 · 0.5⁶ = 0.031. Of two of them Holm takes none.
    ours, others = alternate(50, 50), alternate(44, 56)
    assert rivals.compare_images({1: ours}, {1: others})[1] == "1 : 0 of 1"
    both = {1: ours, 2: ours}, {1: others, 2: others}
    half, pairs = rivals.compare_images(*both)
    assert pairs == "0 : 0 of 2"
    # The same networks again tell no more of the images.
    assert half == rivals.compare_images({1: ours}, {1: others})[0]
    assert half == pytest.approx(100 * 1.96 * math.sqrt(0.06 * 0.94 / 99), abs=0.01)
    far = {seed: alternate(60, 40) for seed in (1, 2)}
    assert rivals.compare_images(both[1], far)[1] == "0 : 2 of 2"
    assert rivals.compare_images({1: ours}, {3: others})[1] == ""


def records_of(row, held_out, right, recipe="corrected", bits=True):
    """Records of a row on MNIST, one for each count of test images that are right."""
    method, rank, width = parse_row(row)
    for seed, count in enumerate(right):
        record = record_of("mnist", method, rank, seed, count / IMAGES, recipe)
        record["run"] |= {"test_size": IMAGES, "width": width}
        record["recipe"] = {"validation": "held-out"}
        record["history"]["val_accuracy"] = [0.1, held_out]
        if bits:
            packed = np.packbits(alternate(count, IMAGES - count))
            record["test"]["right"] = base64.b64encode(packed).decode()
        yield record


def judge(*rows, chosen=()):
    """Each row's verdict, and the sentences."""
    table = rivals.judge_rivals([record for row in rows for record in row], dict(chosen))
    found = table[["method", "recipe", "equal", "verdict", "McNemar"]]
    return [tuple(line) for line in found.values], rivals.describe_winners(table)


LIGHT = records_of("lightlayers-3", 0.97, [399, 399, 398])  # on test images it is best
SPATIAL = list(records_of("spatial-9", 0.98, [360, 361, 362]))


def test_rivals_are_judged_against_the_light_row_that_is_best_on_held_out_images():
    conv2d = list(records_of("conv2d-w55", 0.96, [340, 341, 342]))
    separable = list(records_of("separableconv2d-w141", 0.97, [350, 364, 361], bits=False))
    wide = list(records_of("conv2d-w66", 0.99, [380, 381]))
    lines, sentences = judge(conv2d, separable, LIGHT, SPATIAL, wide)
    rest, work = ("corrected", "parameters"), ("corrected", "multiply-adds")
    assert lines == [
        ("Conv2D, 55% of the filters", *rest, "worse", "0 : 3 of 3"),
        ("SeparableConv2D, 141% of the filters", *rest, "undecided", ""),
        ("LightLayers (K = 3)", *rest, "better", "3 : 0 of 3"),
        ("spatial form (rank 9)", *rest, "best light row", lines[3][-1]),
        ("Conv2D, 66% of the filters", *work, "fewer than 3 seeds", "2 : 0 of 2"),
    ]
    assert len(sentences) == 2
    assert sentences[0].startswith(
        "mnist, equal parameters, corrected: undecided, SeparableConv2D, 141% of the filters "
        "against spatial form (rank 9) (-0.7 points, "
    )
    assert sentences[1].startswith("mnist, equal multiply-adds, corrected: fewer than 3 seeds")
    assert judge()[1] == [] and judge(conv2d)[0][0][3] == "alone"
    close = list(records_of("separableconv2d-w141", 0.97, [361, 361, 362]))  # within 0.5 points
    lines, sentences = judge(close, SPATIAL)
    assert lines[0][3] == "as good" and "corrected: neither wins" in sentences[0]


def test_what_pilot_runs_chose_is_a_group_of_its_own():
    recipe = "corrected-l2-1e-3-rate-2x"
    conv2d = list(records_of("conv2d-w55", 0.96, [380, 381, 382], recipe))
    chosen = {("mnist", "conv2d-w55"): recipe, ("mnist", "spatial-9"): "corrected"}
    lines, sentences = judge(conv2d, SPATIAL, chosen=chosen.items())
    assert [line[:2] for line in lines] == [
        ("spatial form (rank 9)", "corrected"),
        ("Conv2D, 55% of the filters", "chosen: l2-1e-3-rate-2x"),
        ("spatial form (rank 9)", "chosen: as corrected"),
    ]
    assert len(sentences) == 1 and "chosen penalty and rate: the rival wins" in sentences[0]


@pytest.mark.parametrize("dataset", plans.EQUAL_PARAMETERS)
def test_each_row_is_the_largest_of_its_kind(dataset):
    k = {"mnist": 3}.get(dataset, 5)
    budget = plans.make_budget(dataset, k).parameters
    rows = plans.EQUAL_PARAMETERS[dataset]
    methods = [parse_row(row)[0] for row in rows]
    assert plans.fit_rows(dataset, methods, "corrected", budget) == list(rows)
    method, rank, width = parse_row(rows[-1])
    assert method == "spatial"
    counts = networks.count_layers(dataset, method, rank, "corrected", width)
    work = int(counts["multiply-adds"].sum())
    for row in plans.EQUAL_WORK[dataset]:
        method = parse_row(row)[0]
        assert plans.fit_row(dataset, method, "corrected", work, "multiply-adds") == row


def test_pilot_runs_are_listed_by_row_and_recipe():
    found = []
    for recipe, held_out in (("corrected", 0.97), ("corrected-rate-2x", 0.98)):
        found += records_of("conv2d-w55", held_out, [300], recipe)
    table = rivals.list_pilots(found, {("mnist", "conv2d-w55"): "corrected-rate-2x"})
    assert table.to_dict("records") == [
        {
            "data set": "mnist",
            "method": "Conv2D, 55% of the filters",
            "chosen": "rate-2x",
            "as corrected": 0.97,
            "rate-2x": 0.98,
        }
    ]
    assert rivals.list_pilots(found, {})["chosen"][0] == ""
    assert rivals.list_pilots([], {}).empty
