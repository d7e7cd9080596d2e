"""The paper's two networks, built from the blocks of any peer."""

import contextlib
import dataclasses

import numpy as np

from lightlayers.suite import backend, datasets, recipes, registry

# Filters of the three blocks. The captions of tables 3 and 4 say [8, 16, 32, 64]; only these
# filters give the published parameter counts.
_PLAIN, _RESIDUAL = (8, 16, 32), (16, 32, 64)


def filters_of(input_shape, width=100):
    """Returns the filters of the three blocks for images of a shape, at a width in percent."""
    filters = _RESIDUAL if is_residual(input_shape) else _PLAIN
    return tuple(max(1, round(count * width / 100)) for count in filters)


def is_residual(input_shape):
    """Returns whether images of a shape get the residual network: colour images do."""
    return input_shape[-1] == 3


@dataclasses.dataclass(frozen=True)
class Context:
    """What a network tells a block of the place where it is applied."""

    name: str
    recipe: recipes.Recipe

    def normalize(self, x, name):
        """Applies the network's batch normalisation, named after what it follows."""
        from lightlayers.normalization import BatchNormalization

        return BatchNormalization(momentum=self.recipe.momentum, name=f"{name}_norm")(x)

    def apply_baseline(self, x, filters, kernel_size):
        """Applies the convolution that the others are compared with."""
        return registry.baseline().apply(x, filters, kernel_size, None, self)


@dataclasses.dataclass(frozen=True)
class _Builder:
    """Puts one peer's blocks into the paper's networks."""

    block: registry.Block
    size: int | None
    recipe: recipes.Recipe

    def convolve(self, x, filters, name, kernel_size=3, first=False):
        """Applies a convolution of the peer, or Conv2D where it has no place, and normalises."""
        context = Context(name, self.recipe)
        if is_dense_place(self.block, self.recipe, kernel_size, first):
            x = context.apply_baseline(x, filters, kernel_size)
        else:
            x = self._apply(x, filters, kernel_size, context)
        return context.normalize(x, name)

    def _apply(self, x, filters, kernel_size, context):
        """Applies the peer's block, and refuses what the network can't go on with."""
        expected = (*x.shape[:-1], filters)
        y = self.block.apply(x, filters, kernel_size, self.size, context)
        shape = getattr(y, "shape", None)
        if shape is None or tuple(shape) != expected:
            raise ValueError(
                f"Block {self.block.name!r} has to return a tensor of shape {expected} at "
                f"{context.name}. Received: {y!r}"
            )
        return y

    def apply_unit(self, x, filters, name):
        """Applies a unit of the peer, with its own normalisation and activation."""
        return self._apply(x, filters, 3, Context(name, self.recipe))

    def apply_plain_block(self, x, filters, i):
        """Applies two convolutions, each with normalisation and ReLU."""
        layers = backend.load().layers
        for j in (1, 2):
            name, first = f"block{i}_conv{j}", (i, j) == (1, 1)
            if self.block.replaces == "unit" and not first:
                x = self.apply_unit(x, filters, name)
            else:
                x = layers.ReLU()(self.convolve(x, filters, name, first=first))
        return x

    def apply_residual_block(self, x, filters, i):
        """Applies two convolutions beside a 1 × 1 shortcut, or one unit in place of all that."""
        layers = backend.load().layers
        if self.block.replaces == "unit":
            if i == 1:
                x = layers.ReLU()(self.convolve(x, filters, "block1_conv1", first=True))
            return self.apply_unit(x, filters, f"block{i}")
        block = x
        x = layers.ReLU()(self.convolve(x, filters, f"block{i}_conv1", first=i == 1))
        x = self.convolve(x, filters, f"block{i}_conv2")
        shortcut = self.convolve(block, filters, f"block{i}_shortcut", kernel_size=1)
        return layers.ReLU()(layers.Add()([x, shortcut]))


def is_dense_place(block, recipe, kernel_size, first):
    """Returns whether a place in the network is Conv2D whatever the peer."""
    if kernel_size == 1 and recipe.dense_shortcut:
        return True
    return not block.everywhere and (first or kernel_size == 1)


def build(dataset, method, rank=None, recipe="paper", width=100):
    """Returns the paper's network for a data set, built from one peer's blocks.

    Grey images get the network of MNIST: twice (convolution, batch normalisation,
    ReLU) and max pooling, for 8, 16 and 32 filters. Colour images get that of the
    CIFARs: blocks of two convolutions and a 1 × 1 shortcut for 16, 32 and 64 filters.

    Args:
        dataset: String, the name of a data set, or a pair `(input_shape, classes)`.
        method: String, a name of `registry.entries`.
        rank: Positive integer for the methods that have one (the paper's k), else
            `None`.
        recipe: Name of a recipe, or a `Recipe`. Defaults to `"paper"`.
        width: Positive integer, the filters in percent of the paper's. Defaults to `100`.

    Returns:
        A functional `keras.Model` from images in 0..1 to class probabilities.

    Raises:
        ValueError: If the data set, method, rank or recipe is unknown.

    Example:

    >>> build("cifar100", "lightlayers", rank=5).count_params()
    21367

    Source: arXiv 2101.02268, section 4.2 and figure 3, corrected by tables 1 to 4.
    """
    block = registry.get_block(method, rank)
    recipe = recipes.get(recipe) if isinstance(recipe, str) else recipe
    parts = [method, rank and str(rank), width != 100 and f"w{width}"]
    name = "_".join(filter(None, parts))
    with _channels_last():
        return _build(datasets.get(dataset), block, rank, recipe, width, name)


@contextlib.contextmanager
def _channels_last():
    """Lets layers that are made meanwhile have the format of the suite's images.

    Each keeps it. Where none is said, Keras takes that of its configuration file.
    """
    config = backend.load().config
    configured = config.image_data_format()
    config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        config.set_image_data_format(configured)


def _build(dataset, block, rank, recipe, width, name):
    """Returns the network of `build`, of values instead of their names."""
    keras = backend.load()
    layers = keras.layers
    inputs = x = keras.Input(dataset.shape, name="image")
    if recipe.standardize:
        mean, variance = list(dataset.mean), np.square(dataset.deviation)
        x = layers.Normalization(mean=mean, variance=variance, name="standardize")(x)
    filters = filters_of(dataset.shape, width)
    if block.network:
        x = block.network(x, filters, rank, Context("body", recipe))
    else:
        builder = _Builder(block, rank, recipe)
        residual = is_residual(dataset.shape)
        apply_block = builder.apply_residual_block if residual else builder.apply_plain_block
        for i, count in enumerate(filters, 1):
            x = layers.MaxPooling2D()(apply_block(x, count, i))
    x = layers.GlobalAveragePooling2D()(x)
    head = {"activation": "softmax", "name": "classes"}
    if block.dense:
        outputs = block.dense(dataset.classes, recipe, **head)(x)
    else:
        outputs = layers.Dense(dataset.classes, **head)(x)
    return keras.Model(inputs, outputs, name=name)


def summarize(model):
    """Returns where a network's parameters and multiply-adds are, layer by layer.

    Args:
        model: A built `keras.Model` with a fixed input size.

    Returns:
        A `pandas.DataFrame` with one row per layer that has weights: `layer`, `type`,
        `output` (shape), `parameters`, `multiply-adds` (missing where they are not known),
        `rank`, `break-even rank` (the smallest rank at which the factors hold no fewer weights
        than the dense kernel) and `saves`. The last row is the total.
    """
    import pandas as pd

    from lightlayers import costs, layers

    rows = []
    for layer in model.layers:
        if not layer.weights:
            continue
        ranks = dict.fromkeys(("rank", "break-even rank", "saves"), "")
        if isinstance(layer, layers.LightLayer):
            even = layer.break_even_rank
            saves = "yes" if layer.rank < even else "no"
            ranks = {"rank": layer.rank, "break-even rank": even, "saves": saves}
        row = {"layer": layer.name, "type": type(layer).__name__}
        row["output"] = " × ".join(map(str, layer.output.shape[1:]))
        row |= {"parameters": layer.count_params(), "multiply-adds": costs.multiply_adds(layer)}
        rows.append(row | ranks)
    total = dict.fromkeys(rows[0], "") | {"layer": "total"}
    for name in ("parameters", "multiply-adds"):
        counts = [row[name] for row in rows]
        total[name] = None if None in counts else sum(counts)
    table = pd.DataFrame([*rows, total])
    return table if total["multiply-adds"] is not None else table.astype({"multiply-adds": "Int64"})


def count_layers(dataset, method, rank=None, recipe="paper", width=100):
    """Returns what a network's layers cost, by arithmetic: building it takes Keras and seconds.

    A peer with a network of its own is built all the same.

    Args:
        dataset: As for `build`, like the others.

    Returns:
        A `pandas.DataFrame` with `layer`, `parameters` and `multiply-adds`.
    """
    import pandas as pd

    block = registry.get_block(method, rank)
    recipe = recipes.get(recipe) if isinstance(recipe, str) else recipe
    dataset = datasets.get(dataset)
    if block.network:
        table = summarize(build(dataset, method, rank, recipe, width))
        return table[["layer", "parameters", "multiply-adds"]].iloc[:-1]
    height, image_width, channels = dataset.shape
    rows = []
    for i, filters in enumerate(filters_of(dataset.shape, width), 1):
        for name, kernel_size, inputs, first in _list_places(
            block, dataset.shape, i, channels, filters
        ):
            chosen, size = block, rank
            if is_dense_place(block, recipe, kernel_size, first):
                chosen, size = registry.baseline(), None
            weights = chosen.weights(kernel_size, inputs, filters, size, recipe)
            parameters = sum(count for count, _ in weights)
            macs = sum(
                count * _count_positions(scale, height, image_width) for count, scale in weights
            )
            rows.append((name, parameters, macs))
            if chosen.replaces != "unit":
                rows.append((f"{name}_norm", 4 * filters, 0))
        channels, height, image_width = filters, height // 2, image_width // 2
    weights = channels * dataset.classes
    if block.dense_weights:
        weights = block.dense_weights(channels, dataset.classes, recipe)
    rows.append(("classes", weights + dataset.classes, weights))
    return pd.DataFrame(rows, columns=["layer", "parameters", "multiply-adds"])


def _count_positions(scale, height, width):
    """Returns at how many positions a weight is applied: see `registry.Block`."""
    return scale(height, width) if callable(scale) else scale * height * width


def _list_places(block, shape, i, channels, filters):
    """Returns (name, kernel size, channels, whether it is the first) of the parts of block i."""
    places = [(f"block{i}_conv1", 3, channels, i == 1), (f"block{i}_conv2", 3, filters, False)]
    if not is_residual(shape):
        return places
    if block.replaces == "unit":
        stem = places[:1] if i == 1 else []
        return [*stem, (f"block{i}", 3, filters if i == 1 else channels, False)]
    return [*places, (f"block{i}_shortcut", 1, channels, False)]


def count_parameters(dataset, method, rank=None, recipe="paper", width=100):
    """Returns `build(...).count_params()` by arithmetic."""
    return int(count_layers(dataset, method, rank, recipe, width)["parameters"].sum())
