"""The `lightlayers` command: thin, over the modules above."""

import argparse
import os
import pathlib
import sys

from lightlayers import datasets, execution, recipes, replication, runs


def _list(text):
    return [part for part in text.split(",") if part]


def _integers(text):
    return [int(part) for part in _list(text)]


def _parser():
    parser = argparse.ArgumentParser(
        prog="lightlayers", description="Reproduce the LightLayers paper (arXiv 2101.02268)."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    reproduce = commands.add_parser(
        "reproduce", help="train what is missing, then write tables, figures and notebooks"
    )
    reproduce.add_argument("names", nargs="+", metavar="NAME", help="a data set, or all")
    reproduce.add_argument("--rows", type=_list, help="such as conv2d,lightlayers-3")
    reproduce.add_argument("--seeds", type=_integers, default=list(runs.SEEDS))
    reproduce.add_argument("--epochs", type=int, help="instead of the recipe's")
    reproduce.add_argument("--limit", type=int, help="at most so many images of each split")
    reproduce.add_argument("--recipe", default="paper", choices=sorted(recipes.RECIPES))
    reproduce.add_argument("--workers", type=int, help="rows at once (default: one a core)")
    reproduce.add_argument("--outputs", default=str(runs.default_outputs()))
    reproduce.add_argument("--fresh", action="store_true", help="train again what is stored")
    reproduce.add_argument("--compare", metavar="OUTPUTS", help="print its stored table beside")
    reproduce.add_argument("--dry-run", action="store_true", help="only say what is missing")
    reproduce.set_defaults(action=_reproduce)
    return parser


def _writable(outputs):
    """Makes the outputs folder, and finds out before hours of training that it can be written."""
    folder = pathlib.Path(outputs)
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"The outputs folder can't be written ({error.strerror}). Choose another with "
            f"--outputs. Received: {outputs}"
        ) from None


def _reproduce(options):
    names = list(datasets.NAMES) if options.names == ["all"] else options.names
    choice = {
        "rows": options.rows,
        "seeds": options.seeds,
        "recipe": options.recipe,
        "epochs": options.epochs,
        "limit": options.limit,
    }
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers must be at least 1. Received: {options.workers}")
    plans = {name: runs.plan(name, **choice) for name in names}
    planned = [run for found in plans.values() for run in found]
    if options.dry_run:
        stored, damaged = runs.stored(options.outputs, planned)
        for run in planned:
            if run not in stored or options.fresh:
                print(f"missing: {run.dataset} {run.row} seed {run.seed} ({run.id})")
        return 0
    _writable(options.outputs)
    notebooks = [execution.notebook(name) for name in names]
    for notebook in notebooks:
        execution.check_parameters(notebook, {**choice, "save": True})
    failed = execution.train(planned, options.outputs, options.workers, options.fresh)
    for name in names:
        if any(job.runs[0].dataset == name for job in failed):
            continue
        parameters = {key: value for key, value in choice.items() if value is not None}
        parameters |= {"train": False, "save": True}
        parameters["outputs"] = execution.as_parameter(options.outputs, name)
        executed = execution.render(name, options.outputs, parameters)
        if options.compare:
            _compare(plans[name], options.outputs, options.compare)
        print(f"\ntables    {pathlib.Path(options.outputs, 'tables')}")
        print(f"figures   {pathlib.Path(options.outputs, 'figures')}")
        print(f"notebook  {executed}")
    for job in failed:
        print(f"failed: {job.name}, {len(job.missing)} of {len(job.runs)} runs: {job.error}")
    return 1 if failed else 0


def _compare(planned, outputs, stored):
    """Prints the table of freshly trained runs beside that of stored ones."""
    tables = []
    for folder in (outputs, stored):
        records, _ = runs.stored(folder, planned)
        if not records:
            print(f"\nNo stored runs to compare with in {folder}.")
            return
        tables.append(replication.summary(replication.frame(records.values())))
    here, there = tables
    table = here[["method", "parameters", "n", "accuracy", "sd"]].merge(
        there[["method", "n", "accuracy", "sd"]], on="method", suffixes=("", " stored")
    )
    print(f"\nTest accuracy on {planned[0].dataset}, here and stored in {stored}:\n")
    print(table.to_string(index=False))


def main(arguments=None):
    """Runs the command line and returns its exit status: 0, 1 (some failed) or 2 (wrong use)."""
    options = _parser().parse_args(arguments)
    try:
        return options.action(options)
    except (ValueError, FileNotFoundError, datasets.DataError, RuntimeError) as error:
        print(f"lightlayers: {error}", file=sys.stderr)
        return 1 if isinstance(error, RuntimeError) else 2
    except KeyboardInterrupt:
        print(
            "\nlightlayers: interrupted. What is finished is kept; the same command goes on.",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    sys.exit(main())
