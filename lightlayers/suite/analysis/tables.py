"""Tables of runs: from records to one row a run, then to one row a method."""

import html
import math

from lightlayers.suite.analysis import intervals, scatter
from lightlayers.suite.files import write_text
from lightlayers.suite.runs import Run

_COLUMNS = (
    "dataset row label method rank recipe seed accuracy loss cross_entropy held_out parameters "
    "multiply_adds epochs seconds_per_epoch backend device checkpoints test_size"
).split()
# What `lightlayers bench networks` measures: task, the column it fills, and its unit.
_MEASUREMENTS = (
    ("forward 1", "1 image (ms)", "milliseconds"),
    ("forward 256", "256 images (ms)", "milliseconds"),
    ("train", "training step (ms)", "milliseconds"),
    ("memory", "training step (MB)", "megabytes"),
    ("file", "weight file (kB)", "kilobytes"),
)


def frame(records):
    """Returns the runs as a `pandas.DataFrame`, one row each.

    Args:
        records: Iterable of records, as `Store.read` returns them.

    Returns:
        A DataFrame with the columns `dataset`, `row`, `label`, `method`, `rank`, `recipe`,
        `seed`, `accuracy`, `loss` (with the L2 penalties), `cross_entropy`, `held_out`
        (accuracy on held-out training images, if there are any), `parameters`, `multiply_adds`,
        `epochs`, `seconds_per_epoch`, `backend`, `device` (the accelerator, else processor
        and threads), `checkpoints` (of each epoch the accuracy and the loss on the test
        set, where the recipe watches it) and `test_size` (images).
    """
    import pandas as pd

    return pd.DataFrame([_describe_run(record) for record in records], columns=_COLUMNS)


def _describe_run(record):
    """Returns a record's row of `frame`, a dictionary."""
    run, history = Run.of(record), record["history"]
    held_out, checkpoints = math.nan, []
    if record["recipe"]["validation"] == "held-out":
        held_out = history["val_accuracy"][-1]
    else:
        checkpoints = list(zip(history["val_accuracy"], history["val_loss"], strict=True))
    return {
        "dataset": run.dataset,
        "row": run.row,
        "label": run.label,
        "method": run.method,
        "rank": run.rank,
        "recipe": run.recipe,
        "seed": run.seed,
        "accuracy": record["test"]["accuracy"],
        "loss": record["test"]["loss"],
        "cross_entropy": record["test"]["cross_entropy"],
        "held_out": held_out,
        "parameters": record["parameters"]["total"],
        "multiply_adds": record["multiply_adds"],
        "epochs": len(history["loss"]),
        # Of the fastest: the first compiles, and all share the machine with other work.
        "seconds_per_epoch": min(history["seconds"]),
        "backend": record["environment"]["backend"],
        "device": _name_device(record["environment"]),
        "checkpoints": checkpoints,
        "test_size": run.test_size,
    }


def _name_device(environment):
    if environment["device"] != "CPU":
        return environment["device"]
    count = environment["threads"]
    return f"{environment['processor']}, {count} thread{'s' * (count > 1)}"


def summary(runs, pools=None):
    """Returns mean and spread over the seeds, one row per method, in the order of `runs`.

    Args:
        runs: DataFrame, as `frame` returns it, of one data set and one recipe.
        pools: DataFrame, as `scatter.pool_scatter` returns it, for rows of fewer than five seeds,
            or `None` if each row stands for itself.

    Returns:
        A `pandas.DataFrame`: `method`, `parameters` and `multiply-adds` (means where the seeds
        chose ranks of their own, else the same for all), `n` (seeds), `accuracy` (mean), `±`
        (half its 95% interval, over seeds and test images: see
        `intervals.margin_of_accuracy`), `sd`, `min`, `max`, `loss` (mean) and `loss sd`.
    """
    table = runs.groupby("label", sort=False).agg(
        parameters=("parameters", "mean"),
        macs=("multiply_adds", "mean"),
        n=("seed", "size"),
        accuracy=("accuracy", "mean"),
        margin=("accuracy", "mean"),  # has its place; see below
        sd=("accuracy", "std"),
        min=("accuracy", "min"),
        max=("accuracy", "max"),
        loss=("loss", "mean"),
        loss_sd=("loss", "std"),
    )
    for label, rows in runs.groupby("label", sort=False):
        estimate = scatter.estimate_row(rows, pools)
        images = rows["test_size"].iloc[0]
        table.loc[label, "margin"] = intervals.margin_of_accuracy(estimate, images)
    for name in ("parameters", "macs"):
        # A missing count has no place among NumPy's integers.
        table[name] = table[name].round().astype("Int64" if table[name].isna().any() else int)
    names = {"label": "method", "macs": "multiply-adds", "margin": "±", "loss_sd": "loss sd"}
    return table.round(4).reset_index().rename(columns=names)


def cost_table(runs, timings=None):
    """Returns what the networks cost, one row per method, in the order of `runs`.

    Args:
        runs: DataFrame, as `frame` returns it, of one data set.
        timings: Dictionary, as `Store.measurement("networks")` returns it, or `None`.

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
    if timings:
        table = _add_measurements(table, timings)
    table = table.drop(columns=["dataset", "row"])
    if not table.empty:
        share = (table["parameters"] / table["parameters"].iloc[0]).map("{:.0%}".format)
        table.insert(2, f"of {table['label'].iloc[0]}", share)
    return table.rename(columns={"label": "method", "multiply_adds": "multiply-adds"})


def _add_measurements(table, timings):
    """Returns a table with what was measured of each row's network, and on which machine."""
    places = list(zip(table["dataset"], table["row"], strict=True))
    for task, name, unit in _MEASUREMENTS:
        measured = {}
        for row in timings["rows"]:
            if row["task"] == task:
                measured[row["dataset"], row["row"]] = row[unit]
        table[name] = [round(measured.get(place, math.nan), 2) for place in places]
    device = timings["environment"]
    threads = f"{device['threads']} threads"
    table["measured on"] = ", ".join([device["backend"], device["processor"], threads])
    return table


def rank_table(records):
    """Returns the ranks that runs chose for their layers, one row per row of the runs.

    Args:
        records: List of records. Those whose ranks were given are left out.

    Returns:
        A `pandas.DataFrame`: `data set`, `method`, and layer by layer the mean over the seeds
        that made it light, missing where it stayed dense in all.
    """
    import pandas as pd

    lines = []
    for record in records:
        if "ranks" in record:
            run = Run.of(record)
            for layer, rank in record["ranks"].items():
                lines.append((run.dataset, run.label, layer, rank))
    table = pd.DataFrame(lines, columns=["data set", "method", "layer", "rank"])
    index = ["data set", "method"]
    table = table.pivot_table(index=index, columns="layer", values="rank", sort=False)
    table = table[sorted(table.columns)]
    return table.round(1).reset_index().rename_axis(columns=None)


def save_table(table, store, name):
    """Writes a table as CSV, Markdown and LaTeX into a store's tables.

    Args:
        table: A `pandas.DataFrame`.
        store: A `Store`.
        name: String, the files' name without suffix.
    """
    options = {"index": False, "escape": True, "float_format": "%.4g", "na_rep": ""}
    texts = {
        "csv": table.to_csv(index=False),
        "md": _escape_markdown(table).to_markdown(index=False) + "\n",
        "tex": table.to_latex(**options),
    }
    for suffix, text in texts.items():
        write_text(store.tables / f"{name}.{suffix}", text)


def _escape_markdown(table):
    """Returns a table whose texts are shown as they are: they may come from anyone's record."""

    def escape(value):
        if not isinstance(value, str):
            return value
        return html.escape(value, quote=False).replace("|", "\\|")

    escaped = table.copy()
    for name, column in table.items():
        if column.dtype.kind == "O":  # of texts
            escaped[name] = column.map(escape)
    return escaped.rename(columns=escape)
