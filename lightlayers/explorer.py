"""One network at a time: what it costs and what its stored runs reached, without Keras."""

import base64
import dataclasses
import io

from lightlayers import (
    datasets,
    families,
    figures,
    networks,
    published,
    recipes,
    replication,
    runs,
)

METHODS = ("conv2d", "separableconv2d", "lightlayers")
FORMS = ("paper", "channel", "spatial")


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is looked at.

    Args:
        dataset: String, one of `datasets.NAMES`.
        method: String, one of `METHODS`.
        rank: Positive integer for `"lightlayers"`, else `None`.
        form: String, one of `FORMS`; of `"lightlayers"` only.
    """

    dataset: str
    method: str
    rank: int | None = None
    form: str = "paper"

    def __post_init__(self):
        networks.specification(self.dataset)
        families.get(self.method, self.rank)
        for name, known in (("method", METHODS), ("form", FORMS)):
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"Expected one of {list(known)}. Received: {name}={value!r}")

    def __str__(self):
        label = families.label(self.method, self.rank)
        return label if self.rank is None else f'{label}, form "{self.form}"'

    def among(self, records):
        """Returns the records that are of this choice."""
        return [
            record
            for record in records
            if (self.dataset, self.method, self.rank)
            == tuple(record["run"][name] for name in ("dataset", "method", "rank"))
            and self.form == (record["recipe"].get("form", "paper") if self.rank else "paper")
        ]


def stored(outputs):
    """Returns the records of all whole runs, read once; what is damaged is named.

    Args:
        outputs: Path of the outputs folder.
    """
    records = []
    for name in datasets.NAMES:
        found, damaged = runs.every(outputs, name)
        for message in damaged:
            print(f"Not used: {message}")
        records += [record for run, record in found.items() if run.whole]
    return records


def _convolution(choice, size, channels, filters):
    """How many weights and biases a convolution of size × size has."""
    if choice.method == "conv2d":
        return size**2 * channels * filters, filters
    if choice.method == "separableconv2d":
        return channels * (size**2 + filters), filters
    one, two = {"paper": (size**2, size**2), "channel": (size**2, 1), "spatial": (size, size)}[
        choice.form
    ]
    biases = filters + choice.rank if choice.form == "paper" else filters
    return choice.rank * (one * channels + two * filters), biases


def costs(choice):
    """Returns what `networks.summary` says of a choice's network, counted by arithmetic.

    Building a network takes Keras, half a gigabyte and seconds; this takes a millisecond.

    Args:
        choice: A `Choice`.

    Returns:
        A `pandas.DataFrame` with `layer`, `parameters` and `multiply-adds`.
    """
    import pandas as pd

    (height, width, channels), classes = networks.specification(choice.dataset)
    residual, rows = channels == 3, []
    for i, filters in enumerate((16, 32, 64) if residual else (8, 16, 32), 1):
        parts = [("conv1", 3, channels), ("conv2", 3, filters)]
        for part, size, given in parts + [("shortcut", 1, channels)] * residual:
            weights, biases = _convolution(choice, size, given, filters)
            rows.append((f"block{i}_{part}", weights + biases, weights * height * width))
            rows.append((f"block{i}_{part}_norm", 4 * filters, 0))
        channels, height, width = filters, height // 2, width // 2
    light = choice.method == "lightlayers"
    weights = recipes.PAPER.dense_rank * (channels + classes) if light else channels * classes
    rows.append(("classes", weights + classes, weights))
    return pd.DataFrame(rows, columns=["layer", "parameters", "multiply-adds"])


def accuracies(choice, records):
    """Returns the test accuracies of a choice, the paper's first, then ours by recipe.

    Args:
        choice: A `Choice`.
        records: List of records, as `stored` returns it.

    Returns:
        A `pandas.DataFrame`: `trained by`, `seeds`, `accuracy` (mean), `min`, `max`, and
        `low` to `high`, the 95% prediction interval of one more seed. No rows if there
        is nothing.
    """
    import pandas as pd

    rows = [
        {"trained by": f"the paper, {row.table}", "seeds": 1, "accuracy": row.accuracy_value}
        for row in published.ROWS
        if choice.form == "paper"
        if (row.dataset, row.method, row.rank) == (choice.dataset, choice.method, choice.rank)
    ]
    ours = replication.frame(choice.among(records))
    for recipe, found in ours.groupby("recipe", sort=False)["accuracy"]:
        row = {"trained by": f'us, recipe "{recipe}"', "seeds": len(found)}
        row |= {"accuracy": found.mean(), "min": found.min(), "max": found.max()}
        if len(found) > 1:
            row["low"], row["high"] = replication.interval(found, "accuracy")
        rows.append(row)
    columns = ["trained by", "seeds", "accuracy", "min", "max", "low", "high"]
    return pd.DataFrame(rows, columns=columns).round(4).astype(object).fillna("")


def sentences(choice, records):
    """Returns what there is to say of a choice: a list of strings.

    Args:
        choice: A `Choice`.
        records: List of records, as `stored` returns it.
    """
    counted, base = (
        costs(each)[["parameters", "multiply-adds"]].sum()
        for each in (choice, Choice(choice.dataset, "conv2d"))
    )
    shares = counted / base
    said = [
        f"{choice} on {choice.dataset} has {counted.iloc[0]:,} parameters ({shares.iloc[0]:.0%} "
        f"of Conv2D's) and does {counted.iloc[1]:,} multiply-adds ({shares.iloc[1]:.0%})."
    ]
    if not choice.among(records):
        said.append("No runs of this choice are stored: its cost is counted, its accuracy unknown.")
        row = runs.Run(choice.dataset, choice.method, choice.rank).row
        known = [
            name
            for name, recipe in recipes.RECIPES.items()
            if choice.form == getattr(recipe, "form", "paper")
        ]
        if known:
            chosen = "" if "paper" in known else f" --recipe {known[0]}"
            command = f"lightlayers reproduce {choice.dataset} --rows {row}{chosen}"
            said.append(f"To train them: {command}")
    return said


def picture(choice, records, outputs):
    """Returns `figures.choice` as the bytes of a PNG.

    Args:
        choice: A `Choice`.
        records: List of records, as `stored` returns it.
        outputs: Path of the outputs folder, which has the sheets of test images.
    """
    found = choice.among(records)
    # The paper's recipe and the authors' seed, if they are there.
    found.sort(key=lambda each: (each["run"]["recipe"] != "paper", each["run"]["seed"] != 42))
    shown = ()
    if found:
        sheet = figures.shown_sheet(choice.dataset, outputs)
        shown = found[0], sheet, datasets.CLASSES[choice.dataset]
    written = io.BytesIO()
    figure = figures.choice(costs(choice), *shown)
    figure.savefig(written, format="png", dpi=90, pil_kwargs={"compress_level": 1})
    return written.getvalue()


def alt(choice, records):
    """Returns the picture in words, for those who do not see it."""
    most = costs(choice).set_index("layer").idxmax()
    text = f"Bars of the cost of each layer of {choice}: most parameters in "
    text += f"{most['parameters']}, most multiply-adds in {most['multiply-adds']}"
    return text + ("; 16 test images with predictions" if choice.among(records) else "")


def controls(records, outputs, choice):
    """Returns widgets to change a choice, above what there is to see of it.

    Args:
        records: List of records, as `stored` returns it.
        outputs: Path of the outputs folder.
        choice: The `Choice` to begin with.

    Returns:
        An `ipywidgets.VBox`.
    """
    import ipywidgets as widgets

    labels = {families.FAMILIES[name].label.partition(" (")[0]: name for name in METHODS}
    style = {"style": {"description_width": "initial"}}
    dataset = widgets.Dropdown(
        options=datasets.NAMES, value=choice.dataset, description="data set", **style
    )
    method = widgets.Dropdown(
        options=labels.items(), value=choice.method, description="method", **style
    )
    form = widgets.Dropdown(options=FORMS, value=choice.form, description="form", **style)
    rank = widgets.IntSlider(choice.rank or 1, 1, 16, description="rank (the paper's K)", **style)
    view, seen = widgets.HTML(), {}

    def show(_=None):
        ranked = families.FAMILIES[method.value].ranked
        form.disabled = rank.disabled = not ranked
        ours = (rank.value, form.value) if ranked else ()
        now = Choice(dataset.value, method.value, *ours)
        if now not in seen:
            seen[now] = html(now, records, outputs)
        view.value = seen[now]

    for control in (dataset, method, form, rank):
        control.observe(show, "value")
    show()
    return widgets.VBox([widgets.HBox([dataset, method]), widgets.HBox([form, rank]), view])


def html(choice, records, outputs):
    """Returns all there is to see of a choice as HTML, its picture inside."""
    lines = "".join(f"<p>{line}</p>" for line in sentences(choice, records))
    table = accuracies(choice, records)
    lines += table.to_html(index=False, border=0) if len(table) else ""
    png = base64.b64encode(picture(choice, records, outputs)).decode()
    words = alt(choice, records).replace('"', "&quot;")
    return f'{lines}<img alt="{words}" src="data:image/png;base64,{png}">'
