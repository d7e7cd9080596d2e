"""A run: one training, what identifies it, and its row in a table."""

import dataclasses
import hashlib
import json
import re

from lightlayers.suite import datasets, recipes, registry

USUAL_WIDTH = 100


def check_integer(name, value, least):
    """Returns an argument that has to be an integer.

    Raises:
        ValueError: If it is none, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"`{name}` must be an integer, at least {least}. Received: {name}={value!r}"
        )
    return value


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: what is trained, on what, how and from which seed.

    Args:
        dataset: String, the name of a data set, see `datasets.get`.
        method: String, the name of a peer, see `registry.entries`.
        rank: Positive integer for the methods that have one (of other blocks their size), else
            `None`.
        recipe: String, one of `recipes.RECIPES`. Defaults to `"paper"`.
        seed: Integer. Defaults to 42, the authors'.
        epochs: Positive integer, or `None` for the recipe's.
        train_size: Positive integer, images, or `None` for all.
        test_size: Positive integer, images, or `None` for all.
        width: Positive integer, the network's filters in percent of the paper's. Defaults to
            `100`.

    Raises:
        ValueError: If one of them is none of the above.
    """

    dataset: str
    method: str
    rank: int | None = None
    recipe: str = "paper"
    seed: int = 42
    epochs: int | None = None
    train_size: int | None = None
    test_size: int | None = None
    width: int = USUAL_WIDTH

    def __post_init__(self):
        dataset, recipe = datasets.get(self.dataset), recipes.get(self.recipe)
        entry = registry.get(self.method, self.rank)
        lacks_l2 = recipe.l2 and not getattr(entry, "takes_l2", False)
        if self.recipe in entry.refused_recipes or lacks_l2:
            raise ValueError(
                f"Recipe {self.recipe!r} means nothing for this method. Take another recipe or "
                f"method. Received: method={self.method!r}"
            )
        check_integer("seed", self.seed, least=0)
        if self.seed >= 2**32:
            raise ValueError(f"`seed` must be below 2**32, as NumPy's. Received: seed={self.seed}")
        check_integer("width", self.width, least=1)
        if self.width != USUAL_WIDTH and not isinstance(entry, registry.Block | registry.Method):
            raise ValueError(
                "The width of such a row is that of the rows that it is made of: leave it out. "
                f"Received: method={self.method!r}, width={self.width}"
            )
        epochs = recipe.schedule(self.dataset).epochs
        if self.epochs is not None:
            epochs = check_integer("epochs", self.epochs, least=1)
        object.__setattr__(self, "epochs", epochs)
        for name in ("train_size", "test_size"):
            size, images = getattr(self, name), getattr(dataset, name)
            if size is not None:
                images = min(images, check_integer(name, size, least=1))
            object.__setattr__(self, name, images)
        if self.train_size < 2 and recipe.validation == "held-out":
            raise ValueError(
                f"Recipe {self.recipe!r} holds training images out, so it needs two at least. "
                f"Received: train_size={self.train_size}"
            )

    @classmethod
    def from_row(cls, dataset, row, recipe="paper", seed=42, epochs=None, limit=None):
        """Returns the run of a row such as `"lightlayers-3"`, of at most `limit` images a split."""
        method, rank, width = parse_row(row)
        return cls(dataset, method, rank, recipe, seed, epochs, limit, limit, width)

    @classmethod
    def of(cls, record):
        """Returns the run of a record."""
        return cls(**record["run"])

    def to_record(self):
        """Returns what a record says of the run: a usual width was added later, and drops out."""
        fields = dict(vars(self))
        if self.width == USUAL_WIDTH:
            del fields["width"]
        return fields

    @property
    def id(self):
        """The run's identity, from its configuration, recipe version and data."""
        parts = [
            self.to_record(),
            recipes.get(self.recipe).version_of(self.method),
            datasets.get(self.dataset).fingerprint,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def row(self):
        """The run's row in its table, such as `"lightlayers-3"` or `"conv2d-w56"`."""
        return write_row(self.method, self.rank, self.width)

    @property
    def label(self):
        """The row's name in tables and figures, such as `"LightLayers (K = 3)"`."""
        label = registry.label(self.method, self.rank)
        return label if self.width == USUAL_WIDTH else f"{label}, {self.width}% of the filters"

    @property
    def whole(self):
        """Whether the run has the recipe's epochs and all images."""
        usual = dataclasses.replace(self, epochs=None, train_size=None, test_size=None)
        return self == usual


def write_row(method, rank=None, width=USUAL_WIDTH):
    """Returns the name of a row, such as `"lightlayers-3"` or `"conv2d-w56"`."""
    parts = [method]
    if rank is not None:
        parts.append(str(rank))
    if width != USUAL_WIDTH:
        parts.append(f"w{width}")
    return "-".join(parts)


def parse_row(row):
    """Returns method, rank and width of the name of a row.

    Raises:
        ValueError: If it is no such name.

    Example:

    >>> parse_row("lightlayers-3-w80")
    ('lightlayers', 3, 80)
    """
    found = re.fullmatch(r"([^-]+)(?:-([0-9]+))?(?:-w([0-9]+))?", str(row))
    if not found:
        raise ValueError(
            "Unknown row. Expected a method, then its rank, then the width of the network in "
            f"percent, as in conv2d, lightlayers-3 or conv2d-w56. Received: {row!r}"
        )
    method, rank, width = found.groups()
    return method, int(rank) if rank else None, int(width) if width else USUAL_WIDTH
