"""Rivals: light layers beside Conv2D and SeparableConv2D at equal parameters and multiply-adds."""

import base64
import math

from lightlayers.suite import plans, registry
from lightlayers.suite.analysis import intervals, tables, verdicts
from lightlayers.suite.runs import Run, parse_row

LEAST_SEEDS = 3
SIGNIFICANT = 0.05
CHOSEN = "corrected, chosen penalty and rate"
_COLUMNS = (
    "data set,equal,recipe,kind,method,parameters,multiply-adds,n,held-out,accuracy,±,against,"
    "difference,low,high,Holm,TOST p,verdict,images ±,McNemar"
).split(",")


def read_right(record):
    """Returns which test images a record's network classified rightly, a boolean array.

    `None` for a record that is older than that field.
    """
    import numpy as np

    if "right" not in record["test"]:
        return None
    packed = np.frombuffer(base64.b64decode(record["test"]["right"]), "uint8")
    return np.unpackbits(packed, count=record["run"]["test_size"]).astype(bool)


def mcnemar(first, second):
    """Returns the p-value of McNemar's exact test of two networks on the same images.

    `b` images are right in the first alone, `c` in the second alone. Were both equally accurate on
    images of this source, `b` would be binomial with `b + c` trials and probability 1/2.

    Args:
        first: Boolean array, which images one network has right.
        second: The same of the other.
    """
    from scipy import stats

    only_first = int((first & ~second).sum())
    trials = only_first + int((second & ~first).sum())
    return float(stats.binomtest(only_first, trials).pvalue) if trials else 1.0


def compare_images(ours, others):
    """Returns what other test images would change, and in how many pairs McNemar decides.

    Two networks of one seed make a pair. It says whether these two differ by more than the choice
    of images explains, and nothing of other seeds. Its p-values are adjusted by Holm over the
    pairs. Pooling the images of all pairs would count each image several times.

    Args:
        ours: Dictionary from a seed to a boolean array, see `read_right`.
        others: The same of the other row.

    Returns:
        Pair: half the 95% interval of the difference of mean accuracies over images, in points,
        and a text such as `"3 : 0 of 5"`, for and against ours. NaN and an empty text where no
        pair has its images.
    """
    import numpy as np
    from scipy import stats

    seeds = [seed for seed in ours if seed in others]
    if not seeds:
        return math.nan, ""
    p_values = intervals.adjust_holm([mcnemar(ours[seed], others[seed]) for seed in seeds])
    wins = losses = 0
    for seed, p_value in zip(seeds, p_values, strict=True):
        if p_value <= SIGNIFICANT:
            better = ours[seed].sum() > others[seed].sum()
            wins, losses = wins + better, losses + (not better)
    # Image by image: the share of our networks that are right less that of the others.
    difference = np.mean(list(ours.values()), axis=0) - np.mean(list(others.values()), axis=0)
    error = difference.std(ddof=1) / math.sqrt(len(difference))
    half = 100 * stats.norm.ppf(1 - intervals.MISS_RATE / 2) * error
    return round(float(half), 2), f"{wins} : {losses} of {len(seeds)}"


def list_pilots(records, chosen):
    """Returns the accuracies of pilot runs on held-out images, one row a method.

    Args:
        records: List of records of pilot runs.
        chosen: Dictionary, as `plans.choose_recipes` returns it.

    Returns:
        A `pandas.DataFrame`: `data set`, `method`, `chosen` (empty where pilot runs are missing)
        and one column for each recipe.
    """
    import pandas as pd

    lines = {}
    for record in records:
        run = Run.of(record)
        place = run.dataset, run.row
        line = lines.setdefault(place, {"data set": run.dataset, "method": run.label})
        line["chosen"] = _shorten(chosen[place]) if place in chosen else ""
        line[_shorten(run.recipe)] = round(record["history"]["val_accuracy"][-1], 4)
    return pd.DataFrame(lines.values())


def judge_rivals(records, chosen):
    """Returns each row beside the best light row at equal parameters.

    The best light row of a data set and recipe is that with the largest mean accuracy on held-out
    images. The test images have no say in which it is.

    Args:
        records: List of records of experiment "rivals".
        chosen: Dictionary, as `plans.choose_recipes` returns it.

    Returns:
        A `pandas.DataFrame`: `data set`, `equal` (what the row has in common with the light rows),
        `recipe`, `kind` (`light` or `rival`), `method`, `parameters`, `multiply-adds`, `n`,
        `held-out` and `accuracy` (means), `±` (half the 95% t-interval of the mean accuracy),
        `against` (the best light row), `difference` (in points, from that row), `low` and `high`
        (its 95% interval over seeds, by Welch), `Holm` (Welch's p-value, adjusted over the table),
        `TOST p` (small where the difference is within the tolerance), `verdict` (see
        `_choose_word`), `images ±` and `McNemar` (see `compare_images`).
    """
    import pandas as pd

    frame = tables.frame(records)
    rights = {}
    for record in records:
        if (right := read_right(record)) is not None:
            run = Run.of(record)
            rights.setdefault((run.dataset, run.row, run.recipe), {})[run.seed] = right
    lines = []
    for dataset in plans.EQUAL_PARAMETERS:
        rows = (*plans.EQUAL_PARAMETERS[dataset], *plans.EQUAL_WORK[dataset])
        lines += _judge_group(frame, rights, dataset, dict.fromkeys(rows))
        tuned = {}
        for row in plans.EQUAL_PARAMETERS[dataset]:
            if (dataset, row) in chosen:
                tuned[row] = chosen[dataset, row]
        lines += _judge_group(frame, rights, dataset, tuned)
    table = pd.DataFrame(lines, columns=[*_COLUMNS, "p"])
    judged = table["p"].notna()
    table.loc[judged, "Holm"] = intervals.adjust_holm(list(table.loc[judged, "p"]))
    table["verdict"] = [_choose_word(line) for _, line in table.iterrows()]
    digits = {"difference": 2, "low": 2, "high": 2, "Holm": 4, "TOST p": 4}
    return table.drop(columns="p").round(digits)


def _judge_group(frame, rights, dataset, recipe_of):
    """Returns the lines of rows that are compared with one light row.

    Args:
        frame: DataFrame, as `tables.frame` returns it.
        rights: Dictionary from (data set, row, recipe) to that from a seed to its images.
        dataset: String.
        recipe_of: Dictionary from a row to the recipe that was chosen for it, `None` for
            recipe "corrected".
    """
    groups = {}
    for row, recipe in recipe_of.items():
        place = dataset, row, recipe or "corrected"
        found = frame[(frame[["dataset", "row", "recipe"]] == place).all(axis=1)]
        if len(found):
            groups[place] = found
    light = [place for place in groups if _name_kind(place[1]) == "light"]
    best = max(light, key=lambda place: groups[place]["held_out"].mean(), default=None)
    lines = []
    for place, runs in groups.items():
        dataset, row, recipe = place
        line = tables.summary(runs).iloc[0].to_dict()
        in_work = row in plans.EQUAL_WORK[dataset]
        line |= {"data set": dataset, "equal": "multiply-adds" if in_work else "parameters"}
        line["recipe"] = "corrected" if recipe_of[row] is None else f"chosen: {_shorten(recipe)}"
        line["kind"] = _name_kind(row)
        line["held-out"] = runs["held_out"].mean().round(4)
        if best and place != best:
            line["against"] = groups[best]["label"].iloc[0]
            line |= _compare(runs, groups[best], dataset)
            images = compare_images(rights.get(place, {}), rights.get(best, {}))
            line["images ±"], line["McNemar"] = images
        lines.append(line)
    return lines


def _name_kind(row):
    return "light" if registry.find(parse_row(row)[0]).group == "light" else "rival"


def _shorten(recipe):
    """Returns how a recipe of `recipes.TUNED` differs from recipe "corrected"."""
    return recipe.removeprefix("corrected").removeprefix("-") or "as corrected"


def _compare(runs, others, dataset):
    """Returns the difference of mean accuracies in points, and what Welch and TOST say of it."""
    from scipy import stats

    ours, theirs = 100 * runs["accuracy"], 100 * others["accuracy"]
    estimate = intervals.subtract(intervals.estimate_mean(ours), intervals.estimate_mean(theirs))
    line = {"difference": estimate.mean}
    if min(len(ours), len(theirs)) < LEAST_SEEDS:
        return line
    line["low"], line["high"] = intervals.t_interval(estimate)
    line["p"] = stats.ttest_ind(ours, theirs, equal_var=False).pvalue
    delta = 100 * verdicts.tolerance(dataset, "accuracy")
    return line | {"TOST p": intervals.equivalence_p_value(estimate, delta)}


def _choose_word(line):
    """Returns what is decided: `better`, `worse`, `as good` (within the tolerance) or nothing."""
    if not isinstance(line["against"], str):
        return "best light row" if line["kind"] == "light" else "alone"
    if math.isnan(line["p"]):
        return f"fewer than {LEAST_SEEDS} seeds"
    if line["Holm"] <= SIGNIFICANT:
        return "better" if line["difference"] > 0 else "worse"
    return "as good" if line["TOST p"] <= SIGNIFICANT else "undecided"


def describe_winners(table):
    """Returns who wins in each group of a table, one sentence each.

    A group has one data set and recipe, and is equal in one thing. Its rival is that with the
    largest mean accuracy on held-out images.

    Args:
        table: DataFrame, as `judge_rivals` returns it.
    """
    sentences = []
    tuned = table["recipe"].ne("corrected")
    groups = table.assign(tuned=tuned).groupby(["data set", "tuned", "equal"], sort=False)
    for (dataset, is_tuned, equal), rows in groups:
        rivals = rows[(rows["kind"] == "rival") & rows["against"].notna()]
        if rivals.empty:
            continue
        recipe = CHOSEN if is_tuned else "corrected"
        rival = _describe_rival(rivals.loc[rivals["held-out"].idxmax()])
        sentences.append(f"{dataset}, equal {equal}, {recipe}: {rival}")
    return sentences


def _describe_rival(line):
    words = {"better": "the rival wins", "worse": "the light layers win", "as good": "neither wins"}
    difference = f"{line['difference']:+.1f} points"
    if not math.isnan(line["low"]):
        difference += f", {line['low']:+.1f} to {line['high']:+.1f}"
    word = words.get(line["verdict"], line["verdict"])
    return f"{word}, {line['method']} against {line['against']} ({difference})"
