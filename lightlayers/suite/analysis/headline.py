"""The answer on one page: what the README says of the stored runs."""

from lightlayers.suite import paper, recipes, registry
from lightlayers.suite.analysis import aims, claims, comparisons, sentences, tables, verdicts
from lightlayers.suite.analysis.claimed import list_claimed

BEGIN, END = "<!-- written by `lightlayers report` -->", "<!-- end -->"
LEAST_SEEDS = 3
_LEGEND = (
    "REPLICATED: inside our interval, which is narrower than the tolerance (1 point of accuracy, "
    "0.5 on MNIST, 10% of a loss, either way). CONSISTENT, IMPRECISE: inside a wider one. CLOSE: "
    "outside, within the tolerance of our mean. DIFFERENT: further. The row `cross-entropy` holds "
    "our losses without the L2 penalties against the same printed ones."
)
_CORRECTED = "[corrected.ipynb](notebooks/corrected.ipynb)"
_COLLAPSE = "[collapse.ipynb](notebooks/collapse.ipynb)"


def update_readme(text, store):
    """Returns a README with what its marked part says computed from the stored runs.

    Args:
        text: String, the README.
        store: A `Store`.

    Raises:
        ValueError: If the marked part has no end.
    """
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(
            f"Expected a README with the lines {BEGIN} and {END}. Received: one without."
        )
    frame = tables.frame(store.whole_records(paper.DATASETS))
    page = write_page(frame, store.measurement("networks"))
    return f"{before}{BEGIN}\n{page}\n{END}{after}"


def write_page(frame, timings=None):
    """Returns whether the paper's results hold, and what better layers reach, as Markdown.

    Args:
        frame: DataFrame, as `tables.frame` returns it, of all data sets and recipes.
        timings: Dictionary, as `Store.measurement("networks")` returns it, or `None`.
    """
    replications = verdicts.select_replications(frame)
    cells, judged = verdicts.cells(replications), claims.judge(frame, timings)
    answers = [
        *_describe_numbers(replications, cells),
        *_describe_runs(frame, replications, judged),
    ]
    parts = [
        _count_runs(replications),
        verdicts.counts(cells).reset_index().to_markdown(index=False),
        _LEGEND,
        "\n".join(f"- {line}" for line in answers),
        "The paper's claims in words, part by part. [report.ipynb](notebooks/report.ipynb) has the "
        "computation behind each verdict.",
        judged.drop(columns="computation").to_markdown(index=False),
        *_describe_aims(frame),
    ]
    return "\n\n".join(parts)


def _count_runs(runs):
    counts = []
    for row in paper.ROWS:
        counts.append(int((runs["label"].eq(row.label) & runs["dataset"].eq(row.dataset)).sum()))
    least, most = min(counts), max(counts)
    seeds = f"{least}" if least == most else f"between {least} and {most}"
    judged = sum(count >= LEAST_SEEDS for count in counts)
    return (
        f"{sum(counts)} runs of the {len(counts)} rows of Tables 1 to 4 are stored, {seeds} seeds "
        f"a row. A verdict on a number needs three: {judged} rows have them."
    )


def _describe_numbers(runs, cells):
    """Returns the answers on published numbers, one by one."""
    sizes = runs.drop_duplicates(["dataset", "label"]).set_index(["dataset", "label"])
    sizes = sizes["parameters"].to_dict()
    same = sum(sizes.get((row.dataset, row.label)) == row.parameters for row in paper.ROWS)
    lines = [f"**Parameters**: {same} of the {len(paper.ROWS)} counts come out exactly."]
    for measure, name in (("accuracy", "Accuracies"), ("loss", "Losses")):
        rate = verdicts.miss_rate(runs, measure)
        lines.append(f"**{name}**: {sentences.describe_outside(cells, measure, rate)}")
    lines.append(f"**Intervals**: {sentences.describe_coverage(runs)}")
    lines.append(f"**Verdicts**: {sentences.describe_weak_verdicts(cells)}")
    return lines


def _describe_runs(frame, replications, judged):
    """Returns the answers on what single runs say, and on the claims."""
    known = {line.part: line for line in judged.itertuples()}
    single = known["single runs say enough"]
    few = known["few parameters explain the low accuracy: in our runs"]
    found = judged["verdict"].value_counts()
    counts = ", ".join(f"{found.get(name, 0)} {name}" for name in claims.VERDICTS[:-1])
    return [
        f"**Single runs**, as the paper has, say enough: {single.verdict} ({single.computation}).",
        f"**Stuck**: {sentences.describe_stuck_runs(replications)} {_COLLAPSE} asks why.",
        f"**CIFAR-100**: that few parameters explain its low accuracy {few.verdict} "
        f"({few.computation}). {_describe_single_changes(frame)}",
        f"**Claims** in words, {found.drop('NO CLAIM').sum()} parts: {counts}.",
    ]


def _describe_single_changes(frame):
    """Returns which changes of the protocol lift the accuracy that collapses, each by itself."""
    collapsed = list_claimed()[-1]
    single = [name for name, changes in recipes.CHANGES.items() if len(changes) == 1]
    chosen = frame["recipe"].isin(["paper", *single]) & frame["label"].eq(collapsed.light.label)
    table = comparisons.ablation(frame[chosen], collapsed.dataset)
    helping, _ = comparisons.decided(table)
    return f"Changes that lift it alone: {', '.join(helping) or 'none so far'} ({_COLLAPSE})."


def _describe_aims(frame):
    """Returns what light layers reach within the parameters of one of the paper's rows, if any."""
    import pandas as pd

    table = aims.judge_aims(frame)
    best = table[(table["entry"] == aims.ENTRIES[1]) & (table["n"] > 0)]
    if best.empty:
        return []
    lines = [_describe_best(frame, line) for line in best.to_dict("records")]
    labels = list(_list_keras_labels().values())
    columns = ["data set", "fitting", "light layer and recipe", "parameters", "test accuracy"]
    columns += ["the paper's LightLayers", "its Conv2D"]
    columns += [f"{label}, recipe corrected" for label in labels]
    shown = pd.DataFrame(lines, columns=columns).to_markdown(index=False, disable_numparse=True)
    return [
        "Past the paper: what networks of light layers reach that have no more parameters than its "
        "LightLayers when training ends. Epochs are the same, and there is no augmentation. Layer "
        "and recipe (the training protocol) are the best on held-out training images, of all "
        "stored rows that have such images, fit and have three seeds. `fitting` counts these rows. "
        "(Recipe product-l2 was added on MNIST after recipe corrected had missed its aim on the "
        "test set.) ± is half the 95% t-interval of the mean. Layer and recipe both differ from "
        f"the paper's: {_describe_recipe(frame)} Recipe product-l2 is corrected and an L2 penalty "
        f"on the kernels of light layers. {' and '.join(labels)} were not tried with one, and "
        "nothing was tuned for them.",
        shown,
    ]


def _list_keras_labels():
    """Returns the labels of Keras' own layers, by name."""
    entries = registry.entries().values()
    return {entry.name: entry.label for entry in entries if entry.group == "Keras"}


def _describe_best(frame, line):
    """Returns a line of the table of `_describe_aims`: ours beside the paper's and Keras' own."""
    rows = paper.rows(line["data set"])
    (light,) = (row for row in rows if row.rank and row.parameters == line["at most"])
    base = next(row for row in rows if row.method == registry.baseline().name)
    accuracy = f"{line['accuracy']:.4f} ± {line['±']:.4f} ({line['n']:.0f} seeds)"
    cells = [line["data set"], line["fitting"], f"{line['method']}, {line['recipe']}"]
    cells += [f"{line['parameters']:,.0f}", accuracy]
    cells += [f"{row.accuracy} with {row.parameters:,}" for row in (light, base)]
    for label in _list_keras_labels().values():
        cells.append(_describe_corrected(frame, line["data set"], label))
    return cells


def _describe_corrected(frame, dataset, label):
    """Returns what recipe corrected makes of a row, without any of our layers."""
    chosen = (frame["dataset"] == dataset) & (frame["recipe"] == "corrected")
    rows = frame[chosen & (frame["label"] == label)]
    if len(rows) < LEAST_SEEDS:
        return "not run"
    (found,) = tables.summary(rows).to_dict("records")
    return f"{found['accuracy']:.4f} ± {found['±']:.4f} with {found['parameters']:,}"


def _describe_recipe(frame):
    """Returns what recipe corrected gives the baseline, on the data sets where that is known."""
    label = registry.baseline().label
    gains = comparisons.of_recipes(frame[frame["label"] == label])
    gains = gains[gains["pairs"] >= comparisons.LEAST_PAIRS]
    if gains.empty:
        return f"how much each gives is not known yet: {_CORRECTED} lacks {label} under corrected."
    found = ", ".join(
        f"{line['gain']:+.1f} points ({line['low']:+.1f} to {line['high']:+.1f}) on "
        f"{line['data set']}"
        for line in gains.to_dict("records")
    )
    return (
        f"recipe corrected alone changes {label} by {found}. {_CORRECTED} compares the methods "
        "under it."
    )
