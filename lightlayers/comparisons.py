"""What recipes, forms and found ranks give over one another, seed by seed."""

from lightlayers import claims, families, replication, runs

# At most so many parameters, at least so much test accuracy: set before the runs.
AIMS = {
    "mnist": (6135, 0.9940),
    "fashion_mnist": (9621, 0.918),
    "cifar10": (20557, 0.79),
    "cifar100": (21367, 0.47),
}
ENTRIES = ("set before the runs", "best on held-out images")


def gains(frame, pairs):
    """Returns mean paired differences of test accuracy.

    Args:
        frame: DataFrame, as `replication.frame` returns it.
        pairs: Iterable of (data set, one, other), each of the two a pair of label and
            recipe.

    Returns:
        A `pandas.DataFrame` of the pairs with a common seed: `data set`, `method`, `over`,
        `parameters` (of the one, and in the mean if seeds differ), `of over's` (their share
        of the other's), `multiply-adds` (the share of these), `pairs` (seeds that both have),
        `gain` (mean difference in points), `low` and `high` (its 95% t-interval), missing where
        there is one seed.
    """
    import pandas as pd

    sizes = frame.groupby(["dataset", "label", "recipe"])[["parameters", "multiply_adds"]].mean()
    lines = []
    for dataset, one, other in pairs:
        values = claims.paired(frame, dataset, one, other)
        if not len(values):
            continue
        # One seed says nothing of how far the next would be.
        found = replication.mean_interval(values) if len(values) > 1 else [float("nan")] * 3
        names = [
            label if one[1] == other[1] else f"{label}, {recipe}" for label, recipe in (one, other)
        ]
        ours, others = (sizes.loc[(dataset, *each)] for each in (one, other))
        sized = [round(ours["parameters"]), *(ours / others).map("{:.0%}".format)]
        lines.append([dataset, *names, *sized, len(values), *found])
    columns = "data set,method,over,parameters,of over's,multiply-adds,pairs,gain,low,high"
    columns = columns.split(",")
    return pd.DataFrame(lines, columns=columns).round(2)


def of_recipes(frame, one="corrected", other="paper"):
    """Returns the gains of one recipe over another, for each method that has both."""
    table = frame[frame["recipe"].isin([one, other])]
    both = table.groupby(["dataset", "label"], sort=False)["recipe"].nunique()
    pairs = [(data, (label, one), (label, other)) for data, label in both[both == 2].index]
    return gains(frame, pairs)


def of_forms(frame, recipe="corrected"):
    """Returns the gains of the linear forms over the paper's layer, then over SeparableConv2D.

    They are the largest that have no more parameters than the paper's layer under recipe
    "corrected". SeparableConv2D has no rank: its parameters are what they are, and the spatial
    form alone stands against it.
    """
    pairs = [
        (data, (families.label(form, rank), recipe), (families.label("lightlayers", k), recipe))
        for data, budgets in runs.FITTING.items()
        for k, fitting in budgets.items()
        for form, rank in zip(("channel", "spatial"), fitting, strict=True)
    ]
    separable = families.label("separableconv2d"), recipe
    pairs += [
        (data, (families.label("spatial", rank), recipe), separable)
        for data, budgets in runs.FITTING.items()
        for _, rank in budgets.values()
    ]
    return gains(frame, pairs)


def of_ranks(frame, recipe="corrected"):
    """Returns the gains of chosen ranks over one rank for all layers within the same budget.

    That is the largest one that fits, trained from the start, and for the ranks that a rule
    chooses halfway also rule "uniform", which starts from Conv2D as they do.
    """
    pairs = []
    for data, uniform in runs.UNIFORM.items():
        for k, rank in uniform.items():
            labels = {method: families.label(method, k) for method in runs.CHOSEN}
            one = families.label("spatial", rank)
            pairs += [(data, (label, recipe), (one, recipe)) for label in labels.values()]
            pairs += [
                (data, (labels[rule], recipe), (labels["uniform"], recipe))
                for rule in ("greedy", "product")
            ]
    return gains(frame, pairs)


def told(gains, names):
    """Returns what gains tell, one sentence for each data set.

    Args:
        gains: DataFrame, as `gains` returns it. Lines with fewer than three seeds say nothing.
        names: List of strings, the data sets.
    """
    sentences = []
    for dataset in names:
        lines = gains[gains["data set"] == dataset]
        judged = lines[lines["pairs"] >= 3]
        pairs = judged["method"] + " over " + judged["over"]
        better, worse = claims.decided(judged.assign(pair=pairs), "pair")
        open_ = len(judged) - len(better) - len(worse)
        sentence = f"{dataset}: better: {', '.join(better) or 'nothing'}; "
        sentence += f"worse: {', '.join(worse) or 'nothing'}; undecided: {open_} of {len(judged)}"
        sentences.append(sentence if len(judged) else f"{dataset}: fewer than three pairs of seeds")
    return sentences


def helps(frame, recipe, base, names):
    """Returns whether a change of a recipe helps on all of some data sets, as a sentence.

    It does where the 95% t-interval of its gain on held-out images, over at least five pairs of
    seeds, lies above zero. The test set has no say in it.

    Args:
        frame: DataFrame, as `replication.frame` returns it, of one method on each data set.
        recipe: String, the recipe with the change.
        base: String, the recipe without.
        names: List of strings, the data sets.
    """
    lows = {}
    for name in names:
        for label in frame.loc[frame["dataset"] == name, "label"].unique():
            gain = claims.paired(frame, name, (label, recipe), (label, base), "held_out")
            if len(gain) >= 5:
                lows[name] = replication.mean_interval(gain)[1]
    without = [name for name, low in lows.items() if not low > 0]
    if without:  # whatever the others will say
        return f"its interval does not lie above zero on {', '.join(without)}: left out"
    if len(lows) == len(names):
        return "helps on all: it belongs in the recipe"
    return "not decided: fewer than five pairs of seeds"


def aims(frame):
    """Returns what is reached within the parameters of `AIMS`, by two entries each.

    The first was set before the runs: the spatial form of the largest rank that fits, under
    recipe "corrected". The second is, among all light layers that fit and have three seeds, that
    with the largest mean accuracy on held-out training images.

    Args:
        frame: DataFrame, as `replication.frame` returns it.

    Returns:
        A `pandas.DataFrame`: `data set`, `at most` (parameters), `aim`, `entry`, `fitting`
        (how many the second was chosen from), `method`, `recipe`, `parameters` (the most of a
        seed), `n`, `held-out` and `accuracy` (means), `±` (half the 95% t-interval of the
        latter) and `reached` (whether it is the aim at least, told from three seeds on).
    """
    import pandas as pd

    light = [name for name, family in families.FAMILIES.items() if family.ranked]
    frame = frame[frame["method"].isin(light)]
    lines = []
    for dataset, (most, aim) in AIMS.items():
        ours = frame[(frame["dataset"] == dataset) & frame["held_out"].notna()]
        groups = {key: rows for key, rows in ours.groupby(["label", "recipe"], sort=False)}
        fitting = {
            key: rows["held_out"].mean()
            for key, rows in groups.items()
            if rows["parameters"].max() <= most and len(rows) >= 3
        }
        entries = (
            (families.label("spatial", runs.AIMED[dataset]), "corrected"),
            max(fitting, key=fitting.get, default=("", "")),
        )
        for entry, key in zip(ENTRIES, entries, strict=True):
            line = dict(zip(("method", "recipe"), key, strict=True)) | {"n": 0}
            reached = "not run"
            if (rows := groups.get(key)) is not None:
                line |= replication.summary(rows).iloc[0]
                line |= {"parameters": rows["parameters"].max()}
                line |= {"held-out": rows["held_out"].mean().round(4)}
                reached = "yes" if rows["accuracy"].mean().round(6) >= aim else "no"
                reached = reached if len(rows) >= 3 else "fewer than 3 seeds"
            line |= {"data set": dataset, "at most": most, "aim": aim, "entry": entry}
            line |= {"fitting": len(fitting)}
            lines.append(line | {"reached": reached})
    columns = "data set,at most,aim,entry,fitting,method,recipe,parameters,n,held-out,accuracy,±"
    columns = [*columns.split(","), "reached"]
    return pd.DataFrame(lines).reindex(columns=columns)
