"""The claims about costs, on measurements made so that they must hold, fail or stay open."""

import pathlib

from suite.analysis.records import frame, judge_claim

from lightlayers.suite import paper
from lightlayers.suite.analysis import efficiency
from lightlayers.suite.store import Store

ROOT = pathlib.Path(__file__).parents[3]


def test_costs_are_of_the_networks_that_the_claims_are_about():
    rows = [
        {"dataset": claim.dataset, "row": f"lightlayers-{claim.rank}", "task": task, "ratio": ratio}
        for claim in paper.CLAIMS[:4]
        for task, ratio in (
            ("forward 1", 0.6),
            ("forward 256", 1.4),
            ("train", 1.0),
            ("memory", 0.9),
            ("file", 0.5),
        )
    ]
    rows.append({"dataset": "mnist", "row": "lightlayers-1", "task": "train", "ratio": 0.1})
    timings = {"environment": {"processor": "X", "backend": "tensorflow"}, "rows": rows}
    runs = frame(("mnist", "conv2d", None, [0.9]))
    assert judge_claim(runs, 6, timings) == {"smaller weight file, of Conv2D's": "HOLDS"}
    assert judge_claim(runs, 6) == {"smaller weight file, of Conv2D's": "NOT RUN"}
    found = judge_claim(runs, 5, timings)
    assert found["less computation: inference time, of Conv2D's"] == "HOLDS IN PART"
    assert found["less computation: training time, of Conv2D's"] == "UNDECIDED"
    assert found["less computation: training memory, of Conv2D's"] == "HOLDS"
    assert found["as efficient as Conv2D"] == "HOLDS IN PART"
    # 32 → 10 has 5% more, which is no less than what counts as equal.
    dense = found["as efficient as Dense: multiply-adds of the last layer, of Dense's"]
    assert dense == "HOLDS IN PART"
    # Memory is counted, times scatter: within 30% they are equal.
    for ratio, verdict in ((1.04, "HOLDS"), (1.06, "HOLDS IN PART"), (1.31, "FAILS")):
        alike = timings | {"rows": [row | {"ratio": ratio} for row in rows]}
        assert judge_claim(runs, 5, alike)["as efficient as Conv2D"] == verdict
    for ratio, verdict in ((0.69, "HOLDS"), (0.71, "UNDECIDED")):
        alike = timings | {"rows": [row | {"ratio": ratio} for row in rows]}
        alike = judge_claim(runs, 5, alike)
        assert alike["less computation: training time, of Conv2D's"] == verdict
        assert alike["less computation: training memory, of Conv2D's"] == "HOLDS"
    # Some slower and none faster.
    mixed = [row | {"ratio": 1.31 if row["dataset"] == "mnist" else 1.0} for row in rows]
    mixed = judge_claim(runs, 5, timings | {"rows": mixed})
    assert mixed["less computation: training time, of Conv2D's"] == "FAILS"


def test_times_are_equal_within_what_the_same_network_differs_by():
    """MNIST and Fashion-MNIST have the same networks, measured one after the other."""
    rows = Store(ROOT / "outputs").measurement("networks")["rows"]
    ratios = {
        name: {
            (row["row"], row["task"]): row["ratio"]
            for row in rows
            if row["dataset"] == name and "milliseconds" in row
        }
        for name in ("mnist", "fashion_mnist")
    }
    apart = [abs(ratio - ratios["fashion_mnist"][key]) for key, ratio in ratios["mnist"].items()]
    assert len(apart) == 6 * 3 and max(apart) <= efficiency.SAME_TIME
