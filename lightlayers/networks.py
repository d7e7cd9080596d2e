"""The paper's two networks, built from any layer family, and what their layers cost."""

import numpy as np

from lightlayers import backend, families, recipes

# Input shape, classes, filters of the three blocks. The captions of tables 3 and 4 say
# [8, 16, 32, 64]; only these filters give the published parameter counts.
_PLAIN, _RESIDUAL = (8, 16, 32), (16, 32, 64)
SPECIFICATIONS = {
    "digits": ((8, 8, 1), 10),
    "mnist": ((28, 28, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
}
# Mean and standard deviation of the training pixels in 0..1, without the held-out tenth.
_PIXELS = {
    "digits": ([0.3054], [0.3755]),
    "mnist": ([0.1307], [0.3082]),
    "fashion_mnist": ([0.2857], [0.3529]),
    "cifar10": ([0.4915, 0.4821, 0.4464], [0.2472, 0.2437, 0.2617]),
    "cifar100": ([0.5072, 0.4866, 0.4410], [0.2673, 0.2564, 0.2760]),
}


def filters_of(input_shape):
    """Returns the filters of the three blocks for images of a shape."""
    return _RESIDUAL if input_shape[-1] == 3 else _PLAIN


def specification(dataset):
    """Returns the input shape and the number of classes of a data set.

    Args:
        dataset: String, a name of `datasets.NAMES`, or a pair `(input_shape, classes)`.

    Raises:
        ValueError: If there is no such data set.
    """
    if not isinstance(dataset, str):
        return dataset
    if dataset not in SPECIFICATIONS:
        raise ValueError(
            f"Unknown data set. Expected one of {list(SPECIFICATIONS)}. Received: {dataset!r}"
        )
    return SPECIFICATIONS[dataset]


def build(dataset, method, rank=None, recipe="paper"):
    """Returns the paper's network for a data set, built from one layer family.

    Grey images get the network of MNIST: twice (convolution, batch normalisation,
    ReLU) and max pooling, for 8, 16 and 32 filters. Colour images get that of the
    CIFARs: blocks of two convolutions and a 1 × 1 shortcut for 16, 32 and 64 filters.

    Args:
        dataset: String, the name of a data set, or a pair `(input_shape, classes)`.
        method: String, a name of `families.FAMILIES`.
        rank: Positive integer for the methods that have one (the paper's k), else
            `None`.
        recipe: Name of a recipe, or a `Recipe`. Defaults to `"paper"`.

    Returns:
        A functional `keras.Model` from images in 0..1 to class probabilities.

    Raises:
        ValueError: If the data set, method, rank or recipe is unknown.

    Example:

    >>> build("cifar100", "lightlayers", rank=5).count_params()
    21367

    Source: arXiv 2101.02268, section 4.2 and figure 3, corrected by tables 1 to 4.
    """
    family = families.get(method, rank)
    recipe = recipes.get(recipe) if isinstance(recipe, str) else recipe
    input_shape, classes = specification(dataset)

    keras = backend.load()
    layers = keras.layers
    from lightlayers.normalization import BatchNormalization

    conv2d = families.get("conv2d")

    def conv(x, filters, name, kernel_size=3):
        dense = recipe.dense_shortcut and kernel_size == 1
        chosen, kwargs = conv2d if dense else family, {"padding": "same", "name": name}
        start = rank and rank * family.start
        if recipe.dense_where_cheaper and chosen.ranked and not chosen.rule:
            probe = chosen.conv(filters, kernel_size, 1, recipe, **kwargs)
            probe.build(x.shape)
            if start >= (even := probe.break_even_rank):
                if family.start == 1 or even == 1:
                    chosen = conv2d
                start = even - 1
        layer = chosen.conv(filters, kernel_size, start, recipe, **kwargs)
        return BatchNormalization(momentum=recipe.momentum, name=f"{name}_norm")(layer(x))

    inputs = x = keras.Input(input_shape, name="image")
    if recipe.standardize:
        mean, deviation = _PIXELS.get(dataset, ([0.5], [0.25]))
        x = layers.Normalization(mean=mean, variance=np.square(deviation), name="standardize")(x)
    residual = input_shape[-1] == 3
    for i, filters in enumerate(filters_of(input_shape), 1):
        block = x
        x = layers.ReLU()(conv(x, filters, f"block{i}_conv1"))
        x = conv(x, filters, f"block{i}_conv2")
        if residual:
            shortcut = conv(block, filters, f"block{i}_shortcut", kernel_size=1)
            x = layers.Add()([x, shortcut])
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = family.dense(classes, recipe, activation="softmax", name="classes")(x)
    title = "_".join(map(str, filter(None, (method, rank))))
    return keras.Model(inputs, outputs, name=title)


def summary(model):
    """Returns where a network's parameters and multiply-adds are, layer by layer.

    Args:
        model: A built `keras.Model` with a fixed input size.

    Returns:
        A `pandas.DataFrame` with one row per layer that has weights: `layer`, `type`,
        `output` (shape), `parameters`, `multiply-adds`, `rank`, `break-even rank`
        (the smallest rank at which the factors hold no fewer weights than the dense
        kernel) and `saves`. The last row is the total.
    """
    import pandas as pd

    rows = []
    for layer in model.layers:
        if not layer.weights:
            continue
        ranked = hasattr(layer, "break_even_rank")
        rows.append(
            {
                "layer": layer.name,
                "type": type(layer).__name__,
                "output": " × ".join(map(str, layer.output.shape[1:])),
                "parameters": layer.count_params(),
                "multiply-adds": families.multiply_adds(layer),
                "rank": layer.rank if ranked else "",
                "break-even rank": layer.break_even_rank if ranked else "",
                "saves": ("yes" if layer.rank < layer.break_even_rank else "no") if ranked else "",
            }
        )
    table = pd.DataFrame(rows)
    total = {name: "" for name in table.columns} | {"layer": "total"}
    total |= {name: int(table[name].sum()) for name in ("parameters", "multiply-adds")}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)
