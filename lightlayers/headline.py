"""The answer on one page: what the README says of the stored runs."""

from lightlayers import claims, comparisons, families, published, recipes, replication, runs

BEGIN, END = "<!-- written by `lightlayers report` -->", "<!-- end -->"


def written(text, outputs):
    """Returns a README with what its marked part says computed from the stored runs.

    Args:
        text: String, the README.
        outputs: Path of the outputs folder.

    Raises:
        ValueError: If the marked part has no end.
    """
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(
            f"Expected a README with the lines {BEGIN} and {END}. Received: one without."
        )
    stored = [runs.every(outputs, name)[0] for name in published.DATASETS]
    records = [record for found in stored for run, record in found.items() if run.whole]
    page = answer(replication.frame(records), replication.timings(outputs))
    return f"{before}{BEGIN}\n{page}\n{END}{after}"


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
        _WORDS,
        "\n".join(f"- {line}" for line in _answers(frame, cells, judged)),
        "The paper's claims in words, part by part. [report.ipynb](notebooks/report.ipynb) has the "
        "computation behind each verdict.",
        judged.drop(columns="computation").to_markdown(index=False),
        *_reached(frame),
    ]
    return "\n\n".join(parts)


_WORDS = (
    "REPLICATED: inside our interval, which is narrower than the tolerance (1 point of accuracy, "
    "0.5 on MNIST, 10% of a loss, either way). CONSISTENT, IMPRECISE: inside a wider one. CLOSE: "
    "outside, within the tolerance of our mean. DIFFERENT: further. The row `cross-entropy` holds "
    "our losses without the L2 penalties against the same printed ones."
)


def _stored(paper):
    counted = [
        int((paper["label"].eq(row.label) & paper["dataset"].eq(row.dataset)).sum())
        for row in published.ROWS
    ]
    least, most = min(counted), max(counted)
    seeds = f"{least}" if least == most else f"between {least} and {most}"
    return (
        f"{sum(counted)} runs of the 28 rows of Tables 1 to 4 are stored, {seeds} seeds a row. "
        "A verdict on a number needs three: "
        f"{sum(count >= 3 for count in counted)} rows have them."
    )


def _answers(frame, cells, judged):
    paper = frame[frame["recipe"] == "paper"]
    sizes = paper.drop_duplicates(["dataset", "label"]).set_index(["dataset", "label"])
    sizes = sizes["parameters"].to_dict()
    same = sum(sizes.get((row.dataset, row.label)) == row.parameters for row in published.ROWS)
    yield f"**Parameters**: {same} of the 28 counts come out exactly."
    for measure, name in (("accuracy", "Accuracies"), ("loss", "Losses")):
        ours = cells[cells["measure"] == measure]
        rate = replication.missed(paper, measure)
        out, count, chance = replication.outside(list(ours["verdict"]), rate)
        names = ", ".join(
            f"{cell.dataset} {cell.method} ({cell.published}, ours {cell.mean})"
            for cell in ours[ours["verdict"].isin(["CLOSE", "DIFFERENT"])].itertuples()
        )
        if not count:
            yield f"**{name}**: none judged yet."
            continue
        yield (
            f"**{name}**: {count - out} of {count} lie in our 95% prediction interval. Outside: "
            f"{names or 'none'}. So many would be by chance with p = {chance:.2g}."
        )
    yield f"**Intervals**: {foreseen(paper)}"
    yield f"**Verdicts**: {claims.says_little(cells)}"
    known = {line.part: line for line in judged.itertuples()}
    single = known["single runs say enough"]
    yield f"**Single runs**, as the paper has, say enough: {single.verdict} ({single.computation})."
    yield f"**Stuck**: {stuck(paper)} [collapse.ipynb](notebooks/collapse.ipynb) asks why."
    few = known["few parameters explain the low accuracy: in our runs"]
    yield (
        f"**CIFAR-100**: that few parameters explain its low accuracy {few.verdict} "
        f"({few.computation}). {_single_changes(frame)}"
    )
    found = judged["verdict"].value_counts()
    told = ", ".join(f"{found.get(verdict, 0)} {verdict}" for verdict in claims.VERDICTS[:5])
    yield f"**Claims** in words, {found.drop('NO CLAIM').sum()} parts: {told}."


def _single_changes(frame):
    """Which changes of the protocol lift CIFAR-100, each by itself."""
    alone = ["paper", *(name for name, changed in recipes.CHANGES.items() if len(changed) == 1)]
    light = families.label("lightlayers", published.CLAIMS[3].rank)
    ours = frame[frame["recipe"].isin(alone) & (frame["label"] == light)]
    helping, _ = claims.decided(claims.ablation(ours, published.CLAIMS[3].dataset))
    found = ", ".join(helping) or "none so far"
    return f"Changes that lift it alone: {found} ([collapse.ipynb](notebooks/collapse.ipynb))."


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
        f"row, where 95% would be {0.95 * count:.1f}. (Of rows with four seeds or more. Where "
        "fewer lie inside, p is reckoned at that rate.)"
    )


def stuck(runs):
    """Returns a sentence on the runs that have learned nothing.

    Args:
        runs: DataFrame, as `replication.frame` returns it.
    """
    found = runs[replication.stuck(runs)]
    rows = found.groupby(["dataset", "label"], sort=False).size()
    of = runs.groupby(["dataset", "label"]).size()
    names = ", ".join(
        f"{name} {label}: {n} of {of[name, label]}" for (name, label), n in rows.items()
    )
    names = f" ({names})" if names else ""
    return f"{len(found)} of {len(runs)} runs learn nothing and stay at chance{names}."


def _reached(frame):
    """What light layers reach within the parameters of one of the paper's rows, if anything."""
    import pandas as pd

    aims = comparisons.aims(frame)
    best = aims[(aims["entry"] == comparisons.ENTRIES[1]) & (aims["n"] > 0)]
    lines = []
    for ours in best.to_dict("records"):
        conv2d, *others = published.rows(ours["data set"])
        (light,) = (row for row in others if row.parameters == ours["at most"])
        accuracy = f"{ours['accuracy']:.4f} ± {ours['±']:.4f} ({ours['n']:.0f} seeds)"
        line = [ours["data set"], ours["fitting"], f"{ours['method']}, {ours['recipe']}"]
        line += [f"{ours['parameters']:,.0f}", accuracy]
        line += [f"{row.accuracy} with {row.parameters:,}" for row in (light, conv2d)]
        line += [_plain(frame, ours["data set"], label) for label in _PLAIN]
        lines.append(line)
    if not lines:
        return []
    columns = ["data set", "fitting", "light layer and recipe", "parameters", "test accuracy"]
    columns += ["the paper's LightLayers", "its Conv2D"]
    columns += [f"{label}, recipe corrected" for label in _PLAIN]
    table = pd.DataFrame(lines, columns=columns).to_markdown(index=False, disable_numparse=True)
    return [
        "Past the paper: what networks of light layers reach that have no more parameters than its "
        "LightLayers when training ends, with the same epochs and without augmentation. Layer and "
        "recipe (the training protocol) are those that are best on held-out training images, of "
        "all stored rows that have such images, fit and have three seeds; `fitting` counts these. "
        "(That recipe product-l2 is among them on MNIST was decided when recipe corrected had "
        "missed its aim on the test set.) ± is half the 95% t-interval of the mean. Both differ "
        f"from the paper's: {_apart(frame)} Recipe product-l2 is corrected and an L2 penalty on "
        "the kernels of light layers; Conv2D and SeparableConv2D were not tried with one, and "
        "nothing was tuned for them.",
        table,
    ]


_PLAIN = ("Conv2D", "SeparableConv2D")


def _plain(frame, dataset, label):
    """What the recipe makes of Keras' own layers, without any of ours."""
    chosen = (frame["dataset"] == dataset) & (frame["recipe"] == "corrected")
    rows = frame[chosen & (frame["label"] == label)]
    if len(rows) < 3:
        return "not run"
    (found,) = replication.summary(rows).to_dict("records")
    return f"{found['accuracy']:.4f} ± {found['±']:.4f} with {found['parameters']:,}"


def _apart(frame):
    """What the recipe gives without any of our layers, on the data sets where that is known."""
    gains = comparisons.of_recipes(frame[frame["label"] == "Conv2D"])
    gains = gains[gains["pairs"] >= 3]
    where = "[corrected.ipynb](notebooks/corrected.ipynb)"
    if gains.empty:
        return f"how much each gives is not known yet: {where} lacks Conv2D under corrected."
    told = ", ".join(
        f"{line['gain']:+.1f} points ({line['low']:+.1f} to {line['high']:+.1f}) on "
        f"{line['data set']}"
        for line in gains.to_dict("records")
    )
    return (
        f"recipe corrected alone changes Conv2D by {told}. {where} compares the methods under it."
    )
