"""`lightlayers status` and `report`: what is stored, and the results that follow from it."""

import functools
import itertools

import click

from lightlayers.cli.options import check_names, outputs_option
from lightlayers.suite import paper, plans, recipes
from lightlayers.suite.analysis import headline
from lightlayers.suite.execution import notebooks
from lightlayers.suite.files import write_text
from lightlayers.suite.store import find_outputs

_WITHOUT_RUNS = ("layers", "audit")  # notebooks that show networks, not runs


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--recipe", type=click.Choice(sorted(recipes.RECIPES)))
@outputs_option
def status(names, recipe, store):
    """NAME is a data set, an experiment or FILE.npz; without one, all."""
    read = functools.cache(lambda dataset: _read_rows(dataset, store))  # experiments share them
    counted = set()
    for name in check_names(names) or plans.NAMES:
        if names and recipe and name in plans.EXPERIMENTS:
            raise ValueError(f"{name} has recipes of its own: leave out --recipe.")
        counted.update(_print_status(name, recipe, read, store))
    print(f"{len(counted)} runs in {store.outputs}")
    return 0


def _row_of(run):
    return run.dataset, run.row, run.recipe


def _group_rows(runs):
    rows = {}
    for run in runs:
        rows.setdefault(_row_of(run), []).append(run)
    return rows


def _read_rows(dataset, store):
    """Returns the stored runs of a data set by row, and messages on damaged records."""
    runs, damaged = store.runs(dataset)
    return _group_rows(runs), damaged


def _print_status(name, recipe, read, store):
    """Prints the rows of a data set or an experiment; returns the stored runs of these.

    Args:
        name: String.
        recipe: String or `None`, whose rows are shown besides the planned ones.
        read: Function of the name of a data set, see `_read_rows`.
        store: `Store`, whose pilot runs choose recipes.
    """
    if name in plans.EXPERIMENTS:
        planned, recipe = _group_rows(plans.plan_experiment(name, store=store)), None
    else:
        recipe = recipe or plans.usual_recipe(name)
        planned = _group_rows(plans.plan(name, recipe=recipe))
    stored, damaged = {}, []
    for dataset in dict.fromkeys(row[0] for row in planned):
        rows, messages = read(dataset)
        stored |= {row: rows[row] for row in rows if row in planned or row[2] == recipe}
        damaged += messages
    print(f"{name}: {sum(map(len, stored.values()))} runs stored")
    for row in planned | stored:
        label = " ".join(row) if recipe is None else row[1]
        wanted = [run.seed for run in planned.get(row, [])]
        print(_describe_row(label, wanted, stored.get(row, [])))
    for message in damaged:
        print(f"  damaged: {message}")
    return itertools.chain(*stored.values())


def _describe_row(label, wanted, stored):
    """Returns the line of a row.

    Args:
        label: String, what it is called.
        wanted: List of integers, the planned seeds.
        stored: List of `Run`, its stored ones.
    """
    seeds = {run.seed for run in stored if run.whole}
    missing = [str(seed) for seed in wanted if seed not in seeds]
    line = f"  {label:16} {len(seeds):2} seeds"
    if missing:
        line += f", missing {', '.join(missing)}"
    if shortened := sum(not run.whole for run in stored):
        line += f" ({shortened} shortened runs besides)"
    return line


@click.command()
@outputs_option
def report(store):
    """Executes every notebook whose runs are stored."""
    notebooks.find_notebook("report")  # where there is none, no folder of outputs is made
    store.check_writable()
    failures = []
    for name in (*_WITHOUT_RUNS, *plans.NAMES, "speed", "report"):
        if command := _find_missing_command(name, store):
            print(f"no runs   {name}: lightlayers {command}")
            continue
        parameters = {"train": False} if name in plans.NAMES else {}
        try:
            print(f"notebook  {notebooks.render(name, store, parameters)}")
        except RuntimeError as error:  # the others are not worse for it
            failures.append(f"{name}: {error}")
    _write_headline(store)
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures else 0


def _find_missing_command(name, store):
    """Returns the command without whose results a notebook has nothing to show, or `None`."""
    if name in _WITHOUT_RUNS:
        return None
    if name == "speed":
        return _find_missing_benchmark(store)
    if name == "report":
        return None if store.whole_records(paper.DATASETS) else "reproduce all"
    stored, _ = store.read(plans.plan_named(name, store=store))
    return None if stored else f"reproduce {name}"


def _find_missing_benchmark(store):
    for what in ("layers", "networks", "export", "together"):
        if not (store.bench / f"{what}.json").exists():
            return f"bench {what}"
    return None if (store.tables / "bench-grid.csv").exists() else "bench grid"


def _write_headline(store):
    """Writes the headline of README.md, which says what the repository's own runs say."""
    outputs = store.outputs.resolve()
    if outputs != find_outputs().resolve():
        return
    readme = outputs.parent / "README.md"
    if readme.exists() and headline.BEGIN in (text := readme.read_text(encoding="utf-8")):
        write_text(readme, headline.update_readme(text, store))
        print(f"headline  {readme}")
