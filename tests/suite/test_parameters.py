"""Papermill's parameters: what a notebook does not have or can't use is refused."""

import pytest

from lightlayers.suite import parameters

CELL = """rows = None  # of the table
train = True  # what is missing
epochs = None  # of each run
"""


def run(*cells):
    """Checks in a notebook in which these cells have run."""
    parameters.check({"In": ["", "import os\nif os.name: n = 1", *cells]})


@pytest.mark.parametrize(
    ("injected", "said"),
    [
        ("epoch = 2", "no such parameter. Expected some of .*'epochs'.* Received: epoch$"),
        ("epochs = 2\nn = 1", "Received: n$"),
        ("rows = '[\"conv2d\"]'", """by -y '{rows: \\["conv2d"\\]}'. Received: rows="""),
        ("train = 'false'", "True or False, as in -p train True. Received: train='false'"),
        ("train = 1", "Received: train=1"),
    ],
)
def test_a_wrong_parameter_is_refused(injected, said):
    with pytest.raises(ValueError, match=said):
        run(CELL, f"# Parameters\n{injected}\n", "parameters.check(globals())")


@pytest.mark.parametrize(
    "cells",
    [
        [CELL],
        [CELL, '# Parameters\nrows = ["conv2d"]\ntrain = False\nepochs = 2\n'],
        [CELL, "print(1)", "a syntax error", "# Parameters\nepochs = None\n"],  # run by hand
        [CELL, "# Parameters\nepochs = float('nan')\n"],
    ],
)
def test_right_parameters_pass(cells):
    run(*cells)


def test_without_a_history_there_is_nothing_to_check():
    parameters.check({"rows": None})
