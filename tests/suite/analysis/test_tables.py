"""Tables: from records to one row a run, then to one row a method."""

import pandas as pd
import pytest
from suite.analysis.records import RECORDS, record, record_of

from lightlayers.suite.analysis import tables
from lightlayers.suite.store import Store


@pytest.fixture
def runs():
    return tables.frame(RECORDS)


def test_summary_is_mean_and_spread_over_seeds(runs):
    table = tables.summary(runs).set_index("method")
    row = table.loc["LightLayers (K = 2)"]
    assert (row["n"], row["accuracy"], row["sd"]) == (3, 0.72, 0.01)
    assert (row["min"], row["max"], row["loss"]) == (0.71, 0.73, 0.28)
    assert list(table.index) == ["Conv2D", "LightLayers (K = 2)"]
    assert table.loc["Conv2D", "parameters"] == 200


def test_sizes_of_ranks_that_the_seeds_chose_are_means(runs):
    chosen = runs["label"] == "LightLayers (K = 2)"
    runs.loc[chosen, "parameters"] = [100, 101, 105]
    table = tables.summary(runs).set_index("method")
    assert table["parameters"].to_dict() == {"Conv2D": 200, "LightLayers (K = 2)": 102}


def test_networks_gives_the_share_of_the_first_row(runs):
    table = tables.cost_table(runs)
    assert list(table["of Conv2D"]) == ["100%", "50%"]


def test_networks_takes_the_timings_of_its_own_rows(runs):
    rows = [
        {"dataset": "digits", "row": "lightlayers-2", "task": "train", "milliseconds": 12.345},
        {"dataset": "mnist", "row": "conv2d", "task": "train", "milliseconds": 99},
        {"dataset": "digits", "row": "lightlayers-2", "task": "memory", "megabytes": 1.234},
        {"dataset": "digits", "row": "lightlayers-2", "task": "file", "kilobytes": 4.321},
    ]
    device = {"backend": "tensorflow", "processor": "X", "threads": 2}
    table = tables.cost_table(runs, {"environment": device, "rows": rows}).set_index("method")
    assert set(table["measured on"]) == {"tensorflow, X, 2 threads"}
    assert table.loc["LightLayers (K = 2)", "training step (ms)"] == 12.35
    assert table.loc["LightLayers (K = 2)", "training step (MB)"] == 1.23
    assert table.loc["LightLayers (K = 2)", "weight file (kB)"] == 4.32
    assert table["training step (ms)"].isna().to_dict()["Conv2D"]
    assert tables.cost_table(runs).columns[-1] == "epoch on"
    slow = runs.assign(seconds_per_epoch=runs["seed"].add(0.5))
    table = tables.cost_table(slow)
    assert list(table["epoch (s)"]) == [2.5, 2.5]  # of seeds 2 and 3: the first had two threads
    assert set(table["epoch on"]) == {"tensorflow, Y, 1 thread"}


def test_found_ranks_are_averaged_over_the_seeds():
    records = [record_of("cifar10", "automatic", 5, seed, 0.7, "corrected") for seed in (1, 2)]
    for each, rank in zip(records, (3, 4), strict=True):
        each["ranks"] = {"block1_conv1": rank}
    table = tables.rank_table([*records, record_of("cifar10", "conv2d", None, 1, 0.7)])
    assert table.columns.tolist() == ["data set", "method", "block1_conv1"]
    assert table.values.tolist() == [["cifar10", "ranks found (as K = 5)", 3.5]]
    assert tables.rank_table([]).empty


def test_save_writes_csv_markdown_and_latex(runs, tmp_path):
    table = tables.summary(runs)
    tables.save_table(table, Store(tmp_path), "digits")
    assert pd.read_csv(tmp_path / "tables" / "digits.csv").equals(table)
    assert "| LightLayers (K = 2) |" in (tmp_path / "tables" / "digits.md").read_text()
    latex = (tmp_path / "tables" / "digits.tex").read_text()
    assert "LightLayers (K = 2) & 100 &" in latex and "loss sd" in latex


def test_markdown_shows_texts_as_they_are(tmp_path):
    table = pd.DataFrame({"a | b": ["<script>x</script> | y", None], "n": [1.5, 2]})
    tables.save_table(table, Store(tmp_path), "x")
    head, _, line, *_ = (tmp_path / "tables" / "x.md").read_text().splitlines()
    assert r"a \| b" in head
    assert r"&lt;script&gt;x&lt;/script&gt; \| y" in line and "1.5" in line


def test_a_run_has_the_row_and_label_of_its_width():
    records = [record("conv2d", None, seed, 0.9) for seed in (1, 2)]
    records[1]["run"]["width"] = 56
    records[1]["test"]["right"] = "gA=="  # new records say which images were right
    table = tables.frame(records)
    assert table["row"].tolist() == ["conv2d", "conv2d-w56"]
    assert table["label"].tolist() == ["Conv2D", "Conv2D, 56% of the filters"]
    assert len(tables.summary(table)) == len(tables.cost_table(table)) == 2
    assert "right" not in table


def test_a_row_whose_multiply_adds_are_not_known_has_its_place(runs):
    runs.loc[runs["label"] == "Conv2D", "multiply_adds"] = None
    table = tables.summary(runs).set_index("method")
    assert pd.isna(table.loc["Conv2D", "multiply-adds"])
    assert table.loc["LightLayers (K = 2)", "multiply-adds"] == 1000
