"""Sentences: what tables of runs, gains and verdicts tell in words."""

from lightlayers.suite import registry
from lightlayers.suite.analysis import chance, comparisons, intervals, verdicts, yardsticks

LEAST_DECISIVE_PAIRS = 5  # of seeds, for a change of a recipe


def describe_differences(runs):
    """Returns sentences on how each method stands against the baseline.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of one data set.

    Returns:
        List of strings. Each gives the difference of the means with its 95% t-interval by Welch,
        and in how many pairs of a run and a baseline's the method is below: one seed that learns
        nothing can widen the interval beyond what is possible.
    """
    label = registry.baseline().label
    is_base = runs["label"] == label
    base = runs[is_base]
    if base.empty:
        return [f"No run of {label} is stored: nothing to compare with."]
    lines = []
    for name, rows in runs[~is_base].groupby("label", sort=False):
        share = rows["parameters"].iloc[0] / base["parameters"].iloc[0]
        estimates = map(intervals.estimate_mean, (rows["accuracy"], base["accuracy"]))
        gap = intervals.subtract(*estimates)
        line = f"{name} has {share:.0%} of {label}'s parameters and is {100 * gap.mean:+.1f} "
        line += "points of accuracy from it"
        if min(len(rows), len(base)) > 1:
            low, high = intervals.t_interval(gap)
            below = sum((accuracy < base["accuracy"]).sum() for accuracy in rows["accuracy"])
            line += f" (95% interval {100 * low:+.1f} to {100 * high:+.1f}; below it in {below} of "
            line += f"{len(rows) * len(base)} pairs of runs)"
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
            sentences.append(f"{dataset}: fewer than three seeds")
            continue
        pairs = judged["method"] + " over " + judged["over"]
        better, worse = comparisons.decided(judged.assign(pair=pairs), "pair")
        same = comparisons.equivalent(judged.assign(pair=pairs), "pair")
        undecided = len(judged) - len(better) - len(worse) - len(same)
        delta = 100 * verdicts.tolerance(dataset, "accuracy")
        sentences.append(
            f"{dataset}: better: {', '.join(better) or 'nothing'}; "
            f"worse: {', '.join(worse) or 'nothing'}; no difference of {delta:g} points: "
            f"{', '.join(same) or 'nothing'}; undecided: {undecided} of {len(judged)}"
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


def describe_power(runs, measure="accuracy"):
    """Returns sentences on what the verdicts of a measure could have seen.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of the paper's rows.
        measure: String, a key of `verdicts.MEASURES`.
    """
    table = yardsticks.find_power(runs, measure)
    if table.empty:
        return "No row has the three seeds that a verdict needs."
    scale = verdicts.scale_of(measure)
    powers = ", ".join(f"{off}: {table[off].median():.0%}" for off in yardsticks.OFF[scale])
    noticed = table["noticed"].fillna(float("inf")).median()
    noticed = f"{100 * noticed:.1f} points" if scale == "accuracy" else f"{noticed:.0%}"
    never = table["seeds for REPLICATED"].isna().sum()
    return (
        f"Power: a published {scale} that is off would lie outside with a median probability of "
        f"{powers}. For 80% it has to be off by {noticed}. In {never} of {len(table)} rows no "
        f"number of seeds up to {yardsticks.MOST_SEEDS} would make it REPLICATED, as single runs "
        "scatter now: that is the networks' scatter and not our precision."
    )


def describe_holm(cells, measure="accuracy"):
    """Returns a sentence on the cells that are outside by more than chance among so many.

    Args:
        cells: DataFrame, as `verdicts.cells` returns it.
        measure: String, a key of `verdicts.MEASURES`.
    """
    judged = cells[(cells["measure"] == measure) & cells["Holm"].notna()].sort_values("p")
    if judged.empty:
        return "none judged yet."
    least, found = judged.iloc[0], judged[judged["Holm"] < intervals.MISS_RATE]
    names = ", ".join(
        f"{cell.dataset} {cell.method} ({cell.Holm:.2g})" for cell in found.itertuples()
    )
    return (
        f"After Holm's adjustment over {len(judged)} cells {len(found)} differ at 5%"
        f"{': ' if names else ''}{names}. The least p is {least['p']:.2g} ({least['dataset']} "
        f"{least['method']}), adjusted {least['Holm']:.2g}; over its own table alone "
        f"{least['Holm in table']:.2g}."
    )


def describe_shuffles(cells, measure="accuracy"):
    """Returns a sentence on how many numbers would lie inside if they were shuffled.

    Args:
        cells: DataFrame, as `verdicts.cells` returns it.
        measure: String, a key of `verdicts.MEASURES`.
    """
    table = yardsticks.shuffle_published(cells)
    for line in table[table["measure"] == measure].to_dict("records"):
        return (
            f"{line['inside']} of {line['judged']} lie inside. If the published numbers of each "
            f"table are shuffled among its rows, {line['shuffled']} still do (median; 95% of "
            f"shuffles: {line['low']} to {line['high']}; as many as now in {line['as many']:.2%})."
        )
    return "none judged yet."


def describe_fresh_coverage(runs):
    """Returns sentences on what intervals from the first five seeds are worth.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of the paper's rows.
    """
    found = []
    for measure, name in (("accuracy", "accuracies"), ("loss", "losses")):
        table = yardsticks.find_fresh_coverage(runs, measure)
        inside, fresh = table["inside"].sum(), table["fresh"].sum()
        worst = table.assign(share=table["inside"] / table["fresh"]).sort_values("share")[:1]
        found.append(f"{inside} of {fresh} {name}")
    if not fresh:
        return "No row has seeds beyond the first five."
    (least,) = worst.itertuples()
    return (
        f"Fresh seeds: {' and '.join(found)} of later seeds lie in the 95% prediction interval of "
        f"the first five of their row, in {len(table)} rows. Least often in {least.dataset} "
        f"{least.method}: {least.inside} of {least.fresh} losses. Five seeds can all be lucky: an "
        "interval from five is a first look, and a claim needs ten."
    )


def describe_dependence(runs):
    """Returns sentences on whether cells and methods depend on each other through the seeds.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of the paper's rows.
    """
    found = yardsticks.correlate_seeds(runs)
    if found.empty:
        return "Too few seeds are stored to see whether runs depend on them."
    least, most = found["correlation"].min(), found["correlation"].max()
    shared = yardsticks.find_shared_failures(runs).itertuples()
    names = [f"seed {x.seed} of {x.method} on {x.stuck} of {x.of} data sets" for x in shared]
    return (
        "Methods are not paired by seed: within a data set, runs of one seed have a mean "
        f"correlation of {least:+.2f} to {most:+.2f} (least permutation p {found['p'].min():.2g}). "
        "Cells are not independent: seeds share their draws across data sets. Stuck together: "
        f"{', '.join(names) or 'none'}. The binomial tail takes cells as independent; Holm's "
        "adjustment does not."
    )
