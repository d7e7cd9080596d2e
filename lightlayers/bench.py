"""Benchmarks, as ratios in one run: training, networks, layers, rules of ranks, exported files."""

import dataclasses
import json
import math
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from lightlayers import (
    backend,
    datasets,
    execution,
    exporting,
    families,
    networks,
    recipes,
    runs,
    training,
)

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


def _stamped(rows):
    """Rows with what measured them: the machine, the packages and the source."""
    return {
        "environment": training._environment(),
        "revision": training._revision(),
        "rows": rows,
    }


def measure(variant, run, steps, seeds=1):
    """Measures the training of one network on random images, as many as its data set has.

    Args:
        variant: String, a key of `GRID`.
        run: A `runs.Run`, whose network is trained.
        steps: Integer, steps of one measurement.
        seeds: Integer, how many are trained together, by `"suite"` on JAX. Defaults to `1`.

    Returns:
        Pair of floats: seconds of one training step of all seeds, the median of three
        measurements, and the most memory that this process held so far, in megabytes.
    """
    keras = backend.load()
    recipe = recipes.get(run.recipe)
    x, y, classes = _images(run.dataset)
    has = {name for name in GRID if list(GRID).index(name) <= list(GRID).index(variant)}
    if "fused" not in has:
        from lightlayers import normalization

        normalization.BatchNormalization.call = keras.layers.BatchNormalization.call
    models = [networks.build(run.dataset, run.method, run.rank, recipe) for _ in range(seeds)]
    model = models[0]
    optimizer = keras.optimizers.Adam(recipe.schedule(run.dataset).learning_rate)
    if variant == "suite":
        loop = training.loop(models, optimizer, recipe.batch_size)
        images, labels = loop.to_device(x), loop.to_device(y)

        def train(count):
            order = np.arange(count * recipe.batch_size)
            np.asarray(loop.train(images, labels, np.stack([order] * seeds)))
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


def _in_processes(variant, run, steps, seeds=1):
    """Seconds per step of the whole machine, and the most memory of one of its processes."""
    count = 1 if variant == "fit" or backend.devices() else execution.cores()
    environment = os.environ | (execution.SINGLE_THREADED if variant != "fit" else {})
    environment |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # this process has its share
    command = [sys.executable, "-m", "lightlayers.bench", variant, run.dataset, run.row]
    command += [str(steps), str(seeds)]
    options = {"env": environment, "stdout": subprocess.PIPE, "text": True}
    # In a session of their own: Ctrl-C is told once, by this process.
    processes = [subprocess.Popen(command, start_new_session=True, **options) for _ in range(count)]
    try:
        found = [process.communicate()[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
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


_STEPS, _ROUNDS, _LEAST = 10, 9, 0.03
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

    tf.get_logger().setLevel("ERROR")  # it warns of many graphs, which are meant
    call = tf.function(lambda x: model(x, training=False))
    return lambda x: call(x).numpy()


def _step_memory(model, batch_size):
    """Megabytes that a training step holds: what all layers compute for its images, the weights,
    and of those that are trained the gradient and Adam's two moments."""
    computed = sum(map(families.activations, model.layers))
    trained = sum(math.prod(v.shape) for v in model.trainable_variables)
    return 4 * (batch_size * computed + model.count_params() + 3 * trained) / 1e6


def _weight_file(model):
    """Kilobytes of a network's `.weights.h5`, without an optimiser's."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "network.weights.h5")
        model.save_weights(file)
        return file.stat().st_size / 1e3


def _network_tasks(run, model):
    """What is timed of one network: name -> function, and the steps of one call."""
    keras = backend.load()
    recipe = recipes.get(run.recipe)
    x, y, _ = _images(run.dataset)
    forward = _forward(model)
    found = {}
    for count in _BATCHES:
        images = keras.ops.convert_to_tensor(x[:count] / np.float32(255))
        found[f"forward {count}"] = (lambda images=images: forward(images), 1)
    optimizer = keras.optimizers.Adam(recipe.schedule(run.dataset).learning_rate)
    loop = training.loop([model], optimizer, recipe.batch_size)
    count = _STEPS * recipe.batch_size
    images, labels = loop.to_device(x[:count]), loop.to_device(y[:count])
    found["train"] = (lambda: loop.train(images, labels, np.arange(count)[None]), _STEPS)
    return found


def _in_turn(tasks, base):
    """Times tasks round by round, so that what else the machine does hits all of them.

    Args:
        tasks: Dictionary from a key to a function and how many steps one call has.
        base: Function from a key to the key that its ratio refers to.

    Returns:
        Dictionary from each key to `milliseconds` of a step (median over the rounds), `low`
        and `high` (their range), and `ratio` (median of the rounds' ratios to the base).
    """
    calls = {}
    for key, (task, _) in tasks.items():
        task()  # compiles
        began = time.perf_counter()
        task()
        # Tens of milliseconds, lest the clock and the scheduler be what is measured.
        calls[key] = max(1, math.ceil(_LEAST / (time.perf_counter() - began)))
    times = {key: [] for key in tasks}
    for _ in range(_ROUNDS):
        for key, (task, steps) in tasks.items():
            began = time.perf_counter()
            for _ in range(calls[key]):
                task()
            times[key].append(1000 * (time.perf_counter() - began) / (calls[key] * steps))
    return {
        key: {
            "milliseconds": round(float(np.median(found)), 4),
            "low": round(min(found), 4),
            "high": round(max(found), 4),
            "ratio": round(float(np.median(np.divide(found, times[base(key)]))), 4),
        }
        for key, found in times.items()
    }


def measure_networks(planned, say=print):
    """Measures networks: time of a forward pass and of a training step, memory, weight file.

    Args:
        planned: List of `runs.Run`, one per row.
        say: Function that takes one line of progress.

    Returns:
        Dictionary with `environment`, `revision` and `rows`: dictionaries with `dataset`, `row`,
        `task`, what was measured, and `ratio` to the data set's first row. Tasks
        `"forward 1"`, `"forward 256"` (images) and `"train"` (one step) have `milliseconds`,
        `low` and `high`. `"memory"` has `megabytes`, counted and not measured: of each
        image of a step what all layers compute, of each weight itself and, if it is trained,
        its gradient and Adam's two moments. `"file"` has `kilobytes`, of `save_weights`.
    """
    rows = []
    for dataset in dict.fromkeys(run.dataset for run in planned):
        chosen = [run for run in planned if run.dataset == dataset]
        models = {
            run: networks.build(run.dataset, run.method, run.rank, run.recipe) for run in chosen
        }
        sizes = {}
        for run, model in models.items():
            memory = _step_memory(model, recipes.get(run.recipe).batch_size)
            sizes[run.row, "memory"] = "megabytes", memory
            sizes[run.row, "file"] = "kilobytes", _weight_file(model)
        tasks = {
            (run.row, name): task
            for run, model in models.items()
            for name, task in _network_tasks(run, model).items()
        }
        found = _in_turn(tasks, lambda key, first=chosen[0].row: (first, key[1]))
        rows += [
            {"dataset": dataset, "row": row, "task": task, **times}
            for (row, task), times in found.items()
        ]
        for (row, task), (unit, value) in sizes.items():
            ratio = value / sizes[chosen[0].row, task][1]
            line = {"dataset": dataset, "row": row, "task": task, unit: round(value, 3)}
            rows.append(line | {"ratio": round(ratio, 4)})
        say(f"{dataset}: {len(chosen)} networks")
    return _stamped(rows)


def measure_together(planned, seeds=(1, 3, 10), say=print):
    """Measures the training of several seeds in one program against one after the other, on JAX.

    Both as `lightlayers reproduce` does it: in one process on a GPU, else in as many
    single-threaded processes as there are cores.

    Args:
        planned: List of `runs.Run`, one per row.
        seeds: Sequence of integers, how many at once.
        say: Function that takes one line of progress.

    Returns:
        Dictionary with `environment`, `revision` and `rows`: dictionaries with `dataset`, `row`,
        `seeds`, `milliseconds` (of a step of one seed, for the whole machine), and `speedup`,
        how many times the throughput of one seed after the other.
    """
    if backend.name() != "jax":
        raise ValueError(f"Set KERAS_BACKEND=jax. Received: KERAS_BACKEND={backend.name()}")
    rows = []
    for run in planned:
        each = {n: _in_processes("suite", run, _STEPS, n)[0] / n for n in sorted({1, *seeds})}
        for n, seconds in each.items():
            row = {"dataset": run.dataset, "row": run.row, "seeds": n}
            row["milliseconds"] = round(1000 * seconds, 4)
            rows.append(row | {"speedup": round(each[1] / seconds, 3)})
        say(f"{run.dataset} {run.row}: {rows[-1]['seeds']} seeds, {rows[-1]['speedup']} times")
    return _stamped(rows)


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


def _layers(size, channels, filters):
    """The layers compared at one shape: (method, form, rank, implementation) -> layer."""
    from lightlayers import layers

    keras = backend.load()

    def some(even):
        return sorted({1} | {max(1, even * eighths // 8) for eighths in _EIGHTHS})

    if size is None:
        found = {("Dense", "", 0, ""): keras.layers.Dense(filters)}
        light = layers.LightDense(filters, rank=1)
        light.build((None, channels))
        for rank in some(light.break_even_rank):
            found["LightDense", "", rank, ""] = layers.LightDense(filters, rank=rank)
        return found
    options = {"padding": "same"}
    found = {
        ("Conv2D", "", 0, ""): keras.layers.Conv2D(filters, 3, **options),
        ("SeparableConv2D", "", 0, ""): keras.layers.SeparableConv2D(filters, 3, **options),
    }
    for form in layers.FORMS:
        layer = layers.LightConv2D(filters, 3, rank=1, form=form, **options)
        layer.build((None, 8, 8, channels))
        for rank in some(layer.break_even_rank):
            for implementation in ("factored", "merged")[: 1 if form == "paper" else 2]:
                found["LightConv2D", form, rank, implementation] = layers.LightConv2D(
                    filters, 3, rank=rank, form=form, implementation=implementation, **options
                )
    return found


def _layer_tasks(layer, images):
    """A forward pass, and the gradients of a training step."""
    keras = backend.load()
    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    forward, x = _forward(model), keras.ops.convert_to_tensor(images)
    if backend.name() == "jax":
        import jax

        others = [v.value for v in model.non_trainable_variables]
        weights = [v.value for v in model.trainable_variables]

        def loss(weights, x):
            return model.stateless_call(weights, others, x, training=True)[0].sum()

        gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
        return forward, x, lambda: jax.block_until_ready(gradients(weights, x))
    import tensorflow as tf

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(model(x, training=True))
        return tape.gradient(loss, [x, *(v.value for v in model.trainable_variables)])

    return forward, x, lambda: step(x)[0].numpy()


def _matrix_tasks(sizes=(512, 1024, 2048)):
    """Square matrix products, whose rate is the machine's measured best."""
    keras, found = backend.load(), {}
    for size in sizes:
        a = keras.random.normal((size, size), seed=0)
        product = _forward(keras.Sequential([keras.Input((size,)), keras.layers.Dense(size)]))
        found[size] = (lambda product=product, a=a: product(a), 1)
    return found


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
    tasks = _matrix_tasks()
    times = _in_turn(tasks, lambda key: key)
    rate = max(size**3 / (times[size]["low"] / 1000) for size in tasks)
    rows = []
    random = np.random.default_rng(0)
    for number, (size, channels, filters, count) in enumerate(shapes, 1):
        shape = (channels,) if size is None else (size, size, channels)
        images = random.normal(size=(count, *shape)).astype("float32")
        known, tasks = _layers(size, channels, filters), {}
        for key, layer in known.items():
            forward, x, step = _layer_tasks(layer, images)
            tasks[key, "forward"] = (lambda forward=forward, x=x: forward(x), 1)
            tasks[key, "train"] = (step, 1)
        first = next(iter(known))
        found = _in_turn(tasks, lambda key, first=first: (first, key[1]))
        for (key, task), times in found.items():
            layer = known[key]
            macs = families.multiply_adds(known[first] if key[3] == "merged" else layer)
            kept = math.prod(shape) + families.activations(layer)
            row = {"size": size, "channels": channels, "filters": filters, "images": count}
            row |= dict(zip(("method", "form", "rank", "implementation"), key, strict=True))
            row |= {"task": task, **times, "multiply_adds": macs}
            row |= {"parameters": layer.count_params(), "activations": 4 * kept}
            if task == "forward":
                share = macs * count / rate / (times["low"] / 1000)
                row["share"] = round(share, 4)
            rows.append(row)
        where = "dense" if size is None else f"{size} × {size}"
        say(f"{number}/{len(shapes)} {where}, {channels} to {filters} channels")
    return _stamped(rows) | {"matrix_rate": round(rate)}


def _optimum(options):
    """The most that any ranks within the parameters keep: dynamic programming over these."""
    room = int(options.room[0])
    best = np.zeros(room + 1)
    for costs, kept in zip(options.costs, options.kept, strict=True):
        with_layer = np.full(room + 1, -np.inf)
        for cost, share in zip(costs[:, 0].tolist(), kept, strict=True):
            if cost <= room:
                np.maximum(with_layer[cost:], best[: room + 1 - cost] + share, with_layer[cost:])
        best = with_layer
    return float(best[-1])


def _gaps(spectra, costs, budget):
    from lightlayers import ranks

    best, found = _optimum(ranks._Options(spectra, costs, budget)) / len(spectra), []
    for rule in ranks.RULES:
        chosen = zip(spectra, ranks.get(rule)(spectra, costs, budget), strict=True)
        kept = np.mean([1 if rank is None else one.kept[rank - 1] for one, rank in chosen])
        line = {"rule": rule, "kept": round(float(kept), 4), "optimum": round(best, 4)}
        found.append(line | {"gap": round(float(1 - kept / best), 4)})
    return found


def measure_ranks(planned, say=print):
    """Compares what rules of ranks keep of trained kernels with the most that any ranks could.

    Args:
        planned: List of `runs.Run`, whose data sets are taken where ranks are chosen for them.
        say: Function that takes one line of progress.

    Returns:
        Dictionary with `environment`, `revision` and `rows`: dictionaries with `dataset`, `K`
        (whose network's parameters are the budget), `rule`, `kept` (the share of a kernel's
        squares, mean over the layers), `optimum` and `gap`, by how much of the optimum it
        keeps less. The kernels are those of one Conv2D (seed 42) where runs under recipe
        "corrected" choose their ranks: halfway, after a cosine of half the epochs.
    """
    from lightlayers import ranks

    rows = []
    if not any(run.dataset in runs.UNIFORM for run in planned):
        asked = ", ".join(dict.fromkeys(run.dataset for run in planned))
        raise ValueError(f"Ranks are chosen for some of {list(runs.UNIFORM)}. Received: {asked}")
    for dataset in dict.fromkeys(run.dataset for run in planned if run.dataset in runs.UNIFORM):
        (run,) = runs.plan(dataset, ["conv2d"], [42], "corrected")
        models = []
        training.train(dataclasses.replace(run, epochs=run.epochs // 2), keep=models.append)

        for k in runs.UNIFORM[dataset]:
            (budgeted,) = runs.plan(dataset, [f"greedy-{k}"], [42], "corrected")
            found = []

            def compared(*problem, found=found):
                found += _gaps(*problem)
                return ranks.greedy(*problem)

            training.plan_ranks(budgeted, *models, compared)
            rows += [{"dataset": dataset, "K": k} | each for each in found]
        say(f"{dataset}: {len(runs.UNIFORM[dataset])} budgets")
    return _stamped(rows)


def measure_export(planned, count=200, say=print):
    """Compares the exported files of trained networks.

    Args:
        planned: List of `runs.Run`, one per row.
        count: Integer, training images that calibrate, and test images that are compared on.
            Defaults to `200`.
        say: Function that takes one line of progress.

    Returns:
        Dictionary with `environment`, `revision` and `rows`: dictionaries with `dataset`, `row`,
        `accuracy` (on the test set, in Keras), and what `exporting.export` returns for each
        format, `kB` and `milliseconds` also as `kB ratio` and `time ratio` to the
        data set's first row.
    """
    rows = []
    for run in planned:
        data, models = datasets.load(run.dataset), []
        record = training.train(run, keep=models.append)
        images, calibration = (x[:count] / np.float32(255) for x in (data.x_test, data.x_train))
        with tempfile.TemporaryDirectory() as folder:
            table = exporting.export(*models, folder, images, calibration=calibration)
        accuracy = round(record["test"]["accuracy"], 4)
        named = {"dataset": run.dataset, "row": run.row, "accuracy": accuracy}
        rows += [named | row for row in table.drop(columns="file").to_dict("records")]
        say(f"{run.dataset} {run.row}: {len(table)} formats")
    for row in rows:
        same = (each for each in rows if each["dataset"] == row["dataset"])
        base = next(each for each in same if each["format"] == row["format"])
        for name, ratio in (("kB", "kB ratio"), ("milliseconds", "time ratio")):
            row[ratio] = round(row[name] / base[name], 3)
    return _stamped(rows)


if __name__ == "__main__":
    variant, dataset, row, *counts = sys.argv[1:]
    (run,) = runs.plan(dataset, [row], [42])
    print(json.dumps(measure(variant, run, *map(int, counts))))
