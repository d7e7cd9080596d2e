"""The paper's nine claims, each judged from the runs by a rule."""

import math

from lightlayers.suite import paper
from lightlayers.suite.analysis import comparisons, efficiency, intervals, losses, verdicts
from lightlayers.suite.analysis.claimed import list_claimed

VERDICTS = ("HOLDS", "HOLDS IN PART", "FAILS", "UNDECIDED", "NOT RUN", "NO CLAIM")
LEAST_SEEDS = 3
_ROUNDING, _TOLERANCE = 0.5, 1.0  # points: a drop is printed in whole ones

RULES = """\
Drops. Differences between methods are by Welch and need three seeds of each. A printed drop is a
whole number of points, so it stands for itself ± 0.5. "Only" holds if the 95% t-interval of the
mean difference ends below that. "Around" holds if the interval lies within 1 point more on either
side. A method is "better" than another if the interval lies above zero.

Parameters. A ratio of parameters holds within 5%. That few parameters explain a low accuracy fails
in our runs if as many are better by more than 1 point under recipe "all-changes", by pairs of
seeds: it is one method. It fails in the
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

The rules for drops and parameters are older than any row with three seeds, but for pairs and Welch.
What was changed or added when results were known has a list of its own."""

# Rules that were changed or added when results were known: when, which, and to what.
RULE_CHANGES = (
    ("2026-11-22", "costs", "times equal within 15% instead of 5%; HOLDS IN PART added"),
    ("2026-11-22", "losses", "held against ours at the same accuracy, at the rate of our own runs"),
    ("2026-11-25", "times", "equal within 30% instead of 15%"),
    ("2026-11-25", "binomial tail", "takes the measured rate of misses, at least 5%"),
    ("2026-11-25", "as efficient as Dense", "by the last layer's multiply-adds, without its times"),
    ("2026-11-27", "costs", "UNDECIDED added: none is less and none is more"),
    ("2026-11-27", "losses", "the rate of our own runs is 5% at least"),
    ("2026-11-28", "drops", "between methods by Welch instead of by pairs of seeds"),
    ("2026-11-28", "gains", "of three seeds with the pooled scatter of rows of like kind"),
    ("2026-11-28", "no difference", "by TOST within the tolerance; before, nothing was claimed"),
    ("2026-11-28", "±", "of an absolute accuracy: with the sampling error of the test images"),
    ("2026-11-28", "aims", "judged by the interval of the mean instead of by the mean"),
    ("2026-11-28", "verdicts", "unchanged; power, Holm and shuffles stand beside them"),
)


def list_rule_changes():
    """Returns `RULE_CHANGES` as a `pandas.DataFrame`: `date`, `rule` and `change`."""
    import pandas as pd

    return pd.DataFrame(RULE_CHANGES, columns=["date", "rule", "change"])


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
        drop = comparisons.compare_methods(runs, claim.dataset, base.label, light.label)
        line = f"{base.label} - K = {claim.rank}: {comparisons.describe_points(drop)}"
        verdict = judge_drop(claim, drop)
        line += _describe_undecided(verdict, drop, _find_bounds(claim))
        word = "only" if claim.only else "around"
        parts.append((f"{word} {claim.drop}% drop", verdict, line))
    if rival.label in claim.about:
        gain = comparisons.compare_methods(runs, claim.dataset, light.label, rival.label)
        line = f"K = {claim.rank} ({light.parameters:,} parameters) - {rival.label} "
        line += f"({rival.parameters:,}): {comparisons.describe_points(gain)}"
        verdict = judge_above(gain)
        line += _describe_undecided(verdict, gain, (0,))
        parts.append((f"better than {rival.label}", verdict, line))
    if not claim.drop:
        part = "few parameters explain the low accuracy"
        parts.append((f"{part}: in the paper", *_judge_few_in_paper(rival, light)))
        parts.append((f"{part}: in our runs", *_judge_few_in_runs(claim, light, runs)))
    return [(claimed.number, *part) for part in parts]


def judge_drop(claim, difference):
    """Returns whether a `comparisons.Difference` is "only" or "around" the drop of a claim."""
    if min(difference.seeds) < LEAST_SEEDS:
        return "NOT RUN"
    low, high = intervals.t_interval(difference)
    least, most = _find_bounds(claim)
    if least <= low and high <= most:
        return "HOLDS"
    return "FAILS" if high < least or low > most else "UNDECIDED"


def _find_bounds(claim):
    """Returns what a drop is at least and at most, in points, if a claim holds."""
    if claim.only:
        return -math.inf, claim.drop + _ROUNDING
    return claim.drop - _ROUNDING - _TOLERANCE, claim.drop + _ROUNDING + _TOLERANCE


def judge_above(difference, least=0.0):
    """Returns whether the t-interval of a `comparisons.Difference` lies above a number."""
    if min(difference.seeds) < LEAST_SEEDS:
        return "NOT RUN"
    low, high = intervals.t_interval(difference)
    if low > least:
        return "HOLDS"
    return "FAILS" if high < least else "UNDECIDED"


def _describe_undecided(verdict, difference, bounds):
    """Returns how many seeds would decide, as they scatter now, or nothing if it is decided."""
    if verdict != "UNDECIDED":
        return ""
    one, other = difference.seeds
    # Seeds alike on both sides, with the error that there is.
    deviation = difference.error * math.sqrt(2 / (1 / one + 1 / other))
    distance = min(abs(difference.mean - bound) for bound in bounds)
    seeds = intervals.seeds_to_decide(deviation, distance)
    found = "more than 1,000" if math.isnan(seeds) else f"about {seeds}"
    return f"; if mean and scatter stay, {found} seeds each would decide"


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
    changed = light.label, "all-changes"
    gain = comparisons.compare_pairs(runs, claim.dataset, changed, light.label)
    better = judge_above(gain, _TOLERANCE)
    # Better with as many parameters: then these are no reason.
    verdict = {"HOLDS": "FAILS", "FAILS": "HOLDS"}.get(better, better)
    line = "as many parameters, with all changes of collapse.ipynb, two of which are to the layers"
    return verdict, f"{line}: {comparisons.describe_points(gain)}"


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
