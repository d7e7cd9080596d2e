"""One layer in place of another: the light one nearest to a dense one, and the other way."""

import numbers

import keras
import numpy as np

from lightlayers import factorization, graphs
from lightlayers.base import LightLayer
from lightlayers.layers import LightConv2D, LightDense

FORMS = ("channel", "spatial")
_SHARED = (
    "name trainable activation use_bias kernel_initializer bias_initializer bias_regularizer "
    "activity_regularizer bias_constraint"
).split()
_CONV = "filters kernel_size strides padding data_format dilation_rate groups".split()


def _to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def _make_twin(layer_type, layer, **kwargs):
    """Returns a built layer of another type with a layer's arguments and bias."""
    names = _CONV if isinstance(layer, keras.layers.Conv2D) else ["units"]
    kwargs |= {name: getattr(layer, name) for name in (*_SHARED, *names)}
    given = layer.activation
    if isinstance(given, keras.layers.Layer):  # as PReLU is, with weights of its own
        kwargs["activation"] = copy = graphs.copy_layer(given)
        if given.built:
            copy.build_from_config(given.get_build_config())
            for source, target in zip(given.variables, copy.variables, strict=True):
                target.assign(keras.ops.convert_to_numpy(source))
    twin = graphs.build_like(layer_type(**kwargs, dtype=layer.dtype_policy), layer)
    if layer.use_bias:
        twin.bias.assign(keras.ops.convert_to_numpy(layer.bias))
    return twin


def find_obstacle(layer):
    """Returns why a layer can't be converted, or an empty string."""
    layer_type = type(layer)
    if isinstance(layer, LightLayer):
        return "light already"
    if layer_type not in (keras.layers.Dense, keras.layers.Conv2D):
        of_keras = layer_type.__module__.split(".")[0] == "keras"
        return f"{'kernel of a' if of_keras else 'custom layer'} {layer_type.__name__}"
    if not layer.built:
        return "not built"
    if getattr(layer, "quantization_mode", None):
        return f"quantised to {layer.quantization_mode}"
    if layer.lora_enabled:
        return "has a LoRA adapter"
    if layer.kernel_constraint is not None:
        return "its constraint is for one kernel"
    return "" if np.isfinite(_to_numpy(layer.kernel)).all() else "its kernel is not finite"


def flatten_kernel(layer, form):
    """Returns a layer's kernel as the matrices whose rank the form limits."""
    form = form if isinstance(layer, keras.layers.Conv2D) else "dense"
    return factorization.flatten(_to_numpy(layer.kernel), form, getattr(layer, "groups", 1))


def _draws_any_shape(initializer, dimensions):
    """Returns whether an initialiser draws any shape. A constant array has one shape only."""
    shape = (1,) * dimensions
    try:
        return tuple(initializer(shape, dtype="float32").shape) == shape
    except Exception:  # of any kind: it may be code of the user's
        return False


def make_light(layer, rank, form):
    """Returns the light layer of a convertible one, its factors not yet set."""
    # The factors stand for the kernel: what was asked of the kernel is asked of their product.
    kwargs = {"rank": rank, "product_regularizer": layer.kernel_regularizer}
    if not _draws_any_shape(layer.kernel_initializer, len(layer.kernel.shape)):
        kwargs["factor_initializer"] = "spectral"  # asks for the shape of the dense kernel
    if isinstance(layer, keras.layers.Conv2D):
        return _make_twin(LightConv2D, layer, form=form, **kwargs)
    return _make_twin(LightDense, layer, **kwargs)


def _factorize(layer, layer_type, rank, form):
    reason = find_obstacle(layer)
    if type(layer) is not layer_type or reason:
        raise ValueError(
            f"Expected a built {layer_type.__name__} that can be converted. Received: {layer!r}"
            + (f" ({reason})" if type(layer) is layer_type else "")
        )
    if form not in (*FORMS, "dense"):
        raise ValueError(f"A Conv2D converts to form {FORMS}. Received: form={form!r}")
    full = min(flatten_kernel(layer, form).shape[1:])
    whole = isinstance(rank, numbers.Integral) and not isinstance(rank, bool)
    if not whole or not 1 <= rank <= full:
        raise ValueError(
            f"The rank of layer {layer.name!r} must be an integer from 1 to {full}, the most "
            f"that its kernel can have. Received: rank={rank!r}"
        )
    light = make_light(layer, int(rank), form)
    factors = factorization.split(_to_numpy(layer.kernel), int(rank), form, light.groups)
    light.factor_1.assign(factors[0])
    light.factor_2.assign(factors[1])
    return light


def from_dense(layer, rank):
    """Returns the `LightDense` nearest to a trained `keras.layers.Dense`.

    It is exact at the full rank. Below it the factors are those of the truncated SVD: no kernel of
    that rank is nearer. Name, bias, activation, dtype policy and the trainable flag are kept, and
    what acts on the bias or the output. The kernel's regulariser becomes the `product_regularizer`.
    A kernel with a constraint isn't converted: no constraint on the factors means the same.

    Args:
        layer: Built `keras.layers.Dense`, which stays as it is.
        rank: Positive integer.

    Raises:
        ValueError: If the layer can't be converted, or has no such rank.

    Example:

    >>> layer = keras.layers.Dense(10)
    >>> layer.build((None, 64))
    >>> from_dense(layer, rank=4).count_params()
    306

    Source: Eckart and Young.
    """
    return _factorize(layer, keras.layers.Dense, rank, "dense")


def from_conv2d(layer, rank, form="spatial"):
    """Returns the `LightConv2D` nearest to a trained `keras.layers.Conv2D`.

    As `from_dense`; strides, padding, dilation, groups and data format are kept too. Each group
    gets factors of that rank.

    Args:
        layer: Built `keras.layers.Conv2D`, which stays as it is.
        rank: Positive integer.
        form: `"spatial"` or `"channel"`, see `LightConv2D`. Defaults to `"spatial"`.

    Example:

    >>> layer = keras.layers.Conv2D(16, 3)
    >>> layer.build((None, 32, 32, 3))
    >>> from_conv2d(layer, rank=2).count_params()  # 3 · 3 · 2 + 3 · 2 · 16 + 16
    130

    Source: Eckart and Young; Tai et al., arXiv 1511.06067 (spatial form).
    """
    return _factorize(layer, keras.layers.Conv2D, rank, form)


def _make_plain(layer, light_type, plain_type):
    if type(layer) is not light_type or not layer.built:
        raise ValueError(
            f"Expected a built {light_type.__name__}, of no class of its own. Received: {layer!r}"
        )
    if layer.form == "paper":
        raise ValueError(
            "Form 'paper' stands for no single kernel: two convolutions with an activation "
            f"between them. Received: {layer!r}"
        )
    plain = _make_twin(plain_type, layer, kernel_regularizer=layer.product_regularizer)
    plain.kernel.assign(layer.kernel)
    return plain


def to_dense(layer):
    """Returns the plain `keras.layers.Dense` that a built `LightDense` stands for.

    It computes the same with one kernel. The `product_regularizer` becomes that of the
    kernel; what acts on each factor has no counterpart and is left out.
    """
    return _make_plain(layer, LightDense, keras.layers.Dense)


def to_conv2d(layer):
    """Returns the plain `keras.layers.Conv2D` that a linear `LightConv2D` stands for.

    Raises:
        ValueError: If the form is `"paper"`: that is two convolutions and no single kernel.
    """
    return _make_plain(layer, LightConv2D, keras.layers.Conv2D)
