"""Two small factors for one dense kernel: splitting, merging and starting them."""

import contextlib
import functools
import math
import random

import keras
import numpy as np


def flatten(kernel, form, groups):
    """Returns the kernel as `(groups, m, n)` matrices whose rank the form limits."""
    if form == "dense":
        return kernel[None]
    kh, kw, channels, filters = kernel.shape
    kernel = kernel.reshape(kh, kw, channels, groups, filters // groups)
    if form == "channel":
        return kernel.transpose(3, 0, 1, 2, 4).reshape(groups, kh * kw * channels, -1)
    return kernel.transpose(3, 1, 2, 0, 4).reshape(groups, kw * channels, -1)


def split(kernel, rank, form, groups=1):
    """Returns the two factors nearest to a dense kernel, by truncated SVD.

    `kernel ≈ P_k S_k Q_kᵀ`, and each factor takes the square root of `S_k`. Where a singular
    value is zero, only the second factor is zero, so that the direction can be trained.

    Args:
        kernel: NumPy array, `(inputs, units)` for form `"dense"`, else `(kernel_height,
            kernel_width, channels // groups, filters)`.
        rank: Integer, the number of singular directions kept in each group.
        form: `"dense"`, `"channel"` or `"spatial"`.
        groups: Integer, the groups of the convolution. Defaults to `1`.

    Returns:
        Two NumPy arrays shaped as the factors of `LightDense` or `LightConv2D`.

    Raises:
        ValueError: If `rank` is larger than the rank of the kernel can be.

    Example:

    >>> kernel = np.random.rand(3, 3, 4, 8)
    >>> [factor.shape for factor in split(kernel, rank=2, form="spatial")]
    [(1, 3, 4, 2), (3, 1, 2, 8)]

    Source: Eckart and Young; Khodak et al., arXiv 2105.01029 (spectral start).
    """
    matrices = flatten(np.asarray(kernel), form, groups)
    full = min(matrices.shape[1:])
    if rank > full:
        raise ValueError(
            f"A kernel of shape {tuple(kernel.shape)} has at most rank {full} in form "
            f"{form!r}. Received: rank={rank}. Lower `rank`, or use "
            "factor_initializer='independent', which has no such limit."
        )
    left, values, right = np.linalg.svd(matrices, full_matrices=False)
    # A direction that is zero on both sides would never have a gradient.
    least = np.finfo("float64").eps * max(matrices.shape[1:]) * values[:, :1]
    is_zero = values[:, :rank] <= least
    root = np.sqrt(np.where(is_zero, 0, values[:, :rank]))
    size = np.where(is_zero, np.where(least, np.sqrt(values[:, :1]), 1), root)
    factor_1 = np.moveaxis(left[..., :rank] * size[:, None], 0, 1)
    factor_2 = np.moveaxis(right[:, :rank] * root[..., None], 0, 1)
    if form == "dense":
        return factor_1[:, 0], factor_2[:, 0]
    kh, kw, channels, filters = kernel.shape
    first = (kh, kw) if form == "channel" else (1, kw)
    factor_1 = factor_1.reshape(*first, channels, groups * rank)
    if form == "channel":
        return factor_1, factor_2.reshape(1, 1, rank, filters)
    factor_2 = factor_2.reshape(rank, groups, kh, filters // groups)
    return factor_1, factor_2.transpose(2, 0, 1, 3).reshape(kh, 1, rank, filters)


def merge(factor_1, factor_2, form, groups=1):
    """Returns the dense kernel that two factors stand for, a tensor: `split` the other way.

    Example:

    >>> kernel = np.random.rand(3, 3, 4, 8)
    >>> factors = split(kernel, rank=8, form="channel")
    >>> np.allclose(merge(*factors, form="channel"), kernel, atol=1e-6)
    True
    """
    ops = keras.ops
    if form == "dense":
        return ops.matmul(factor_1, factor_2)
    height = max(factor_1.shape[0], factor_2.shape[0])
    width, channels = factor_1.shape[1:3]
    rank, filters = factor_2.shape[2:]
    # Channel: factor_2 is 1 × 1. Spatial: factor_1 has height 1, factor_2 width 1. Either way
    # the kernel is one matrix product for each group and each row of factor_2.
    if groups == 1:  # no transposition: for small images it costs more than the product
        left = ops.reshape(factor_1, (1, -1, rank))
        kernel = ops.matmul(left, ops.reshape(factor_2, (-1, rank, filters)))
    else:
        left = ops.reshape(factor_1, (1, -1, groups, rank))
        right = ops.reshape(factor_2, (-1, rank, groups, filters // groups))
        left, right = (ops.transpose(factor, (2, 0, 1, 3)) for factor in (left, right))
        kernel = ops.transpose(ops.matmul(left, right), (1, 2, 0, 3))
    return ops.reshape(kernel, (height, width, channels, filters))


def squared_norm(factor_1, factor_2, form, groups=1):
    """Returns the squared Frobenius norm of a kernel from its factors, without forming it.

    `||U V||² = Σ (UᵀU) ∘ (V Vᵀ)`, with the factors as matrices: two products of `rank` × `rank`
    numbers instead of one kernel. The arguments are those of `merge`.

    Example:

    >>> kernel = np.random.rand(3, 3, 4, 8)
    >>> factors = split(kernel, rank=8, form="channel")
    >>> np.allclose(squared_norm(*factors, form="channel"), np.sum(kernel**2), rtol=1e-4)
    True

    Source: Khodak et al., arXiv 2105.01029 (Frobenius decay).
    """
    ops = keras.ops
    rank = factor_2.shape[-2]
    left = ops.reshape(factor_1, (-1, groups, rank))
    right = ops.reshape(factor_2, (-1, rank, groups, factor_2.shape[-1] // groups))
    left = ops.einsum("mgr,mgs->grs", left, left)
    return ops.sum(left * ops.einsum("hrgf,hsgf->grs", right, right))


def other_seeds(seed, count):
    """Returns seeds that follow from a Keras seed; not `seed + 1`: the next layer has that."""
    if not isinstance(seed, int):
        return [seed] * count  # None draws anew, and a SeedGenerator moves on with each draw
    stream = random.Random(seed)
    return [stream.randint(1, 10**9) for _ in range(count)]


def _outside_traces():
    """Returns a context that computes numbers even while the backend traces a function."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.init_scope()
    if keras.backend.backend() == "jax":
        import jax

        return jax.ensure_compile_time_eval()
    return contextlib.nullcontext()


def start(shapes, dense_shape, initializer, start_from, form, groups=1):
    """Returns initialisers for two factors so that `initializer` describes their product.

    Args:
        shapes: Pair of tuples, the shapes of the factors.
        dense_shape: Tuple, the shape of the kernel they replace.
        initializer: Keras initialiser of that kernel.
        start_from: `"spectral"`, the nearest factors of one draw, or `"variance"`, independent
            normal factors whose product has the draw's mean square.
        form, groups: As in `split`.

    Returns:
        Two callables `(shape, dtype) -> tensor`.
    """
    rank = shapes[1][-2]

    # Keras also asks while it traces: in `fit` of a model not built before, for one.
    @functools.cache
    def factors():
        with _outside_traces():
            draw = keras.ops.convert_to_numpy(initializer(dense_shape, dtype="float32"))
            if start_from == "spectral":
                return split(draw, rank, form, groups)
            # With factor variances a and b each product entry has variance rank·a·b.
            first = second = (np.mean(np.square(draw)) / rank) ** 0.25
            if not second:  # with both at zero neither would have a gradient
                first = math.prod(shapes[0][:-1]) ** -0.5
            seeds = other_seeds(getattr(initializer, "seed", None), 2)
            normal = keras.initializers.RandomNormal
            one = normal(stddev=first, seed=seeds[0])(shapes[0])
            return one, normal(stddev=second, seed=seeds[1])(shapes[1])

    convert = keras.ops.convert_to_tensor
    return [
        lambda shape, dtype=None: convert(factors()[0], dtype),
        lambda shape, dtype=None: convert(factors()[1], dtype),
    ]
