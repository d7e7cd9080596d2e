"""`lightlayers data`: the images that are trained on."""

import click

from lightlayers.cli.options import parse_names
from lightlayers.suite import datasets


@click.command()
@click.argument("what", type=click.Choice(["check", "export"]))
@click.argument("folder", required=False, metavar="[DIR]")
@click.option("--names", type=parse_names, metavar="NAMES", default=",".join(datasets.NAMES))
def data(what, folder, names):
    """`check` loads the data sets, `export` writes them to DIR."""
    for name in names:
        if name not in datasets.NAMES:
            raise ValueError(f"Unknown data set. Expected {datasets.NAMES}. Received: {name!r}")
    if what == "export" and not folder:
        raise ValueError("Say where to: lightlayers data export DIR")
    if what == "check" and folder:
        raise ValueError(
            "`data check` looks at what trainings take: set LIGHTLAYERS_DATA to that folder. "
            f"Received: {folder}"
        )
    wrong = 0
    for name in names:
        try:
            if what == "export":
                print(f"wrote  {datasets.export(name, folder)}")
            else:
                datasets.load(name)
                print(f"OK     {name} ({datasets.get(name).fingerprint})")
        except datasets.DataError as error:
            print(f"WRONG  {error}")
            wrong += 1
    return 1 if wrong else 0
