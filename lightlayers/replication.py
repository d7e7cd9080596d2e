"""Statistics over runs: from records to the tables that stand beside the paper's."""

import pathlib

from lightlayers import families


def frame(records):
    """Returns the runs as a `pandas.DataFrame`, one row each.

    Args:
        records: Iterable of records, as `runs.stored` returns them.

    Returns:
        A DataFrame with the columns `dataset`, `row`, `label`, `method`, `rank`, `seed`,
        `accuracy`, `loss` (with the L2 penalties), `cross_entropy`, `parameters`,
        `multiply_adds`, `weight_file_bytes`, `epochs`, `seconds_per_epoch`, `backend`
        and `device`.
    """
    import pandas as pd

    rows = []
    for record in records:
        run, history = record["run"], record["history"]
        label = families.label(run["method"], run["rank"])
        rows.append(
            {
                "dataset": run["dataset"],
                "row": run["method"] if run["rank"] is None else f"{run['method']}-{run['rank']}",
                "label": label,
                "method": run["method"],
                "rank": run["rank"],
                "seed": run["seed"],
                **record["test"],
                "parameters": record["parameters"]["total"],
                "multiply_adds": record["multiply_adds"],
                "weight_file_bytes": record["weight_file_bytes"],
                "epochs": len(history["loss"]),
                # The first epoch holds the compilation, if there is more than one.
                "seconds_per_epoch": float(pd.Series(history["seconds"]).iloc[-2:].median()),
                "backend": record["environment"]["backend"],
                "device": record["environment"]["device"],
            }
        )
    return pd.DataFrame(rows)


def summary(runs):
    """Returns mean and spread over the seeds, one row per method, in the order of `runs`.

    Args:
        runs: DataFrame, as `frame` returns it.

    Returns:
        A `pandas.DataFrame`: `method`, `parameters`, `multiply-adds`, `n` (seeds),
        `accuracy` (mean), `sd`, `min`, `max`, `loss` (mean) and `loss sd`.
    """
    groups = runs.groupby("label", sort=False)
    table = groups.agg(
        parameters=("parameters", "first"),
        macs=("multiply_adds", "first"),
        n=("seed", "size"),
        accuracy=("accuracy", "mean"),
        sd=("accuracy", "std"),
        min=("accuracy", "min"),
        max=("accuracy", "max"),
        loss=("loss", "mean"),
        loss_sd=("loss", "std"),
    )
    names = {"label": "method", "macs": "multiply-adds", "loss_sd": "loss sd"}
    return table.round(4).reset_index().rename(columns=names)


def networks(runs):
    """Returns what the networks cost, one row per method, in the order of `runs`.

    Args:
        runs: DataFrame, as `frame` returns it.

    Returns:
        A `pandas.DataFrame`: `method`, `parameters`, `of ...` (their share of the
        first row's), `multiply-adds` and `weight file` (kB).
    """
    table = runs.drop_duplicates("label")[
        ["label", "parameters", "multiply_adds", "weight_file_bytes"]
    ].reset_index(drop=True)
    share = (table["parameters"] / table["parameters"].iloc[0]).map("{:.0%}".format)
    table.insert(2, f"of {table['label'].iloc[0]}", share)
    table["weight file (kB)"] = (table.pop("weight_file_bytes") / 1000).round(1)
    return table.rename(columns={"label": "method", "multiply_adds": "multiply-adds"})


def conclusions(runs):
    """Returns sentences on how each method stands against Conv2D, seed by seed.

    Args:
        runs: DataFrame, as `frame` returns it, of one data set.

    Returns:
        List of strings. Each gives the mean of the paired differences over the seeds,
        with its 95% t-interval.
    """
    import numpy as np
    from scipy import stats

    base = runs[runs["method"] == "conv2d"].set_index("seed")
    if base.empty:
        return ["Conv2D is not among the rows: nothing to compare with."]
    lines = []
    for label, row in runs[runs["method"] != "conv2d"].groupby("label", sort=False):
        both = row.set_index("seed").join(base, rsuffix="_base", how="inner")
        share = both["parameters"].iloc[0] / both["parameters_base"].iloc[0]
        points = 100 * (both["accuracy"] - both["accuracy_base"])
        line = f"{label} has {share:.0%} of Conv2D's parameters and is {points.mean():+.1f} points"
        if len(points) > 1:
            half = stats.t.ppf(0.975, len(points) - 1) * points.std() / np.sqrt(len(points))
            line += f" of accuracy from it (95% interval {points.mean() - half:+.1f}"
            line += f" to {points.mean() + half:+.1f}, {len(points)} seeds)"
        lines.append(line + ".")
    return lines


def save(table, outputs, name):
    """Writes a table as CSV and as Markdown into the outputs folder."""
    folder = pathlib.Path(outputs, "tables")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.md").write_text(table.to_markdown(index=False) + "\n")
