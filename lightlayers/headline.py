"""The answer on one page: what the README says of the stored runs."""

from lightlayers import claims, comparisons, published, replication, runs

BEGIN, END = "<!-- written by `lightlayers report` -->", "<!-- end -->"


def written(text, outputs):
    """Returns a README with what its marked part says computed from the stored runs.

    Args:
        text: String, the README.
        outputs: Path of the outputs folder.
    """
    stored = [runs.every(outputs, name)[0] for name in published.DATASETS]
    records = [record for found in stored for run, record in found.items() if run.whole]
    page = answer(replication.frame(records), replication.timings(outputs))
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{page}\n{END}{rest.partition(END)[2]}"


def answer(frame, timings=None):
    """Returns whether the paper's results hold, and what better layers reach, as Markdown.

    Args:
        frame: DataFrame, as `replication.frame` returns it, of all data sets and recipes.
        timings: Dictionary, as `replication.timings` returns it, or `None`.
    """
    paper = frame[frame["recipe"] == "paper"]
    cells, judged = replication.cells(paper), claims.judge(frame, timings)
    parts = [
        _stored(paper),
        replication.counts(cells).reset_index().to_markdown(index=False),
        "\n".join(f"- {line}" for line in _answers(paper, cells, judged)),
        "The paper's claims in words, part by part. [report.ipynb](notebooks/report.ipynb) has the "
        "computation behind each verdict.",
        judged.drop(columns="computation").to_markdown(index=False),
        *_reached(frame),
    ]
    return "\n\n".join(parts)


def _stored(paper):
    counted = [
        int((paper["label"].eq(row.label) & paper["dataset"].eq(row.dataset)).sum())
        for row in published.ROWS
    ]
    return (
        f"{sum(counted)} runs of the 28 rows of Tables 1 to 4 are stored, between {min(counted)} "
        f"and {max(counted)} seeds a row. A verdict on a number needs three: "
        f"{sum(count >= 3 for count in counted)} rows have them."
    )


def _answers(paper, cells, judged):
    sizes = paper.drop_duplicates(["dataset", "label"]).set_index(["dataset", "label"])
    sizes = sizes["parameters"].to_dict()
    same = sum(sizes.get((row.dataset, row.label)) == row.parameters for row in published.ROWS)
    yield f"**Parameters**: {same} of the 28 counts come out exactly."
    for measure, name in (("accuracy", "Accuracies"), ("loss", "Losses")):
        verdicts = list(cells.loc[cells["measure"] == measure, "verdict"])
        out, count, chance = replication.outside(verdicts)
        narrow = verdicts.count(replication.VERDICTS[0])
        yield (
            f"**{name}**: {count - out} of {count} lie in our 95% prediction interval, which is "
            f"narrow enough to mean something for {narrow} of them. That so many lie outside by "
            f"chance has p = {chance:.2g}."
        )
    yield foreseen(paper)
    yield claims.learned_nothing(cells)
    known = {line.part: line for line in judged.itertuples()}
    single = known["single runs say enough"]
    yield f"**Single runs**, as the paper has, say enough: {single.verdict} ({single.computation})."
    few = known["few parameters explain the low accuracy: in our runs"]
    yield (
        f"**CIFAR-100**: that few parameters explain its low accuracy {few.verdict} "
        f"({few.computation}). [collapse.ipynb](notebooks/collapse.ipynb) looks for what does."
    )
    found = judged["verdict"].value_counts()
    told = ", ".join(f"{found.get(verdict, 0)} {verdict}" for verdict in claims.VERDICTS[:5])
    yield f"**Claims** in words, {found.drop('NO CLAIM').sum()} parts: {told}."


def foreseen(runs):
    """Returns a sentence on how well the intervals foresee runs of our own.

    Args:
        runs: DataFrame, as `replication.frame` returns it.
    """
    told = []
    for measure, name in (("accuracy", "accuracies"), ("loss", "losses")):
        inside, count = replication.foreseen(runs, measure)
        told.append(f"{inside} of {count} {name}")
    return (
        f"Of our own runs {' and '.join(told)} lie in the interval of the other seeds of their "
        f"row, where 95% would be {0.95 * count:.1f}; rows with four seeds or more are tried."
    )


def _reached(frame):
    """What our layers reach within the parameters of one of the paper's rows, if anything."""
    import pandas as pd

    aims = comparisons.aims(frame)
    lines = []
    for ours in aims[(aims["entry"] == comparisons.ENTRIES[1]) & (aims["n"] > 0)].to_dict(
        "records"
    ):
        conv2d, *others = published.rows(ours["data set"])
        (light,) = (row for row in others if row.parameters == ours["at most"])
        accuracy = f"{ours['accuracy']:.4f} ± {ours['±']:.4f} ({ours['n']:.0f} seeds)"
        line = [
            ours["data set"],
            f"{ours['method']}, {ours['recipe']}",
            f"{ours['parameters']:,.0f}",
        ]
        printed = (f"{row.accuracy} with {row.parameters:,}" for row in (light, conv2d))
        lines.append([*line, accuracy, *printed])
    if not lines:
        return []
    columns = ["data set", "our layer and recipe", "parameters", "test accuracy"]
    columns += ["the paper's LightLayers", "its Conv2D"]
    table = pd.DataFrame(lines, columns=columns).to_markdown(index=False, disable_numparse=True)
    return [
        "Past the paper: what our linear layers reach within the parameters of its LightLayers, "
        "with the same epochs and without augmentation; of all that fit, layer and recipe are "
        "those that are best on held-out training images. How much of it is the recipe's merit is "
        "what [corrected.ipynb](notebooks/corrected.ipynb) asks.",
        table,
    ]
