"""What both light layers are: two factors in place of a kernel, their start and their penalty."""

import copy
import functools
import math
import numbers

import keras
from keras import ops
from keras.src.backend.common import global_state

from lightlayers import factorization

FACTOR_INITIALIZERS = ("independent", "spectral", "variance")


def check_positive_integer(name, value):
    """Returns an argument as an `int`, and refuses what is no positive integer."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            f"Argument `{name}` must be a positive integer. Received: {name}={value!r}"
        )
    return int(value)


def check_choice(name, value, known):
    """Returns an argument, and refuses what is none of the known values."""
    if value not in known:
        raise ValueError(
            f"Argument `{name}` must be one of {', '.join(map(repr, known))}. "
            f"Received: {name}={value!r}"
        )
    return value


def copy_initializer(initializer):
    """Returns a copy that draws other numbers. One Keras initialiser draws the same ones again."""
    seed = getattr(initializer, "seed", None)
    if not isinstance(initializer, keras.initializers.Initializer) or seed is None:
        return initializer
    if isinstance(seed, keras.random.SeedGenerator):
        return initializer  # it moves on with each draw, and a copy would start over
    # Not by its configuration: a class of the user's may not say how it is made.
    other = copy.copy(initializer)
    given = getattr(initializer, "_init_seed", seed)
    if isinstance(given, int):
        [other.seed] = factorization.other_seeds(given, 1)
    elif given is not seed:  # Keras drew the seed itself, and does so again
        other.seed = keras.initializers.RandomNormal().seed
    return other


class _ProductPenalty(keras.regularizers.Regularizer):
    """The penalties that a layer's first factor carries: its own, and that of the product."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, factor_1):
        layer, scale = self.layer, self.layer.product_scale
        factors = factor_1, layer.factor_2, layer.form, layer.groups
        if type(layer.product_regularizer) is keras.regularizers.L2:  # a subclass may differ
            norm = factorization.squared_norm(*factors)
            penalty = layer.product_regularizer.l2 * scale**2 * norm
        else:
            penalty = layer.product_regularizer(factorization.merge(*factors) * scale)
        if layer.kernel_regularizer:
            penalty = penalty + layer.kernel_regularizer(factor_1)
        return penalty


class LightLayer:
    """What `LightDense` and `LightConv2D` share: two factors, saving, and what is refused."""

    form = "dense"
    groups = 1
    data_format = "channels_last"
    implementation = "factored"
    product_scale = 1.0  # by which the product of the factors is multiplied
    intermediate_activation = staticmethod(keras.activations.linear)
    intermediate_bias = None

    # Keras' own would save one merged kernel and lose the factors.
    save_own_variables = keras.layers.Layer.save_own_variables
    load_own_variables = keras.layers.Layer.load_own_variables

    def _refuse_arguments(self, kwargs):
        for name in ("lora_rank", "lora_alpha", "quantization_config"):
            if kwargs.pop(name, None) is not None:
                self._refuse_adapter(name)

    def _refuse_adapter(self, received, error=TypeError):
        name = type(self).__name__
        raise error(
            f"{name} has a kernel of two trained factors already, and takes no LoRA, "
            f"quantisation or spectral normalisation. Received: {received!r}. Set `rank`, or use "
            f"keras.layers.{name.removeprefix('Light')} instead."
        )

    def enable_lora(self, rank=None, *_, **__):
        self._refuse_adapter("enable_lora")

    def quantize(self, mode=None, *_, **__):
        # Model.quantize warns of such layers, leaves them as they are, and goes on.
        self._refuse_adapter("quantize", NotImplementedError)

    def _refuse_normalization(self):
        # Keras names here who is being built, the wrapper around this layer among them.
        for scope in global_state.get_global_attribute("name_scope_stack") or ():
            if isinstance(scope.caller, keras.layers.SpectralNormalization):
                self._refuse_adapter("SpectralNormalization")  # which assigns to the kernel

    def _set_options(self, rank, factor_initializer, product_regularizer):
        # Keras' Conv2D keeps its number of image axes in `rank`, and reads it in build() and
        # call() alone, which are ours: the name is free for the field's word.
        self.rank = check_positive_integer("rank", rank)
        self.factor_initializer = check_choice(
            "factor_initializer", factor_initializer, FACTOR_INITIALIZERS
        )
        self.product_regularizer = keras.regularizers.get(product_regularizer)

    def _add_factors(self, shapes):
        if getattr(self, "quantization_mode", None):
            self._refuse_adapter(self.dtype_policy.name)
        initializer, penalty = self.kernel_initializer, self.kernel_regularizer
        if self.factor_initializer == "independent":
            starts = initializer, copy_initializer(initializer)
        else:
            dense = self.dense_kernel_shape, initializer, self.factor_initializer
            starts = factorization.start(shapes, *dense, self.form, self.groups)
        # Keras adds up the penalties of single weights: the product's comes with its first.
        first = _ProductPenalty(self) if self.product_regularizer else penalty
        add = functools.partial(self.add_weight, constraint=self.kernel_constraint)
        self.factor_1 = add(shapes[0], starts[0], regularizer=first, name="factor_1")
        self.factor_2 = add(shapes[1], starts[1], regularizer=penalty, name="factor_2")

    def _add_bias(self, name, size, initializer):
        limits = {"regularizer": self.bias_regularizer, "constraint": self.bias_constraint}
        return self.add_weight((size,), initializer, name=name, **limits)

    @property
    def kernel(self):
        """The dense kernel that the factors stand for, shaped as Keras' layer has it."""
        self._refuse_normalization()
        if not self.built:
            raise AttributeError("You must build the layer before accessing `kernel`.")
        if self.form == "paper":
            raise AttributeError(
                "Form 'paper' stands for no single kernel: two convolutions with an "
                "activation between them. Its weights are `factor_1` and `factor_2`."
            )
        kernel = factorization.merge(self.factor_1, self.factor_2, self.form, self.groups)
        return kernel if self.product_scale == 1 else kernel * self.product_scale

    @property
    def break_even_rank(self):
        """Integer, the smallest rank at which the factors hold no fewer weights than the kernel."""
        per_rank = self.parameters_per_rank
        return math.ceil(math.prod(self.dense_kernel_shape) / per_rank)

    @property
    def parameters_per_rank(self):
        """Integer, the weights that each rank adds. In form `"paper"` the first bias has some."""
        if not self.built:
            raise AttributeError("Build the layer before asking what a rank costs.")
        weights = math.prod(self.factor_1.shape) + math.prod(self.factor_2.shape)
        biases = 0 if self.intermediate_bias is None else self.groups
        return weights // self.rank + biases

    def _add_bias_and_activate(self, x):
        x = self._shift(x, self.bias)
        return x if self.activation is None else self.activation(x)

    def _shift(self, x, bias):
        if bias is None:
            return x
        if self.data_format == "channels_first":
            # Keras' ops.add on TensorFlow adds it along the width where that has its size.
            return x + ops.reshape(bias, (1, -1, 1, 1))
        return ops.add(x, bias)

    def get_config(self):
        config = super().get_config()
        config.pop("quantization_config", None)
        config |= {"rank": self.rank, "factor_initializer": self.factor_initializer}
        product_regularizer = keras.regularizers.serialize(self.product_regularizer)
        return config | {"product_regularizer": product_regularizer}
