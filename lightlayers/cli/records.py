"""`lightlayers status` and `report`: what is stored, and the results that follow from it."""

import click

from lightlayers.cli.options import check_names, outputs_option
from lightlayers.suite import paper, plans, recipes
from lightlayers.suite.analysis import headline
from lightlayers.suite.execution import notebooks
from lightlayers.suite.store import find_outputs, write_text


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--recipe", type=click.Choice(sorted(recipes.RECIPES)))
@outputs_option
def status(names, recipe, store):
    """NAME is a data set, an experiment or FILE.npz; without one, all."""
    counted = set()
    for name in check_names(names) or plans.NAMES:
        if names and recipe and name in plans.EXPERIMENTS:
            raise ValueError(f"{name} has recipes of its own: leave out --recipe.")
        counted.update(_print_status(name, recipe, store))
    print(f"{len(counted)} runs in {store.outputs}")
    return 0


def _row_of(run):
    return run.dataset, run.row, run.recipe


def _print_status(name, recipe, store):
    """Prints the rows of a data set or an experiment; returns the stored runs of these."""
    if name in plans.EXPERIMENTS:
        planned, recipe = plans.plan_experiment(name), None
    else:
        recipe = recipe or plans.usual_recipe(name)
        planned = plans.plan(name, recipe=recipe)
    stored, damaged = _read_rows(planned, recipe, store)
    print(f"{name}: {len(stored)} runs stored")
    for row in dict.fromkeys(map(_row_of, [*planned, *stored])):
        label = " ".join(row) if recipe is None else row[1]
        wanted = [run.seed for run in planned if _row_of(run) == row]
        print(_describe_row(label, wanted, [run for run in stored if _row_of(run) == row]))
    for message in damaged:
        print(f"  damaged: {message}")
    return stored


def _read_rows(planned, recipe, store):
    """Returns the stored runs of the planned rows and of a recipe, and messages on damaged ones."""
    rows = set(map(_row_of, planned))
    stored, damaged = [], []
    for dataset in dict.fromkeys(run.dataset for run in planned):
        found, messages = store.every(dataset)
        stored += [run for run in found if _row_of(run) in rows or run.recipe == recipe]
        damaged += messages
    return stored, damaged


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
    for name in ("layers", *plans.NAMES, "speed", "report"):
        if command := _find_missing_command(name, store):
            print(f"no runs   {name}: lightlayers {command}")
            continue
        parameters = {"train": False} if name in plans.NAMES else {}
        print(f"notebook  {notebooks.render(name, store, parameters)}")
    _write_headline(store)
    return 0


def _find_missing_command(name, store):
    """Returns the command without whose results a notebook has nothing to show, or `None`."""
    if name == "layers":
        return None
    if name == "speed":
        return _find_missing_benchmark(store)
    if name in plans.EXPERIMENTS:
        stored, _ = store.read(plans.plan_experiment(name))
        return None if stored else f"reproduce {name}"
    if store.whole_records(paper.DATASETS if name == "report" else [name]):
        return None
    return f"reproduce {'all' if name == 'report' else name}"


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
    if readme.exists() and headline.BEGIN in (text := readme.read_text()):
        write_text(readme, headline.update_readme(text, store))
        print(f"headline  {readme}")
