"""The paper's tables, ablation arithmetic and claims, as data."""

import collections
import dataclasses
from decimal import Decimal

from lightlayers.suite import registry


def box(printed):
    """Returns `(low, high)`, the numbers that round to a printed one, a string.

    A zero that the paper dropped at the end makes it wider, never too narrow.

    >>> box(".018")
    (0.0175, 0.0185)
    """
    value = Decimal(printed)
    half = Decimal(5).scaleb(value.as_tuple().exponent - 1)
    return float(value - half), float(value + half)


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table: test accuracy and loss are kept as printed."""

    table: str
    dataset: str
    method: str
    rank: int | None
    parameters: int
    accuracy: str
    loss: str

    @property
    def label(self):
        return registry.label(self.method, self.rank)

    @property
    def accuracy_value(self):
        return float(self.accuracy)

    @property
    def loss_value(self):
        return float(self.loss)


_METHODS = [("conv2d", None), ("separableconv2d", None)] + [("lightlayers", k) for k in range(1, 7)]
_TABLES = {
    ("Table 1", "mnist"): (
        (18818, ".9887", ".018"),
        (3611, ".9338", ".2433"),
        (2649, ".9418", ".1327"),
        (4392, ".9749", ".0554"),
        (6135, ".9775", ".0513"),
        (7878, ".9720", ".0704"),
    ),
    ("Table 2", "fashion_mnist"): (
        (18818, ".9147", ".1468"),
        (3611, ".8725", ".3175"),
        (2649, ".789", ".6752"),
        (4392, ".8452", ".4247"),
        (6135, ".8695", ".3708"),
        (7878, ".8623", ".6184"),
        (9621, ".8820", ".2810"),
        (11364, ".8733", ".3986"),
    ),
    ("Table 3", "cifar10"): (
        (76794, ".6882", ".9701"),
        (14440, ".5953", "1.3263"),
        (5937, ".3686", "1.6723"),
        (9592, ".4596", "1.5372"),
        (13247, ".4937", "1.5287"),
        (16902, ".5319", "1.3214"),
        (20557, ".5576", "1.2122"),
    ),
    ("Table 4", "cifar100"): (
        (82644, ".3262", "2.6576"),
        (20290, ".2207", "3.2108"),
        (6747, ".0275", "4.2391"),
        (10402, ".0398", "4.1836"),
        (14057, ".0559", "4.0304"),
        (17712, ".0551", "3.9978"),
        (21367, ".0589", "4.0009"),
    ),
}
DATASETS = tuple(name for _, name in _TABLES)
ROWS = tuple(
    Row(*place, *method, *cells)
    for place, lines in _TABLES.items()
    for method, cells in zip(_METHODS, lines, strict=False)
)

# What the paper says of how the runs of its tables were made, and where.
EPOCHS = {"Section 4.1": 20, "Table 1": 10, "Table 2": 10}
FILTERS = dict.fromkeys(("Table 3", "Table 4"), (8, 16, 32, 64))


# Counts of weights, without biases: layer, its dense kernel's shape, k, what is printed.
Arithmetic = collections.namedtuple("Arithmetic", "place layer shape rank printed")
ABLATION = (
    Arithmetic("Section 6", "Dense", (784, 10), None, "7840"),
    Arithmetic("Section 6", "LightDense", (784, 10), 1, "796"),
    Arithmetic("Section 6", "LightDense", (784, 10), "k", "786 × k"),
    Arithmetic("Section 6", "LightDense", (784, 10), 2, "1588"),
    Arithmetic("Section 6", "Conv2D", (3, 3, 3, 32), None, "864"),
    Arithmetic("Section 6", "LightConv2D", (3, 3, 3, 32), 1, "27 + 288 = 315"),
)

# What the report gives a verdict on. Without words it is our reading, not a quotation. Of a row:
# how many times fewer parameters than Conv2D, how many points less accurate, "only" or "around".
Claim = collections.namedtuple(
    "Claim", "place about dataset rank words times drop only", defaults=(None, None, False)
)
_COST = "parameters and accuracy"
_THIRD = "only 1/3 of the parameters of Conv2D with only 1% drop"
_HALF = "half of the parameters … around 3% drop"
_COLLAPSE = (
    "around 4 times less … obvious because 100 classes are difficult to generalise with such a "
    "small number of trainable parameters"
)
_EFFICIENT = "as efficient as regular Conv2D and Dense … less computational power"
_FILE = "Due to less parameters, the space taken by the weight file is smaller."
CLAIMS = (
    Claim("Table 1", _COST, "mnist", 3, _THIRD, 3, 1, only=True),
    Claim("Table 2", f"{_COST}, better than SeparableConv2D", "fashion_mnist", 5, _HALF, 2, 3),
    Claim("Table 3", _COST, "cifar10", 5, "3.75 times … around 13%", 3.75, 13),
    Claim("Table 4", _COST, "cifar100", 5, _COLLAPSE, 4),
    Claim("Abstract", "time, multiply-adds, memory", None, None, _EFFICIENT),
    Claim("text", "size of the weight file", None, None, _FILE),
    Claim("text", "future work: k found automatically, larger data sets", None, None, ""),
    Claim("Section 4.1", "epochs: 20 for all models", None, None, ""),
    Claim("Tables 1 to 4", "single runs, losses that do not fit accuracies", None, None, ""),
)


def rows(dataset):
    """Returns the rows of one data set's table.

    Raises:
        ValueError: If the paper has no table of it.
    """
    if dataset not in DATASETS:
        raise ValueError(f"No table of it. Expected one of {DATASETS}. Received: {dataset!r}")
    return tuple(row for row in ROWS if row.dataset == dataset)


def frame(dataset=None):
    """Returns the tables, or one data set's, as a `pandas.DataFrame` of printed values."""
    import pandas as pd

    chosen = ROWS if dataset is None else rows(dataset)
    return pd.DataFrame(chosen).astype({"rank": "Int64"}).assign(label=[r.label for r in chosen])
