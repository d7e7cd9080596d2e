"""From records to tables, conclusions and figures."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import special

from lightlayers import claims, datasets, figures, headline, replication


def record(method, rank, seed, accuracy, parameters=100):
    return {
        "run": {
            "dataset": "digits",
            "method": method,
            "rank": rank,
            "recipe": "paper",
            "seed": seed,
        },
        "recipe": {"validation": "test"},
        "test": {"accuracy": accuracy, "loss": 1 - accuracy, "cross_entropy": (1 - accuracy) / 2},
        "parameters": {"total": parameters, "trainable": parameters},
        "multiply_adds": 1000,
        "history": {
            "loss": [1.0, 0.5],
            "val_accuracy": [accuracy / 2, accuracy],
            "val_loss": [1.0, 1 - accuracy],
            "seconds": [9, 1],
        },
        "environment": {
            "backend": "tensorflow",
            "device": "CPU",
            "processor": "Y",
            "threads": 1 + (seed == 1),
        },
    }


RECORDS = [
    *(record("conv2d", None, seed, 0.9, 200) for seed in (1, 2, 3)),
    *(record("lightlayers", 2, seed, 0.7 + seed / 100) for seed in (1, 2, 3)),
]


OWN = (0.904, 0.905, 0.906, 0.93)


@pytest.fixture
def runs():
    return replication.frame(RECORDS)


def test_summary_is_mean_and_spread_over_seeds(runs):
    table = replication.summary(runs).set_index("method")
    row = table.loc["LightLayers (K = 2)"]
    assert (row["n"], row["accuracy"], row["sd"]) == (3, 0.72, 0.01)
    assert (row["min"], row["max"], row["loss"]) == (0.71, 0.73, 0.28)
    assert list(table.index) == ["Conv2D", "LightLayers (K = 2)"]
    assert table.loc["Conv2D", "parameters"] == 200


def test_networks_gives_the_share_of_the_first_row(runs):
    table = replication.networks(runs)
    assert list(table["of Conv2D"]) == ["100%", "50%"]


def test_conclusions_pair_the_seeds(runs):
    (line,) = replication.conclusions(runs)
    # Differences -19, -18, -17 points: mean -18, t(0.975, 2) · 1 / sqrt(3) = 2.48.
    assert "50% of Conv2D's parameters" in line
    assert "-18.0 points" in line and "-20.5 to -15.5; below it in 3 of 3 seeds" in line
    light = runs["method"] != "conv2d"
    assert "No run of Conv2D is stored" in replication.conclusions(runs[light])[0]
    apart = replication.conclusions(runs[light != (runs["seed"] == runs["seed"].iloc[0])])
    assert apart == ["LightLayers (K = 2) shares no seed with Conv2D yet."]


def test_networks_takes_the_timings_of_its_own_rows(runs):
    rows = [
        {"dataset": "digits", "row": "lightlayers-2", "task": "train", "milliseconds": 12.345},
        {"dataset": "mnist", "row": "conv2d", "task": "train", "milliseconds": 99},
        {"dataset": "digits", "row": "lightlayers-2", "task": "memory", "megabytes": 1.234},
        {"dataset": "digits", "row": "lightlayers-2", "task": "file", "kilobytes": 4.321},
    ]
    device = {"backend": "tensorflow", "processor": "X", "threads": 2}
    table = replication.networks(runs, {"environment": device, "rows": rows}).set_index("method")
    assert set(table["measured on"]) == {"tensorflow, X, 2 threads"}
    assert table.loc["LightLayers (K = 2)", "training step (ms)"] == 12.35
    assert table.loc["LightLayers (K = 2)", "training step (MB)"] == 1.23
    assert table.loc["LightLayers (K = 2)", "weight file (kB)"] == 4.32
    assert table["training step (ms)"].isna().to_dict()["Conv2D"]
    assert replication.networks(runs).columns[-1] == "epoch on"
    slow = runs.assign(seconds_per_epoch=runs["seed"].add(0.5))
    table = replication.networks(slow)
    assert list(table["epoch (s)"]) == [2.5, 2.5]  # of seeds 2 and 3: the first had two threads
    assert set(table["epoch on"]) == {"tensorflow, Y, 1 thread"}


def test_sizes_of_ranks_that_the_seeds_chose_are_means(runs):
    chosen = runs["label"] == "LightLayers (K = 2)"
    runs.loc[chosen, "parameters"] = [100, 101, 105]
    table = replication.summary(runs).set_index("method")
    assert table["parameters"].to_dict() == {"Conv2D": 200, "LightLayers (K = 2)": 102}


def test_intervals_that_hold_what_nothing_learned_gives():
    columns = "dataset method measure verdict low high published"
    cells = pd.DataFrame(
        [
            ("mnist", "A", "accuracy", "REPLICATED", 0.09, 0.11, 0.1),
            ("mnist", "A", "loss", "REPLICATED", 2.31, 2.4, 2.35),  # log 10 is 2.303
            ("mnist", "A", "cross-entropy", "REPLICATED", 2.2, 2.4, 2.35),  # the same number
            ("mnist", "B", "loss", "DIFFERENT", 2.0, 2.1, 2.32),
            ("cifar100", "B", "loss", "REPLICATED", 4.5, 4.61, 4.55),  # log 100 is 4.605
            ("cifar100", "B", "accuracy", "DIFFERENT", 0.009, 0.011, 0.02),
            ("cifar100", "C", "loss", "REPLICATED", np.nan, np.nan, 4.6),
        ],
        columns=columns.split(),
    )
    found = [True, False, True, False, True, True, False]
    assert replication.at_chance(cells).tolist() == found
    told = claims.says_little(cells)
    assert "Of the 4 published numbers" in told
    assert "nothing for 2 (mnist A, cifar100 B)" in told
    assert "table for 2 (mnist A, cifar100 B)" in told


def test_runs_that_learn_nothing_are_counted_by_row(runs):
    assert headline.stuck(runs) == "0 of 6 runs learn nothing and stay at chance."
    runs.loc[[1, 4, 5], "cross_entropy"] = [2.28, 2.27, 2.4]  # log 10 is 2.303
    assert list(runs.index[replication.stuck(runs)]) == [1, 5]
    told = (
        "2 of 6 runs learn nothing and stay at chance (digits Conv2D: 1 of 3, digits LightLayers "
    )
    assert headline.stuck(runs) == told + "(K = 2): 1 of 3)."


def test_intervals_are_tried_on_our_own_runs():
    runs = replication.frame(
        [
            *(record("conv2d", None, seed, value) for seed, value in enumerate(OWN)),
            *(record("lightlayers", 2, seed, 0.5 + seed / 9) for seed in (1, 2, 3)),  # too few
        ]
    )
    # Of the four, the last alone is outside of what the others foresee: .90 to .91.
    assert replication.foreseen(runs, "accuracy") == (3, 4)
    apart = runs.assign(recipe=[*("abcd"), *("aaa")])
    assert replication.foreseen(apart, "accuracy") == (0, 0)
    assert "3 of 4 accuracies and 3 of 4 losses lie" in headline.foreseen(runs)
    assert replication.missed(runs, "accuracy") == 0.25
    assert replication.missed(apart, "accuracy") == 0.05


def test_save_writes_csv_markdown_and_latex(runs, tmp_path):
    table = replication.summary(runs)
    replication.save(table, tmp_path, "digits")
    assert pd.read_csv(tmp_path / "tables" / "digits.csv").equals(table)
    assert "| LightLayers (K = 2) |" in (tmp_path / "tables" / "digits.md").read_text()
    latex = (tmp_path / "tables" / "digits.tex").read_text()
    assert "LightLayers (K = 2) & 100 &" in latex and "loss sd" in latex


def test_every_seed_is_a_point_in_the_figure(runs):
    axis = figures.accuracy_against_parameters(runs, "digits").axes[0]
    drawn = np.concatenate([line.get_ydata() for line in axis.lines])
    for accuracy in runs["accuracy"]:
        assert np.isclose(drawn, accuracy).any()
    assert any("K = 2" in text.get_text() for text in axis.texts)
    plt.close("all")


def test_ranks_of_forms_of_one_size_can_be_read():
    rows = (("lightlayers", 5, 9102), ("channel", 10, 8866), ("spatial", 15, 8986))
    other = record("lightlayers", 1, 42, 0.8, 2615)
    runs = replication.frame([other, *(record(*row[:2], 42, 0.91, row[2]) for row in rows)])
    axis = figures.accuracy_against_parameters(runs, "digits").axes[0]
    axis.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    plt.close("all")


def test_a_seed_at_chance_or_without_a_fault_leaves_the_others_room(runs):
    runs["accuracy"] = [0.96, 0.98, 0.99, 0.1, 0.95, 1.0]
    axis = figures.accuracy_against_parameters(runs, "digits").axes[0]
    axis.figure.canvas.draw()
    low, one, two, high = axis.transAxes.inverted().transform(
        axis.transData.transform([(100, y) for y in (0.1, 0.96, 0.98, 1 - 5e-5)])
    )[:, 1]
    assert 0 < low < one < two < high < 1 and two - one > 0.05
    assert len(axis.get_yticks()) >= 4
    plt.close("all")


def test_curves_show_mean_and_range():
    axes = figures.learning_curves(RECORDS).axes
    titles = [axis.get_title() for axis in axes]
    assert titles == ["Conv2D", "LightLayers (K = 2)"]
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), [0.36, 0.72])
    band = axes[1].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.355, 0.73))
    plt.close("all")


def test_a_saved_figure_is_the_same_file_each_time(runs, tmp_path):
    for folder in ("a", "b"):
        figures.save(figures.accuracy_against_parameters(runs, "digits"), tmp_path / folder, "x")
    plt.close("all")
    files = [(tmp_path / folder / "figures" / "x.png").read_bytes() for folder in ("a", "b")]
    assert files[0] == files[1]


def test_samples_shows_one_image_of_each_class():
    images, labels = np.zeros((4, 2, 2, 1), "uint8"), np.array([0, 1, 1, 0])
    data = datasets.Data(images, labels, images, labels)
    figure = figures.samples(data, ["zero", "one"], count=2)
    assert [axis.get_title() for axis in figure.axes] == ["zero", "one"]
    plt.close("all")


def test_interval_covers_one_more_run():
    # Five seeds and one published number from one distribution, two thousand times.
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        draws = special.expit(rng.normal(3, 0.3, 6))
        low, high = replication.interval(draws[:5], "accuracy")
        inside += low <= draws[5] <= high
    assert 0.93 < inside / 2000 < 0.97


def test_interval_stays_within_what_is_possible():
    low, high = replication.interval([0.999, 1.0, 0.98], "accuracy")
    assert 0 < low < high < 1
    assert replication.interval([0.01, 0.5, 3.0], "loss")[0] > 0


@pytest.mark.parametrize(
    ("printed", "values", "measure", "dataset", "expected"),
    [
        (".9775", [0.9768, 0.9778, 0.9773], "accuracy", "mnist", "REPLICATED"),
        (".9775", [0.95, 0.98, 0.97], "accuracy", "mnist", "CONSISTENT, IMPRECISE"),
        (".9775", [0.9740, 0.9741, 0.9742], "accuracy", "mnist", "CLOSE"),
        (".9775", [0.9700, 0.9701, 0.9702], "accuracy", "mnist", "DIFFERENT"),
        (".9775", [0.9700, 0.9701, 0.9702], "accuracy", "cifar10", "CLOSE"),
        (".9775", [0.9775, 0.9775], "accuracy", "mnist", "NOT RUN"),
        # Equal seeds make an interval of no width: the rounding box decides.
        (".789", [0.7894, 0.7894, 0.7894], "accuracy", "fashion_mnist", "REPLICATED"),
        (".7890", [0.7894, 0.7894, 0.7894], "accuracy", "fashion_mnist", "CLOSE"),
        (".018", [0.041, 0.042, 0.043], "loss", "mnist", "DIFFERENT"),
        ("1.21", [1.215, 1.204, 1.212], "loss", "cifar10", "REPLICATED"),
    ],
)
def test_verdict(printed, values, measure, dataset, expected):
    assert replication.verdict(printed, values, measure, dataset) == expected


def test_table_beside_the_paper_says_how_many_seeds_there_are(runs):
    table = replication.against_paper(runs.assign(dataset="mnist"), "mnist")
    assert len(table) == 18
    row = table[(table["method"] == "LightLayers (K = 2)") & (table["measure"] == "accuracy")]
    assert row[["published", "n", "mean", "verdict"]].values.tolist() == [
        [0.9749, 3, 0.72, "DIFFERENT"]
    ]
    # The same published loss against ours with and without the penalties.
    losses = table[table["method"] == "LightLayers (K = 2)"].set_index("measure")
    assert losses.loc[["loss", "cross-entropy"], "published"].tolist() == [0.0554] * 2
    assert losses.loc[["loss", "cross-entropy"], "mean"].tolist() == [0.28, 0.14]
    empty = replication.against_paper(replication.frame([]), "cifar100")
    assert set(empty["verdict"]) == {"NOT RUN"} and set(empty["n"]) == {0}
    figure = figures.verdicts({"mnist": table, "cifar100": empty})
    drawn = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert drawn == list(table["published"][::3])
    plt.close("all")


def test_cells_outside_by_chance():
    verdicts = ["REPLICATED"] * 18 + ["CLOSE", "DIFFERENT", "NOT RUN"]
    out, judged, chance = replication.outside(verdicts)
    assert (out, judged) == (2, 20)
    assert chance == pytest.approx(1 - 0.95**20 - 20 * 0.05 * 0.95**19)
    assert replication.outside(verdicts[17:], 0.25)[2] == pytest.approx(
        1 - 0.75**3 - 3 * 0.25 * 0.75**2
    )


def test_a_class_that_few_images_lack_has_an_empty_place():
    data = datasets.load("digits").limited(3, 3)
    figure = figures.samples(data, datasets.CLASSES["digits"])
    shown = [bool(axis.images) for axis in figure.axes]
    assert len(shown) == 10 and sum(shown) == len(set(data.y_train)) <= 3
    plt.close(figure)


def test_contact_sheet_needs_the_data_only_once(tmp_path, monkeypatch):
    file = figures.contact_sheet("digits", tmp_path)
    assert file.read_bytes().startswith(b"\x89PNG") and not plt.get_fignums()
    monkeypatch.setattr(datasets, "load", lambda name: pytest.fail("the data was asked for"))
    assert figures.contact_sheet("digits", tmp_path) == file


def test_ablation_figure_has_a_point_for_every_seed(runs):
    both = pd.concat([runs, runs.assign(recipe="no-scale", accuracy=runs["accuracy"] + 0.05)])
    light = both[both["method"] == "lightlayers"]
    (axis,) = figures.ablation(light).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["paper", "no-scale"]
    drawn = np.concatenate([line.get_xdata() for line in axis.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(sorted(drawn), sorted(light["accuracy"]))
    assert figures.ablation(runs[:0]).axes
    plt.close("all")


@pytest.mark.parametrize(("losses", "bars"), [([2.3, 0.01], 0), ([2.3, 0.01, 0.02], 1)])
def test_verdict_figure_stays_readable_whatever_the_interval(losses, bars):
    runs = replication.frame(
        [record("conv2d", None, seed, 1 - loss / 3) for seed, loss in enumerate(losses)]
    ).assign(dataset="mnist", loss=losses)
    table = replication.against_paper(runs, "mnist")
    assert table["high"].max() > 10
    figure = figures.verdicts({"mnist": table})
    for axis in figure.axes:
        # Of what was printed and run, .018 to 2.3, and a twelfth more at each end of its logarithm.
        assert axis.get_xlim()[1] < 4
        assert len(axis.get_xticks()) >= 3 and not axis.get_xticks(minor=True).any()
        assert sum(line.get_linewidth() == 7 for line in axis.lines) == bars
    plt.close(figure)
