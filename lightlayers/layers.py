"""LightDense and LightConv2D: Dense and Conv2D whose kernel is two small factors."""

import keras
from keras import ops

from lightlayers.base import LightLayer, check_choice, check_positive_integer, copy_initializer

FORMS = ("paper", "channel", "spatial")
IMPLEMENTATIONS = ("factored", "merged", "auto")


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


@keras.saving.register_keras_serializable(package="lightlayers")
class LightDense(LightLayer, keras.layers.Dense):
    """Dense layer whose kernel is the product of two factors of rank `rank`.

    `outputs = activation(inputs · factor_1 · factor_2 + bias)`

    The arguments of `keras.layers.Dense` keep their order and meaning. The paper calls `rank` k;
    its own networks use `rank=8` and `scale="paper"`.

    Args:
        units, activation, use_bias, bias_initializer, bias_regularizer, activity_regularizer,
            bias_constraint: As in `keras.layers.Dense`.
        kernel_initializer: Initializer of each factor, or of the dense kernel they stand for (see
            `factor_initializer`). Defaults to `"glorot_uniform"`.
        kernel_regularizer, kernel_constraint: Of each factor. Default to `None`.
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
        self.scale = check_choice("scale", scale, (None, "paper"))
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
        filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            activity_regularizer: As in `keras.layers.Conv2D`.
        groups: As in Conv2D; every group has a kernel of rank `rank` of its own.
        use_bias: Boolean, whether the layer uses bias vectors: one, and in form `"paper"` a second
            between the factors. Defaults to `True`.
        kernel_initializer, kernel_regularizer, kernel_constraint: As in `LightDense`. The authors'
            code has the regularizer `keras.regularizers.L2(1e-4)`.
        bias_initializer, bias_regularizer, bias_constraint: As in Conv2D, of both biases. The
            authors' code draws them by `"glorot_uniform"`.
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
        self.form = check_choice("form", form, FORMS)
        self._set_options(rank, factor_initializer, product_regularizer)
        self.implementation = check_choice("implementation", implementation, IMPLEMENTATIONS)
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
                    "intermediate_bias", width, copy_initializer(self.bias_initializer)
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

    def get_config(self):
        between = None
        if self.form == "paper":
            between = keras.activations.serialize(self.intermediate_activation)
        config = super().get_config() | {"form": self.form, "intermediate_activation": between}
        return config | {"implementation": self.implementation}
