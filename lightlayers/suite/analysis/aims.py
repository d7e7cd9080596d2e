"""Aims: what light layers reach within the parameters of one of the paper's rows."""

from lightlayers.suite import registry
from lightlayers.suite.analysis import intervals, pairs, scatter, tables
from lightlayers.suite.runs import Run

# At most so many parameters, at least so much test accuracy: set before the runs.
AIMS = {
    "mnist": (6135, 0.9940),
    "fashion_mnist": (9621, 0.918),
    "cifar10": (20557, 0.79),
    "cifar100": (21367, 0.47),
}
ENTRIES = ("set before the runs", "best on held-out images")
LEAST_SEEDS = 3
_JUDGED = ("reached", "± of seeds", "on these images")


def judge_aims(frame):
    """Returns what is reached within the parameters of `AIMS`, by two entries each.

    The first was set before the runs: the spatial form of the largest rank that fits, under
    recipe "corrected". The second is the best of all light layers that fit and have three seeds:
    that with the largest mean accuracy on held-out training images.

    Args:
        frame: DataFrame, as `tables.frame` returns it.

    Returns:
        A `pandas.DataFrame`: `data set`, `at most` (parameters), `aim`, `entry`, `fitting`
        (how many the second was chosen from), `method`, `recipe`, `parameters` (the most of a
        seed), `n`, `held-out` and `accuracy` (means), `±` (half its 95% interval, over
        seeds and test images), `reached` (yes or no where that interval lies above the aim or
        below, else undecided, from three seeds on), `± of seeds` and `on these images` (the same
        if the test images are taken as they are).
    """
    import pandas as pd

    light = {name for name, entry in registry.entries().items() if entry.group == "light"}
    frame = frame[frame["method"].isin(light) & frame["held_out"].notna()]
    pools, lines = scatter.pool_scatter(frame), []
    for dataset, (most, aim) in AIMS.items():
        ours = frame[frame["dataset"] == dataset]
        groups = dict(iter(ours.groupby(["label", "recipe"], sort=False)))
        fitting = _find_fitting(groups, most)
        aimed = Run.from_row(dataset, pairs.aimed_row(dataset), "corrected").label, "corrected"
        best = max(fitting, key=fitting.get, default=("", ""))
        for entry, key in zip(ENTRIES, (aimed, best), strict=True):
            line = {"data set": dataset, "at most": most, "aim": aim, "entry": entry}
            line |= {"fitting": len(fitting), "method": key[0], "recipe": key[1]}
            lines.append(line | _describe_entry(groups.get(key), aim, pools))
    columns = "data set,at most,aim,entry,fitting,method,recipe,parameters,n,held-out,accuracy,±"
    return pd.DataFrame(lines).reindex(columns=[*columns.split(","), *_JUDGED])


def _find_fitting(groups, most):
    """Returns the mean held-out accuracy of the groups that fit and have three seeds."""
    fitting = {}
    for key, rows in groups.items():
        if rows["parameters"].max() <= most and len(rows) >= LEAST_SEEDS:
            fitting[key] = rows["held_out"].mean()
    return fitting


def _describe_entry(rows, aim, pools):
    """Returns what an entry's runs give, `None` where there are none."""
    if rows is None:
        return {"n": 0, "reached": "not run", "on these images": "not run"}
    line = tables.summary(rows, pools).iloc[0].to_dict()
    line["parameters"] = rows["parameters"].max()
    line["held-out"] = rows["held_out"].mean().round(4)
    estimate = scatter.estimate_row(rows, pools)
    of_seeds = intervals.t_interval(estimate)[1] - estimate.mean
    both = intervals.margin_of_accuracy(estimate, rows["test_size"].iloc[0])
    line["± of seeds"] = round(of_seeds, 4)
    for name, margin in (("reached", both), ("on these images", of_seeds)):
        line[name] = f"fewer than {LEAST_SEEDS} seeds"
        if len(rows) >= LEAST_SEEDS:
            line[name] = _judge_aim(estimate.mean, margin, aim)
    return line


def _judge_aim(mean, margin, aim):
    if abs(mean - aim) <= margin:
        return "undecided"
    return "yes" if mean > aim else "no"
