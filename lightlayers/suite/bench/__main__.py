"""Measures one training in a process of its own: started by `grid.measure_in_processes`."""

import json
import sys

from lightlayers.suite import plans
from lightlayers.suite.bench import grid


def main(arguments):
    """Prints seconds per step and megabytes, as JSON.

    Args:
        arguments: List of strings: a key of `grid.GRID`, the name of a data set, a row, and
            the numbers of steps and of seeds, of which the latter may be left out.
    """
    variant, dataset, row, *counts = arguments
    (run,) = plans.plan(dataset, [row], [42])
    print(json.dumps(grid.measure_variant(variant, run, *map(int, counts))))


if __name__ == "__main__":
    main(sys.argv[1:])
