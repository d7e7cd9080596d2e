"""`lightlayers bench`: measures, and keeps what was measured."""

import json

import click

from lightlayers.cli.options import outputs_option, parse_names, parse_positive
from lightlayers.suite import backend, datasets, plans
from lightlayers.suite.analysis.tables import save_table
from lightlayers.suite.bench import export, grid, layers, networks, ranks, together
from lightlayers.suite.files import write_text

MEASURES = {
    "networks": networks.measure_networks,
    "together": together.measure_together,
    "ranks": ranks.measure_ranks,
    "export": export.measure_export,
}
WHAT = ("grid", "networks", "layers", "together", "ranks", "export")
USUAL_VARIANTS = "fit,suite"


@click.command()
@click.argument("what", type=click.Choice(WHAT))
@click.option("--names", type=parse_names, metavar="NAMES", default=",".join(datasets.NAMES[1:]))
@click.option("--rows", type=parse_names, metavar="ROWS", help="Such as conv2d,lightlayers-3.")
@click.option(
    "--variants",
    type=parse_names,
    metavar="VARIANTS",
    default=USUAL_VARIANTS,
    help=f"Of grid (default: {USUAL_VARIANTS}).",
)
@click.option(
    "--steps",
    type=parse_positive,
    metavar="N",
    default=100,
    help="Of one measurement (default: 100).",
)
@outputs_option
def bench(what, names, rows, variants, steps, store):
    """Stored measurements are never replaced by fewer."""
    if unknown := set(variants) - set(grid.GRID):
        raise ValueError(f"Unknown variants. Expected {list(grid.GRID)}. Received: {unknown}")
    backend.check_name(backend.configured_name())
    planned = []
    for name in names:
        planned += plans.plan(name, rows, seeds=[42])
    store.check_writable()
    if what == "grid":
        _measure_grid(planned, variants, steps, store)
    else:
        _measure(what, planned, store)
    return 0


def _measure(what, planned, store):
    target = store.bench / f"{what}.json"
    if what == "layers":
        found = layers.measure_layers()
    else:
        _check_rows(target, planned, lambda: json.loads(target.read_text(encoding="utf-8"))["rows"])
        found = MEASURES[what](planned)
    write_text(target, json.dumps(found, indent=1) + "\n")
    print(target)


def _measure_grid(planned, variants, steps, store):
    import pandas as pd

    name = "bench-grid" if variants == USUAL_VARIANTS.split(",") else "bench-grid-parts"
    target = store.tables / f"{name}.csv"
    # The last row is the mean of the others.
    stored = _check_rows(target, planned, lambda: pd.read_csv(target).to_dict("records")[:-1])
    columns = {column.partition(" ")[0] for row in stored[:1] for column in row}
    _refuse_loss(target, [name for name in grid.GRID if name in columns - set(variants)])
    for variant in variants:
        print(f"{variant:10} {grid.GRID[variant]}")
    table = grid.measure_grid(planned, variants, steps)
    print(table.to_string(index=False))
    save_table(table, store, name)


def _check_rows(file, planned, read):
    """Refuses to replace stored measurements by those of fewer rows.

    Args:
        file: Path of the measurements, which need not exist.
        planned: List of `Run`, which are to be measured.
        read: Function that returns the stored rows, a list of dictionaries.

    Returns:
        List of dictionaries, the stored rows.
    """
    if not file.exists():
        return []
    try:
        stored = read()
        names = {f"{row['dataset']} {row.get('row', '')}".strip() for row in stored}
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{file} is no measurement that can be read ({type(error).__name__}): move it away, or "
            "choose other --outputs."
        ) from None
    # A measurement of a data set as a whole has no row.
    measured = {name for run in planned for name in (run.dataset, f"{run.dataset} {run.row}")}
    _refuse_loss(file, sorted(names - measured))
    return stored


def _refuse_loss(file, lost):
    if lost:
        raise ValueError(
            f"{file} also has {', '.join(lost)}: measure these as well, or choose other --outputs."
        )
