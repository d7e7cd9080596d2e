"""Verdicts: how each published number stands against the prediction interval of our seeds."""

from lightlayers.suite import paper
from lightlayers.suite.analysis import intervals

VERDICTS = ("REPLICATED", "CONSISTENT, IMPRECISE", "CLOSE", "DIFFERENT", "NOT RUN")
MEASURES = {"accuracy": "accuracy", "loss": "loss", "cross-entropy": "cross_entropy"}
# Older than any row with the three seeds that a verdict needs: points of accuracy as a fraction,
# share of a loss.
TOLERANCES = {"accuracy": 0.01, "mnist accuracy": 0.005, "loss": 0.10}
LEAST_SEEDS = 3
# What one seed of each gave on CIFAR-100 (K = 5) after six epochs, before the suite was built.
FIRST_LOOK = {"paper": "0.030", "no-scale": "0.100", "zero-biases": "0.022", "first-four": "0.184"}


def tolerance(dataset, scale):
    """Returns the tolerance of a data set's accuracies, a fraction, or losses, a share of each."""
    return TOLERANCES.get(f"{dataset} {scale}", TOLERANCES[scale])


def verdict(printed, values, scale, dataset):
    """Returns how one published number stands against our seeds.

    Args:
        printed: String, the number as the paper prints it, with its rounding.
        values: Sequence of floats, one per seed.
        scale: `"accuracy"` or `"loss"`.
        dataset: String, whose tolerance applies.

    Returns:
        One of `VERDICTS`: REPLICATED (inside the prediction interval, whose half-width
        is within the tolerance), CONSISTENT, IMPRECISE (inside a wider one), CLOSE
        (outside, within the tolerance of our mean), DIFFERENT, or NOT RUN (fewer than
        three seeds).
    """
    replicated, imprecise, close, different, not_run = VERDICTS
    if len(values) < LEAST_SEEDS:
        return not_run
    low, high = intervals.prediction_interval(values, scale)
    box_low, box_high = paper.box(printed)
    within = tolerance(dataset, scale)
    if scale == "loss":
        within *= float(printed)
    if box_low <= high and low <= box_high:
        return replicated if (high - low) / 2 <= within else imprecise
    mean = sum(values) / len(values)
    return close if abs(float(printed) - mean) <= within else different


def select_replications(runs):
    """Returns the runs that replicate the paper: those of its tables' rows, under recipe "paper".

    Args:
        runs: DataFrame, as `tables.frame` returns it.
    """
    places = {(row.dataset, row.label) for row in paper.ROWS}
    runs = runs[runs["recipe"] == "paper"]
    listed = [place in places for place in zip(runs["dataset"], runs["label"], strict=True)]
    return runs.loc[listed]


def against_paper(runs, dataset):
    """Returns a table of the paper beside ours, with a verdict per cell.

    Args:
        runs: DataFrame, as `tables.frame` returns it. Other data sets' rows are left out.
        dataset: String, which table.

    Returns:
        A `pandas.DataFrame` with three rows per row of the paper's table, for
        `"accuracy"`, for `"loss"` (as the authors evaluate it, with the L2 penalties) and
        for `"cross-entropy"` (without them, against the same published loss): `method`,
        `measure`, `published`, `n`, `mean`, `sd`, `min`, `max`, `low`, `high` (the
        prediction interval), `verdict`, `p` (see
        `intervals.prediction_p_value`) and `Holm in table` (`p` adjusted over the judged rows of
        this table and measure).
    """
    import pandas as pd

    lines = []
    for row in paper.rows(dataset):
        ours = runs[(runs["dataset"] == dataset) & (runs["label"] == row.label)]
        for measure, column in MEASURES.items():
            scale = scale_of(measure)
            printed, values = getattr(row, scale), ours[column]
            low, high = intervals.prediction_interval(values, scale)
            lines.append(
                {
                    "method": row.label,
                    "measure": measure,
                    "published": float(printed),
                    "n": len(values),
                    "mean": values.mean(),
                    "sd": values.std(),
                    "min": values.min(),
                    "max": values.max(),
                    "low": low,
                    "high": high,
                    "verdict": verdict(printed, list(values), scale, dataset),
                    "p": _find_p_value(printed, values, scale),
                }
            )
    table = pd.DataFrame(lines)
    table["Holm in table"] = _adjust_by_measure(table)
    return table.round(dict.fromkeys(table.columns.drop("p"), 4) | {"p": 6})


def _adjust_by_measure(cells):
    """Returns Holm's adjustment of `p` over the judged cells of each measure."""
    adjusted = cells["p"].copy()
    for _, family in adjusted.dropna().groupby(cells["measure"]):
        adjusted[family.index] = intervals.adjust_holm(list(family))
    return adjusted


def _find_p_value(printed, values, scale):
    if len(values) < LEAST_SEEDS:
        return float("nan")
    return intervals.prediction_p_value(paper.box(printed), values, scale)


def scale_of(measure):
    """Returns the scale of a measure's intervals: `"accuracy"` or `"loss"`."""
    return "accuracy" if measure == "accuracy" else "loss"


def cells(runs):
    """Returns the four tables of `against_paper` as one.

    It has the column `dataset` in front, and `Holm` at the end: `p` adjusted over the judged
    cells of a measure in all tables.
    """
    import pandas as pd

    tables = {name: against_paper(runs, name) for name in paper.DATASETS}
    found = pd.concat(tables, names=["dataset"]).reset_index("dataset").reset_index(drop=True)
    found["Holm"] = _adjust_by_measure(found)
    return found.round({"Holm": 4})


def counts(cells):
    """Returns how many cells have each verdict, one row per measure."""
    found = cells.groupby(["measure", "verdict"], sort=False).size().unstack(fill_value=0)
    return found.reindex(columns=VERDICTS, fill_value=0).rename_axis(columns=None)


def count_outside(verdicts, rate=intervals.MISS_RATE):
    """Returns how many cells lie outside, of how many, and the binomial tail of that.

    Args:
        verdicts: Sequence of verdicts.
        rate: Float, at which replicated cells lie outside, see `miss_rate`. Defaults to `0.05`,
            that of an exact interval.

    Returns:
        Triple: cells outside their 95% prediction interval, cells judged, and the binomial tail:
        the probability of at least so many outside if every cell were replicated and the cells
        independent.
    """
    judged = [verdict for verdict in verdicts if verdict != "NOT RUN"]
    outside = sum(verdict in ("CLOSE", "DIFFERENT") for verdict in judged)
    return outside, len(judged), intervals.binomial_tail(outside, len(judged), rate)


def coverage(runs, measure):
    """Returns the leave-one-out coverage of our own runs' prediction intervals.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
        measure: String, a key of `MEASURES`.

    Returns:
        Pair of integers: runs inside the interval of their row's other seeds, and runs of rows
        with four seeds or more.
    """
    rows = runs.groupby(["dataset", "label", "recipe"])[MEASURES[measure]]
    return intervals.leave_one_out_coverage((values for _, values in rows), scale_of(measure))


def miss_rate(runs, measure):
    """Returns the rate at which our own runs lie outside in `coverage`, at least 5%."""
    inside, tried = coverage(runs, measure)
    return max(intervals.MISS_RATE, 1 - inside / tried) if tried else intervals.MISS_RATE


def first_look(runs, dataset, seen=FIRST_LOOK, epoch=6):
    """Returns whether accuracies seen in single runs lie among those of several seeds.

    Args:
        runs: DataFrame, as `tables.frame` returns it, one method's on that data set, under
            recipes that watch the test set.
        dataset: String.
        seen: Dictionary from a recipe to the test accuracy that was seen, a string with its
            rounding. Defaults to `FIRST_LOOK`.
        epoch: Integer, after how many epochs it was seen. Defaults to `6`.

    Returns:
        A `pandas.DataFrame`: `recipe`, `seen`, `n`, `mean`, `low` and `high` (the prediction
        interval of one more run) after that epoch, and `verdict`, as the function of that name.
    """
    import pandas as pd

    lines = []
    for recipe, printed in seen.items():
        chosen = (runs["dataset"] == dataset) & (runs["recipe"] == recipe)
        checkpoints = runs.loc[chosen, "checkpoints"]
        values = [each[epoch - 1][0] for each in checkpoints if len(each) >= epoch]
        values = pd.Series(values, dtype=float)
        ends = intervals.prediction_interval(values, "accuracy")
        judged = verdict(printed, values, "accuracy", dataset)
        lines.append([recipe, printed, len(values), values.mean(), *ends, judged])
    columns = "recipe seen n mean low high verdict".split()
    return pd.DataFrame(lines, columns=columns).round(4)
