"""The paper's layer and the two linear forms: convolutions of two small factors."""

import functools
import math

from lightlayers.suite.registry import Block, Knob

SOURCE = "Jha et al., arXiv 2101.02268"


def _make_l2(strength):
    import keras

    return keras.regularizers.L2(strength) if strength else None


def _make_layer(form, filters, kernel_size, rank, context):
    """Returns the layer of one form, as the recipe has it."""
    from lightlayers.layers import LightConv2D

    recipe = context.recipe
    options = {"rank": rank, "form": form, "padding": "same", "name": context.name}
    if form == "paper":
        return LightConv2D(
            filters,
            kernel_size,
            # Whatever the recipe: no normalisation makes up for the bias before the ReLU inside.
            use_bias=True,
            bias_initializer=recipe.bias_initializer,
            intermediate_activation=recipe.intermediate_activation,
            kernel_regularizer=_make_l2(recipe.kernel_l2 + recipe.l2),
            **options,
        )
    return LightConv2D(
        filters,
        kernel_size,
        use_bias=recipe.conv_bias,
        factor_initializer=recipe.factor_initializer,
        product_regularizer=_make_l2(recipe.product_l2 + recipe.l2),
        **options,
    )


def apply_light(x, filters, kernel_size, size, context, form, times=1):
    """Applies a light convolution, or Conv2D where the recipe wants it and the rank saves nothing.

    Args:
        x: Tensor.
        filters: Integer.
        kernel_size: Integer, in pixels.
        size: Integer, the rank.
        context: What the network tells a block.
        form: String, as in `LightConv2D`.
        times: Integer. Above 1 the layer starts at so many times its rank, for a search that
            lowers it, and at the largest rank that saves something where that is less.
    """
    rank = size * times
    if context.recipe.dense_where_cheaper:
        # Not by arithmetic: this layer's draws are part of the random stream of the stored runs.
        probe = _make_layer(form, filters, kernel_size, 1, context)
        probe.build(x.shape)
        even = probe.break_even_rank
        if rank >= even and (times == 1 or even == 1):
            return context.apply_baseline(x, filters, kernel_size)
        rank = min(rank, even - 1)
    return _make_layer(form, filters, kernel_size, rank, context)(x)


def count_light(kernel_size, channels, filters, size, recipe, form, times=1):
    """Returns the weights of what `apply_light` applies."""
    per_rank = {
        "paper": kernel_size**2 * (channels + filters),
        "channel": kernel_size**2 * channels + filters,
        "spatial": kernel_size * (channels + filters),
    }[form]
    bias_per_rank = 1 if form == "paper" else 0  # between the factors
    dense, rank = kernel_size**2 * channels * filters, size * times
    if recipe.dense_where_cheaper:
        even = math.ceil(dense / (per_rank + bias_per_rank))
        if rank >= even and (times == 1 or even == 1):
            return [(dense, 1), (filters * recipe.conv_bias, 0)]
        rank = min(rank, even - 1)
    biases = rank + filters if form == "paper" else filters * recipe.conv_bias
    return [(rank * per_rank, 1), (biases, 0)]


def make_dense(units, recipe, **kwargs):
    """Returns the last layer: LightDense where the recipe gives it a rank."""
    import keras

    from lightlayers.layers import LightDense

    if recipe.dense_rank is None:
        return keras.layers.Dense(units, **kwargs)
    return LightDense(units, rank=recipe.dense_rank, scale=recipe.dense_scale, **kwargs)


def count_dense(channels, units, recipe):
    """Returns the weights of the last layer without its bias."""
    if recipe.dense_rank is None:
        return channels * units
    return recipe.dense_rank * (channels + units)


def _make_block(name, label, form, **fields):
    return Block(
        name=name,
        label=label,
        group="light",
        everywhere=True,
        takes_l2=True,
        apply=functools.partial(apply_light, form=form),
        weights=functools.partial(count_light, form=form),
        dense=make_dense,
        dense_weights=count_dense,
        **fields,
    )


PEERS = (
    _make_block(
        "lightlayers",
        "LightLayers (K = {size})",
        "paper",
        source=f"{SOURCE}, section 3.1 and figure 1",
        fidelity="faithful",
        knob=Knob("rank", "K = {size}"),
        marker="o",
    ),
    _make_block(
        "channel",
        "channel form (rank {size})",
        "channel",
        source="Denton et al., arXiv 1404.0736",
        ours="the paper's networks with linear factors, k × k to the rank, then 1 × 1",
        fidelity="analogue",
        knob=Knob("rank"),
        marker="^",
    ),
    _make_block(
        "spatial",
        "spatial form (rank {size})",
        "spatial",
        source="Tai et al., arXiv 1511.06067",
        ours="the paper's networks with linear factors, 1 × k to the rank, then k × 1",
        fidelity="analogue",
        knob=Knob("rank"),
        marker="v",
    ),
)
