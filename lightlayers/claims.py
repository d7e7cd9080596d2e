"""The paper's nine claims, each judged from the runs by a rule."""

import math

from lightlayers import families, networks, published, recipes, replication

VERDICTS = ("HOLDS", "HOLDS IN PART", "FAILS", "UNDECIDED", "NOT RUN", "NO CLAIM")
_ROUNDING, _TOLERANCE = 0.5, 1.0  # points: a drop is printed in whole ones
_SAME = 0.05  # two costs that differ by less are called equal
# Times as well: MNIST and Fashion-MNIST have the same networks, whose ratios came out so far apart.
_SAME_TIME = 0.30
_MEASURE = "lightlayers bench networks"
# What one seed of each gave on CIFAR-100 (K = 5) after six epochs, before the suite was built.
FIRST_LOOK = {"paper": "0.030", "no-scale": "0.100", "zero-biases": "0.022", "first-four": "0.184"}


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


def _of_all(found):
    if not found:
        return "NOT RUN"
    return "HOLDS" if all(found) else "HOLDS IN PART" if any(found) else "FAILS"


def _less(ratios, same):
    verdict = _of_all([ratio <= 1 - same for ratio in ratios])
    more = any(ratio >= 1 + same for ratio in ratios)
    return "UNDECIDED" if verdict == "FAILS" and not more else verdict


def judge(runs, timings=None):
    """Returns the claims of `published.CLAIMS`, each part with its verdict and computation.

    The rules: differences are paired by seed and need three pairs. A printed drop is a whole
    number of points, so it stands for itself ± 0.5. "Only" holds if the 95% t-interval of the
    mean difference ends below that, "around" if the interval lies within 1 point more on
    either side. A ratio of parameters holds within 5%. That few parameters explain a low
    accuracy fails in our runs if as many are better by more than 1 point under recipe
    "all-changes", and in the paper if its SeparableConv2D is, with fewer. "Less" of a cost
    holds if it is less in every network that the claims are about, in part if in some of them,
    and fails if in none while it is more in some. "As efficient as Conv2D" holds if no time and
    no memory is more, and in part if only some are; "as Dense" if no last layer has more
    multiply-adds, and in part if only some have, since its times are within the scatter. Costs
    that differ by less than 5% count as equal, times by less than 30%. A method is "better" than
    another if the interval lies above zero. Single runs say enough if no row of three seeds or
    more has a standard deviation above 1 point. An accuracy allows a loss of
    (1 - accuracy) · log 2 at least. A loss belongs to an accuracy if it is within 10% of what
    ours had in any epoch with an accuracy within the tolerance; the part fails if more
    printed losses are apart than is likely at the rate of our own runs, each held against the
    other seeds, or at 5% if that is more. Those ranges widen with seeds, so that fewer are found
    apart where there are more.

    The rules for drops and parameters are older than any row with three seeds. Those for
    losses, times, memory and the last layer's multiply-adds were changed or added when results
    were known.

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
        rows = {row.label: row for row in published.rows(claim.dataset)}
        row, base = rows[label], rows["Conv2D"]
        add(number, f"{claim.times:g} times fewer parameters", *_count(claim, row, base))
        drop = paired(runs, claim.dataset, base.label, label)
        told = f"Conv2D - K = {claim.rank}: {_told(drop)}"
        if claim.drop:
            word = "only" if claim.only else "around"
            add(number, f"{word} {claim.drop}% drop", _drop(claim, drop), told)
        if "SeparableConv2D" in claim.about:
            other = rows["SeparableConv2D"]
            gain = paired(runs, claim.dataset, label, other.label)
            told = f"K = {claim.rank} ({row.parameters:,} parameters) - {other.label} "
            told += f"({other.parameters:,}): {_told(gain)}"
            add(number, "better than SeparableConv2D", _above_zero(gain), told)
        if not claim.drop:
            _add_collapse(add, number, claim, rows, label, runs)

    _add_costs(add, runs, timings)
    add(7, published.CLAIMS[6].about, "NO CLAIM", "")
    epochs = ", ".join(f"{place}: {count}" for place, count in published.EPOCHS.items())
    add(8, "20 epochs for all models", "FAILS", f"the paper's own epochs: {epochs}")
    _add_losses(add, runs)
    columns = ["claim", "place", "part", "verdict", "computation"]
    return pd.DataFrame(lines, columns=columns)


def _add_collapse(add, number, claim, rows, label, runs):
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
    told = (
        "as many parameters, with all changes of collapse.ipynb, two of which are to the layers: "
    )
    told += _told(gain)
    add(number, "few parameters explain the low accuracy: in our runs", verdict, told)


_COSTS = (  # claim, part, tasks, and within what share two are equal
    (5, "inference time", ("forward 1", "forward 256"), _SAME_TIME),
    (5, "training time", ("train",), _SAME_TIME),
    (5, "training memory", ("memory",), _SAME),
    (6, "smaller weight file", ("file",), _SAME),
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
    add(5, part, _less(macs.values(), _SAME), told(macs, "no runs yet"))
    costs = {
        part: (number, _ratios(timings, tasks) if timings else {}, same)
        for number, part, tasks, same in _COSTS
    }
    equal = [
        ratio < 1 + same
        for number, found, same in costs.values()
        if number == 5
        for ratio in found.values()
    ]
    line = f"{sum(equal)} of the {len(equal)} times and memories below are less or count as equal"
    add(5, "as efficient as Conv2D", _of_all(equal), line if equal else _MEASURE)
    heads, rank = {}, recipes.PAPER.dense_rank
    for shape, units in dict.fromkeys(map(networks.specification, published.DATASETS)):
        inputs = networks.filters_of(shape)[-1]
        heads[f"{inputs} → {units}"] = rank * (inputs + units) / (inputs * units)
    part = "as efficient as Dense: multiply-adds of the last layer, of Dense's"
    line = f"{told(heads, '')} (less than {1 + _SAME:.2f} counts as equal)"
    add(5, part, _of_all([ratio < 1 + _SAME for ratio in heads.values()]), line)
    for part, (number, found, same) in costs.items():
        line = told(found, _MEASURE)
        if found and part.endswith("time"):
            device = timings["environment"]
            line += f" ({device['processor']}, {device['backend']})"
        part = f"less computation: {part}" if number == 5 else part
        add(number, f"{part}, of Conv2D's", _less(found.values(), same), line)


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
    ours = [_own_loss(paper, run) for run in paper.itertuples()]
    ours = [found for found in ours if found != "NOT JUDGED"]
    own = sum(found != "INSIDE" for found in ours)
    chance = replication.chance(len(apart), len(judged), max(0.05, own / max(1, len(ours))))
    verdict = "NOT RUN" if judged.empty else "FAILS" if chance < 0.05 else "HOLDS"
    told = f"{len(apart)} of {len(judged)} rows apart from ours at that accuracy, "
    told += f"{own} of {len(ours)} of our own runs from the other seeds (p = {chance:.2g}): "
    add(9, "losses that belong to the accuracies", verdict, told + (", ".join(apart) or "none"))


def _at_accuracy(ours, dataset, accuracy):
    """Epochs and seeds of ours near an accuracy, and the ends of their losses if they are enough.

    The penalties are those of the last epoch: no other is stored.
    """
    within = replication.tolerance(dataset, "accuracy")
    near = [
        (run.seed, loss - (run.loss - run.cross_entropy), loss)
        for run in ours.itertuples()
        for each, loss in run.checkpoints
        if accuracy[0] - within <= each <= accuracy[1] + within
    ]
    epochs, seeds = len(near), len({each[0] for each in near})
    if epochs < 5 or seeds < 2:
        return epochs, seeds, math.nan, math.nan
    return epochs, seeds, min(each[1] for each in near), max(each[2] for each in near)


def _stands(loss, low, high):
    if math.isnan(low):
        return "NOT JUDGED"
    margin = replication.TOLERANCES["loss"]
    below, above = loss[1] < low * (1 - margin), loss[0] > high * (1 + margin)
    return "BELOW" if below else "ABOVE" if above else "INSIDE"


def _own_loss(runs, run):
    """How a run's loss stands among those of the other seeds where they have its accuracy."""
    others = runs[
        (runs["dataset"] == run.dataset) & (runs["label"] == run.label) & (runs["seed"] != run.seed)
    ]
    *_, low, high = _at_accuracy(others, run.dataset, (run.accuracy, run.accuracy))
    return _stands((run.loss, run.loss), low, high)


def losses(runs):
    """Returns what losses our networks have when they have the accuracy that the paper prints.

    Of each row all epochs of all seeds whose test accuracy is the printed one, within the
    tolerance of a verdict: their losses as the authors evaluate them, the lowest without the
    L2 penalties (of the last epoch), in case those are left out.

    Args:
        runs: DataFrame, as `replication.frame` returns it, under recipe "paper".

    Returns:
        A `pandas.DataFrame`, one row per published row: `dataset`, `method`, `accuracy` and
        `loss` as printed, `epochs` and `seeds` of ours that have the accuracy, the `low` and
        `high` of their losses, and `verdict`: BELOW or ABOVE these by more than 10%, else
        INSIDE, or NOT JUDGED with fewer than five epochs or two seeds.
    """
    import pandas as pd

    lines = []
    for row in published.ROWS:
        ours = runs[(runs["dataset"] == row.dataset) & (runs["label"] == row.label)]
        found = _at_accuracy(ours, row.dataset, published.box(row.accuracy))
        verdict = _stands(published.box(row.loss), *found[2:])
        lines.append([row.dataset, row.label, row.accuracy, row.loss, *found, verdict])
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
        `max`, `loss` (on the test set, beside the accuracy on it), `pairs` (seeds that the
        other recipe has too), `gain` (mean difference over those, in points) and the ends
        `low` and `high` of its 95% t-interval.
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
    table = pd.DataFrame(lines, columns=columns).round(
        dict.fromkeys(columns[2:7], 4) | dict.fromkeys(columns[8:], 2)
    )
    return table if value == "accuracy" else table.drop(columns="loss")


def decided(table, name="recipe"):
    """Returns what gains and what loses, each as `"no-scale (+9.5)"`.

    The 95% t-interval of the gain lies above zero, or below, over three pairs of seeds or more.

    Args:
        table: DataFrame, as `ablation` or `comparisons.gains` returns it.
        name: String, the column that names a line.
    """
    table = table[table["pairs"] >= 3]
    return tuple(
        [f"{line[name]} ({line['gain']:+.1f})" for _, line in table[chosen].iterrows()]
        for chosen in (table["low"] > 0, table["high"] < 0)
    )


def first_look(runs, dataset, seen=FIRST_LOOK, epoch=6):
    """Returns whether accuracies seen in single runs lie among those of several seeds.

    Args:
        runs: DataFrame, as `replication.frame` returns it, one method's on that data set, under
            recipes that watch the test set.
        dataset: String.
        seen: Dictionary from a recipe to the test accuracy that was seen, a string with its
            rounding. Defaults to `FIRST_LOOK`.
        epoch: Integer, after how many epochs it was seen. Defaults to `6`.

    Returns:
        A `pandas.DataFrame`: `recipe`, `seen`, `n`, `mean`, `low` and `high` (the prediction
        interval of one more run) after that epoch, and `verdict`, as `replication.verdict`.
    """
    import pandas as pd

    lines = []
    for recipe, printed in seen.items():
        ours = runs[(runs["dataset"] == dataset) & (runs["recipe"] == recipe)]["checkpoints"]
        values = pd.Series([each[epoch - 1][0] for each in ours if len(each) >= epoch], dtype=float)
        ends = replication.interval(values, "accuracy")
        verdict = replication.verdict(printed, values, "accuracy", dataset)
        lines.append([recipe, printed, len(values), values.mean(), *ends, verdict])
    columns = "recipe seen n mean low high verdict".split()
    return pd.DataFrame(lines, columns=columns).round(4)


def says_little(cells):
    """Returns a sentence on how many replicated numbers do not tell their row from others.

    Args:
        cells: DataFrame, as `replication.cells` returns it.
    """
    cells = cells[cells["measure"] != "cross-entropy"]  # which is held against the same numbers
    replicated = cells[cells["verdict"] == replication.VERDICTS[0]]

    def others(cell):
        table = cells[(cells["dataset"] == cell.dataset) & (cells["measure"] == cell.measure)]
        printed = table.loc[table["method"] != cell.method, "published"]
        return ((cell.low <= printed) & (printed <= cell.high)).any()

    if replicated.empty:
        return "No published number is REPLICATED."
    nothing = replicated[replication.at_chance(replicated)]
    alike = replicated[[others(cell) for cell in replicated.itertuples()]]

    def named(some):
        names = ", ".join(f"{cell.dataset} {cell.method}" for cell in some.itertuples())
        return f"{len(some)}{f' ({names})' if names else ''}"

    return (
        f"Of the {len(replicated)} published numbers REPLICATED, the interval also holds what a "
        f"network gives that has learned nothing for {named(nothing)}, and what is printed in "
        f"another row of the table for {named(alike)}: that these come out again says little."
    )
