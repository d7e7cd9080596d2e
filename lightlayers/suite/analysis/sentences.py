"""Sentences: what tables of runs, gains and verdicts tell in words."""

from lightlayers.suite import registry
from lightlayers.suite.analysis import chance, comparisons, intervals, verdicts

LEAST_DECISIVE_PAIRS = 5  # of seeds, for a change of a recipe


def describe_differences(runs):
    """Returns sentences on how each method stands against the baseline, seed by seed.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of one data set.

    Returns:
        List of strings. Each gives the mean of the paired differences over the seeds,
        with its 95% t-interval, and in how many of them the method is below: one seed that
        learns nothing can widen the interval beyond what is possible.
    """
    label = registry.baseline().label
    is_base = runs["label"] == label
    base = runs[is_base].set_index("seed")
    if base.empty:
        return [f"No run of {label} is stored: nothing to compare with."]
    lines = []
    for name, rows in runs[~is_base].groupby("label", sort=False):
        both = rows.set_index("seed").join(base, rsuffix="_base", how="inner")
        if both.empty:
            lines.append(f"{name} shares no seed with {label} yet.")
            continue
        share = both["parameters"].iloc[0] / both["parameters_base"].iloc[0]
        points = 100 * (both["accuracy"] - both["accuracy_base"])
        line = f"{name} has {share:.0%} of {label}'s parameters and is {points.mean():+.1f} points "
        line += "of accuracy from it"
        if len(points) > 1:
            _, low, high = intervals.mean_interval(points)
            below = f"below it in {(points < 0).sum()} of {len(points)} seeds"
            line += f" (95% interval {low:+.1f} to {high:+.1f}; {below})"
        lines.append(line + ".")
    return lines


def describe_gains(gains, names):
    """Returns what gains tell, one sentence for each data set.

    Args:
        gains: DataFrame, as `comparisons.gains` returns it. Lines with fewer than three seeds say
            nothing.
        names: List of strings, the data sets.
    """
    sentences = []
    for dataset in names:
        lines = gains[gains["data set"] == dataset]
        judged = lines[lines["pairs"] >= comparisons.LEAST_PAIRS]
        if judged.empty:
            sentences.append(f"{dataset}: fewer than three pairs of seeds")
            continue
        pairs = judged["method"] + " over " + judged["over"]
        better, worse = comparisons.decided(judged.assign(pair=pairs), "pair")
        undecided = len(judged) - len(better) - len(worse)
        sentences.append(
            f"{dataset}: better: {', '.join(better) or 'nothing'}; "
            f"worse: {', '.join(worse) or 'nothing'}; undecided: {undecided} of {len(judged)}"
        )
    return sentences


def describe_change(frame, recipe, base, names):
    """Returns whether a change of a recipe helps on all of some data sets, as a sentence.

    It does where the 95% t-interval of its gain on held-out images, over at least five pairs of
    seeds, lies above zero. The test set has no say in it.

    Args:
        frame: DataFrame, as `tables.frame` returns it, of one method on each data set.
        recipe: String, the recipe with the change.
        base: String, the recipe without.
        names: List of strings, the data sets.
    """
    lows = {}
    for name in names:
        for label in frame.loc[frame["dataset"] == name, "label"].unique():
            gain = comparisons.paired(frame, name, (label, recipe), (label, base), "held_out")
            if len(gain) >= LEAST_DECISIVE_PAIRS:
                lows[name] = intervals.mean_interval(gain)[1]
    without = [name for name, low in lows.items() if not low > 0]
    if without:  # whatever the others will say
        return f"its interval does not lie above zero on {', '.join(without)}: left out"
    if len(lows) == len(names):
        return "helps on all: it belongs in the recipe"
    return "not decided: fewer than five pairs of seeds"


def describe_coverage(runs):
    """Returns sentences on the leave-one-out coverage of the prediction intervals.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
    """
    found = []
    for measure, name in (("accuracy", "accuracies"), ("loss", "losses")):
        inside, tried = verdicts.coverage(runs, measure)
        found.append(f"{inside} of {tried} {name}")
    return (
        f"Leave-one-out coverage: {' and '.join(found)} of our own runs lie in the prediction "
        f"interval of their row's other seeds. Exact intervals would hold {0.95 * tried:.1f}. "
        "Rows with four seeds or more are counted. Where coverage is below 95%, the binomial tail "
        "takes the measured rate of misses."
    )


def describe_stuck_runs(runs):
    """Returns a sentence on the runs that have learned nothing.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
    """
    found = runs[chance.find_stuck_runs(runs)]
    stuck = found.groupby(["dataset", "label"], sort=False).size()
    counts = runs.groupby(["dataset", "label"]).size()
    names = ", ".join(
        f"{dataset} {label}: {count} of {counts[dataset, label]}"
        for (dataset, label), count in stuck.items()
    )
    names = f" ({names})" if names else ""
    return f"{len(found)} of {len(runs)} runs learn nothing and stay at chance{names}."


def describe_weak_verdicts(cells):
    """Returns sentences on how many replicated numbers do not tell their row from others.

    Args:
        cells: DataFrame, as `verdicts.cells` returns it.
    """
    cells = cells[cells["measure"] != "cross-entropy"]  # which is held against the same numbers
    replicated = cells[cells["verdict"] == verdicts.VERDICTS[0]]
    if replicated.empty:
        return "No published number is REPLICATED."

    def holds_another(cell):
        table = cells[(cells["dataset"] == cell.dataset) & (cells["measure"] == cell.measure)]
        printed = table.loc[table["method"] != cell.method, "published"]
        return ((cell.low <= printed) & (printed <= cell.high)).any()

    def list_cells(some):
        names = ", ".join(f"{cell.dataset} {cell.method}" for cell in some.itertuples())
        return f"{len(some)} ({names})" if names else "0"

    at_chance = replicated[chance.find_cells_at_chance(replicated)]
    alike = replicated[[holds_another(cell) for cell in replicated.itertuples()]]
    count = len(replicated)
    return (
        f"{count} published number{' is' if count == 1 else 's are'} REPLICATED. The interval also "
        f"holds what a network gives that has learned nothing for {list_cells(at_chance)} of them. "
        f"It holds what is printed in another row of the table for {list_cells(alike)} of them. "
        "That these come out again says little."
    )


def describe_outside(cells, measure, rate):
    """Returns a sentence on the published numbers outside our prediction intervals.

    Args:
        cells: DataFrame, as `verdicts.cells` returns it.
        measure: String, a key of `verdicts.MEASURES`.
        rate: Float, at which replicated numbers lie outside, see `verdicts.miss_rate`.
    """
    ours = cells[cells["measure"] == measure]
    outside, judged, tail = verdicts.count_outside(list(ours["verdict"]), rate)
    if not judged:
        return "none judged yet."
    names = ", ".join(
        f"{cell.dataset} {cell.method} ({cell.published}, ours {cell.mean})"
        for cell in ours[ours["verdict"].isin(["CLOSE", "DIFFERENT"])].itertuples()
    )
    return (
        f"{judged - outside} of {judged} lie in our 95% prediction interval. Outside: "
        f"{names or 'none'}. The binomial tail, the probability of so many or more outside by "
        f"chance, is {tail:.2g}."
    )
