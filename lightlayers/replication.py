"""Statistics over runs: from records to the tables that stand beside the paper's."""

import json
import math
import pathlib

from lightlayers import datasets, families, published
from lightlayers import runs as store

_COLUMNS = (
    "dataset row label method rank recipe seed accuracy loss cross_entropy held_out parameters "
    "multiply_adds epochs seconds_per_epoch backend device checkpoints"
).split()
VERDICTS = ("REPLICATED", "CONSISTENT, IMPRECISE", "CLOSE", "DIFFERENT", "NOT RUN")
MEASURES = {"accuracy": "accuracy", "loss": "loss", "cross-entropy": "cross_entropy"}
# Older than any row with the three seeds that a verdict needs: points of accuracy as a fraction,
# share of a loss.
TOLERANCES = {"accuracy": 0.01, "mnist accuracy": 0.005, "loss": 0.10}


def _device(environment):
    if environment["device"] != "CPU":
        return environment["device"]
    count = environment["threads"]
    return f"{environment['processor']}, {count} thread{'s' * (count > 1)}"


def frame(records):
    """Returns the runs as a `pandas.DataFrame`, one row each.

    Args:
        records: Iterable of records, as `runs.stored` returns them.

    Returns:
        A DataFrame with the columns `dataset`, `row`, `label`, `method`, `rank`, `recipe`,
        `seed`, `accuracy`, `loss` (with the L2 penalties), `cross_entropy`, `held_out`
        (accuracy on held-out training images, if there are any), `parameters`, `multiply_adds`,
        `epochs`, `seconds_per_epoch`, `backend`, `device` (the accelerator, else processor
        and threads) and `checkpoints` (of each epoch the accuracy and the loss on the test
        set, where the recipe watches it).
    """
    import pandas as pd

    rows = []
    for record in records:
        run, history = record["run"], record["history"]
        label = families.label(run["method"], run["rank"])
        held_out = record["recipe"]["validation"] == "held-out"
        rows.append(
            {
                "dataset": run["dataset"],
                "row": run["method"] if run["rank"] is None else f"{run['method']}-{run['rank']}",
                "label": label,
                "method": run["method"],
                "rank": run["rank"],
                "recipe": run["recipe"],
                "seed": run["seed"],
                **record["test"],
                "held_out": history["val_accuracy"][-1] if held_out else math.nan,
                "parameters": record["parameters"]["total"],
                "multiply_adds": record["multiply_adds"],
                "epochs": len(history["loss"]),
                # Of the fastest: the first compiles, and all share the machine with other work.
                "seconds_per_epoch": min(history["seconds"]),
                "backend": record["environment"]["backend"],
                "device": _device(record["environment"]),
                "checkpoints": []
                if held_out
                else list(zip(history["val_accuracy"], history["val_loss"], strict=True)),
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def _half(values):
    from scipy import stats

    if len(values) < 2:
        return math.nan
    return stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))


def summary(runs):
    """Returns mean and spread over the seeds, one row per method, in the order of `runs`.

    Args:
        runs: DataFrame, as `frame` returns it.

    Returns:
        A `pandas.DataFrame`: `method`, `parameters` and `multiply-adds` (means where the seeds
        chose ranks of their own, else the same for all), `n` (seeds), `accuracy` (mean), `±`
        (half its 95% t-interval), `sd`, `min`, `max`, `loss` (mean) and `loss sd`.
    """
    groups = runs.groupby("label", sort=False)
    table = groups.agg(
        parameters=("parameters", "mean"),
        macs=("multiply_adds", "mean"),
        n=("seed", "size"),
        accuracy=("accuracy", "mean"),
        half=("accuracy", _half),
        sd=("accuracy", "std"),
        min=("accuracy", "min"),
        max=("accuracy", "max"),
        loss=("loss", "mean"),
        loss_sd=("loss", "std"),
    )
    names = {"label": "method", "macs": "multiply-adds", "half": "±", "loss_sd": "loss sd"}
    whole = {name: table[name].round().astype(int) for name in ("parameters", "macs")}
    return table.assign(**whole).round(4).reset_index().rename(columns=names)


def interval(values, scale):
    """Returns the 95% prediction interval of one more run.

    `m ± t(0.975, n - 1) · s · sqrt(1 + 1 / n)` on the logit or the logarithm of the
    values, transformed back, so that no end lies outside what is possible.

    Args:
        values: Sequence of numbers, one per seed.
        scale: `"accuracy"` (in 0..1) or `"loss"` (positive).

    Returns:
        Pair of floats, NaN for fewer than two numbers.

    Example:

    >>> low, high = interval([0.97, 0.98, 0.975], "accuracy")
    >>> round(low, 3), round(high, 3)
    (0.934, 0.991)
    """
    import numpy as np
    from scipy import special, stats

    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return math.nan, math.nan
    if scale == "accuracy":
        # Ten thousand test images can't tell 1 from 0.99995.
        there, back = special.logit, special.expit
        values = np.clip(values, 5e-5, 1 - 5e-5)
    else:
        there, back = np.log, np.exp
    moved, n = there(values), len(values)
    half = stats.t.ppf(0.975, n - 1) * moved.std(ddof=1) * math.sqrt(1 + 1 / n)
    return float(back(moved.mean() - half)), float(back(moved.mean() + half))


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
    if len(values) < 3:
        return "NOT RUN"
    low, high = interval(values, scale)
    box_low, box_high = published.box(printed)
    within = tolerance(dataset, scale)
    if scale == "loss":
        within *= float(printed)
    if box_low <= high and low <= box_high:
        return VERDICTS[0] if (high - low) / 2 <= within else VERDICTS[1]
    mean = sum(values) / len(values)
    return VERDICTS[2] if abs(float(printed) - mean) <= within else VERDICTS[3]


def against_paper(runs, dataset):
    """Returns a table of the paper beside ours, with a verdict per cell.

    Args:
        runs: DataFrame, as `frame` returns it; other data sets' rows are left out.
        dataset: String, which table.

    Returns:
        A `pandas.DataFrame` with three rows per row of the paper's table, for
        `"accuracy"`, for `"loss"` (as the authors evaluate it, with the L2 penalties) and
        for `"cross-entropy"` (without them, against the same published loss): `method`,
        `measure`, `published`, `n`, `mean`, `sd`, `min`, `max`, `low`, `high` (the
        prediction interval) and `verdict`.
    """
    import pandas as pd

    lines = []
    for row in published.rows(dataset):
        ours = runs[(runs["dataset"] == dataset) & (runs["label"] == row.label)]
        for measure, column in MEASURES.items():
            scale = "accuracy" if measure == "accuracy" else "loss"
            printed, values = getattr(row, scale), ours[column]
            low, high = interval(values, scale)
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
                }
            )
    return pd.DataFrame(lines).round(4)


def cells(runs):
    """Returns the four tables of `against_paper` as one, with the column `dataset` in front."""
    import pandas as pd

    tables = {name: against_paper(runs, name) for name in published.DATASETS}
    return pd.concat(tables, names=["dataset"]).reset_index("dataset").reset_index(drop=True)


def counts(cells):
    """Returns how many cells have each verdict, one row per measure."""
    found = cells.groupby(["measure", "verdict"], sort=False).size().unstack(fill_value=0)
    return found.reindex(columns=VERDICTS, fill_value=0).rename_axis(columns=None)


def at_chance(cells):
    """Returns of which cells the interval holds what a network gives that has learned nothing.

    Args:
        cells: DataFrame, as `cells` returns it.

    Returns:
        Boolean Series. It has learned nothing if it gives every class the same probability:
        the accuracy is one over the number of classes, the loss that number's logarithm.
    """
    import numpy as np

    classes = cells["dataset"].map(lambda name: len(datasets.CLASSES[name]))
    nothing = np.log(classes).where(cells["measure"] != "accuracy", 1 / classes)
    return (cells["low"] <= nothing) & (nothing <= cells["high"])


def stuck(runs):
    """Returns which runs have learned nothing, a boolean Series.

    Those are they whose cross-entropy on the test set is within 1% of the logarithm of the number
    of classes, or above: that of the same probability for every class.

    Args:
        runs: DataFrame, as `frame` returns it.
    """
    import numpy as np

    classes = runs["dataset"].map(lambda name: len(datasets.CLASSES[name]))
    return runs["cross_entropy"] >= 0.99 * np.log(classes.astype(float))


def outside(verdicts, rate=0.05):
    """Returns how many cells lie outside, of how many, and how probable so many are by chance.

    Args:
        verdicts: Sequence of verdicts.
        rate: Float, at which cells lie outside that are replicated, see `missed`. Defaults to
            `0.05`, that of an exact interval.

    Returns:
        Triple: cells outside their 95% interval, cells judged, and the probability of at
        least so many outside if every cell were replicated and the cells independent.
    """
    judged = [verdict for verdict in verdicts if verdict != "NOT RUN"]
    out = sum(verdict in ("CLOSE", "DIFFERENT") for verdict in judged)
    return out, len(judged), chance(out, len(judged), rate)


def chance(found, judged, rate=0.05):
    """Returns the probability of at least so many, if each came with that rate by chance."""
    from scipy import stats

    return float(stats.binom.sf(found - 1, judged, rate))


def foreseen(runs, measure):
    """Returns how many runs lie in the prediction interval of their row's other seeds.

    It is what the intervals are good for, tried on runs whose outcome is known: 95% of them would
    lie inside if the seeds of a row were normal on the interval's scale.

    Args:
        runs: DataFrame, as `frame` returns it.
        measure: String, a key of `MEASURES`.

    Returns:
        Pair of integers: runs inside, and runs of rows with four seeds or more, since an
        interval takes three.
    """
    column, scale = MEASURES[measure], "accuracy" if measure == "accuracy" else "loss"
    inside = [
        low <= value <= high
        for _, row in runs.groupby(["dataset", "label", "recipe"])[column]
        if len(row) >= 4
        for seed, value in row.items()
        for low, high in [interval(row.drop(seed), scale)]
    ]
    return sum(inside), len(inside)


def missed(runs, measure):
    """Returns at which rate our own runs lie outside of what `foreseen` foresees, at least 5%."""
    inside, count = foreseen(runs, measure)
    return max(0.05, 1 - inside / count) if count else 0.05


def networks(runs, timings=None):
    """Returns what the networks cost, one row per method, in the order of `runs`.

    Args:
        runs: DataFrame, as `frame` returns it, of one data set.
        timings: Dictionary, as `timings` returns it, or `None`.

    Returns:
        A `pandas.DataFrame`: `method`, `parameters`, `of ...` (their share of the
        first row's), `multiply-adds`, `epoch (s)` (of training, the fastest of all runs,
        since they share their machine with others), `epoch on` (backend and device of
        most of the runs), and of the timings `1 image (ms)`, `256 images (ms)` (a forward
        pass), `training step (ms)`, `training step (MB)`, `weight file (kB)` and
        `measured on` (backend, processor and threads).
    """
    table = runs.drop_duplicates("label")[
        ["dataset", "row", "label", "parameters", "multiply_adds"]
    ].reset_index(drop=True)
    devices = runs["backend"] + ", " + runs["device"]
    trained = devices.mode().iloc[:1].squeeze()  # seconds of two devices are not mixed
    epochs = runs[devices == trained].groupby("label")["seconds_per_epoch"].min()
    table["epoch (s)"] = table["label"].map(epochs).round(1)
    table["epoch on"] = trained
    tasks = {
        "forward 1": ("1 image (ms)", "milliseconds"),
        "forward 256": ("256 images (ms)", "milliseconds"),
        "train": ("training step (ms)", "milliseconds"),
        "memory": ("training step (MB)", "megabytes"),
        "file": ("weight file (kB)", "kilobytes"),
    }
    for task, (name, unit) in tasks.items() if timings else ():
        known = {
            (row["dataset"], row["row"]): row[unit]
            for row in timings["rows"]
            if row["task"] == task
        }
        keys = zip(table["dataset"], table["row"], strict=True)
        table[name] = [round(known.get(key, math.nan), 2) for key in keys]
    if timings:
        device = timings["environment"]
        threads = f"{device['threads']} threads"
        table["measured on"] = ", ".join([device["backend"], device["processor"], threads])
    table = table.drop(columns=["dataset", "row"])
    if not table.empty:
        share = (table["parameters"] / table["parameters"].iloc[0]).map("{:.0%}".format)
        table.insert(2, f"of {table['label'].iloc[0]}", share)
    return table.rename(columns={"label": "method", "multiply_adds": "multiply-adds"})


def timings(outputs):
    """Returns what `lightlayers bench networks` has measured, `None` before it has.

    Args:
        outputs: Path of the outputs folder.

    Returns:
        Dictionary with `environment` and `rows`, see `bench.measure_networks`.
    """
    file = pathlib.Path(outputs, "bench", "networks.json")
    return json.loads(file.read_text()) if file.exists() else None


def found_ranks(records):
    """Returns the ranks that runs chose for their layers, one row per row of the runs.

    Args:
        records: List of records; those whose ranks were given are left out.

    Returns:
        A `pandas.DataFrame`: `data set`, `method`, and layer by layer the mean over the seeds
        that made it light, missing where it stayed dense in all.
    """
    import pandas as pd

    lines = [
        (run["dataset"], families.label(run["method"], run["rank"]), layer, rank)
        for record in records
        if (run := record["run"]) and "ranks" in record
        for layer, rank in record["ranks"].items()
    ]
    table = pd.DataFrame(lines, columns=["data set", "method", "layer", "rank"])
    index = ["data set", "method"]
    table = table.pivot_table(index=index, columns="layer", values="rank", sort=False)
    table = table[sorted(table.columns)]
    return table.round(1).reset_index().rename_axis(columns=None)


def mean_interval(values):
    """Returns mean, lower and upper end of the 95% t-interval of the mean."""
    return values.mean(), values.mean() - _half(values), values.mean() + _half(values)


def conclusions(runs):
    """Returns sentences on how each method stands against Conv2D, seed by seed.

    Args:
        runs: DataFrame, as `frame` returns it, of one data set.

    Returns:
        List of strings. Each gives the mean of the paired differences over the seeds,
        with its 95% t-interval, and in how many of them the method is below: one seed that
        learns nothing can widen the interval beyond what is possible.
    """
    base = runs[runs["method"] == "conv2d"].set_index("seed")
    if base.empty:
        return ["No run of Conv2D is stored: nothing to compare with."]
    lines = []
    for label, row in runs[runs["method"] != "conv2d"].groupby("label", sort=False):
        both = row.set_index("seed").join(base, rsuffix="_base", how="inner")
        if both.empty:
            lines.append(f"{label} shares no seed with Conv2D yet.")
            continue
        share = both["parameters"].iloc[0] / both["parameters_base"].iloc[0]
        points = 100 * (both["accuracy"] - both["accuracy_base"])
        line = f"{label} has {share:.0%} of Conv2D's parameters and is {points.mean():+.1f} points "
        line += "of accuracy from it"
        if len(points) > 1:
            _, low, high = mean_interval(points)
            below = f"below it in {(points < 0).sum()} of {len(points)} seeds"
            line += f" (95% interval {low:+.1f} to {high:+.1f}; {below})"
        lines.append(line + ".")
    return lines


def save(table, outputs, name):
    """Writes a table as CSV, Markdown and LaTeX into the outputs folder."""
    folder = pathlib.Path(outputs, "tables")
    folder.mkdir(parents=True, exist_ok=True)
    plain = {"index": False, "escape": True, "float_format": "%.4g", "na_rep": ""}
    texts = {
        "csv": table.to_csv(index=False),
        "md": table.to_markdown(index=False) + "\n",
        "tex": table.to_latex(**plain),
    }
    for suffix, text in texts.items():
        store.replace_text(folder / f"{name}.{suffix}", text)
