"""Efficiency: the paper's claims about computation, time, memory and the weight file."""

from lightlayers.suite import datasets, networks, paper, recipes
from lightlayers.suite.analysis.claimed import list_claimed
from lightlayers.suite.runs import write_row

SAME = 0.05  # two costs that differ by less are called equal
# Times as well: MNIST and Fashion-MNIST have the same networks, whose ratios came out so far apart.
SAME_TIME = 0.30
_COMMAND = "lightlayers bench networks"
_COSTS = (  # claim, part, tasks, and within what share two are equal
    (5, "inference time", ("forward 1", "forward 256"), SAME_TIME),
    (5, "training time", ("train",), SAME_TIME),
    (5, "training memory", ("memory",), SAME),
    (6, "smaller weight file", ("file",), SAME),
)


def judge_efficiency(runs, timings=None):
    """Returns the parts of claims 5 and 6.

    Args:
        runs: DataFrame, as `tables.frame` returns it, of the paper's rows.
        timings: Dictionary, as `Store.measurement("networks")` returns it, or `None`.

    Returns:
        List of (claim, part, verdict, computation).
    """
    measured = [find_ratios(timings, tasks) if timings else {} for _, _, tasks, _ in _COSTS]
    parts = [_judge_multiply_adds(runs), _judge_as_conv2d(measured), _judge_as_dense()]
    for (number, part, _, same), ratios in zip(_COSTS, measured, strict=True):
        line = _list_ratios(ratios) or _COMMAND
        if ratios and part.endswith("time"):
            device = timings["environment"]
            line += f" ({device['processor']}, {device['backend']})"
        name = f"less computation: {part}" if number == 5 else part
        parts.append((number, f"{name}, of Conv2D's", judge_less(ratios.values(), same), line))
    return parts


def find_ratios(timings, tasks):
    """Returns what the claimed networks take of their baseline's, by network.

    Args:
        timings: Dictionary, as `Store.measurement("networks")` returns it.
        tasks: Tuple of strings, what was measured.
    """
    names = {}
    for claimed in list_claimed():
        row = write_row(claimed.light.method, claimed.light.rank)
        names[claimed.dataset, row] = claimed.name
    found = {}
    for row in timings["rows"]:
        name = names.get((row["dataset"], row["row"]))
        if name and row["task"] in tasks:
            several = f" {row['task']}" if len(tasks) > 1 else ""
            found[f"{name}{several}"] = row["ratio"]
    return found


def judge_all(found):
    """Returns HOLDS if all are true, HOLDS IN PART if some, else FAILS."""
    found = list(found)
    if not found:
        return "NOT RUN"
    if all(found):
        return "HOLDS"
    return "HOLDS IN PART" if any(found) else "FAILS"


def judge_less(ratios, same):
    """Returns whether ratios are less than 1, by more than what counts as equal.

    UNDECIDED says that none is less and none is more.
    """
    ratios = list(ratios)
    verdict = judge_all(ratio <= 1 - same for ratio in ratios)
    more = any(ratio >= 1 + same for ratio in ratios)
    return "UNDECIDED" if verdict == "FAILS" and not more else verdict


def _list_ratios(ratios):
    return ", ".join(f"{name}: {ratio:.2f}" for name, ratio in ratios.items())


def _judge_multiply_adds(runs):
    rows = runs.drop_duplicates(["dataset", "label"]).set_index(["dataset", "label"])
    counts = rows["multiply_adds"].to_dict()
    ratios = {}
    for claimed in list_claimed():
        base = counts.get((claimed.dataset, claimed.base.label))
        light = counts.get((claimed.dataset, claimed.light.label))
        if base and light:
            ratios[claimed.name] = light / base
    part = "less computation: multiply-adds, of Conv2D's"
    line = _list_ratios(ratios) or "no runs yet"
    return 5, part, judge_less(ratios.values(), SAME), line


def _judge_as_conv2d(measured):
    equal = []
    for (number, _, _, same), ratios in zip(_COSTS, measured, strict=True):
        if number == 5:
            equal += [ratio < 1 + same for ratio in ratios.values()]
    line = f"{sum(equal)} of the {len(equal)} times and memories below are less or count as equal"
    return 5, "as efficient as Conv2D", judge_all(equal), line if equal else _COMMAND


def _judge_as_dense():
    """Judges the multiply-adds of the last layer, `rank · (inputs + units)` of `inputs · units`."""
    rank, heads = recipes.PAPER.dense_rank, {}
    for dataset in map(datasets.get, paper.DATASETS):
        inputs, units = networks.filters_of(dataset.shape)[-1], dataset.classes
        heads[f"{inputs} → {units}"] = rank * (inputs + units) / (inputs * units)
    part = "as efficient as Dense: multiply-adds of the last layer, of Dense's"
    line = f"{_list_ratios(heads)} (less than {1 + SAME:.2f} counts as equal)"
    return 5, part, judge_all(ratio < 1 + SAME for ratio in heads.values()), line
