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

# Weights of a convolution of size × size from channels to filters, by method.
_WEIGHTS = {
    "conv2d": lambda size, channels, filters, rank: size**2 * channels * filters,
    "separableconv2d": lambda size, channels, filters, rank: channels * (size**2 + filters),
    "lightlayers": lambda size, channels, filters, rank: rank * size**2 * (channels + filters),
    "channel": lambda size, channels, filters, rank: rank * (size**2 * channels + filters),
    "spatial": lambda size, channels, filters, rank: rank * size * (channels + filters),
}
METHODS = tuple(_WEIGHTS)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is looked at.

    Args:
        dataset: String, one of `datasets.NAMES`.
        method: String, one of `METHODS`.
        rank: Positive integer for the methods that have one, else `None`.
        recipe: String, one of `recipes.RECIPES`. Defaults to `"paper"`.
    """

    dataset: str
    method: str
    rank: int | None = None
    recipe: str = "paper"

    def __post_init__(self):
        networks.specification(self.dataset)
        families.get(self.method, self.rank)
        recipes.get(self.recipe)
        if self.method not in METHODS:
            raise ValueError(f"Expected a method among {list(METHODS)}. Received: {self.method!r}")

    @property
    def label(self):
        """Its row's name in tables."""
        return families.label(self.method, self.rank)

    def among(self, records):
        """Returns the records that are of this choice, whatever their recipe."""
        ours = {"dataset": self.dataset, "method": self.method, "rank": self.rank}
        return [record for record in records if ours.items() <= record["run"].items()]


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


def costs(choice):
    """Returns what `networks.summary` says of a choice's network, counted by arithmetic.

    Building a network takes Keras, half a gigabyte and seconds; this takes a millisecond.

    Args:
        choice: A `Choice`.

    Returns:
        A `pandas.DataFrame` with `layer`, `parameters` and `multiply-adds`.
    """
    import pandas as pd

    image, classes = networks.specification(choice.dataset)
    height, width, channels = image
    recipe, rank = recipes.get(choice.recipe), choice.rank
    ranked = families.FAMILIES[choice.method].ranked
    residual, rows = channels == 3, []
    for i, filters in enumerate(networks.filters_of(image), 1):
        parts = [("conv1", 3, channels), ("conv2", 3, filters)]
        for part, size, given in parts + [("shortcut", 1, channels)] * residual:
            dense = _WEIGHTS["conv2d"](size, given, filters, rank)
            weights = _WEIGHTS[choice.method](size, given, filters, rank)
            cheaper = recipe.dense_where_cheaper and ranked and weights >= dense
            is_dense = cheaper or (recipe.dense_shortcut and size == 1)
            between = choice.method == "lightlayers" and not is_dense  # whose biases always stay
            biases = filters + rank if between else filters * recipe.conv_bias
            weights = dense if is_dense else weights
            rows.append((f"block{i}_{part}", weights + biases, weights * height * width))
            rows.append((f"block{i}_{part}_norm", 4 * filters, 0))
        channels, height, width = filters, height // 2, width // 2
    light = ranked and recipe.dense_rank is not None
    weights = recipe.dense_rank * (channels + classes) if light else channels * classes
    rows.append(("classes", weights + classes, weights))
    return pd.DataFrame(rows, columns=["layer", "parameters", "multiply-adds"])


def accuracies(choice, records):
    """Returns the test accuracies of a choice, the paper's first, then ours by recipe.

    Args:
        choice: A `Choice`; all recipes are shown.
        records: List of records, as `stored` returns it.

    Returns:
        A `pandas.DataFrame`: `trained by`, `parameters`, `seeds`, `accuracy` (mean), `min`,
        `max`, and `low` to `high`, the 95% prediction interval of one more seed. No rows
        if there is nothing.
    """
    import pandas as pd

    wanted = choice.dataset, choice.method, choice.rank
    rows = [
        {
            "trained by": f"the paper, {row.table}",
            "parameters": row.parameters,
            "seeds": 1,
            "accuracy": row.accuracy_value,
        }
        for row in published.ROWS
        if (row.dataset, row.method, row.rank) == wanted
    ]
    ours = replication.frame(choice.among(records))
    for recipe, found in ours.groupby("recipe", sort=False):
        values = found["accuracy"]
        row = {"trained by": f"recipe {recipe}", "parameters": found["parameters"].iloc[0]}
        row |= {"seeds": len(values), "accuracy": values.mean()}
        row |= {"min": values.min(), "max": values.max()}
        if len(values) > 1:
            row["low"], row["high"] = replication.interval(values, "accuracy")
        rows.append(row)
    columns = ["trained by", "parameters", "seeds", "accuracy", "min", "max", "low", "high"]
    return pd.DataFrame(rows, columns=columns).round(4).astype(object).fillna("")


def sentences(choice, records):
    """Returns what there is to say of a choice: a list of strings.

    Args:
        choice: A `Choice`.
        records: List of records, as `stored` returns it.
    """
    counted, base = (
        costs(each)[["parameters", "multiply-adds"]].sum()
        for each in (choice, Choice(choice.dataset, "conv2d", recipe=choice.recipe))
    )
    shares = counted / base
    said = [
        f"{choice.label} on {choice.dataset} has {counted.iloc[0]:,} parameters "
        f"({shares.iloc[0]:.0%} of Conv2D's) and does {counted.iloc[1]:,} multiply-adds "
        f"({shares.iloc[1]:.0%})."
    ]
    if not _of_recipe(choice, records):
        row = runs.Run(choice.dataset, choice.method, choice.rank).row
        chosen = "" if choice.recipe == "paper" else f" --recipe {choice.recipe}"
        said += [
            f"No run of it by recipe {choice.recipe} is stored: its cost is exact, its accuracy "
            "unknown.",
            f"To train it: lightlayers reproduce {choice.dataset} --rows {row}{chosen}",
        ]
    return said


def _of_recipe(choice, records):
    found = [each for each in choice.among(records) if each["run"]["recipe"] == choice.recipe]
    return sorted(found, key=lambda each: each["run"]["seed"] != 42)  # the authors' seed first


def picture(choice, records, outputs):
    """Returns `figures.choice` as the bytes of a PNG.

    Args:
        choice: A `Choice`.
        records: List of records, as `stored` returns it.
        outputs: Path of the outputs folder, which has the sheets of test images.
    """
    shown = ()
    if found := _of_recipe(choice, records):
        sheet = figures.shown_sheet(choice.dataset, outputs)
        shown = found[0], sheet, datasets.CLASSES[choice.dataset]
    written = io.BytesIO()
    figure = figures.choice(costs(choice), *shown)
    figure.savefig(written, format="png", dpi=90, pil_kwargs={"compress_level": 1})
    return written.getvalue()


def alt(choice, records):
    """Returns the picture in words, for those who do not see it."""
    most = costs(choice).set_index("layer").idxmax()
    text = f"Bars of the cost of each layer of {choice.label}: most parameters in "
    text += f"{most['parameters']}, most multiply-adds in {most['multiply-adds']}"
    return text + ("; 16 test images with predictions" if _of_recipe(choice, records) else "")


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
    recipe = widgets.Dropdown(
        options=list(recipes.RECIPES), value=choice.recipe, description="recipe", **style
    )
    rank = widgets.IntSlider(choice.rank or 1, 1, 16, description="rank (the paper's K)", **style)
    rank.layout.width = "28em"
    view, seen = widgets.HTML(), {}

    def show(_=None):
        ranked = families.FAMILIES[method.value].ranked
        rank.disabled = not ranked
        now = Choice(dataset.value, method.value, rank.value if ranked else None, recipe.value)
        if now not in seen:
            seen[now] = html(now, records, outputs)
        view.value = seen[now]

    for control in (dataset, method, recipe, rank):
        control.observe(show, "value")
    show()
    return widgets.VBox([widgets.HBox([dataset, method]), widgets.HBox([recipe, rank]), view])


def html(choice, records, outputs):
    """Returns all there is to see of a choice as HTML, its picture inside."""
    lines = "".join(f"<p>{line}</p>" for line in sentences(choice, records))
    table = accuracies(choice, records)
    lines += table.to_html(index=False, border=0) if len(table) else ""
    png = base64.b64encode(picture(choice, records, outputs)).decode()
    words = alt(choice, records).replace('"', "&quot;")
    picture_ = f'<img alt="{words}" src="data:image/png;base64,{png}">'
    return f'<div class="jp-RenderedHTMLCommon">{lines}{picture_}</div>'  # JupyterLab's tables
