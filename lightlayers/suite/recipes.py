"""Training protocols, as frozen values: what a run does besides its data, method and seed."""

import dataclasses

from lightlayers.suite import datasets


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What the authors' scripts set anew for each data set.

    Args:
        epochs: Integer, passes over the training set.
        learning_rate: Float, Adam's at the start.
        plateau_patience: Integer, epochs without a better validation loss before the
            learning rate is multiplied by 0.1. With `None` it rises over the first twentieth
            of the steps, then falls to zero along a half cosine. Nothing stops early then.
        stop_patience: Integer, epochs without a better validation loss before training
            stops.
    """

    epochs: int
    learning_rate: float
    plateau_patience: int | None = None
    stop_patience: int = 10


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One training protocol.

    Args:
        name: String, its name in records and on the command line.
        version: Integer, raised whenever what the recipe computes changes.
        schedules: Tuple of (data set, Schedule).
        batch_size: Integer, images.
        shuffle: Boolean, whether each epoch has an order of its own.
        validation: `"test"` (the authors' way: the schedule sees the test labels) or
            `"held-out"` (the last tenth of the training set).
        standardize: Boolean, whether images are standardised by the data set's mean and
            standard deviation, constants without weights.
        conv_bias: Boolean, whether convolutions have biases where normalisation follows.
            The paper's form always has biases: nothing normalises between its factors.
        dense_shortcut: Boolean, whether the 1 × 1 shortcuts are Conv2D in every method.
        dense_where_cheaper: Boolean, whether a factorised convolution is Conv2D where its
            rank saves nothing.
        momentum: Float, of batch normalisation's moving averages.
        bias_initializer: String, of the convolutions of the paper's form.
        intermediate_activation: String or `None`, between the factors of the paper's form,
            as in `LightConv2D`.
        kernel_l2: Float, the L2 penalty on each factor of the paper's form.
        dense_rank: Integer, the rank of the dense layer of factorised methods; `None` makes
            it Dense.
        dense_scale: `None` or `"paper"`, the `scale` of that dense layer.
        factor_initializer: String, of the linear forms, as in `LightConv2D`.
        product_l2: Float, the L2 penalty on the product of the linear forms' factors.
        l2: Float, the L2 penalty on the kernel that a convolution stands for, in every method:
            Conv2D's own, the product of SeparableConv2D's two or of the linear forms' factors. The
            paper's form stands for no single kernel: there it is on each factor.
        revised: Tuple of (method, version), for changes of the recipe that concern these
            methods only. The stored runs of the others stay good.
    """

    name: str
    version: int
    schedules: tuple
    batch_size: int = 64
    shuffle: bool = False
    validation: str = "test"
    standardize: bool = False
    conv_bias: bool = True
    dense_shortcut: bool = False
    dense_where_cheaper: bool = False
    momentum: float = 0.99
    bias_initializer: str = "glorot_uniform"
    intermediate_activation: str | None = "auto"
    kernel_l2: float = 1e-4
    dense_rank: int | None = 8
    dense_scale: str | None = "paper"
    factor_initializer: str = "independent"
    product_l2: float = 0.0
    l2: float = 0.0
    revised: tuple = ()

    def version_of(self, method):
        """Returns the version of what the recipe computes with a method."""
        return dict(self.revised).get(method, self.version)

    def schedule(self, dataset):
        """Returns the `Schedule` of a data set."""
        return dict(self.schedules)[datasets.get(dataset).schedule]


_MNIST = Schedule(epochs=10, learning_rate=1e-3, plateau_patience=4)
_CIFAR = Schedule(epochs=20, learning_rate=1e-4, plateau_patience=4)

# The protocol of the authors' scripts. Digits is ours: an epoch has only 23 steps there,
# so it has four times MNIST's epochs, and every patience in proportion.
PAPER = Recipe(
    name="paper",
    version=1,
    schedules=(
        ("digits", Schedule(40, 1e-3, plateau_patience=16, stop_patience=40)),
        ("mnist", _MNIST),
        ("fashion_mnist", dataclasses.replace(_MNIST, plateau_patience=3)),
        ("cifar10", _CIFAR),
        ("cifar100", _CIFAR),
    ),
)


def _faster(learning_rate):
    return tuple(
        (dataset, dataclasses.replace(schedule, learning_rate=learning_rate))
        for dataset, schedule in PAPER.schedules
    )


# One change at a time from "paper", and all of them, to find out what makes CIFAR-100 fail.
# They watch the test set as "paper" does: anything else would be a second change.
CHANGES = {
    "no-scale": {"dense_scale": None},
    "zero-biases": {"bias_initializer": "zeros"},
    "rate-1e-3": {"schedules": _faster(1e-3)},
    "shuffled": {"shuffle": True},
    "no-relu": {"intermediate_activation": None},
    "no-l2": {"kernel_l2": 0.0},
}
# What a first look took, before the suite was built.
CHANGES["first-four"] = {k: v for each in list(CHANGES.values())[:4] for k, v in each.items()}
CHANGES["all-changes"] = {key: value for each in CHANGES.values() for key, value in each.items()}

# What one would do today at the same epochs and batch size, without augmentation, for every
# method alike. The learning rates were chosen on held-out training images, in single runs of the
# spatial form: corrected.ipynb has what they gave.
_SMALL, _LARGE = Schedule(epochs=10, learning_rate=4e-3), Schedule(epochs=20, learning_rate=8e-3)
CORRECTED = Recipe(
    name="corrected",
    version=1,
    schedules=(
        ("digits", Schedule(40, 4e-3)),
        ("mnist", _SMALL),
        ("fashion_mnist", _SMALL),
        ("cifar10", _LARGE),
        ("cifar100", _LARGE),
    ),
    shuffle=True,
    validation="held-out",
    standardize=True,
    conv_bias=False,
    dense_shortcut=True,
    dense_where_cheaper=True,
    momentum=0.9,
    bias_initializer="zeros",
    revised=(("lightlayers", 2),),  # before, as the authors' code: no other method has such biases
    kernel_l2=0.0,
    dense_rank=None,
    dense_scale=None,
)

# Starts and penalties of the linear forms, one at a time from "corrected". The penalty's
# strength was chosen on held-out images, in single runs.
STARTS = {
    "spectral-start": {"factor_initializer": "spectral"},
    "variance-start": {"factor_initializer": "variance"},
    "product-l2": {"product_l2": 1e-3},
}


def _list_tuned():
    """Returns strengths of the penalty and multiples of the rate, as changes of "corrected"."""
    found = {}
    for l2 in ("", "1e-4", "1e-3", "1e-2"):
        for factor in ("", "0.5", "2"):
            schedules = []
            for dataset, schedule in CORRECTED.schedules:
                rate = float(factor or 1) * schedule.learning_rate
                schedules.append((dataset, dataclasses.replace(schedule, learning_rate=rate)))
            name = "corrected" + (l2 and f"-l2-{l2}") + (factor and f"-rate-{factor}x")
            found[name] = {"l2": float(l2 or 0), "schedules": tuple(schedules)}
    return found


# What pilot runs choose from, for every method alike: see `plans.plan_pilots`. Recipe "corrected"
# is the first.
TUNED = _list_tuned()

RECIPES = {"paper": PAPER, "corrected": CORRECTED} | {
    name: dataclasses.replace(base, name=name, **changes)
    for base, found in ((PAPER, CHANGES), (CORRECTED, STARTS), (CORRECTED, TUNED))
    for name, changes in found.items()
}


def get(name):
    """Returns the recipe of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"Unknown recipe. Expected one of {sorted(RECIPES)}. Received: {name!r}")
    return RECIPES[name]


def describe(names, dataset):
    """Returns what recipes do on a data set, one row per setting, one column per recipe.

    Args:
        names: String or list of strings, keys of `RECIPES`. Of several, only what differs.
        dataset: String, whose schedule is shown.

    Returns:
        A `pandas.DataFrame` of strings.
    """
    import pandas as pd

    names = [names] if isinstance(names, str) else names
    columns = {}
    for name in names:
        recipe = get(name)
        settings = vars(recipe.schedule(dataset)) | vars(recipe)
        if settings["plateau_patience"] is None:
            settings["stop_patience"] = None
        columns[name] = {key: str(settings[key]).replace("None", "none") for key in settings}
    table = pd.DataFrame(columns).drop(["name", "version", "revised", "schedules"])
    if set(table.loc["l2"]) == {"0.0"}:  # it is for comparisons alone
        table = table.drop("l2")
    differs = table.nunique(axis=1) > 1
    return table if len(names) == 1 else table[differs]
