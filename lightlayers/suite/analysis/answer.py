"""The answer: what the stored runs say of the paper in a few sentences, each with its numbers."""

import math

from lightlayers.suite import paper, registry
from lightlayers.suite.analysis import aims, claims, comparisons, intervals, verdicts, yardsticks
from lightlayers.suite.analysis.claimed import list_claimed

_OUTSIDE = ("CLOSE", "DIFFERENT")


def describe_answer(frame, cells, judged):
    """Returns whether the paper's results hold, as four sentences.

    Args:
        frame: DataFrame, as `tables.frame` returns it, of all data sets and recipes.
        cells: DataFrame, as `verdicts.cells` returns it.
        judged: DataFrame, as `claims.judge` returns it.
    """
    replications = verdicts.select_replications(frame)
    return [
        describe_published(cells),
        describe_strength(replications, cells),
        describe_claims(frame, judged),
        describe_best(frame),
    ]


def describe_table(runs, dataset):
    """Returns what one table of the paper came to, as three sentences.

    Args:
        runs: DataFrame, as `tables.frame` returns it.
        dataset: String, whose table.
    """
    table = verdicts.against_paper(runs, dataset).assign(dataset=dataset)
    return [describe_published(table), describe_power(runs), describe_claimed(runs, dataset)]


def describe_published(cells):
    """Returns a sentence on how many published numbers one more run of ours could have given."""
    counts, names = [], []
    for measure in ("accuracy", "loss"):
        found = cells[cells["measure"] == measure]
        outside, judged, _ = verdicts.count_outside(list(found["verdict"]))
        counts.append((judged - outside, judged))
        for cell in found[found["verdict"].isin(_OUTSIDE)].itertuples():
            if measure == "accuracy":
                names.append(_describe_cell(cell))
    (accuracies, judged), (losses, judged_losses) = counts
    if not judged:
        return "No published number has the three seeds that a verdict needs yet."
    line = f"{accuracies} of {judged} published accuracies and {losses} of {judged_losses} losses "
    line += "are what one more run of ours could have given"
    return f"{line}; not so the accuracy of {', '.join(names)}." if names else f"{line}."


def _describe_cell(cell):
    return f"{cell.method} on {cell.dataset} (published {cell.published}, ours {cell.mean})"


def describe_power(runs):
    """Returns a sentence on how far an accuracy has to be off until a verdict would notice."""
    power = yardsticks.find_power(runs)
    if power.empty:
        return "What this could have seen is not known yet."
    points = 100 * power["noticed"].fillna(math.inf).median()
    size = f"by {points:.1f} points" if points < math.inf else "by more than 50 points"
    return (
        f"Seeds scatter so far that a published accuracy has to be off {size} to be noticed four "
        "times in five (median of the rows)."
    )


def describe_strength(replications, cells):
    """Returns `describe_power` with how many numbers would lie inside if they were shuffled."""
    line = describe_power(replications)
    for found in yardsticks.shuffle_published(cells).itertuples():
        if found.measure == "accuracy":
            line = line.removesuffix(".") + ", and if the accuracies of each table change places, "
            line += f"{found.shuffled} of {found.judged} could still be ours."
    return line


def describe_claimed(runs, dataset):
    """Returns a sentence on what the row of the paper's claim loses, there and here."""
    (claimed,) = (each for each in list_claimed() if each.dataset == dataset)
    base, light = claimed.base, claimed.light
    share = light.parameters / base.parameters
    printed = 100 * (base.accuracy_value - light.accuracy_value)
    line = f"{light.label} has {share:.0%} of {base.label}'s parameters and loses "
    difference = comparisons.compare_methods(runs, dataset, base.label, light.label)
    if min(difference.seeds) < claims.LEAST_SEEDS:
        return f"{line}{printed:.1f} points in the paper; here it has too few seeds yet."
    low, high = intervals.t_interval(difference)
    return (
        f"{line}{difference.mean:.1f} points of accuracy (95% interval {low:.1f} to {high:.1f}), "
        f"in the paper {printed:.1f}."
    )


def describe_claims(frame, judged):
    """Returns a sentence on the claims in words, and what became of the last table's."""
    found = judged["verdict"].value_counts()
    holds, in_part, fails, undecided = (found.get(word, 0) for word in claims.VERDICTS[:4])
    line = f"Of what the paper claims in words {holds} parts hold, {in_part} hold in part, "
    line += f"{fails} fail and {undecided} are undecided"
    collapsed = list_claimed()[-1]
    label, dataset = collapsed.light.label, collapsed.dataset
    means = [_mean(frame, dataset, label, recipe) for recipe in ("paper", "all-changes")]
    known = dict(zip(judged["part"], judged["verdict"], strict=True))
    if known["few parameters explain the low accuracy: in our runs"] != "FAILS":
        return f"{line}."
    return (
        f"{line}; few parameters are not why {label} fails on {dataset}, since as many reach "
        f"{means[1]:.1f}% instead of {means[0]:.1f}% with six changes to training and layers."
    )


def _select(frame, dataset, label, recipe):
    same = (frame["dataset"] == dataset) & (frame["label"] == label)
    return frame[same & (frame["recipe"] == recipe)]


def _mean(frame, *place):
    """Returns the mean accuracy of a row, in percent."""
    return 100 * _select(frame, *place)["accuracy"].mean()


def describe_best(frame):
    """Returns a sentence on the best light layers of the paper's size beside Keras' own layers.

    The best are those with the largest mean accuracy on held-out images.
    """
    names, columns, words = [], [], {"better": [], "worse": [], "undecided": []}
    for row in _list_aimed():
        ours, theirs = (_find_best(frame, row, group) for group in ("light", "Keras"))
        if ours and theirs:
            names.append(row.dataset)
            columns.append(_measure_best(frame, row, ours, theirs))
            words[_compare(frame, row.dataset, ours, theirs)].append(row.dataset)
    if not names:
        return "What better training gives is not known yet."
    reached, printed, others, shares = zip(*columns, strict=True)
    told = ", ".join(f"{word} on {', '.join(found)}" for word, found in words.items() if found)
    return (
        f"Trained better, light layers of at most the paper's size reach {_list(reached)} on "
        f"{', '.join(names)}, where the paper prints {_list(printed)}; against the best of Keras' "
        f"own layers within that size ({_list(others)}, with {min(shares):.0f} to "
        f"{max(shares):.0f}% of it) they are {told}."
    )


def _list(percents):
    return ", ".join(f"{percent:.1f}" for percent in percents) + "%"


def _list_aimed():
    """Returns the light rows of the paper whose parameters are the limits of `aims.AIMS`."""
    limits = {(dataset, most) for dataset, (most, _) in aims.AIMS.items()}
    return [row for row in paper.ROWS if row.rank and (row.dataset, row.parameters) in limits]


def _find_best(frame, row, group):
    """Returns label and recipe of the best row of a group of methods, or `None`."""
    names = [name for name, entry in registry.entries().items() if entry.group == group]
    runs = frame[(frame["dataset"] == row.dataset) & frame["method"].isin(names)]
    means = {}
    for key, seeds in runs[runs["held_out"].notna()].groupby(["label", "recipe"], sort=False):
        if seeds["parameters"].max() <= row.parameters and len(seeds) >= aims.LEAST_SEEDS:
            means[key] = seeds["held_out"].mean()
    return max(means, key=means.get, default=None)


def _measure_best(frame, row, ours, theirs):
    """Returns three accuracies and the share of parameters of Keras' layers, in percent."""
    size = _select(frame, row.dataset, *theirs)["parameters"].max()
    accuracies = [_mean(frame, row.dataset, *key) for key in (ours, theirs)]
    return accuracies[0], 100 * row.accuracy_value, accuracies[1], 100 * size / row.parameters


def _compare(frame, dataset, ours, theirs):
    low, high = intervals.t_interval(comparisons.compare_methods(frame, dataset, ours, theirs))
    if low > 0:
        return "better"
    return "worse" if high < 0 else "undecided"
