"""Single layers against Conv2D or Dense: a forward pass, and the gradients of a step."""

import math

import numpy as np

from lightlayers.suite import backend
from lightlayers.suite.bench import timing
from lightlayers.suite.bench.activations import count_activations

# Image size, channels, filters, images of a batch: the paper's, then larger ones. Dense layers
# have no image size: the paper's ablation, its two heads, larger ones.
LAYERS = (
    (None, 784, 10, 64),
    (None, 32, 10, 64),
    (None, 64, 100, 64),
    (None, 512, 512, 64),
    (None, 2048, 1000, 64),
    (28, 8, 8, 64),
    (14, 16, 16, 64),
    (7, 32, 32, 64),
    (32, 16, 16, 64),
    (16, 32, 32, 64),
    (8, 64, 64, 64),
    (32, 64, 64, 16),
    (56, 64, 64, 8),
    (32, 128, 128, 8),
    (56, 128, 128, 4),
    (32, 256, 256, 4),
    (32, 512, 512, 2),
)
_EIGHTHS = (1, 2, 4, 6, 8)  # of the rank at which factors save nothing


def measure_layers(shapes=LAYERS, say=print):
    """Times single layers against Conv2D or Dense: a forward pass, and a step's gradients.

    Args:
        shapes: Tuple of (image size or `None` for dense layers, channels, filters, images).
        say: Function that takes one line of progress.

    Returns:
        Dictionary with `environment`, `revision`, `matrix_rate` (multiply-adds per second of
        the fastest square matrix product, of 512, 1,024 or 2,048) and `rows`: dictionaries
        with `size`, `channels`, `filters`, `images`, `method`, `form`, `rank`,
        `implementation`, `task` (`"forward"` or `"train"`), `milliseconds`, `low`, `high`,
        `ratio` (to Conv2D or Dense of the same shape), `multiply_adds` (of one image; of a
        merged layer Conv2D's), `parameters`, `activations` (bytes that a training step keeps
        for one image: what enters each factor and what leaves the layer) and `share` (of the
        matrix rate at the fastest, forward only).
    """
    rate = _measure_matrix_rate()
    random = np.random.default_rng(0)
    rows = []
    for number, shape in enumerate(shapes, 1):
        rows += _measure_shape(shape, random, rate)
        size, channels, filters, _ = shape
        where = "dense" if size is None else f"{size} × {size}"
        say(f"{number}/{len(shapes)} {where}, {channels} to {filters} channels")
    return timing.stamp_rows(rows) | {"matrix_rate": round(rate)}


def _measure_matrix_rate(sizes=(512, 1024, 2048)):
    """Returns the multiply-adds per second of the fastest of square matrix products.

    It is the machine's measured best.
    """
    keras, tasks = backend.load(), {}
    for size in sizes:
        a = keras.random.normal((size, size), seed=0)
        model = keras.Sequential([keras.Input((size,)), keras.layers.Dense(size)])
        product = timing.compile_forward(model)
        tasks[size] = (lambda product=product, a=a: product(a), 1)
    times = timing.time_in_turn(tasks, lambda key: key)
    return max(size**3 / (times[size]["low"] / 1000) for size in sizes)


def _measure_shape(shape, random, rate):
    """Returns the rows of one shape, of every layer and task.

    Args:
        shape: Tuple (image size or `None`, channels, filters, images).
        random: NumPy generator, which draws the images.
        rate: Float, multiply-adds per second, of which `share` is the share.
    """
    from lightlayers import costs

    size, channels, filters, count = shape
    one_image = (channels,) if size is None else (size, size, channels)
    images = random.normal(size=(count, *one_image)).astype("float32")
    layers, tasks = _make_layers(size, channels, filters), {}
    for key, layer in layers.items():
        forward, step = _make_tasks(layer, images)
        tasks[key, "forward"] = (forward, 1)
        tasks[key, "train"] = (step, 1)
    first = next(iter(layers))
    rows = []
    for (key, task), times in timing.time_in_turn(tasks, lambda key: (first, key[1])).items():
        method, form, rank, implementation = key
        layer = layers[key]
        computing = layers[first] if implementation == "merged" else layer
        macs = costs.multiply_adds(computing)
        row = {"size": size, "channels": channels, "filters": filters, "images": count}
        row |= {"method": method, "form": form, "rank": rank, "implementation": implementation}
        row |= {"task": task, **times, "multiply_adds": macs, "parameters": layer.count_params()}
        row["activations"] = 4 * (math.prod(one_image) + count_activations(layer))
        if task == "forward":
            row["share"] = round(macs * count / rate / (times["low"] / 1000), 4)
        rows.append(row)
    return rows


def _make_layers(size, channels, filters):
    """Returns the layers compared at one shape: (method, form, rank, implementation) -> layer.

    The first is the one that the others are compared with.
    """
    if size is None:
        return _make_dense_layers(channels, filters)
    return _make_convolutions(channels, filters)


def _make_dense_layers(channels, units):
    from lightlayers.layers import LightDense

    layers = {("Dense", "", 0, ""): backend.load().layers.Dense(units)}
    probe = LightDense(units, rank=1)
    probe.build((None, channels))
    for rank in _choose_ranks(probe.break_even_rank):
        layers["LightDense", "", rank, ""] = LightDense(units, rank=rank)
    return layers


def _make_convolutions(channels, filters):
    from lightlayers.layers import FORMS, LightConv2D

    keras = backend.load()
    same = {"padding": "same"}
    layers = {
        ("Conv2D", "", 0, ""): keras.layers.Conv2D(filters, 3, **same),
        ("SeparableConv2D", "", 0, ""): keras.layers.SeparableConv2D(filters, 3, **same),
    }
    for form in FORMS:
        probe = LightConv2D(filters, 3, rank=1, form=form, **same)
        probe.build((None, 8, 8, channels))
        implementations = ("factored",) if form == "paper" else ("factored", "merged")
        for rank in _choose_ranks(probe.break_even_rank):
            for implementation in implementations:
                options = {"rank": rank, "form": form, "implementation": implementation}
                layer = LightConv2D(filters, 3, **options, **same)
                layers["LightConv2D", form, rank, implementation] = layer
    return layers


def _choose_ranks(break_even_rank):
    """Returns rank 1, and ranks up to the one at which factors save nothing."""
    ranks = {max(1, break_even_rank * eighths // 8) for eighths in _EIGHTHS}
    return sorted({1} | ranks)


def _make_tasks(layer, images):
    """Returns two functions: a forward pass, and the gradients of a training step."""
    keras = backend.load()
    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    forward, x = timing.compile_forward(model), keras.ops.convert_to_tensor(images)
    compile_step = _compile_jax_step if backend.name() == "jax" else _compile_tensorflow_step
    step = compile_step(model)
    return lambda: forward(x), lambda: step(x)


def _compile_jax_step(model):
    """Returns a function that computes the gradients of the inputs and weights, on JAX."""
    import jax

    others = [v.value for v in model.non_trainable_variables]
    weights = [v.value for v in model.trainable_variables]

    def loss(weights, x):
        return model.stateless_call(weights, others, x, training=True)[0].sum()

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
    return lambda x: jax.block_until_ready(gradients(weights, x))


def _compile_tensorflow_step(model):
    """Returns a function that computes the gradients of the inputs and weights, on TensorFlow."""
    import tensorflow as tf

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(model(x, training=True))
        return tape.gradient(loss, [x, *(v.value for v in model.trainable_variables)])

    return lambda x: step(x)[0].numpy()
