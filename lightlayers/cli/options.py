"""Options, arguments and checks that several commands share."""

import math

import click

from lightlayers.suite import datasets, plans
from lightlayers.suite.store import Store, find_outputs


def parse_names(text):
    """Returns the parts of a text with commas."""
    if not (parts := [part for part in text.split(",") if part]):
        raise click.BadParameter(f"expected one or more, with commas. Received: {text!r}")
    return parts


def parse_integers(text):
    """Returns the integers of a text with commas."""
    try:
        return [int(part) for part in parse_names(text)]
    except ValueError:
        raise click.BadParameter(f"expected integers, with commas. Received: {text!r}") from None


def parse_positive(text):
    """Returns an integer that is at least 1."""
    text = str(text)  # a default is an integer already
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"expected an integer, at least 1. Received: {text}")
    return int(text)


def parse_factor(text):
    """Returns a number, which may be written as a fraction such as 1/255."""
    numerator, slash, denominator = str(text).partition("/")
    try:
        factor = float(numerator) / (float(denominator) if slash else 1)
    except (ValueError, ZeroDivisionError):
        factor = math.nan
    if not math.isfinite(factor):
        raise click.BadParameter(f"expected a number, such as 1/255. Received: {text}")
    return factor


# The parameter `store` of a command: a `Store` over the folder that the user names.
outputs_option = click.option(
    "--outputs",
    "store",
    metavar="DIR",
    default=lambda: str(find_outputs()),
    callback=lambda context, option, folder: Store(folder),
    help="Folder of runs and results (default: the repository's outputs).",
)


def check_names(names):
    """Checks names of data sets and experiments.

    Args:
        names: List of strings. A FILE.npz becomes a data set of this process.

    Returns:
        List of strings, with the data set's name in place of each FILE.npz.

    Raises:
        ValueError: If one is unknown.
    """
    found = [plans.add_data(name) if name.endswith(".npz") else name for name in names]
    known = (*plans.NAMES, *datasets.own_names())
    if unknown := [name for name in found if name not in known]:
        raise ValueError(
            f"Unknown name. Expected some of {list(plans.NAMES)}, or the path of a FILE.npz. "
            f"Received: {', '.join(map(repr, unknown))}"
        )
    return found
