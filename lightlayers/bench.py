"""Benchmarks, as ratios in one run: how fast the grid trains against the obvious way."""

import json
import os
import subprocess
import sys
import time

import numpy as np

from lightlayers import backend, execution, networks, recipes, runs, training

# Each adds one thing to the one before it; the first is what one would write without thought.
GRID = {
    "fit": "Keras' fit with its defaults, one process with all cores",
    "processes": "one single-threaded process a core",
    "no-jit": "jit_compile=False",
    "steps": "steps_per_execution=50",
    "fused": "fused batch normalisation",
    "suite": "the suite's own loop: an epoch is one graph, images stay uint8 on the device",
}
_WARM, _REPEATS = 10, 3


def _images(dataset, steps, batch_size):
    # The time does not depend on what is in the images.
    shape, classes = networks.specification(dataset)
    random = np.random.default_rng(0)
    count = steps * batch_size
    x = random.integers(0, 256, (count, *shape), dtype="uint8")
    return x, random.integers(0, classes, count).astype("int32"), classes


def measure(variant, run, steps):
    """Returns the seconds of one training step, the median of three measurements.

    Args:
        variant: String, a key of `GRID`.
        run: A `runs.Run`, whose network is trained on random images.
        steps: Integer, steps of one measurement.
    """
    keras = backend.load()
    recipe = recipes.get(run.recipe)
    x, y, classes = _images(run.dataset, steps, recipe.batch_size)
    level = list(GRID).index(variant)
    if variant != "suite" and level < list(GRID).index("fused"):
        from lightlayers import normalization

        normalization.BatchNormalization.call = keras.layers.BatchNormalization.call
    model = networks.build(run.dataset, run.method, run.rank, recipe)
    optimizer = keras.optimizers.Adam(recipe.schedule(run.dataset).learning_rate)
    if variant == "suite":
        optimizer.build(model.trainable_variables)
        loop = {"tensorflow": training._tensorflow_loop, "jax": training._jax_loop}
        to_device, epoch, _ = loop[backend.name()](model, optimizer, recipe.batch_size)
        images, labels = to_device(x), to_device(y)

        def train(count):
            epoch(images, labels, np.arange(count * recipe.batch_size))
    else:
        model.compile(
            optimizer,
            loss="categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile="auto" if level < list(GRID).index("no-jit") else False,
            steps_per_execution=50 if level >= list(GRID).index("steps") else 1,
        )
        images, labels = x / np.float32(255), np.eye(classes, dtype="float32")[y]

        def train(count):
            count *= recipe.batch_size
            model.fit(images[:count], labels[:count], recipe.batch_size, shuffle=False, verbose=0)

    train(_WARM)
    train(steps)
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        train(steps)
        times.append((time.perf_counter() - began) / steps)
    return float(np.median(times))


def _in_processes(variant, run, steps, count):
    """Seconds per step of the whole machine: `count` processes at once share the cores."""
    environment = os.environ | (execution.SINGLE_THREADED if variant != "fit" else {})
    command = [sys.executable, "-m", "lightlayers.bench", variant, run.dataset, run.row, str(steps)]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    found = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"The benchmark {variant} of {run.dataset} {run.row} failed.")
    return float(np.mean([json.loads(text.splitlines()[-1]) for text in found])) / count


def grid(planned, variants, steps, say=print):
    """Measures variants of the training loop on rows, in turn, and returns a table of ratios.

    Args:
        planned: List of `runs.Run`, one per row.
        variants: List of keys of `GRID`, the first of which is the base of the ratios.
        steps: Integer, steps of one measurement.
        say: Function that takes one line of progress.

    Returns:
        A `pandas.DataFrame`, one row per run: milliseconds per step of the first variant,
        and for each other how many times its throughput. The last row is the geometric
        mean.
    """
    import pandas as pd

    cores = os.cpu_count()
    rows = []
    for number, run in enumerate(planned, 1):
        seconds = {
            variant: _in_processes(variant, run, steps, 1 if variant == "fit" else cores)
            for variant in variants
        }
        base = seconds[variants[0]]
        ratios = {variant: base / seconds[variant] for variant in variants[1:]}
        rows.append(
            {
                "dataset": run.dataset,
                "row": run.row,
                f"{variants[0]} (ms/step)": 1000 * base,
                **ratios,
            }
        )
        told = ", ".join(f"{name} {ratio:.2f}×" for name, ratio in ratios.items())
        say(f"{number}/{len(planned)} {run.dataset} {run.row}: {1000 * base:.1f} ms, {told}")
    table = pd.DataFrame(rows)
    mean = np.exp(np.log(table.select_dtypes("number")).mean())
    total = {"dataset": "geometric mean", "row": "", **mean}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True).round(2)


if __name__ == "__main__":
    variant, dataset, row, steps = sys.argv[1:]
    (run,) = runs.plan(dataset, [row], [42])
    print(measure(variant, run, int(steps)))
