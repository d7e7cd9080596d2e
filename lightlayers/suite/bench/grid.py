"""Training: variants of the loop from Keras' fit to the suite's own, in processes of their own."""

import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

from lightlayers.suite import backend, datasets, networks, processors, recipes
from lightlayers.suite.bench import timing
from lightlayers.suite.training import loops

# Each adds one thing to the one before it; the first is what one would write without thought.
GRID = {
    "fit": "Keras' fit with its defaults, one process with all cores",
    "processes": "one single-threaded process a core",
    "no-jit": "jit_compile=False",
    "steps": "steps_per_execution=50",
    "fused": "fused batch normalisation",
    "input": "tf.data over uint8 images in memory, scaled in the graph",
    "suite": "the suite's own loop: an epoch is one graph, the images stay on the device",
}
WARM_STEPS = 10
REPEATS = 3


def _has(variant, part):
    """Returns whether a variant has what another one adds."""
    names = list(GRID)
    return names.index(part) <= names.index(variant)


def measure_variant(variant, run, steps, seeds=1):
    """Measures the training of one network on random images, as many as its data set has.

    Args:
        variant: String, a key of `GRID`.
        run: A `Run`, whose network is trained.
        steps: Integer, steps of one measurement.
        seeds: Integer, how many are trained together, by `"suite"` on JAX. Defaults to `1`.

    Returns:
        Pair of floats: seconds of one training step of all seeds, the median of three
        measurements, and the most memory that this process held so far, in megabytes.
    """
    keras = backend.load()
    if not _has(variant, "fused"):
        from lightlayers import normalization

        normalization.BatchNormalization.call = keras.layers.BatchNormalization.call
    train = _prepare_loop(run, seeds) if variant == "suite" else _prepare_fit(variant, run)
    train(WARM_STEPS)
    train(steps)
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        train(steps)
        times.append((time.perf_counter() - began) / steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(np.median(times)), peak / (1e6 if sys.platform == "darwin" else 1e3)


def _build_network(run):
    """Returns a run's network, its recipe, and an optimiser."""
    keras, recipe = backend.load(), recipes.get(run.recipe)
    model = networks.build(run.dataset, run.method, run.rank, recipe, run.width)
    return model, recipe, keras.optimizers.Adam(recipe.schedule(run.dataset).learning_rate)


def _prepare_loop(run, seeds):
    """Returns a function that trains so many steps by the suite's own loop."""
    built = [_build_network(run) for _ in range(seeds)]
    models = [model for model, _, _ in built]
    optimizers = [optimizer for _, _, optimizer in built]
    batch_size = recipes.get(run.recipe).batch_size
    loop = loops.make_loop(models, optimizers, batch_size)
    x, y = timing.random_images(run.dataset)
    images, labels = loop.to_device(x), loop.to_device(y)

    def train(count):
        order = np.arange(count * batch_size)
        np.asarray(loop.train(images, labels, np.stack([order] * seeds)))

    return train


def _prepare_fit(variant, run):
    """Returns a function that trains so many steps by Keras' fit."""
    model, recipe, optimizer = _build_network(run)
    model.compile(
        optimizer,
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False if _has(variant, "no-jit") else "auto",
        steps_per_execution=50 if _has(variant, "steps") else 1,
    )
    x, y = timing.random_images(run.dataset)
    labels = np.eye(datasets.get(run.dataset).classes, dtype="float32")[y]
    prepare = _prepare_pipeline if _has(variant, "input") else _prepare_arrays
    return prepare(model, x, labels, recipe.batch_size)


def _prepare_pipeline(model, x, labels, batch_size):
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices((x, labels)).batch(batch_size)
    scaled = batches.map(lambda x, y: (tf.cast(x, "float32") / 255, y)).prefetch(2)

    def train(count):
        model.fit(scaled.take(count), shuffle=False, verbose=0)

    return train


def _prepare_arrays(model, x, labels, batch_size):
    images = x / np.float32(255)

    def train(count):
        end = count * batch_size
        model.fit(images[:end], labels[:end], batch_size, shuffle=False, verbose=0)

    return train


def measure_in_processes(variant, run, steps, seeds=1):
    """Measures the training of one network by the whole machine, in processes of its own.

    Args:
        variant: String, a key of `GRID`.
        run: A `Run`, whose network is trained.
        steps: Integer, steps of one measurement.
        seeds: Integer, how many are trained together. Defaults to `1`.

    Returns:
        Pair of floats: seconds per step of the whole machine, and the most memory of one of
        its processes, in megabytes.

    Raises:
        RuntimeError: If a process fails.
    """
    count = 1 if variant == "fit" or backend.devices() else processors.cores()
    environment = dict(os.environ)
    if variant != "fit":
        environment |= processors.SINGLE_THREADED
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # this process has its share
    command = [sys.executable, "-m", "lightlayers.suite.bench", variant, run.dataset, run.row]
    command += [str(steps), str(seeds)]
    # In a session of their own: Ctrl-C reaches this process alone, which ends them.
    options = {"env": environment, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, start_new_session=True, **options) for _ in range(count)]
    try:
        printed = [process.communicate()[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if any(process.returncode for process in processes):
        raise RuntimeError(f"The benchmark {variant} of {run.dataset} {run.row} failed.")
    seconds, memory = zip(*(json.loads(text.splitlines()[-1]) for text in printed), strict=True)
    return float(np.mean(seconds)) / count, max(memory)


def measure_grid(planned, variants, steps, say=print):
    """Measures variants of the training loop on rows, in turn, and returns a table of ratios.

    Args:
        planned: List of `Run`, one per row.
        variants: List of keys of `GRID`, the first of which is the base of the ratios.
        steps: Integer, steps of one measurement.
        say: Function that takes one line of progress.

    Returns:
        A `pandas.DataFrame`, one row per run: milliseconds per step of the first variant
        and the memory of one of its processes in megabytes, and for each other how many
        times its throughput, and the memory of the last. The last row is the geometric mean.
    """
    rows, measured = [], {}
    for number, run in enumerate(planned, 1):
        # MNIST and Fashion-MNIST have the same networks and as many images: measured once.
        dataset = datasets.get(run.dataset)
        sizes = dataset.train_size, dataset.test_size
        key = dataset.shape, dataset.classes, sizes, run.row
        if key not in measured:
            measured[key] = _measure_variants(run, variants, steps)
        row = _compare_variants(run, variants, measured[key])
        rows.append(row)
        ratios = ", ".join(f"{name} {row[name]:.2f}×" for name in variants[1:])
        base = row[f"{variants[0]} (ms/step)"]
        say(f"{number}/{len(planned)} {run.dataset} {run.row}: {base:.1f} ms, {ratios}")
    return _add_mean(rows)


def _measure_variants(run, variants, steps):
    """Returns variant -> seconds per step and megabytes."""
    measured = {}
    for name in variants:
        measured[name] = measure_in_processes(name, run, steps)
        if name == variants[0]:
            # Now and then all of a process of the base is twice as slow: the better of two.
            measured[name] = min(measured[name], measure_in_processes(name, run, steps))
    return measured


def _compare_variants(run, variants, measured):
    """Returns one row of the table: the first variant, and the others' throughput against it."""
    first, last = variants[0], variants[-1]
    seconds, memory = measured[first]
    row = {"dataset": run.dataset, "row": run.row, f"{first} (ms/step)": 1000 * seconds}
    row[f"{first} (MB)"] = memory
    for name in variants[1:]:
        row[name] = seconds / measured[name][0]
    row[f"{last} (MB)"] = measured[last][1]
    return row


def _add_mean(rows):
    """Returns rows as a table, with their geometric mean below."""
    import pandas as pd

    table = pd.DataFrame(rows)
    mean = np.exp(np.log(table.select_dtypes("number")).mean())
    total = {"dataset": "geometric mean", "row": "", **mean}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True).round(2)
    return table.astype({name: int for name in table if name.endswith("(MB)")})
