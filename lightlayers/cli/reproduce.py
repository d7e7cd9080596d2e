"""`lightlayers reproduce`: trains the runs that are missing, then writes the results."""

import dataclasses
import importlib.util

import click

from lightlayers.cli.options import (
    check_names,
    outputs_option,
    parse_integers,
    parse_names,
    parse_positive,
)
from lightlayers.suite import backend, datasets, plans, recipes
from lightlayers.suite.analysis import tables
from lightlayers.suite.execution import jobs, notebooks
from lightlayers.suite.execution.display import Display, tolerate_broken_output
from lightlayers.suite.store import Store


@dataclasses.dataclass(frozen=True)
class Target:
    """What one NAME of the command line asks for.

    Args:
        name: String, a data set or an experiment.
        parameters: Dictionary, those of its notebook that the options set.
        runs: List of `Run`, those that it needs.
    """

    name: str
    parameters: dict
    runs: list

    @property
    def result(self):
        """The name of its tables and figures."""
        return plans.result_name(self.name, self.parameters.get("recipe", "paper"))


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--rows", type=parse_names, metavar="ROWS", help="Such as conv2d,lightlayers-3.")
@click.option(
    "--budget",
    type=parse_positive,
    metavar="N",
    help="Each of --rows takes the largest size or width with at most N parameters.",
)
@click.option(
    "--seeds",
    type=parse_integers,
    metavar="SEEDS",
    help=f"Such as 42,1,2 (default: {','.join(map(str, plans.SEEDS))}).",
)
@click.option("--epochs", type=int, help="Instead of the recipe's.")
@click.option("--limit", type=int, help="At most so many images of each split.")
@click.option(
    "--recipe",
    type=click.Choice(sorted(recipes.RECIPES)),
    help="Training protocol (default: paper; of own data: corrected).",
)
@click.option(
    "--workers", type=parse_positive, metavar="N", help="Rows at once (default: one a core)."
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Of a Dask cluster that trains instead of this machine. It has to be trusted: what it "
    "sends is unpickled. tls://HOST:PORT takes the certificates of Dask's configuration.",
)
@click.option("--kernel", help="Name of a kernelspec, see `lightlayers kernels`.")
@click.option(
    "--timeout",
    type=parse_positive,
    metavar="SECONDS",
    default=notebooks.DAY,
    help="For one cell (default: a day).",
)
@outputs_option
@click.option("--fresh", is_flag=True, help="Train again what is stored.")
@click.option(
    "--together", is_flag=True, help="Train a row's seeds in one program (KERAS_BACKEND=jax)."
)
@click.option("--compare", metavar="DIR", help="Print the table of these outputs beside the new.")
@click.option("--dry-run", is_flag=True, help="Only say what is missing.")
def reproduce(
    names, store, workers, scheduler, kernel, timeout, fresh, together, compare, dry_run, **choice
):
    """NAME is a data set (digits, mnist, ...), an experiment, all, or FILE.npz."""
    settings = notebooks.Settings(kernel, timeout, fresh, together)
    try:
        names = check_names(_expand_all(names))
        _check_cluster(scheduler, workers, names)
        targets, planned = _plan_targets(names, choice, store)
        pilots = _plan_pilots(names, choice)
        if dry_run:
            return _print_missing([*pilots, *planned], store, fresh)
        check_kernel(kernel)
        if not scheduler and not kernel:  # these may have another
            backend.check_name(backend.configured_name())
        for target in targets:
            source = notebooks.find_notebook(target.name)
            notebooks.check_parameters(source, target.parameters | {"save": True})
            notebooks.find_target(target.result, store)
        store.check_writable([*pilots, *planned])
        with tolerate_broken_output():
            failed = []
            if pilots:
                print("First the pilot runs, which choose the recipes of others.")
                failed += jobs.train(pilots, store, Display(), settings, workers, scheduler)
                targets, planned = _plan_targets(names, choice, store)
            failed += jobs.train(planned, store, Display(), settings, workers, scheduler)
            failures = [f"{job.name}: {job.error}" for job in failed]
            failures += _write_all_results(targets, failed, store, settings, compare)
            for failure in failures:
                print(f"failed: {failure}")
    except KeyboardInterrupt:
        again = "leave out --fresh to train only what is not stored."
        again = again if fresh else "the same command goes on."
        raise KeyboardInterrupt(f"What is finished is kept; {again}") from None
    return 1 if failures else 0


def _expand_all(names):
    expanded = []
    for name in names:
        expanded += plans.NAMES if name == "all" else [name]
    return list(dict.fromkeys(expanded))


def _check_cluster(scheduler, workers, names):
    """Refuses what a cluster can't do."""
    if scheduler is None:
        return
    if workers:
        raise ValueError("A cluster has workers of its own: leave out --workers.")
    if own := [name for name in names if name in datasets.own_names()]:
        raise ValueError(f"Workers have no such file: leave out --scheduler. Received: {own[0]}")
    if not importlib.util.find_spec("distributed"):
        raise ValueError("--scheduler needs pip install 'lightlayers[dask]'.")


def check_kernel(name):
    """Refuses a kernel that is not installed."""
    if not name:
        return
    from jupyter_client.kernelspec import KernelSpecManager

    known = KernelSpecManager().find_kernel_specs()
    if name not in known:
        raise ValueError(
            f"No such kernel. Expected one of {sorted(known)}; `lightlayers kernels` installs "
            f"ours. Received: --kernel {name}"
        )


def _plan_targets(names, choice, store):
    """Returns the targets of names and all their runs, as far as pilot runs have chosen them."""
    targets = [_make_target(name, choice, store) for name in names]
    return targets, list(dict.fromkeys(run for target in targets for run in target.runs))


def _plan_pilots(names, choice):
    found = []
    for name in names:
        found += plans.plan_pilots(name, choice["epochs"], choice["limit"])
    return found


def _make_target(name, choice, store):
    """Returns the `Target` of a name.

    Args:
        name: String, a data set or an experiment.
        choice: Dictionary of the options `rows`, `budget`, `seeds`, `epochs`, `limit` and
            `recipe`, each `None` if it is not given.
        store: `Store` whose pilot runs choose recipes.
    """
    given = {option: value for option, value in choice.items() if value is not None}
    if name in plans.EXPERIMENTS:
        for option, what in (("rows", "rows"), ("budget", "rows"), ("recipe", "recipe")):
            if option in given:
                raise ValueError(f"{name} has {what} of its own: leave out --{option}.")
        seeds = {"seeds": plans.EXPERIMENTS[name].seeds}  # not those stored besides
        return Target(name, given, plans.plan_experiment(name, **(seeds | given), store=store))
    if "budget" in given and "rows" not in given:
        raise ValueError("--budget chooses the sizes of rows: say which with --rows.")
    if name in datasets.own_names():
        # Their notebook's own defaults are those of its small example.
        given.setdefault("recipe", plans.usual_recipe(name))
        given.setdefault("rows", plans.table_rows(name))
        given.setdefault("seeds", list(plans.SEEDS))
    if budget := given.pop("budget", None):
        recipe = given.get("recipe", plans.usual_recipe(name))
        given["rows"] = plans.fit_rows(name, given["rows"], recipe, budget)
    return Target(name, given, plans.plan(name, **given))


def _print_missing(planned, store, fresh):
    missing = planned if fresh else store.missing(planned)
    for run in missing:
        recipe = "" if run.recipe == "paper" else f" {run.recipe}"
        print(f"missing: {run.dataset} {run.row}{recipe} seed {run.seed} ({run.id})")
    return 0


def _write_all_results(targets, failed, store, settings, compare):
    """Writes the results of each target whose runs are there; returns what went wrong."""
    failed_runs = {run for job in failed for run in job.runs}
    failures = []
    for target in targets:
        if not failed_runs.intersection(target.runs):
            try:
                _write_results(target, store, settings, compare)
            except (RuntimeError, OSError) as error:  # the others are not worse for it
                failures.append(f"{target.name}: {error}")
    return failures


def _write_results(target, store, settings, compare):
    """Writes the notebook of a target with its tables and figures, and says where they are."""
    parameters = target.parameters | {"train": False}
    executed = notebooks.render(target.name, store, parameters, settings, target.result)
    if compare:
        print_comparison(target.runs, store, Store(compare))
    print(f"\ntables    {store.tables}")
    print(f"figures   {store.figures}")
    print(f"notebook  {executed}")
    # `lightlayers report` writes these files too, from all stored runs.
    if target.name in plans.NAMES and target.result == target.name:
        stored_too = plans.plan_named(target.name, store=store)
        others = [run for run in stored_too if run not in target.runs]
        if count := len(others) - len(store.missing(others)):
            print(f"They lack {count} stored runs: `lightlayers report` gives those of all.")


def print_comparison(planned, store, other):
    """Prints the tables of freshly trained runs beside those of other stored ones."""
    groups = {}
    for run in planned:
        groups.setdefault((run.dataset, run.recipe), []).append(run)
    for (dataset, recipe), group in groups.items():
        summaries = []
        for each in (store, other):
            records, _ = each.read(group)
            if not records:
                where = f"{each.outputs}: {dataset}, recipe {recipe}"
                print(f"\nNo stored runs to compare with in {where}.")
                break
            summaries.append(tables.summary(tables.frame(records.values())))
        else:
            where = f"here and stored in {other.outputs}"
            print(f"\nTest accuracy on {dataset}, recipe {recipe}, {where}:\n")
            print(_join_summaries(*summaries).to_string(index=False))


def _join_summaries(new, stored):
    columns = ["method", "n", "accuracy", "sd"]
    left = new[["method", "parameters", "n", "accuracy", "sd"]]
    return left.merge(stored[columns], on="method", suffixes=("", " stored"))
