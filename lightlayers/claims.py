"""The paper's nine claims, each judged from the runs by a rule that was fixed before them."""

import math

from lightlayers import families, published, replication

VERDICTS = ("HOLDS", "HOLDS IN PART", "FAILS", "UNDECIDED", "NOT RUN", "NO CLAIM")
_ROUNDING, _TOLERANCE = 0.5, 1.0  # points: a drop is printed in whole ones
_SAME = 0.05  # two costs that differ by less are called equal


def paired(runs, dataset, first, second, value="accuracy"):
    """Returns the points of accuracy by which one method is above another, seed by seed.

    Args:
        runs: DataFrame, as `replication.frame` returns it.
        dataset: String.
        first: String, a label such as `"Conv2D"`, or a pair of label and recipe.
        second: The same, of the other.
        value: `"accuracy"`, on the test set, or `"held_out"`.

    Returns:
        A `pandas.Series` of points over the seeds that both have.
    """

    def accuracy(which):
        label, recipe = which if isinstance(which, tuple) else (which, "paper")
        chosen = (runs["dataset"] == dataset) & (runs["label"] == label)
        return runs[chosen & (runs["recipe"] == recipe)].set_index("seed")[value]

    return (100 * (accuracy(first) - accuracy(second))).dropna()


def _told(values):
    if len(values) < 2:
        return "too few runs"
    mean, low, high = replication.mean_interval(values)
    return f"{mean:+.1f} points ({low:+.1f} to {high:+.1f}, {len(values)} seeds)"


def _drop(claim, values):
    if len(values) < 3:
        return "NOT RUN"
    _, low, high = replication.mean_interval(values)
    if claim.only:
        most = claim.drop + _ROUNDING
        return "HOLDS" if high <= most else "FAILS" if low > most else "UNDECIDED"
    least, most = (claim.drop + sign * (_ROUNDING + _TOLERANCE) for sign in (-1, 1))
    if least <= low and high <= most:
        return "HOLDS"
    return "FAILS" if high < least or low > most else "UNDECIDED"


def _above_zero(values, least=0.0):
    if len(values) < 3:
        return "NOT RUN"
    _, low, high = replication.mean_interval(values)
    return "HOLDS" if low > least else "FAILS" if high < least else "UNDECIDED"


def _count(claim, row, base):
    times = base.parameters / row.parameters
    holds = abs(times / claim.times - 1) <= 0.05
    text = f"{base.parameters:,} / {row.parameters:,} parameters = {times:.2f}"
    return "HOLDS" if holds else "FAILS", text


def _ratios(timings, tasks):
    """Ratios to Conv2D of the rows that the paper's claims are about."""
    headline = {(c.dataset, f"lightlayers-{c.rank}"): c.rank for c in published.CLAIMS if c.dataset}
    found = {}
    for row in timings["rows"]:
        rank = headline.get((row["dataset"], row["row"]))
        if rank and row["task"] in tasks:
            several = f" {row['task']}" if len(tasks) > 1 else ""
            found[f"{row['dataset']} K = {rank}{several}"] = row["ratio"]
    return found


def _less(ratios):
    if not ratios:
        return "NOT RUN"
    if all(ratio < 1 - _SAME for ratio in ratios):
        return "HOLDS"
    return "FAILS" if all(ratio > 1 - _SAME for ratio in ratios) else "HOLDS IN PART"


def _as_efficient(ratios):
    if not ratios:
        return "NOT RUN"
    equal = [ratio <= 1 + _SAME for ratio in ratios]
    return "HOLDS" if all(equal) else "HOLDS IN PART" if any(equal) else "FAILS"


def judge(runs, timings=None):
    """Returns the claims of `published.CLAIMS`, each part with its verdict and computation.

    The rules: a printed drop is a whole number of points, so it stands for itself ± 0.5.
    "Only" holds if the 95% t-interval of the mean paired difference ends below that,
    "around" if the interval lies within 1 point more on either side. A ratio of parameters
    holds within 5%. That few parameters explain a low accuracy fails if the same number of
    them, trained otherwise, is better by more than 1 point. "Less" of a cost holds if it is
    less in every network that the claims are about; within 5% counts as equal. "As
    efficient" holds if no time and no memory is more.

    Args:
        runs: DataFrame, as `replication.frame` returns it, of all data sets and recipes.
        timings: Dictionary, as `replication.timings` returns it, or `None`.

    Returns:
        A `pandas.DataFrame` with the columns `claim` (its number), `place`, `part`,
        `verdict` (one of `VERDICTS`) and `computation`.
    """
    import pandas as pd

    lines = []

    def add(number, part, verdict, computation):
        place = published.CLAIMS[number - 1].place
        lines.append((number, place, part, verdict, computation))

    for number, claim in enumerate(published.CLAIMS[:4], 1):
        label = families.label("lightlayers", claim.rank)
        row = next(r for r in published.rows(claim.dataset) if r.label == label)
        base = published.rows(claim.dataset)[0]
        add(number, f"{claim.times:g} times fewer parameters", *_count(claim, row, base))
        drop = paired(runs, claim.dataset, base.label, label)
        told = f"Conv2D - K = {claim.rank}: {_told(drop)}"
        if claim.drop:
            word = "only" if claim.only else "around"
            add(number, f"{word} {claim.drop}% drop", _drop(claim, drop), told)
        if "SeparableConv2D" in claim.about:
            gain = paired(runs, claim.dataset, label, "SeparableConv2D")
            told = f"K = {claim.rank} - SeparableConv2D: {_told(gain)}"
            add(number, "better than SeparableConv2D", _above_zero(gain), told)
        if not claim.drop:
            _add_collapse(add, number, claim, label, runs)

    _add_costs(add, runs, timings)
    add(7, published.CLAIMS[6].about, "NO CLAIM", "")
    epochs = ", ".join(f"{place}: {count}" for place, count in published.EPOCHS.items())
    add(8, "20 epochs for all models", "FAILS", f"the paper's own epochs: {epochs}")
    _add_losses(add, runs)
    columns = ["claim", "place", "part", "verdict", "computation"]
    return pd.DataFrame(lines, columns=columns)


def _add_collapse(add, number, claim, label, runs):
    rows = {row.label: row for row in published.rows(claim.dataset)}
    few, ours = rows["SeparableConv2D"], rows[label]
    add(
        number,
        "few parameters explain the low accuracy: in the paper",
        "FAILS" if few.accuracy_value > ours.accuracy_value + _TOLERANCE / 100 else "HOLDS",
        f"its SeparableConv2D has {few.parameters:,} and {few.accuracy}, K = {claim.rank} has "
        f"{ours.parameters:,} and {ours.accuracy}",
    )
    gain = paired(runs, claim.dataset, (label, "all-changes"), label)
    found = _above_zero(gain, _TOLERANCE)
    verdict = {"HOLDS": "FAILS", "FAILS": "HOLDS"}.get(found, found)
    told = f"as many parameters, trained with all changes of collapse.ipynb: {_told(gain)}"
    add(number, "few parameters explain the low accuracy: in our runs", verdict, told)


_COSTS = (
    (5, "less computation: inference time, of Conv2D's", ("forward 1", "forward 256")),
    (5, "less computation: training time, of Conv2D's", ("train",)),
    (5, "less computation: training memory, of Conv2D's", ("memory",)),
    (6, "smaller weight file, of Conv2D's", ("file",)),
)


def _add_costs(add, runs, timings):
    paper = runs[runs["recipe"] == "paper"]
    counts = paper.drop_duplicates(["dataset", "label"]).set_index(["dataset", "label"])
    macs = {}
    for claim in published.CLAIMS[:4]:
        keys = [(claim.dataset, x) for x in ("Conv2D", families.label("lightlayers", claim.rank))]
        if all(key in counts.index for key in keys):
            base, ours = (counts.loc[key, "multiply_adds"] for key in keys)
            macs[f"{claim.dataset} K = {claim.rank}"] = ours / base

    def told(found, otherwise):
        return ", ".join(f"{key}: {value:.2f}" for key, value in found.items()) or otherwise

    part = "less computation: multiply-adds, of Conv2D's"
    add(5, part, _less(macs.values()), told(macs, "no runs yet"))
    tasks = [task for number, _, tasks in _COSTS for task in tasks if number == 5]
    ratios = list(_ratios(timings, tasks).values()) if timings else []
    equal = sum(ratio <= 1 + _SAME for ratio in ratios)
    line = f"{equal} of the {len(ratios)} times and memories below are at most {1 + _SAME:g}"
    add(5, "as efficient as Conv2D", _as_efficient(ratios), line)
    for number, part, tasks in _COSTS:
        ratios = _ratios(timings, tasks) if timings else {}
        line = told(ratios, "lightlayers bench networks")
        if ratios and part.endswith("time, of Conv2D's"):
            device = timings["environment"]
            line += f" ({device['processor']}, {device['backend']})"
        add(number, part, _less(ratios.values()), line)


def _add_losses(add, runs):
    paper = runs[runs["recipe"] == "paper"]
    spread = paper.groupby(["dataset", "label"])["accuracy"].agg(["std", "size"])
    spread = 100 * spread.loc[spread["size"] >= 3, "std"]
    verdict, told = "NOT RUN", "too few runs"
    if len(spread):
        verdict = "FAILS" if spread.max() > _TOLERANCE else "HOLDS"
        told = f"standard deviation over seeds: median {spread.median():.1f} points, at most "
        told += f"{spread.max():.1f} ({', '.join(spread.idxmax())})"
    add(9, "single runs say enough", verdict, told)
    impossible = [
        f"{row.dataset} {row.label}"
        for row in published.ROWS
        if published.box(row.loss)[1] < (1 - published.box(row.accuracy)[1]) * math.log(2)
    ]
    # A wrong answer gives the right class at most one half: it costs log 2 at least.
    told = ", ".join(impossible) or "none of the 28 is below (1 - accuracy) · log 2"
    add(9, "losses that the accuracies allow at all", "FAILS" if impossible else "HOLDS", told)
    table = losses(paper)
    judged = table[table["verdict"] != "NOT JUDGED"]
    apart = [
        f"{row.dataset} {row.method} {row.loss} ({row.low:.3f} to {row.high:.3f})"
        for row in judged[judged["verdict"] != "INSIDE"].itertuples()
    ]
    verdict = "FAILS" if apart else "HOLDS" if len(judged) else "NOT RUN"
    told = ", ".join(apart) or "every loss is among ours"
    told = f"printed loss (ours at that accuracy): {told}; {len(judged)} rows judged"
    add(9, "losses that belong to the accuracies", verdict, told)


def losses(runs):
    """Returns what losses our networks have when they have the accuracy that the paper prints.

    Of each row all epochs of all seeds whose test accuracy is the printed one, within the
    tolerance of a verdict: their losses as the authors evaluate them, the lowest without the
    L2 penalties, in case those are left out.

    Args:
        runs: DataFrame, as `replication.frame` returns it, under recipe "paper".

    Returns:
        A `pandas.DataFrame`, one row per published row: `dataset`, `method`, `accuracy` and
        `loss` as printed, `epochs` and `seeds` of ours that have the accuracy, the `low` and
        `high` of their losses, and `verdict`: INSIDE, BELOW or ABOVE these, or NOT JUDGED
        with fewer than five epochs or two seeds.
    """
    import pandas as pd

    lines = []
    for row in published.ROWS:
        within = replication.TOLERANCES.get(f"{row.dataset} accuracy")
        within = within or replication.TOLERANCES["accuracy"]
        least, most = (
            end + sign * within
            for end, sign in zip(published.box(row.accuracy), (-1, 1), strict=True)
        )
        ours = runs[(runs["dataset"] == row.dataset) & (runs["label"] == row.label)]
        near = [
            (run.seed, loss - (run.loss - run.cross_entropy), loss)
            for run in ours.itertuples()
            for accuracy, loss in run.checkpoints
            if least <= accuracy <= most
        ]
        seeds, low, high = len({each[0] for each in near}), math.nan, math.nan
        verdict = "NOT JUDGED"
        if len(near) >= 5 and seeds >= 2:
            low, high = min(each[1] for each in near), max(each[2] for each in near)
            printed = published.box(row.loss)
            verdict = "BELOW" if printed[1] < low else "ABOVE" if printed[0] > high else "INSIDE"
        lines.append(
            [row.dataset, row.label, row.accuracy, row.loss, len(near), seeds, low, high, verdict]
        )
    columns = "dataset method accuracy loss epochs seeds low high verdict".split()
    return pd.DataFrame(lines, columns=columns).round(4)


def ablation(runs, dataset, base="paper", value="accuracy"):
    """Returns what each recipe gives on a data set, and its gain over another, seed by seed.

    Args:
        runs: DataFrame, as `replication.frame` returns it, one method's on that data set.
        dataset: String.
        base: String, the recipe that the gains are over. Defaults to `"paper"`.
        value: `"accuracy"`, on the test set, or `"held_out"`, what decisions are made on.

    Returns:
        A `pandas.DataFrame`: `recipe`, `n`, `accuracy` or `held_out` (mean), `sd`, `min`,
        `max`, `loss` (on the test set), `pairs` (seeds that the other recipe has too), `gain`
        (mean difference over those, in points) and the ends `low` and `high` of its 95%
        t-interval.
    """
    import pandas as pd

    ours = runs[runs["dataset"] == dataset]
    lines = []
    for recipe, rows in ours.groupby("recipe", sort=False):
        values = rows[value]
        label = rows["label"].iloc[0]
        gain = paired(ours, dataset, (label, recipe), (label, base), value)
        ends = (
            replication.mean_interval(gain) if len(gain) > 1 and recipe != base else [math.nan] * 3
        )
        line = [recipe, len(rows), values.mean(), values.std(), values.min(), values.max()]
        lines.append([*line, rows["loss"].mean(), len(gain), *ends])
    columns = f"recipe n {value} sd min max loss pairs gain low high".split()
    return pd.DataFrame(lines, columns=columns).round(
        dict.fromkeys(columns[2:7], 4) | dict.fromkeys(columns[8:], 2)
    )


def headline(runs, timings=None):
    """Returns the state of the replication as Markdown: seeds, verdicts and claims.

    Args:
        runs: DataFrame, as `replication.frame` returns it, of all data sets and recipes.
        timings: Dictionary, as `replication.timings` returns it, or `None`.
    """
    paper = runs[runs["recipe"] == "paper"]
    counted = [
        len(paper[paper["label"].eq(row.label) & paper["dataset"].eq(row.dataset)])
        for row in published.ROWS
    ]
    judged = sum(count >= 3 for count in counted)
    state = (
        f"{sum(counted)} runs of the 28 rows of Tables 1 to 4 are stored, between {min(counted)} "
        f"and {max(counted)} seeds a row. A verdict needs three: {judged} rows have them."
    )
    verdicts = replication.counts(replication.cells(paper)).reset_index()
    claims = judge(runs, timings)
    return "\n\n".join([state, verdicts.to_markdown(index=False), claims.to_markdown(index=False)])
