"""Benchmarks, as ratios in one run: how fast the grid trains against the obvious way."""

import json
import os
import resource
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
    "input": "tf.data over uint8 images in memory, scaled in the graph",
    "suite": "the suite's own loop: an epoch is one graph, the images stay on the device",
}
_WARM, _REPEATS = 10, 3


def _images(dataset):
    # As many as the data set has, for the memory; what is in them does not change the time.
    shape, classes = networks.specification(dataset)
    random = np.random.default_rng(0)
    count = sum(runs.SIZES[dataset])
    x = random.integers(0, 256, (count, *shape), dtype="uint8")
    return x, random.integers(0, classes, count).astype("int32"), classes


def measure(variant, run, steps):
    """Measures the training of one network on random images, as many as its data set has.

    Args:
        variant: String, a key of `GRID`.
        run: A `runs.Run`, whose network is trained.
        steps: Integer, steps of one measurement.

    Returns:
        Pair of floats: seconds of one training step, the median of three measurements,
        and the most memory that this process held so far, in megabytes.
    """
    keras = backend.load()
    recipe = recipes.get(run.recipe)
    x, y, classes = _images(run.dataset)
    has = {name for name in GRID if list(GRID).index(name) <= list(GRID).index(variant)}
    if "fused" not in has:
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
            jit_compile=False if "no-jit" in has else "auto",
            steps_per_execution=50 if "steps" in has else 1,
        )
        labels = np.eye(classes, dtype="float32")[y]
        if "input" in has:
            import tensorflow as tf

            whole = tf.data.Dataset.from_tensor_slices((x, labels)).batch(recipe.batch_size)
            scaled = whole.map(lambda x, y: (tf.cast(x, "float32") / 255, y)).prefetch(2)

            def train(count):
                model.fit(scaled.take(count), shuffle=False, verbose=0)
        else:
            images = x / np.float32(255)

            def train(count):
                end = count * recipe.batch_size
                options = {"shuffle": False, "verbose": 0}
                model.fit(images[:end], labels[:end], recipe.batch_size, **options)

    train(_WARM)
    train(steps)
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        train(steps)
        times.append((time.perf_counter() - began) / steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(np.median(times)), peak / (1e6 if sys.platform == "darwin" else 1e3)


def _in_processes(variant, run, steps):
    """Seconds per step of the whole machine, and the most memory of one of its processes."""
    count = 1 if variant == "fit" else os.cpu_count()
    environment = os.environ | (execution.SINGLE_THREADED if variant != "fit" else {})
    command = [sys.executable, "-m", "lightlayers.bench", variant, run.dataset, run.row, str(steps)]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    found = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"The benchmark {variant} of {run.dataset} {run.row} failed.")
    seconds, memory = zip(*(json.loads(text.splitlines()[-1]) for text in found), strict=True)
    return float(np.mean(seconds)) / count, max(memory)


def grid(planned, variants, steps, say=print):
    """Measures variants of the training loop on rows, in turn, and returns a table of ratios.

    Args:
        planned: List of `runs.Run`, one per row.
        variants: List of keys of `GRID`, the first of which is the base of the ratios.
        steps: Integer, steps of one measurement.
        say: Function that takes one line of progress.

    Returns:
        A `pandas.DataFrame`, one row per run: milliseconds per step of the first variant
        and the memory of one of its processes in megabytes, and for each other how many
        times its throughput, and the memory of the last. The last row is the geometric mean.
    """
    import pandas as pd

    first, last = variants[0], variants[-1]
    rows, known = [], {}
    for number, run in enumerate(planned, 1):
        # MNIST and Fashion-MNIST have the same networks and as many images: measured once.
        key = networks.specification(run.dataset), runs.SIZES[run.dataset], run.row
        if key not in known:
            known[key] = {
                # Now and then all of a process of the base is twice as slow: the better of two.
                name: min(_in_processes(name, run, steps) for _ in range(1 + (name == first)))
                for name in variants
            }
        found = known[key]
        base, memory = found[first]
        ratios = {variant: base / found[variant][0] for variant in variants[1:]}
        row = {"dataset": run.dataset, "row": run.row, f"{first} (ms/step)": 1000 * base}
        row |= {f"{first} (MB)": memory, **ratios, f"{last} (MB)": found[last][1]}
        rows.append(row)
        told = ", ".join(f"{name} {ratio:.2f}×" for name, ratio in ratios.items())
        say(f"{number}/{len(planned)} {run.dataset} {run.row}: {1000 * base:.1f} ms, {told}")
    table = pd.DataFrame(rows)
    mean = np.exp(np.log(table.select_dtypes("number")).mean())
    total = {"dataset": "geometric mean", "row": "", **mean}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True).round(2)
    return table.astype({name: int for name in table if name.endswith("(MB)")})


_STEPS, _ROUNDS = 10, 7
_BATCHES = (1, 256)


def _forward(model):
    """The compiled forward pass of a model, as one would serve it."""
    if backend.name() == "jax":
        import jax

        variables = [[v.value for v in model.trainable_variables]]
        variables += [[v.value for v in model.non_trainable_variables]]
        call = jax.jit(lambda x: model.stateless_call(*variables, x, training=False)[0])
        return lambda x: call(x).block_until_ready()
    import tensorflow as tf

    call = tf.function(lambda x: model(x, training=False))
    return lambda x: call(x).numpy()


def _tasks(run):
    """What is timed of one network: name -> function, each already compiled."""
    keras = backend.load()
    recipe = recipes.get(run.recipe)
    x, y, _ = _images(run.dataset)
    model = networks.build(run.dataset, run.method, run.rank, recipe)
    forward = _forward(model)
    found = {}
    for count in _BATCHES:
        images = keras.ops.convert_to_tensor(x[:count] / np.float32(255))
        found[f"forward {count}"] = lambda images=images: forward(images)
    optimizer = keras.optimizers.Adam(recipe.schedule(run.dataset).learning_rate)
    optimizer.build(model.trainable_variables)
    loop = {"tensorflow": training._tensorflow_loop, "jax": training._jax_loop}[backend.name()]
    to_device, epoch, _ = loop(model, optimizer, recipe.batch_size)
    count = _STEPS * recipe.batch_size
    images, labels = to_device(x[:count]), to_device(y[:count])
    found["train"] = lambda: epoch(images, labels, np.arange(count))
    for task in found.values():
        task()
    return found


def measure_networks(planned, say=print):
    """Times networks: forward passes of one image and of a batch, and a training step.

    The networks of one data set are measured in turn, round by round, so that whatever
    else the machine does hits all of them.

    Args:
        planned: List of `runs.Run`, one per row.
        say: Function that takes one line of progress.

    Returns:
        Dictionary with `environment`, and `rows`: dictionaries with `dataset`, `row`,
        `task` (`"forward 1"`, `"forward 256"` images, or `"train"`, one step),
        `milliseconds` (median of the rounds), `low` and `high` (their range), and
        `ratio` (median over the rounds of the time divided by the first row's).
    """
    rows = []
    for dataset in dict.fromkeys(run.dataset for run in planned):
        tasks = {run.row: _tasks(run) for run in planned if run.dataset == dataset}
        times = {(row, task): [] for row, known in tasks.items() for task in known}
        for _ in range(_ROUNDS):
            for row, task in times:
                calls = 50 if task == "forward 1" else 1
                began = time.perf_counter()
                for _ in range(calls):
                    tasks[row][task]()
                per = _STEPS if task == "train" else calls
                times[row, task].append(1000 * (time.perf_counter() - began) / per)
        first = next(iter(tasks))
        for (row, task), found in times.items():
            rows.append(
                {
                    "dataset": dataset,
                    "row": row,
                    "task": task,
                    "milliseconds": round(float(np.median(found)), 4),
                    "low": round(min(found), 4),
                    "high": round(max(found), 4),
                    "ratio": round(float(np.median(np.divide(found, times[first, task]))), 4),
                }
            )
        say(f"{dataset}: {len(tasks)} networks")
    return {"environment": training._environment(), "rows": rows}


if __name__ == "__main__":
    variant, dataset, row, steps = sys.argv[1:]
    (run,) = runs.plan(dataset, [row], [42])
    print(json.dumps(measure(variant, run, int(steps))))
