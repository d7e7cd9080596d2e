"""LightDense and LightConv2D: Dense and Conv2D whose kernel is two small factors."""

import copy
import math
import numbers

import keras
from keras import ops

from lightlayers import factorization

FORMS = ("paper", "channel", "spatial")
IMPLEMENTATIONS = ("factored", "merged", "auto")
FACTOR_INITIALIZERS = ("independent", "spectral", "variance")


def _positive_integer(name, value):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            f"Argument `{name}` must be a positive integer. Received: {name}={value!r}"
        )
    return int(value)


def _one_of(name, value, known):
    if value not in known:
        raise ValueError(
            f"Argument `{name}` must be one of {', '.join(map(repr, known))}. "
            f"Received: {name}={value!r}"
        )
    return value


def _another(initializer):
    """Returns the initialiser with a stream of its own; Keras' draw the same numbers again."""
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    if isinstance(getattr(initializer, "seed", None), keras.random.SeedGenerator):
        return initializer  # it moves on with each draw, a copy would start over
    if not hasattr(initializer, "seed"):
        return initializer
    # Not by its configuration: one of the user's own need not say how it is made.
    other = copy.copy(initializer)
    given = getattr(initializer, "_init_seed", initializer.seed)
    if isinstance(given, int):
        [other.seed] = factorization.other_seeds(given, 1)
    elif given is not initializer.seed:  # Keras drew one itself, and does so again
        other.seed = keras.initializers.RandomNormal().seed
    return other


class _ProductPenalty(keras.regularizers.Regularizer):
    """The penalties that a layer's first factor carries: its own and that of the product."""

    def __init__(self, layer, form, groups):
        self.layer, self.form, self.groups = layer, form, groups

    def __call__(self, factor_1):
        layer, scale = self.layer, self.layer._product_scale
        factors, how = (factor_1, layer.factor_2), (self.form, self.groups)
        if type(layer.product_regularizer) is keras.regularizers.L2:  # one made of it may differ
            norm = factorization.squared_norm(*factors, *how)
            found = layer.product_regularizer.l2 * scale**2 * norm
        else:
            found = layer.product_regularizer(factorization.merge(*factors, *how) * scale)
        return found + layer.kernel_regularizer(factor_1) if layer.kernel_regularizer else found


class _Factorized:
    """What the two layers share: the factors' weights, saving, and what they refuse."""

    _product_scale = 1.0  # of the product of the factors in the kernel

    # Keras' own would save one merged kernel and lose the factors.
    save_own_variables = keras.layers.Layer.save_own_variables
    load_own_variables = keras.layers.Layer.load_own_variables

    def _refuse(self, kwargs):
        for name in ("lora_rank", "lora_alpha", "quantization_config"):
            if kwargs.pop(name, None) is not None:
                self._refuse_adapters(name)

    def _refuse_adapters(self, received, error=TypeError):
        name = type(self).__name__
        raise error(
            f"{name} has a kernel of two trained factors already, and takes no LoRA or "
            f"quantisation. Received: {received!r}. Set `rank`, or use "
            f"keras.layers.{name.removeprefix('Light')} instead."
        )

    def enable_lora(self, rank=None, *_, **__):
        self._refuse_adapters("enable_lora")

    def quantize(self, mode=None, *_, **__):
        # Model.quantize warns of such layers, leaves them as they are, and goes on.
        self._refuse_adapters("quantize", NotImplementedError)

    def _add_factors(self, shapes, dense_shape, form, groups=1):
        if getattr(self, "quantization_mode", None):
            self._refuse_adapters(self.dtype_policy.name)
        if self.factor_initializer == "independent":
            starts = self.kernel_initializer, _another(self.kernel_initializer)
        else:
            starts = factorization.start(
                shapes,
                dense_shape,
                self.kernel_initializer,
                self.factor_initializer,
                form,
                groups,
            )

        # Keras adds up the penalties of single weights: the product's comes with its first.
        first = self.kernel_regularizer
        if self.product_regularizer:
            first = _ProductPenalty(self, form, groups)
        regularizers = first, self.kernel_regularizer
        for i, (shape, initializer) in enumerate(zip(shapes, starts, strict=True), 1):
            factor = self.add_weight(
                name=f"factor_{i}",
                shape=shape,
                initializer=initializer,
                regularizer=regularizers[i - 1],
                constraint=self.kernel_constraint,
            )
            setattr(self, f"factor_{i}", factor)

    def _add_bias(self, name, size, initializer):
        return self.add_weight(
            name=name,
            shape=(size,),
            initializer=initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    @property
    def break_even_rank(self):
        """Integer, the smallest rank at which the factors hold no fewer weights.

        It counts what the rank multiplies (the factors, and in form `"paper"` the
        first bias) against the one dense kernel that they replace.
        """
        if not self.built:
            raise AttributeError("Build the layer before asking for `break_even_rank`.")
        return math.ceil(math.prod(self.dense_kernel_shape) / self.parameters_per_rank)

    @property
    def parameters_per_rank(self):
        """Integer, the weights that each rank adds, that of the first bias among them."""
        if not self.built:
            raise AttributeError("Build the layer before asking for `parameters_per_rank`.")
        weights = math.prod(self.factor_1.shape) + math.prod(self.factor_2.shape)
        has_bias = getattr(self, "intermediate_bias", None) is not None
        return weights // self.rank + (self.groups if has_bias else 0)


@keras.saving.register_keras_serializable(package="lightlayers")
class LightDense(_Factorized, keras.layers.Dense):
    """Dense layer whose kernel is the product of two factors of rank `rank`.

    `outputs = activation(inputs · factor_1 · factor_2 + bias)`

    The arguments of `keras.layers.Dense` keep their order and meaning. The paper calls
    `rank` k; its own networks use `rank=8` and `scale="paper"`.

    Args:
        units: Positive integer, dimensionality of the output space.
        activation: Activation function to use. Defaults to `None` (linear).
        use_bias: Boolean, whether the layer uses a bias vector. Defaults to `True`.
        kernel_initializer: Initializer of each factor, or of the dense kernel they
            stand for (see `factor_initializer`). Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of each factor. Defaults to `None`.
        bias_regularizer: Regularizer of the bias. Defaults to `None`.
        activity_regularizer: Regularizer of the output. Defaults to `None`.
        kernel_constraint: Constraint on each factor. Defaults to `None`.
        bias_constraint: Constraint on the bias. Defaults to `None`.
        rank: Positive integer, the number of columns of the first factor and of rows
            of the second. A rank at or above `break_even_rank` saves nothing.
            Defaults to `8`.
        scale: `None`, or `"paper"`: as in the authors' code each factor is multiplied
            by `sqrt(2 / units)`, so that their product carries `2 / units`.
            Defaults to `None`.
        factor_initializer: `"independent"` (the paper: `kernel_initializer` draws each
            factor), `"spectral"` (the nearest factors of one draw of the dense kernel)
            or `"variance"` (independent normal factors whose product has that draw's
            mean square). Defaults to `"independent"`.
        product_regularizer: Regularizer of the dense kernel that the factors stand for;
            `"l2"` is computed without forming it (Frobenius decay). Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch_size, ..., inputs)`.

    Output shape:
        `(batch_size, ..., units)`.

    Raises:
        ValueError: If an argument is none of the above.
        TypeError: If LoRA or quantisation is asked for.

    Example:

    >>> x = np.random.rand(2, 64)
    >>> layer = LightDense(10, activation="softmax", rank=4)
    >>> tuple(layer(x).shape)
    (2, 10)
    >>> layer.count_params()  # 64 · 4 + 4 · 10 + 10
    306

    Source: arXiv 2101.02268, section 3.2 and figure 2.
    """

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        *,
        rank=8,
        scale=None,
        factor_initializer="independent",
        product_regularizer=None,
        **kwargs,
    ):
        self._refuse(kwargs)
        super().__init__(
            _positive_integer("units", units),
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.rank = _positive_integer("rank", rank)
        self.scale = _one_of("scale", scale, (None, "paper"))
        self.factor_initializer = _one_of(
            "factor_initializer", factor_initializer, FACTOR_INITIALIZERS
        )
        if scale and factor_initializer != "independent":
            raise ValueError(
                "scale='paper' belongs to the paper's own start. Use "
                "factor_initializer='independent' with it, or scale=None. Received: "
                f"factor_initializer={factor_initializer!r}"
            )
        self.product_regularizer = keras.regularizers.get(product_regularizer)

    def build(self, input_shape):
        inputs = input_shape[-1]
        self.dense_kernel_shape = (inputs, self.units)
        shapes = (inputs, self.rank), (self.rank, self.units)
        self._add_factors(shapes, self.dense_kernel_shape, "dense")
        self.bias = None
        if self.use_bias:
            self.bias = self._add_bias("bias", self.units, self.bias_initializer)
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: inputs})
        self.built = True

    @property
    def kernel(self):
        """The dense kernel that the factors stand for, `(inputs, units)`."""
        if not self.built:
            raise AttributeError("You must build the layer before accessing `kernel`.")
        return factorization.merge(self.factor_1, self.factor_2, "dense") * self._product_scale

    @property
    def _product_scale(self):
        return 2 / self.units if self.scale == "paper" else 1.0

    def call(self, inputs, training=None):
        outputs = ops.matmul(ops.matmul(inputs, self.factor_1), self.factor_2)
        if self.scale:
            outputs = ops.multiply(outputs, self._product_scale)
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self):
        config = super().get_config()
        config.pop("quantization_config", None)
        return {
            **config,
            "rank": self.rank,
            "scale": self.scale,
            "factor_initializer": self.factor_initializer,
            "product_regularizer": keras.regularizers.serialize(self.product_regularizer),
        }


@keras.saving.register_keras_serializable(package="lightlayers")
class LightConv2D(_Factorized, keras.layers.Conv2D):
    """2D convolution layer made of two small convolutions through `rank` channels.

    Three forms, for a kernel of height kh and width kw:

    - `"paper"`: `h = relu(conv(inputs, factor_1) + intermediate_bias)`,
      `outputs = activation(conv(h, factor_2) + bias)`, both kh × kw. The first
      convolution is `"same"` with stride 1; padding, strides and dilation act on the
      second.
    - `"channel"`: kh × kw to `rank`, then 1 × 1 to `filters`; linear between.
    - `"spatial"`: 1 × kw to `rank`, then kh × 1 to `filters`; linear between.

    The linear forms are exact factorisations of one dense kernel (`layer.kernel`). In
    every form the output has the size that `keras.layers.Conv2D` gives it, and the
    arguments of Conv2D keep their order and meaning. The paper calls `rank` k.

    Args:
        filters: Positive integer, the number of output channels.
        kernel_size: Integer or pair of integers, height and width in pixels.
        strides: Integer or pair of integers, in pixels. Defaults to `(1, 1)`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras' own
            setting.
        dilation_rate: Integer or pair of integers, in pixels. Defaults to `(1, 1)`.
        groups: Positive integer; every group has a kernel of rank `rank` of its own.
            Defaults to `1`.
        activation: Activation function of the output. Defaults to `None` (linear).
        use_bias: Boolean, whether the layer uses bias vectors: one, and in form
            `"paper"` a second between the factors. Defaults to `True`.
        kernel_initializer: Initializer of each factor, or of the dense kernel they
            stand for (see `factor_initializer`). Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of the biases. The authors' code draws them by
            `"glorot_uniform"`. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of each factor. The authors' code has
            `keras.regularizers.L2(1e-4)`. Defaults to `None`.
        bias_regularizer: Regularizer of the biases. Defaults to `None`.
        activity_regularizer: Regularizer of the output. Defaults to `None`.
        kernel_constraint: Constraint on each factor. Defaults to `None`.
        bias_constraint: Constraint on the biases. Defaults to `None`.
        rank: Positive integer, the number of channels between the two convolutions
            (of each group). A rank at or above `break_even_rank` saves nothing.
            Defaults to `8`.
        form: `"paper"`, `"channel"` or `"spatial"`. Defaults to `"paper"`.
        intermediate_activation: Activation function between the factors, form
            `"paper"` only. `"auto"` is ReLU there and none in the linear forms; `None`
            is none. Defaults to `"auto"`.
        factor_initializer: `"independent"` (the paper: `kernel_initializer` draws each
            factor), or for the linear forms `"spectral"` (the nearest factors of one
            draw of the dense kernel) or `"variance"` (independent normal factors whose
            product has that draw's mean square). Defaults to `"independent"`.
        product_regularizer: Regularizer of the dense kernel that the factors of a linear
            form stand for; `"l2"` is computed without forming it (Frobenius decay).
            Defaults to `None`.
        implementation: How a linear form is computed; the results are the same but for
            rounding. `"factored"`: two convolutions. `"merged"`: one, with the kernel
            that the factors stand for, formed at each call. `"auto"`: merged outside
            training from `rank` `break_even_rank` on, where the factors save nothing,
            and factored below it. Form `"paper"` is always factored. Defaults to `"auto"`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch_size, height, width, channels)`, or with `"channels_first"`
        `(batch_size, channels, height, width)`.

    Output shape:
        That of `keras.layers.Conv2D` for the same arguments.

    Raises:
        ValueError: If an argument is none of the above.
        TypeError: If LoRA or quantisation is asked for.

    Example:

    >>> x = np.random.rand(2, 32, 32, 3)
    >>> layer = LightConv2D(16, 3, padding="same", rank=2)
    >>> tuple(layer(x).shape)
    (2, 32, 32, 16)
    >>> layer.count_params()  # 9 · 3 · 2 + 2 + 9 · 2 · 16 + 16
    360

    Source: arXiv 2101.02268, section 3.1 and figure 1; the ReLU between the factors
    is in the authors' code and not in the figure.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        *,
        rank=8,
        form="paper",
        intermediate_activation="auto",
        factor_initializer="independent",
        product_regularizer=None,
        implementation="auto",
        **kwargs,
    ):
        self._refuse(kwargs)
        super().__init__(
            _positive_integer("filters", filters),
            kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        # Keras' Conv2D keeps its number of image axes in `rank` and reads it in build()
        # and call() alone, which are ours: the name is free for the field's word.
        self.rank = _positive_integer("rank", rank)
        self.form = _one_of("form", form, FORMS)
        self.factor_initializer = _one_of(
            "factor_initializer", factor_initializer, FACTOR_INITIALIZERS
        )
        if form == "paper" and factor_initializer != "independent":
            raise ValueError(
                "Form 'paper' stands for no single dense kernel, so its factors can only "
                "be started independently. Use form='channel' or 'spatial'. Received: "
                f"factor_initializer={factor_initializer!r}"
            )
        self.product_regularizer = keras.regularizers.get(product_regularizer)
        if form == "paper" and self.product_regularizer:
            raise ValueError(
                "Form 'paper' stands for no single dense kernel that could be regularised. Use "
                "kernel_regularizer for its factors, or form='channel' or 'spatial'. Received: "
                f"product_regularizer={product_regularizer!r}"
            )
        self.implementation = _one_of("implementation", implementation, IMPLEMENTATIONS)
        if form == "paper" and implementation == "merged":
            raise ValueError(
                "Form 'paper' stands for no single dense kernel, so it can't be merged. Use "
                "form='channel' or 'spatial'. Received: implementation='merged'"
            )
        if intermediate_activation == "auto":
            intermediate_activation = "relu" if form == "paper" else None
        elif form != "paper" and intermediate_activation is not None:
            raise ValueError(
                f"Form {form!r} is linear between its factors. Use form='paper' for an "
                "activation there. Received: "
                f"intermediate_activation={intermediate_activation!r}"
            )
        self.intermediate_activation = keras.activations.get(intermediate_activation)

    def build(self, input_shape):
        axis = -1 if self.data_format == "channels_last" else 1
        channels = input_shape[axis]
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be divisible by `groups`. Received: "
                f"groups={self.groups}, input_shape={tuple(input_shape)}"
            )
        self.compute_output_shape(input_shape)  # refuses images smaller than the kernel
        kh, kw = self.kernel_size
        self.dense_kernel_shape = (kh, kw, channels // self.groups, self.filters)
        first, second = {
            "paper": ((kh, kw), (kh, kw)),
            "channel": ((kh, kw), (1, 1)),
            "spatial": ((1, kw), (kh, 1)),
        }[self.form]
        width = self.groups * self.rank
        shapes = (
            (*first, channels // self.groups, width),
            (*second, self.rank, self.filters),
        )
        self._add_factors(shapes, self.dense_kernel_shape, self.form, self.groups)
        self.intermediate_bias = self.bias = None
        if self.use_bias:
            if self.form == "paper":
                self.intermediate_bias = self._add_bias(
                    "intermediate_bias", width, _another(self.bias_initializer)
                )
            self.bias = self._add_bias("bias", self.filters, self.bias_initializer)
        self.input_spec = keras.layers.InputSpec(min_ndim=4, axes={axis: channels})
        self.built = True

    @property
    def kernel(self):
        """The dense kernel that the factors of a linear form stand for."""
        if not self.built:
            raise AttributeError("You must build the layer before accessing `kernel`.")
        if self.form == "paper":
            raise AttributeError(
                "Form 'paper' stands for no single kernel: two convolutions with an "
                "activation between them. Its weights are `factor_1` and `factor_2`."
            )
        return factorization.merge(self.factor_1, self.factor_2, self.form, self.groups)

    @property
    def stages(self):
        """Pair of dictionaries, the arguments of each factor's convolution."""
        whole = {
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
        }
        if self.form == "spatial":
            (sh, sw), (dh, dw) = self.strides, self.dilation_rate
            return (
                {**whole, "strides": (1, sw), "dilation_rate": (1, dw)},
                {**whole, "strides": (sh, 1), "dilation_rate": (dh, 1)},
            )
        plain = {"strides": (1, 1), "padding": "same", "dilation_rate": (1, 1)}
        return (plain, whole) if self.form == "paper" else (whole, plain)

    def _merged(self, training):
        if self.form == "paper" or self.implementation == "factored":
            return False
        if self.implementation == "merged":
            return True
        return not training and self.rank >= self.break_even_rank

    def call(self, inputs, training=None):
        if self._merged(training):
            whole = {"strides": self.strides, "dilation_rate": self.dilation_rate}
            whole |= {"padding": self.padding, "data_format": self.data_format}
            outputs = self._shift(ops.conv(inputs, self.kernel, **whole), self.bias)
            return outputs if self.activation is None else self.activation(outputs)
        first, second = self.stages
        hidden = ops.conv(inputs, self.factor_1, data_format=self.data_format, **first)
        hidden = self._shift(hidden, self.intermediate_bias)
        if self.form == "paper":
            hidden = self.intermediate_activation(hidden)
        outputs = ops.conv(hidden, self.factor_2, data_format=self.data_format, **second)
        outputs = self._shift(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def _shift(self, x, bias):
        if bias is None:
            return x
        if self.data_format == "channels_first":
            # Keras' ops.add on TensorFlow adds it along the width where that has its size.
            return x + ops.reshape(bias, (1, -1, 1, 1))
        return ops.add(x, bias)

    def get_config(self):
        return {
            **super().get_config(),
            "rank": self.rank,
            "form": self.form,
            "intermediate_activation": None
            if self.form != "paper"
            else keras.activations.serialize(self.intermediate_activation),
            "factor_initializer": self.factor_initializer,
            "product_regularizer": keras.regularizers.serialize(self.product_regularizer),
            "implementation": self.implementation,
        }
