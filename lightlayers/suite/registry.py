"""The peers: what a published system tells the suite about itself, and where it is found.

A peer is a value of one of four kinds: a `Block` of layers, a training `Method`, a `Compression` of
a trained network or a `Cascade` of several. Files in `lightlayers/peers` and entry points of other
packages in the group `lightlayers.peers` give their peers as a tuple `PEERS`.
"""

import functools
import importlib
import importlib.metadata
import pkgutil
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

ENTRY_POINTS = "lightlayers.peers"
GROUPS = ("Keras", "light", "peer")


@dataclass(frozen=True)
class Knob:
    """The size that a peer can be given, an integer from 1 on.

    Args:
        name: String, what it is, such as `"rank"`.
        symbol: String, how figures write it. Defaults to the number alone, `"{size}"`.
    """

    name: str
    symbol: str = "{size}"


@dataclass(frozen=True)
class Augmentation:
    """A change of each batch of images before a training step.

    The numbers that it draws by are the same on every backend.

    Args:
        apply: Function `(images, labels, draws) -> (images, labels)` of `keras.ops`: `images` in
            0..1, `labels` integers, `draws` uniform in 0..1, `(batch_size, draws)`. It may return
            labels as probabilities `(batch_size, classes)`.
        draws: Integer, how many numbers it needs for an image.
    """

    apply: Callable
    draws: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What every peer tells of itself.

    Args:
        name: String of `a` to `z`, digits and `_`, its name in records and on the command line.
        label: String, its name in tables, with `{size}` where it has a knob.
        source: String, the publication and, where it was read, the code.
        ours: String, what is not the authors'.
        fidelity: String, `"faithful"`, `"adapted"` or `"analogue"`, and why in a sentence.
        knob: `Knob`, or `None` for a peer of one size.
        refused_recipes: Tuple of strings, the recipes that mean nothing for it.
        marker: String, its marker in figures, as Matplotlib names it.
        group: String, one of `GROUPS`.
        baseline: Boolean, whether the others are compared with it.
    """

    name: str
    label: str
    source: str = ""
    ours: str = ""
    fidelity: str = ""
    knob: Knob | None = None
    refused_recipes: tuple = ()
    marker: str = "*"
    group: str = "peer"
    baseline: bool = False

    @property
    def short_label(self):
        """The label without the size, such as `"LightLayers"`."""
        return self.label.partition(" (")[0]

    def label_of(self, size=None):
        """Returns the label of one row, such as `"LightLayers (K = 3)"`."""
        return self.label.format(size=size)


@dataclass(frozen=True, kw_only=True)
class Block(Entry):
    """A convolution, or a unit of several, in place of those of the paper's networks.

    Args:
        apply: Function `(x, filters, kernel_size, size, context) -> tensor`, made of Keras layers.
            `context.name` is the name for its layer or the prefix for the names of several,
            `context.recipe` the recipe, `context.normalize(x, name)` the network's batch
            normalisation, `context.apply_baseline(x, filters, kernel_size)` its Conv2D.
        weights: Function `(kernel_size, channels, filters, size, recipe) -> [(count, scale)]`: how
            many weights it has, and how often each is applied, per position of its output: 1, or
            0 for biases and normalisation. At another resolution `scale` is a function
            `(height, width) -> positions`, such as `lambda height, width: 1` after pooling all.
        everywhere: Boolean, whether it also replaces the network's first convolution and the 1 × 1
            shortcuts. Defaults to `False`: they stay Conv2D.
        replaces: `"convolution"`, followed by the network's own normalisation and activation, or
            `"unit"`, which brings both; in the residual network it replaces a whole block with its
            shortcut. Defaults to `"convolution"`.
        dense: Function `(units, recipe, **kwargs) -> layer`, the last layer. Defaults to Dense.
        dense_weights: Function `(channels, units, recipe) -> integer`, its weights but the bias.
        takes_l2: Boolean, whether its kernels get the penalty `context.recipe.l2`. Where they do
            not, runs under a recipe that has one are refused.
        network: Function `(x, filters, size, context) -> tensor`, a body of its own between the
            image and the global pooling, or `None` for the paper's.
    """

    apply: Callable = None
    weights: Callable = None
    everywhere: bool = False
    replaces: str = "convolution"
    dense: Callable | None = None
    dense_weights: Callable | None = None
    takes_l2: bool = False
    network: Callable | None = None
    seeds_together: ClassVar = True

    @property
    def block(self):
        """The block itself. A `Method` has a field of this name."""
        return self

    def train(self, session):
        """Trains the network for all epochs of the run."""
        session.fit(session.build())


@dataclass(frozen=True, kw_only=True)
class Method(Entry):
    """A way of training.

    Args:
        block: The `Block` that its network starts with.
        train: Function `(session) -> finish`, the procedure. `finish` takes the trained model and
            returns the one that is evaluated; `None` leaves it as it is. `session.evaluate`
            evaluates the trained one instead.
        chooses_ranks: Boolean, whether each layer gets a rank of its own, which records keep.
        seeds_together: Boolean, whether several seeds can be trained in one program.
    """

    block: Block = None
    train: Callable = None
    chooses_ranks: bool = False
    seeds_together: bool = True


@dataclass(frozen=True, kw_only=True)
class Compression(Entry):
    """A way of making a trained network smaller.

    Args:
        base: String, the row whose network is trained in the same run, then compressed.
        compress: Function `(session, model) -> model`.
        bits: Function `(model) -> integer`, what the weights take.
    """

    base: str = ""
    compress: Callable = None
    bits: Callable = None
    seeds_together: ClassVar = True

    def train(self, session):
        """Trains the base row, and returns what makes it smaller."""
        session.fit(session.build(self.base))
        return lambda model: self.compress(session, model)


@dataclass(frozen=True, kw_only=True)
class Cascade(Entry):
    """Several networks of which an image takes as few as it needs.

    Args:
        members: Tuple of rows, whose networks are trained in the same run, one by one.
        calibrate: Function `(models, images, labels) -> state`, on held-out images.
        predict: Function `(models, state, images) -> (probabilities, multiply_adds)`.
    """

    members: tuple = ()
    calibrate: Callable = None
    predict: Callable = None
    seeds_together: ClassVar = False


def check_entry(entry):
    """Refuses an entry that the suite could not use.

    Raises:
        ValueError: If its name, label or a function is missing or wrong.
    """
    if not isinstance(entry, Block | Method | Compression | Cascade):
        raise ValueError(f"A peer is a Block, Method, Compression or Cascade. Received: {entry!r}")
    if not re.fullmatch(r"[a-z0-9_]+", entry.name):
        raise ValueError(
            f"A peer's name has the characters a-z, 0-9 and _ only. Received: name={entry.name!r}"
        )
    if bool(entry.knob) != ("{size}" in entry.label):
        raise ValueError(
            "A peer's label has {size} where it has a knob, and only there. "
            f"Received: label={entry.label!r}, knob={entry.knob!r} of {entry.name!r}"
        )
    if entry.group not in GROUPS:
        raise ValueError(f"A peer's group is one of {GROUPS}. Received: group={entry.group!r}")
    if entry.knob is not None and not isinstance(entry.knob, Knob):
        raise ValueError(f"A peer's knob is a `Knob`. Received: knob={entry.knob!r}")
    if isinstance(entry, Block) and entry.replaces not in ("convolution", "unit"):
        raise ValueError(
            f"A block replaces 'convolution' or 'unit'. Received: replaces={entry.replaces!r}"
        )
    if isinstance(entry, Block) and entry.everywhere and entry.replaces == "unit":
        raise ValueError(
            "A unit can't replace the first convolution and the shortcuts. Received: "
            f"everywhere=True, replaces='unit' of {entry.name!r}"
        )
    if isinstance(entry, Cascade) and entry.knob:
        raise ValueError(f"A cascade has no knob. Received: knob={entry.knob!r}")
    needed = {
        Block: ("apply", "weights"),
        Method: ("block", "train"),
        Compression: ("base", "compress", "bits"),
        Cascade: ("members", "calibrate", "predict"),
    }[type(entry)]
    if getattr(entry, "network", None):
        needed = ()
    for field in needed:
        if not getattr(entry, field):
            raise ValueError(f"Peer {entry.name!r} needs `{field}`. Received: {entry!r}")
    if isinstance(entry, Method) and entry.block.knob and not entry.knob:
        raise ValueError(
            f"Method {entry.name!r} needs a knob, since its block has one. "
            f"Received: block {entry.block.name!r} with {entry.block.knob!r}"
        )


def _check_peers(peers):
    if not isinstance(peers, tuple):
        raise ValueError(
            f"`PEERS` must be a tuple, such as (Block(...),) with its comma. Received: {peers!r}"
        )
    for entry in peers:
        check_entry(entry)
    return peers


def _find_entries():
    """Returns pairs of each peer and the place where it was found, in no order yet."""
    import lightlayers.peers

    found = []
    for module in pkgutil.iter_modules(lightlayers.peers.__path__):
        place = f"lightlayers/peers/{module.name}.py"
        try:
            peers = _check_peers(importlib.import_module(f"lightlayers.peers.{module.name}").PEERS)
        except Exception as error:  # of any kind: it may be a newcomer's first try
            raise ValueError(f"{place} gives no peers: {error}") from error
        found += [(entry, place) for entry in peers]
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            peers = _check_peers(point.load())
        except Exception as error:  # of any kind: it is code of others
            warnings.warn(f"The peers of {point.value} are left out: {error}", stacklevel=2)
            continue
        found += [(entry, point.value) for entry in peers]
    return found


@functools.cache
def entries():
    """Returns all peers by name: Keras' own, the light layers, then the others.

    Raises:
        ValueError: If one is wrong, or two have one name.
    """
    found, places = {}, {}
    for entry, place in _find_entries():
        if entry.name in found:
            message = f"Received: name={entry.name!r} in {places[entry.name]} and {place}"
            if not place.endswith(".py"):  # of another package
                warnings.warn(f"The second of two peers is left out. {message}", stacklevel=2)
                continue
            raise ValueError(f"Two peers have one name: rename one. {message}")
        found[entry.name], places[entry.name] = entry, place

    def rank_entry(entry):
        return GROUPS.index(entry.group), isinstance(entry, Method)

    return {entry.name: entry for entry in sorted(found.values(), key=rank_entry)}


def find(name):
    """Returns the peer of a name, whatever its size.

    Raises:
        ValueError: If there is no such peer.
    """
    if name not in entries():
        raise ValueError(f"Unknown method. Expected one of {sorted(entries())}. Received: {name!r}")
    return entries()[name]


def get_block(name, size=None):
    """Returns the block that the network of a peer is built of.

    Raises:
        ValueError: If the peer is made of other rows, as a compression or a cascade is.
    """
    entry = get(name, size)
    if not isinstance(entry, Block | Method):
        raise ValueError(
            f"{entry.label} has no network of its own: it is made of other rows. Received: {name!r}"
        )
    return entry.block


def get(name, size=None):
    """Returns the peer of a name, having checked that the size fits it.

    Raises:
        ValueError: If there is no such peer, or its size is missing or too much.
    """
    entry = find(name)
    whole = isinstance(size, int) and not isinstance(size, bool)
    if entry.knob and not (whole and size >= 1):
        raise ValueError(
            f"Method {name!r} needs an integer {entry.knob.name}, at least 1, as in {name}-2. "
            f"Received: {entry.knob.name}={size!r}"
        )
    if not entry.knob and size is not None:
        raise ValueError(f"Method {name!r} has no rank. Received: rank={size}")
    return entry


def baseline():
    """Returns the peer that the others are compared with, the paper's Conv2D."""
    return next(entry for entry in entries().values() if entry.baseline)


def label(name, size=None):
    """Returns the name of a row in tables and figures, as the paper prints it."""
    return get(name, size).label_of(size)
