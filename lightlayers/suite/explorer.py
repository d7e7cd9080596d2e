"""One network at a time: what it costs and what its stored runs reached, without Keras."""

import base64
import dataclasses
import io

from lightlayers.suite import datasets, figures, networks, paper, recipes, registry
from lightlayers.suite.analysis import intervals, tables
from lightlayers.suite.runs import USUAL_WIDTH, Run

# A method that trains in a way of its own has the network of its block.
METHODS = tuple(
    name for name, entry in registry.entries().items() if isinstance(entry, registry.Block)
)
_STORED, _UNKNOWN = "●", "○"  # before an option
_COLUMNS = ["trained by", "parameters", "seeds", "accuracy", "min", "max", "low", "high"]


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is looked at.

    Args:
        dataset: String, one of `datasets.NAMES`.
        method: String, one of `METHODS`.
        rank: Positive integer for the methods that have one, else `None`.
        recipe: String, one of `recipes.RECIPES`. Defaults to `"paper"`.

    Raises:
        ValueError: If one of them is none of the above, or they do not go together.
    """

    dataset: str
    method: str
    rank: int | None = None
    recipe: str = "paper"

    def __post_init__(self):
        Run(self.dataset, self.method, self.rank, self.recipe)  # which refuses what is wrong
        if self.method not in METHODS:
            raise ValueError(f"Expected a method among {list(METHODS)}. Received: {self.method!r}")

    @property
    def run(self):
        """Its run from the authors' seed."""
        return Run(self.dataset, self.method, self.rank, self.recipe)

    @property
    def label(self):
        """Its row's name in tables."""
        return self.run.label

    def select(self, records, recipe=None):
        """Returns the records of this choice, of one recipe or whatever their recipe."""
        wanted = {"dataset": self.dataset, "method": self.method, "rank": self.rank}
        if recipe:
            wanted["recipe"] = recipe
        found = []
        for record in records:
            run = record["run"]
            usual = run.get("width", USUAL_WIDTH) == USUAL_WIDTH
            if usual and wanted.items() <= run.items():
                found.append(record)
        return found


def read_records(store):
    """Returns the records of all whole runs, read once. Messages name the damaged ones.

    Args:
        store: `Store`.
    """
    records = []
    for name in datasets.NAMES:
        found, damaged = store.every(name)
        for message in damaged:
            print(f"Not used: {message}")
        records += [record for run, record in found.items() if run.whole]
    return store.check_found(records, "lightlayers reproduce all")


def costs(choice):
    """Returns the parameters and multiply-adds of each layer: see `networks.count_layers`."""
    return networks.count_layers(choice.dataset, choice.method, choice.rank, choice.recipe)


def accuracies(choice, records):
    """Returns the test accuracies of a choice, the paper's first, then ours by recipe.

    Args:
        choice: A `Choice`; all recipes are shown.
        records: List of records, as `read_records` returns it.

    Returns:
        A `pandas.DataFrame`: `trained by`, `parameters`, `seeds`, `accuracy` (mean), `min`,
        `max`, and `low` to `high`, the 95% prediction interval of one more seed. It has no
        rows if there is nothing.
    """
    import pandas as pd

    rows = _list_published(choice)
    runs = tables.frame(choice.select(records))
    for recipe, group in runs.groupby("recipe", sort=False):
        values = group["accuracy"]
        row = {
            "trained by": f"recipe {recipe}",
            "parameters": group["parameters"].iloc[0],
            "seeds": len(values),
            "accuracy": values.mean(),
            "min": values.min(),
            "max": values.max(),
        }
        if len(values) > 1:
            row["low"], row["high"] = intervals.prediction_interval(values, "accuracy")
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS).round(4).astype(object).fillna("")


def _list_published(choice):
    """Returns the rows of `accuracies` that the paper has."""
    wanted = choice.dataset, choice.method, choice.rank
    rows = []
    for row in paper.ROWS:
        if (row.dataset, row.method, row.rank) == wanted:
            rows.append(
                {
                    "trained by": f"the paper, {row.table}",
                    "parameters": row.parameters,
                    "seeds": 1,
                    "accuracy": row.accuracy_value,
                }
            )
    return rows


def sentences(choice, records):
    """Returns what there is to say of a choice: a list of strings.

    Args:
        choice: A `Choice`.
        records: List of records, as `read_records` returns it.
    """
    parameters, macs = _sum_costs(choice)
    base = _find_baseline(choice)
    base_parameters, base_macs = _sum_costs(base)
    lines = [
        f"{choice.label} on {choice.dataset} has {parameters:,} parameters "
        f"({parameters / base_parameters:.0%} of {base.label}'s) and does {macs:,} "
        f"multiply-adds ({macs / base_macs:.0%})."
    ]
    if not choice.select(records, choice.recipe):
        recipe = "" if choice.recipe == "paper" else f" --recipe {choice.recipe}"
        lines += [
            f"No run of it by recipe {choice.recipe} is stored: its cost is exact, its accuracy "
            "unknown.",
            f"To train it: lightlayers reproduce {choice.dataset} --rows {choice.run.row}{recipe}",
        ]
    return lines


def _find_baseline(choice):
    """Returns the choice that another is compared with: that of the baseline's network."""
    return Choice(choice.dataset, registry.baseline().name, recipe=choice.recipe)


def _sum_costs(choice):
    """Returns the parameters and the multiply-adds of a choice's network."""
    return costs(choice)[["parameters", "multiply-adds"]].sum()


def picture(choice, records, store):
    """Returns `figures.choice` as the bytes of a PNG, its bars over those of the baseline.

    Args:
        choice: A `Choice`.
        records: List of records, as `read_records` returns it.
        store: `Store`, which has the sheets of test images.
    """
    found = choice.select(records, choice.recipe)
    base = costs(_find_baseline(choice))
    if found:
        # The authors' seed, if it is there.
        record = min(found, key=lambda each: each["run"]["seed"] != choice.run.seed)
        sheet = figures.shown_sheet(choice.dataset, store)
        labels = datasets.get(choice.dataset).labels
        figure = figures.choice(costs(choice), record, sheet, labels, base)
    else:
        figure = figures.choice(costs(choice), base=base)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90, pil_kwargs={"compress_level": 1})
    return png.getvalue()


def alt(choice, records):
    """Returns the picture in words, for readers who do not see it."""
    largest = costs(choice).set_index("layer").idxmax()
    base = _find_baseline(choice).label
    text = f"Bars of the cost of each layer of {choice.label} over {base}'s: most parameters in "
    text += f"{largest['parameters']}, most multiply-adds in {largest['multiply-adds']}"
    if choice.select(records, choice.recipe):
        text += "; 16 test images with predictions"
    return text


def html(choice, records, store):
    """Returns all there is to see of a choice as HTML, its picture inside."""
    lines = "".join(f"<p>{line}</p>" for line in sentences(choice, records))
    table = accuracies(choice, records)
    if len(table):
        lines += table.to_html(index=False, border=0)
    png = base64.b64encode(picture(choice, records, store)).decode()
    words = alt(choice, records).replace('"', "&quot;")
    image = f'<img alt="{words}" src="data:image/png;base64,{png}">'
    return f'<div class="jp-RenderedHTMLCommon">{lines}{image}</div>'  # JupyterLab's tables


def controls(records, store, choice):
    """Returns widgets to change a choice, above what there is to see of it.

    What has stored runs is marked.

    Args:
        records: List of records, as `read_records` returns it.
        store: `Store`.
        choice: The `Choice` to begin with.

    Returns:
        An `ipywidgets.VBox`.
    """
    import ipywidgets as widgets

    dataset, method, recipe, size = _make_controls(choice)
    note, view, drawn = widgets.HTML(), widgets.HTML(), {}
    stored, changing = _list_stored(records), False

    def show(_=None):
        nonlocal changing
        if changing:  # of options below, which for a moment have another value
            return
        changing = True
        _mark_stored(dataset, method, recipe, stored)
        changing = False
        note.value = _describe_stored(stored, dataset.value, method.value, recipe.value)
        knob = registry.entries()[method.value].knob
        size.disabled = knob is None
        size.description = _describe_knob(knob)
        rank = size.value if knob else None
        try:
            now = Choice(dataset.value, method.value, rank, recipe.value)
        except ValueError as error:  # a recipe may mean nothing for a method
            view.value = f"<p>{error}</p>"
            return
        if now not in drawn:
            drawn[now] = html(now, records, store)
        view.value = drawn[now]

    for control in (dataset, method, recipe, size):
        control.observe(show, "value")
    show()
    rows = [widgets.HBox([dataset, method]), widgets.HBox([recipe, size])]
    return widgets.VBox([*rows, note, view])


def _list_stored(records):
    """Returns the ranks of what is stored by (data set, method, recipe), of the usual width."""
    stored = {}
    for record in records:
        run = Run.of(record)
        if run.width == USUAL_WIDTH:
            ranks = stored.setdefault((run.dataset, run.method, run.recipe), set())
            ranks.add(run.rank)
    return stored


def _mark_stored(dataset, method, recipe, stored):
    """Marks the options of each control that have stored runs beside the values of the others."""
    now = [dataset.value, method.value, recipe.value]
    for place, control in enumerate((dataset, method, recipe)):
        options = []
        for text, value in control.options:
            key = (*now[:place], value, *now[place + 1 :])
            mark = _STORED if key in stored else _UNKNOWN
            options.append((mark + text[1:], value))
        if list(control.options) != options:
            control.options = options
            control.value = now[place]


def _describe_stored(stored, dataset, method, recipe):
    """Returns what the marks mean, and which sizes are stored."""
    sizes = sorted(rank for rank in stored.get((dataset, method, recipe), ()) if rank)
    words = f"{_STORED} has stored runs, {_UNKNOWN} has none: its cost is known, not its accuracy."
    return f"{words} Stored sizes: {', '.join(map(str, sizes))}." if sizes else words


def _make_controls(choice):
    """Returns the widgets of data set, method, recipe and size, set to a choice."""
    import ipywidgets as widgets

    entries = registry.entries()
    methods = {entries[name].short_label: name for name in METHODS}
    choices = [{name: name for name in datasets.NAMES}, methods]
    choices.append({name: name for name in recipes.RECIPES})
    marked = [[(f"{_UNKNOWN} {text}", name) for text, name in each.items()] for each in choices]
    style = {"style": {"description_width": "initial"}}
    dataset = widgets.Dropdown(
        options=marked[0], value=choice.dataset, description="data set", **style
    )
    method = widgets.Dropdown(options=marked[1], value=choice.method, description="method", **style)
    recipe = widgets.Dropdown(options=marked[2], value=choice.recipe, description="recipe", **style)
    size = widgets.IntSlider(choice.rank or 1, 1, 16, description=_describe_knob(None), **style)
    size.layout.width = "28em"
    return dataset, method, recipe, size


def _describe_knob(knob):
    """Returns what is written beside the slider."""
    if knob is None or knob.name == "rank":
        return "rank (the paper's K)"
    return knob.name
