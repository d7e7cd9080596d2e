"""What benchmarks share: tasks timed in turn, forward functions, random images, stamped rows."""

import math
import time

import numpy as np

from lightlayers.suite import backend, datasets
from lightlayers.suite.training import provenance

STEPS = 10  # training steps of one call
ROUNDS = 9
LEAST_SECONDS = 0.03  # of one measurement


def random_images(name):
    """Returns random images and labels, as many as a data set has.

    The number of images counts for the memory. What is in them does not change the time.

    Args:
        name: String, the name of a data set.

    Returns:
        Pair: images of shape `(n, height, width, channels)` and type uint8, and labels of
        shape `(n,)` and type int32.
    """
    dataset = datasets.get(name)
    random = np.random.default_rng(0)
    count = dataset.train_size + dataset.test_size
    images = random.integers(0, 256, (count, *dataset.shape), dtype="uint8")
    return images, random.integers(0, dataset.classes, count).astype("int32")


def stamp_rows(rows):
    """Returns rows with what measured them: the machine, the packages and the source."""
    return {
        "environment": provenance.environment(),
        "revision": provenance.revision(),
        "rows": rows,
    }


def compile_forward(model):
    """Returns the compiled forward pass of a model, as one would serve it.

    Args:
        model: A built `keras.Model`.

    Returns:
        Function that takes a tensor of images, and returns when the outputs are computed.
    """
    if backend.name() == "jax":
        import jax

        variables = [[v.value for v in model.trainable_variables]]
        variables += [[v.value for v in model.non_trainable_variables]]
        call = jax.jit(lambda x: model.stateless_call(*variables, x, training=False)[0])
        return lambda x: call(x).block_until_ready()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # it warns of many graphs, which are meant
    call = tf.function(lambda x: model(x, training=False))
    return lambda x: call(x).numpy()


def time_in_turn(tasks, base):
    """Times tasks round by round, so that what else the machine does hits all of them.

    Args:
        tasks: Dictionary from a key to a function and how many steps one call has.
        base: Function from a key to the key that its ratio refers to.

    Returns:
        Dictionary from each key to `milliseconds` of a step (median over the rounds), `low`
        and `high` (their range), and `ratio` (median of the rounds' ratios to the base).
    """
    calls = {key: _count_calls(task) for key, (task, _) in tasks.items()}
    times = {key: [] for key in tasks}
    for _ in range(ROUNDS):
        for key, (task, steps) in tasks.items():
            began = time.perf_counter()
            for _ in range(calls[key]):
                task()
            seconds = time.perf_counter() - began
            times[key].append(1000 * seconds / (calls[key] * steps))
    found = {}
    for key, rounds in times.items():
        ratios = np.divide(rounds, times[base(key)])
        found[key] = {
            "milliseconds": round(float(np.median(rounds)), 4),
            "low": round(min(rounds), 4),
            "high": round(max(rounds), 4),
            "ratio": round(float(np.median(ratios)), 4),
        }
    return found


def _count_calls(task):
    """Returns how many calls of a task one measurement takes.

    It lasts tens of milliseconds, lest the clock and the scheduler be what is measured.
    """
    task()  # compiles
    began = time.perf_counter()
    task()
    return max(1, math.ceil(LEAST_SECONDS / (time.perf_counter() - began)))
