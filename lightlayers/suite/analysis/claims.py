"""The paper's nine claims, each judged from the runs by a rule."""

from lightlayers.suite import paper
from lightlayers.suite.analysis import comparisons, efficiency, intervals, losses, verdicts
from lightlayers.suite.analysis.claimed import list_claimed

VERDICTS = ("HOLDS", "HOLDS IN PART", "FAILS", "UNDECIDED", "NOT RUN", "NO CLAIM")
LEAST_SEEDS = 3
_ROUNDING, _TOLERANCE = 0.5, 1.0  # points: a drop is printed in whole ones

RULES = """\
Drops. Differences are paired by seed and need three pairs. A printed drop is a whole number of
points, so it stands for itself ± 0.5. "Only" holds if the 95% t-interval of the mean difference
ends below that. "Around" holds if the interval lies within 1 point more on either side. A method is
"better" than another if the interval lies above zero.

Parameters. A ratio of parameters holds within 5%. That few parameters explain a low accuracy fails
in our runs if as many are better by more than 1 point under recipe "all-changes". It fails in the
paper if its SeparableConv2D is better by more than 1 point, with fewer.

Costs. Costs that differ by less than 5% count as equal, times by less than 30%. "Less" of a cost
holds if it is less in every network that the claims are about, and in part if in some of them. It
fails if it is less in none and more in some. "As efficient as Conv2D" holds if no time and no
memory is more, and in part if only some are not. "As efficient as Dense" holds if no last layer has
more multiply-adds, and in part if only some have not. Its times are no test: they are within the
scatter.

Single runs. They say enough if no row of three seeds or more has a standard deviation above
1 point.

Losses. An accuracy allows a loss of (1 - accuracy) · log 2 at least. A loss belongs to an accuracy
if it is within 10% of what ours had in any epoch with an accuracy within the tolerance. Each of our
own runs is held against the other seeds in the same way, which gives the rate at which losses are
apart by chance, at least 5%. The part fails if the binomial tail of the printed losses that are
apart, at that rate, is below 0.05. The ranges widen with seeds, so fewer are found apart where
there are more seeds.

The rules for drops and parameters are older than any row with three seeds. Those for losses, times,
memory and the last layer's multiply-adds were changed or added when results were known."""


def judge(runs, timings=None):
    """Returns the claims of `paper.CLAIMS`, each part with its verdict and computation.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of all data sets and recipes.
        timings: Dictionary, as `Store.measurement("networks")` returns it, or `None`.

    Returns:
        A `pandas.DataFrame` with the columns `claim` (its number), `place`, `part`,
        `verdict` (one of `VERDICTS`, by `RULES`) and `computation`.
    """
    import pandas as pd

    replications = verdicts.select_replications(runs)
    parts = []
    for claimed in list_claimed():
        parts += _judge_table(claimed, runs)
    parts += efficiency.judge_efficiency(replications, timings)
    parts.append((7, paper.CLAIMS[6].about, "NO CLAIM", ""))
    epochs = ", ".join(f"{place}: {count}" for place, count in paper.EPOCHS.items())
    parts.append((8, "20 epochs for all models", "FAILS", f"the paper's own epochs: {epochs}"))
    parts.append((9, "single runs say enough", *_judge_spread(replications)))
    parts.append((9, "losses that the accuracies allow at all", *_judge_possible_losses()))
    parts.append((9, "losses that belong to the accuracies", *_judge_losses(replications)))
    lines = [(number, paper.CLAIMS[number - 1].place, *part) for number, *part in parts]
    return pd.DataFrame(lines, columns=["claim", "place", "part", "verdict", "computation"])


def _judge_table(claimed, runs):
    """Returns the parts of a claim about one of the tables: (claim, part, verdict, computation)."""
    claim, base, rival, light = claimed.claim, claimed.base, claimed.rival, claimed.light
    parts = [(f"{claim.times:g} times fewer parameters", *_judge_count(claim, light, base))]
    if claim.drop:
        drop = comparisons.paired(runs, claim.dataset, base.label, light.label)
        line = f"{base.label} - K = {claim.rank}: {describe_points(drop)}"
        word = "only" if claim.only else "around"
        parts.append((f"{word} {claim.drop}% drop", judge_drop(claim, drop), line))
    if rival.label in claim.about:
        gain = comparisons.paired(runs, claim.dataset, light.label, rival.label)
        line = f"K = {claim.rank} ({light.parameters:,} parameters) - {rival.label} "
        line += f"({rival.parameters:,}): {describe_points(gain)}"
        parts.append((f"better than {rival.label}", judge_above(gain), line))
    if not claim.drop:
        part = "few parameters explain the low accuracy"
        parts.append((f"{part}: in the paper", *_judge_few_in_paper(rival, light)))
        parts.append((f"{part}: in our runs", *_judge_few_in_runs(claim, light, runs)))
    return [(claimed.number, *part) for part in parts]


def describe_points(values):
    """Returns the mean of paired differences with its 95% t-interval, as a phrase."""
    if len(values) < 2:
        return "too few runs"
    mean, low, high = intervals.mean_interval(values)
    return f"{mean:+.1f} points ({low:+.1f} to {high:+.1f}, {len(values)} seeds)"


def judge_drop(claim, values):
    """Returns whether paired differences are "only" or "around" the drop of a claim."""
    if len(values) < LEAST_SEEDS:
        return "NOT RUN"
    _, low, high = intervals.mean_interval(values)
    if claim.only:
        least, most = -float("inf"), claim.drop + _ROUNDING
    else:
        least = claim.drop - _ROUNDING - _TOLERANCE
        most = claim.drop + _ROUNDING + _TOLERANCE
    if least <= low and high <= most:
        return "HOLDS"
    return "FAILS" if high < least or low > most else "UNDECIDED"


def judge_above(values, least=0.0):
    """Returns whether the t-interval of the mean of paired differences lies above a number."""
    if len(values) < LEAST_SEEDS:
        return "NOT RUN"
    _, low, high = intervals.mean_interval(values)
    if low > least:
        return "HOLDS"
    return "FAILS" if high < least else "UNDECIDED"


def _judge_count(claim, light, base):
    times = base.parameters / light.parameters
    holds = abs(times / claim.times - 1) <= 0.05
    line = f"{base.parameters:,} / {light.parameters:,} parameters = {times:.2f}"
    return "HOLDS" if holds else "FAILS", line


def _judge_few_in_paper(few, light):
    fails = few.accuracy_value > light.accuracy_value + _TOLERANCE / 100
    line = f"its {few.label} has {few.parameters:,} and {few.accuracy}, K = {light.rank} has "
    line += f"{light.parameters:,} and {light.accuracy}"
    return "FAILS" if fails else "HOLDS", line


def _judge_few_in_runs(claim, light, runs):
    gain = comparisons.paired(runs, claim.dataset, (light.label, "all-changes"), light.label)
    better = judge_above(gain, _TOLERANCE)
    # Better with as many parameters: then these are no reason.
    verdict = {"HOLDS": "FAILS", "FAILS": "HOLDS"}.get(better, better)
    line = "as many parameters, with all changes of collapse.ipynb, two of which are to the layers"
    return verdict, f"{line}: {describe_points(gain)}"


def _judge_spread(runs):
    spread = runs.groupby(["dataset", "label"])["accuracy"].agg(["std", "size"])
    spread = 100 * spread.loc[spread["size"] >= LEAST_SEEDS, "std"]
    if not len(spread):
        return "NOT RUN", "too few runs"
    line = f"standard deviation over seeds: median {spread.median():.1f} points, at most "
    line += f"{spread.max():.1f} ({', '.join(spread.idxmax())})"
    return "FAILS" if spread.max() > _TOLERANCE else "HOLDS", line


def _judge_possible_losses():
    impossible = losses.find_impossible_losses()
    line = ", ".join(impossible) or "none of the 28 is below (1 - accuracy) · log 2"
    return "FAILS" if impossible else "HOLDS", line


def _judge_losses(runs):
    table = losses.judge_losses(runs)
    judged = table[table["verdict"] != "NOT JUDGED"]
    apart = [
        f"{row.dataset} {row.method} {row.loss} ({row.low:.3f} to {row.high:.3f})"
        for row in judged[judged["verdict"] != "INSIDE"].itertuples()
    ]
    ours = losses.judge_own_losses(runs)
    ours_apart = sum(verdict != "INSIDE" for verdict in ours)
    rate = max(intervals.MISS_RATE, ours_apart / max(1, len(ours)))
    tail = intervals.binomial_tail(len(apart), len(judged), rate)
    line = f"{len(apart)} of {len(judged)} rows apart from ours at that accuracy, "
    line += f"{ours_apart} of {len(ours)} of our own runs from the other seeds (p = {tail:.2g}): "
    line += ", ".join(apart) or "none"
    if judged.empty:
        return "NOT RUN", line
    return "FAILS" if tail < 0.05 else "HOLDS", line
