"""LightDense and LightConv2D: Dense and Conv2D whose kernel is two small factors."""

import copy
import functools
import math
import numbers

import keras
from keras import ops

from lightlayers import factorization

FORMS = ("paper", "channel", "spatial")
IMPLEMENTATIONS = ("factored", "merged", "auto")
FACTOR_INITIALIZERS = ("independent", "spectral", "variance")


def check_positive_integer(name, value):
    """Returns an argument as an `int`, and refuses what is no positive integer."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            f"Argument `{name}` must be a positive integer. Received: {name}={value!r}"
        )
    return int(value)


def _check_choice(name, value, known):
    if value not in known:
        raise ValueError(
            f"Argument `{name}` must be one of {', '.join(map(repr, known))}. "
            f"Received: {name}={value!r}"
        )
    return value


def _copy_initializer(initializer):
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


def _check_paper_form(factor_initializer, product_regularizer, implementation):
    """Refuses what needs one dense kernel, for which form `"paper"` does not stand."""
    for name, value, allowed, done in (
        ("factor_initializer", factor_initializer, ["independent"], "started"),
        ("product_regularizer", product_regularizer, [None], "regularised as one"),
        ("implementation", implementation, ["factored", "auto"], "merged"),
    ):
        if value not in allowed:
            raise ValueError(
                f"Form 'paper' stands for no single dense kernel that could be {done}. Use "
                f"form='channel' or 'spatial'. Received: {name}={value!r}"
            )


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
            f"{name} has a kernel of two trained factors already, and takes no LoRA or "
            f"quantisation. Received: {received!r}. Set `rank`, or use "
            f"keras.layers.{name.removeprefix('Light')} instead."
        )

    def enable_lora(self, rank=None, *_, **__):
        self._refuse_adapter("enable_lora")

    def quantize(self, mode=None, *_, **__):
        # Model.quantize warns of such layers, leaves them as they are, and goes on.
        self._refuse_adapter("quantize", NotImplementedError)

    def _set_options(self, rank, factor_initializer, product_regularizer):
        # Keras' Conv2D keeps its number of image axes in `rank`, and reads it in build() and
        # call() alone, which are ours: the name is free for the field's word.
        self.rank = check_positive_integer("rank", rank)
        self.factor_initializer = _check_choice(
            "factor_initializer", factor_initializer, FACTOR_INITIALIZERS
        )
        self.product_regularizer = keras.regularizers.get(product_regularizer)

    def _add_factors(self, shapes):
        if getattr(self, "quantization_mode", None):
            self._refuse_adapter(self.dtype_policy.name)
        initializer, penalty = self.kernel_initializer, self.kernel_regularizer
        if self.factor_initializer == "independent":
            starts = initializer, _copy_initializer(initializer)
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
        return x if bias is None else ops.add(x, bias)

    def get_config(self):
        config = super().get_config()
        config.pop("quantization_config", None)
        config |= {"rank": self.rank, "factor_initializer": self.factor_initializer}
        product_regularizer = keras.regularizers.serialize(self.product_regularizer)
        return config | {"product_regularizer": product_regularizer}


@keras.saving.register_keras_serializable(package="lightlayers")
class LightDense(LightLayer, keras.layers.Dense):
    """Dense layer whose kernel is the product of two factors of rank `rank`.

    `outputs = activation(inputs · factor_1 · factor_2 + bias)`

    The arguments of `keras.layers.Dense` keep their order and meaning. The paper calls `rank` k;
    its own networks use `rank=8` and `scale="paper"`.

    Args:
        units: Positive integer, dimensionality of the output space.
        activation: Activation function to use. Defaults to `None` (linear).
        use_bias: Boolean, whether the layer uses a bias vector. Defaults to `True`.
        kernel_initializer: Initializer of each factor, or of the dense kernel they stand for (see
            `factor_initializer`). Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of each factor. Defaults to `None`.
        bias_regularizer: Regularizer of the bias. Defaults to `None`.
        activity_regularizer: Regularizer of the output. Defaults to `None`.
        kernel_constraint: Constraint on each factor. Defaults to `None`.
        bias_constraint: Constraint on the bias. Defaults to `None`.
        rank: Positive integer, the number of columns of the first factor and of rows of the
            second. From `break_even_rank` on it saves nothing. Defaults to `8`.
        scale: `None`, or `"paper"`: as in the authors' code each factor is multiplied by
            `sqrt(2 / units)`, so that their product carries `2 / units`. Defaults to `None`.
        factor_initializer: `"independent"` (the paper: `kernel_initializer` draws each factor),
            `"spectral"` (the nearest factors of one draw of the dense kernel) or `"variance"`
            (independent normal factors whose product has that draw's mean square). Defaults to
            `"independent"`.
        product_regularizer: Regularizer of the dense kernel that the factors stand for; `"l2"` is
            computed without forming it (Frobenius decay). Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch_size, ..., inputs)`.
    Output shape: `(batch_size, ..., units)`.

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
        self._refuse_arguments(kwargs)
        units = check_positive_integer("units", units)
        starts = kernel_initializer, bias_initializer
        penalties = kernel_regularizer, bias_regularizer, activity_regularizer
        limits = kernel_constraint, bias_constraint
        super().__init__(units, activation, use_bias, *starts, *penalties, *limits, **kwargs)
        self._set_options(rank, factor_initializer, product_regularizer)
        self.scale = _check_choice("scale", scale, (None, "paper"))
        if scale and factor_initializer != "independent":
            raise ValueError(
                "scale='paper' belongs to the paper's own start. Use "
                "factor_initializer='independent' with it, or scale=None. Received: "
                f"factor_initializer={factor_initializer!r}"
            )

    def build(self, input_shape):
        inputs = input_shape[-1]
        self.dense_kernel_shape = (inputs, self.units)
        self._add_factors([(inputs, self.rank), (self.rank, self.units)])
        self.bias = None
        if self.use_bias:
            self.bias = self._add_bias("bias", self.units, self.bias_initializer)
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: inputs})
        self.built = True

    @property
    def product_scale(self):
        return 2 / self.units if self.scale == "paper" else 1.0

    def call(self, inputs, training=None):
        outputs = ops.matmul(ops.matmul(inputs, self.factor_1), self.factor_2)
        if self.scale:
            outputs = ops.multiply(outputs, self.product_scale)
        return self._add_bias_and_activate(outputs)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="lightlayers")
class LightConv2D(LightLayer, keras.layers.Conv2D):
    """2D convolution layer made of two small convolutions through `rank` channels.

    Three forms, for a kernel of height kh and width kw:

    - `"paper"`: `h = relu(conv(inputs, factor_1) + intermediate_bias)`,
      `outputs = activation(conv(h, factor_2) + bias)`, both kh × kw. The first convolution is
      `"same"` with stride 1; padding, strides and dilation act on the second.
    - `"channel"`: kh × kw to `rank`, then 1 × 1 to `filters`; linear between.
    - `"spatial"`: 1 × kw to `rank`, then kh × 1 to `filters`; linear between.

    The linear forms are exact factorisations of one dense kernel (`layer.kernel`). In every form
    the output has the size that `keras.layers.Conv2D` gives it, and the arguments of Conv2D keep
    their order and meaning. The paper calls `rank` k.

    Args:
        filters: Positive integer, the number of output channels.
        kernel_size: Integer or pair of integers, height and width in pixels.
        strides: Integer or pair of integers, in pixels. Defaults to `(1, 1)`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras' own setting.
        dilation_rate: Integer or pair of integers, in pixels. Defaults to `(1, 1)`.
        groups: Positive integer; every group has a kernel of rank `rank` of its own. Defaults to
            `1`.
        activation: Activation function of the output. Defaults to `None` (linear).
        use_bias: Boolean, whether the layer uses bias vectors: one, and in form `"paper"` a second
            between the factors. Defaults to `True`.
        kernel_initializer: Initializer of each factor, or of the dense kernel they stand for (see
            `factor_initializer`). Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of the biases. The authors' code draws them by
            `"glorot_uniform"`. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of each factor. The authors' code has
            `keras.regularizers.L2(1e-4)`. Defaults to `None`.
        bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint: As in
            `LightDense`, of both biases. Default to `None`.
        rank: Positive integer, the number of channels between the two convolutions (of each
            group). From `break_even_rank` on it saves nothing. Defaults to `8`.
        form: `"paper"`, `"channel"` or `"spatial"`. Defaults to `"paper"`.
        intermediate_activation: Activation function between the factors, form `"paper"` only.
            `"auto"` is ReLU there and none in the linear forms; `None` is none. Defaults to
            `"auto"`.
        factor_initializer: `"independent"`, or for the linear forms `"spectral"` or `"variance"`,
            as in `LightDense`. Defaults to `"independent"`.
        product_regularizer: Regularizer of the dense kernel that the factors of a linear form
            stand for, as in `LightDense`. Defaults to `None`.
        implementation: How a linear form is computed; results are the same but for rounding.
            `"factored"`: two convolutions. `"merged"`: one, with the kernel that the factors stand
            for, formed at each call. `"auto"`: merged outside training from `rank`
            `break_even_rank` on, where the factors save nothing, and factored below it. Form
            `"paper"` is always factored. Defaults to `"auto"`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch_size, height, width, channels)`, or with `"channels_first"`
    `(batch_size, channels, height, width)`.
    Output shape: that of `keras.layers.Conv2D` for the same arguments.

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

    Source: arXiv 2101.02268, section 3.1 and figure 1; the ReLU between the factors is in the
    authors' code and not in the figure.
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
        self._refuse_arguments(kwargs)
        filters = check_positive_integer("filters", filters)
        places = kernel_size, strides, padding, data_format, dilation_rate, groups
        starts = kernel_initializer, bias_initializer
        penalties = kernel_regularizer, bias_regularizer, activity_regularizer
        limits = kernel_constraint, bias_constraint
        common = activation, use_bias, *starts, *penalties, *limits
        super().__init__(filters, *places, *common, **kwargs)
        self.form = _check_choice("form", form, FORMS)
        self._set_options(rank, factor_initializer, product_regularizer)
        self.implementation = _check_choice("implementation", implementation, IMPLEMENTATIONS)
        if intermediate_activation == "auto":
            intermediate_activation = "relu" if form == "paper" else None
        if form == "paper":
            _check_paper_form(factor_initializer, product_regularizer, implementation)
        elif intermediate_activation is not None:
            raise ValueError(
                f"Form {form!r} is linear between its factors. Use form='paper' for an activation "
                f"there. Received: intermediate_activation={intermediate_activation!r}"
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
        first = (1, kw) if self.form == "spatial" else (kh, kw)
        second = {"paper": (kh, kw), "channel": (1, 1), "spatial": (kh, 1)}[self.form]
        width = self.groups * self.rank
        shape_1 = *first, channels // self.groups, width
        self._add_factors([shape_1, (*second, self.rank, self.filters)])
        self.intermediate_bias = self.bias = None
        if self.use_bias:
            if self.form == "paper":
                self.intermediate_bias = self._add_bias(
                    "intermediate_bias", width, _copy_initializer(self.bias_initializer)
                )
            self.bias = self._add_bias("bias", self.filters, self.bias_initializer)
        self.input_spec = keras.layers.InputSpec(min_ndim=4, axes={axis: channels})
        self.built = True

    @property
    def stages(self):
        """Pair of dictionaries, the arguments of each factor's convolution."""
        whole = self._arguments
        if self.form == "spatial":
            (sh, sw), (dh, dw) = self.strides, self.dilation_rate
            along_width = {**whole, "strides": (1, sw), "dilation_rate": (1, dw)}
            return along_width, {**whole, "strides": (sh, 1), "dilation_rate": (dh, 1)}
        plain = {"strides": (1, 1), "padding": "same", "dilation_rate": (1, 1)}
        return (plain, whole) if self.form == "paper" else (whole, plain)

    @property
    def _arguments(self):
        return {name: getattr(self, name) for name in ("strides", "padding", "dilation_rate")}

    def call(self, inputs, training=None):
        merges = self.implementation == "merged"
        if self.implementation == "auto" and self.form != "paper":
            merges = not training and self.rank >= self.break_even_rank
        if merges:
            outputs = self._convolve(inputs, self.kernel, self._arguments)
        else:
            first, second = self.stages
            hidden = self._convolve(inputs, self.factor_1, first)
            hidden = self._shift(hidden, self.intermediate_bias)
            if self.form == "paper":
                hidden = self.intermediate_activation(hidden)
            outputs = self._convolve(hidden, self.factor_2, second)
        return self._add_bias_and_activate(outputs)

    def _convolve(self, x, kernel, arguments):
        return ops.conv(x, kernel, data_format=self.data_format, **arguments)

    def _shift(self, x, bias):
        if bias is not None and self.data_format == "channels_first":
            # Keras' ops.add on TensorFlow adds it along the width where that has its size.
            return x + ops.reshape(bias, (1, -1, 1, 1))
        return super()._shift(x, bias)

    def get_config(self):
        between = None
        if self.form == "paper":
            between = keras.activations.serialize(self.intermediate_activation)
        config = super().get_config() | {"form": self.form, "intermediate_activation": between}
        return config | {"implementation": self.implementation}
