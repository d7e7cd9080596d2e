"""Pilot runs: short runs of one seed whose held-out accuracy chooses a recipe."""

from lightlayers.suite import recipes
from lightlayers.suite.runs import Run

SEED = 1000  # no final run has it
SHARE = 2  # a pilot has the epochs of a final run divided by this


def plan_pilots(dataset, row, epochs=None, limit=None):
    """Returns the pilot runs of a row, one for each recipe of `recipes.TUNED`.

    Args:
        dataset: String, the name of a data set.
        row: String, such as `"conv2d-w51"`.
        epochs: Positive integer, those of the final runs, or `None` for the recipe's.
        limit: Positive integer, the most images of each split, or `None` for all.
    """
    runs = []
    for recipe in recipes.TUNED:
        final = Run.from_row(dataset, row, recipe, SEED, epochs, limit)
        pilot_epochs = max(1, final.epochs // SHARE)
        runs.append(Run.from_row(dataset, row, recipe, SEED, pilot_epochs, limit))
    return runs


def choose_recipe(runs, store):
    """Returns the recipe of the pilot run with the largest accuracy on held-out images.

    The test images have no say. Of equal ones the first is taken, so that nothing is changed
    without a gain.

    Args:
        runs: List of `Run`, as `plan_pilots` returns it.
        store: `Store` of their records.

    Returns:
        String, or `None` where a pilot run is missing.
    """
    records, _ = store.read(runs)
    if len(records) < len(runs):
        return None
    best = max(runs, key=lambda run: records[run]["history"]["val_accuracy"][-1])
    return best.recipe
