"""The paper's tables, arithmetic and claims as data, against figures typed from the paper anew."""

import dataclasses

import pandas as pd
import pytest

from lightlayers import Budget
from lightlayers.suite import paper, registry

# Rows of each table, and the sums of its three columns.
TABLES = {
    ("Table 1", "mnist"): (6, 43483, 5.7887, 0.5711),
    ("Table 2", "fashion_mnist"): (8, 64468, 6.9085, 3.2330),
    ("Table 3", "cifar10"): (7, 157469, 3.6949, 9.5682),
    ("Table 4", "cifar100"): (7, 173219, 0.7841, 26.3202),
}
CELLS = [
    ("mnist", "conv2d", None, 18818, ".9887", ".018"),
    ("mnist", "lightlayers", 4, 7878, ".9720", ".0704"),
    ("fashion_mnist", "separableconv2d", None, 3611, ".8725", ".3175"),
    ("fashion_mnist", "lightlayers", 1, 2649, ".789", ".6752"),
    ("fashion_mnist", "lightlayers", 6, 11364, ".8733", ".3986"),
    ("cifar10", "lightlayers", 3, 13247, ".4937", "1.5287"),
    ("cifar100", "conv2d", None, 82644, ".3262", "2.6576"),
    ("cifar100", "lightlayers", 5, 21367, ".0589", "4.0009"),
]


def test_tables():
    assert len(paper.ROWS) == 28
    found = {}
    for table, dataset in TABLES:
        rows = paper.rows(dataset)
        assert {row.table for row in rows} == {table}
        assert [row.rank for row in rows] == [None, None, *range(1, len(rows) - 1)]
        sums = sum(row.accuracy_value for row in rows), sum(row.loss_value for row in rows)
        found[table, dataset] = (len(rows), sum(row.parameters for row in rows), *sums)
    assert found == {key: pytest.approx(sums, abs=1e-9) for key, sums in TABLES.items()}
    assert paper.DATASETS == tuple(dataset for _, dataset in TABLES)


@pytest.mark.parametrize("cells", CELLS, ids=lambda cells: "-".join(map(str, cells[:3])))
def test_cells(cells):
    dataset, method, rank, *numbers = cells
    (row,) = [r for r in paper.rows(dataset) if (r.method, r.rank) == (method, rank)]
    assert [row.parameters, row.accuracy, row.loss] == numbers
    assert row.label == registry.label(method, rank)


def test_rows_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        paper.ROWS[0].accuracy = ".99"


def test_unknown_data_set():
    with pytest.raises(ValueError, match="Received: 'digits'"):
        paper.rows("digits")
    with pytest.raises(ValueError, match="Received: 'MNIST'"):
        paper.frame("MNIST")


@pytest.mark.parametrize(
    ("printed", "low", "high"),
    [
        (".018", 0.0175, 0.0185),
        (".9887", 0.98865, 0.98875),
        (".789", 0.7885, 0.7895),
        (".9720", 0.97195, 0.97205),
        ("1.3263", 1.32625, 1.32635),
        ("4", 3.5, 4.5),
    ],
)
def test_rounding_box(printed, low, high):
    assert paper.box(printed) == (low, high)


def test_every_printed_number_lies_in_the_middle_of_its_box():
    for row in paper.ROWS:
        for printed in (row.accuracy, row.loss):
            low, high = paper.box(printed)
            assert low < float(printed) < high
            assert (low + high) / 2 == pytest.approx(float(printed), abs=1e-12)
            decimals = len(printed.partition(".")[2])
            inside = low + (high - low) / 10, high - (high - low) / 10
            assert {f"{x:.{decimals}f}" for x in inside} == {f"{float(printed):.{decimals}f}"}


def test_numbers_are_those_of_a_test_set_of_ten_thousand():
    for row in paper.ROWS:
        assert 0 < row.accuracy_value < 1 and row.loss_value > 0
        assert round(row.accuracy_value * 10_000, 6).is_integer()


def test_frame():
    whole, part = paper.frame(), paper.frame("cifar10")
    assert len(whole) == 28 and list(whole["parameters"]) == [r.parameters for r in paper.ROWS]
    expected = whole[whole["dataset"] == "cifar10"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected)
    assert list(map(str, part["rank"].dropna())) == ["1", "2", "3", "4", "5"]
    assert part["loss"].iloc[0] == ".9701" and part["label"].iloc[-1] == "LightLayers (K = 5)"


def test_ablation():
    assert {line.place for line in paper.ABLATION} == {"Section 6"}
    found = {(line.layer, line.rank): line.printed for line in paper.ABLATION}
    assert found == {
        ("Dense", None): str(784 * 10),
        ("LightDense", 1): "796",  # as printed; 784 + 10 is 794
        ("LightDense", "k"): "786 × k",
        ("LightDense", 2): str(784 * 2 + 2 * 10),
        ("Conv2D", None): str(3 * 3 * 3 * 32),
        ("LightConv2D", 1): f"{3 * 3 * 3} + {3 * 3 * 32} = {27 + 288}",
    }


def test_claims():
    places = ["Table 1", "Table 2", "Table 3", "Table 4", "Abstract", "text", "text"]
    assert [claim.place for claim in paper.CLAIMS] == [*places, "Section 4.1", "Tables 1 to 4"]
    for claim in paper.CLAIMS[:4]:
        (row,) = [row for row in paper.rows(claim.dataset) if row.rank == claim.rank]
        assert row.table == claim.place and claim.words
    assert [claim.rank for claim in paper.CLAIMS[:4]] == [3, 5, 5, 5]
    assert all(claim.dataset is None for claim in paper.CLAIMS[4:])
    assert [bool(claim.words) for claim in paper.CLAIMS] == [True] * 6 + [False] * 3


def test_what_the_paper_says_of_the_runs():
    assert paper.EPOCHS == {"Section 4.1": 20, "Table 1": 10, "Table 2": 10}
    assert paper.FILTERS == {"Table 3": (8, 16, 32, 64), "Table 4": (8, 16, 32, 64)}


@pytest.mark.parametrize("dataset", paper.DATASETS)
def test_a_budget_like_k_has_the_parameters_of_the_papers_row(dataset):
    for row in paper.rows(dataset):
        if row.rank:
            assert Budget(like=f"K={row.rank}").resolve(dataset).parameters == row.parameters
