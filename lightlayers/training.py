"""Training one run, and the record of it."""

import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np

from lightlayers import backend, datasets, families, networks, recipes, runs

PROGRESS = "LIGHTLAYERS_PROGRESS"  # names the file in which a run says how far it is
_EVALUATION_BATCH = 500
_SHOWN = 16


def _tensorflow_loop(model, optimizer, batch_size):
    import tensorflow as tf

    keras = backend.load()
    cross_entropy, dtype = keras.losses.sparse_categorical_crossentropy, keras.config.floatx()

    def batch(x, y, rows):
        return tf.cast(tf.gather(x, rows), dtype) / 255, tf.gather(y, rows)

    def right(labels, outputs):
        hits = tf.argmax(outputs, axis=-1, output_type=labels.dtype) == labels
        return tf.reduce_sum(tf.cast(hits, dtype))

    # The whole epoch is one graph: no Python, no copies between batches.
    @tf.function
    def train(x, y, order):
        totals = tf.zeros(2, dtype)
        for start in tf.range(0, tf.size(order), batch_size):
            images, labels = batch(x, y, order[start : start + batch_size])
            with tf.GradientTape() as tape:
                outputs = model(images, training=True)
                loss = tf.reduce_mean(cross_entropy(labels, outputs))
                loss = tf.add_n([loss, *model.losses])
            gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
            optimizer.apply(gradients, model.trainable_variables)
            count = tf.cast(tf.size(labels), dtype)
            totals += tf.stack([loss * count, right(labels, outputs)])
        return totals / tf.cast(tf.size(order), dtype)

    @tf.function
    def evaluate(x, y):
        totals = tf.zeros(2, dtype)
        every = tf.range(tf.size(y))
        for start in tf.range(0, tf.size(y), _EVALUATION_BATCH):
            images, labels = batch(x, y, every[start : start + _EVALUATION_BATCH])
            outputs = model(images, training=False)
            losses = cross_entropy(labels, outputs)
            totals += tf.stack([tf.reduce_sum(losses), right(labels, outputs)])
        return totals / tf.cast(tf.size(y), dtype)

    return tf.constant, train, evaluate


def _jax_loop(model, optimizer, batch_size):
    import jax
    import jax.numpy as jnp

    keras = backend.load()
    cross_entropy, dtype = keras.losses.sparse_categorical_crossentropy, keras.config.floatx()
    parts = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)

    def batch(x, y, rows):
        return jnp.asarray(x[rows], dtype) / 255, y[rows]

    def right(labels, outputs):
        return jnp.sum(jnp.argmax(outputs, axis=-1) == labels)

    def objective(trainable, others, images, labels):
        outputs, others, penalties = model.stateless_call(
            trainable, others, images, training=True, return_losses=True
        )
        return jnp.mean(cross_entropy(labels, outputs)) + sum(penalties), (others, outputs)

    def step(state, rows, x, y):
        trainable, others, moments = state
        images, labels = batch(x, y, rows)
        (loss, (others, outputs)), gradients = jax.value_and_grad(objective, has_aux=True)(
            trainable, others, images, labels
        )
        trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
        totals = jnp.stack([loss * len(rows), right(labels, outputs)])
        return (trainable, others, moments), totals

    @jax.jit
    def steps(state, batches, x, y):
        return jax.lax.scan(lambda state, rows: step(state, rows, x, y), state, batches)

    @jax.jit
    def totals_of(trainable, others, rows, x, y):
        images, labels = batch(x, y, rows)
        outputs, _ = model.stateless_call(trainable, others, images, training=False)
        return jnp.stack([jnp.sum(cross_entropy(labels, outputs)), right(labels, outputs)])

    def train(x, y, order):
        state, totals = tuple([v.value for v in part] for part in parts), 0
        whole = len(order) // batch_size * batch_size
        for rows in (order[:whole].reshape(-1, batch_size), order[None, whole:]):
            if rows.size:
                state, found = steps(state, rows, x, y)
                totals += np.sum(found, axis=0)
        for part, values in zip(parts, state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        return totals / len(order)

    def evaluate(x, y):
        trainable, others, _ = ([v.value for v in part] for part in parts)
        cuts = np.arange(_EVALUATION_BATCH, len(y), _EVALUATION_BATCH)
        batches = np.split(np.arange(len(y)), cuts)
        return sum(np.asarray(totals_of(trainable, others, b, x, y)) for b in batches) / len(y)

    return jnp.asarray, train, evaluate


def train(run, progress=None):
    """Trains one run from its seed to its last epoch, and returns its record.

    Args:
        run: A `runs.Run`.
        progress: Function `(epoch, epochs)`, called after each epoch, or `None`.

    Returns:
        Dictionary, the record: see `runs.write`.

    Raises:
        datasets.DataError: If the data set can't be had.
        backend.DeviceError: If a GPU was asked for and there is none.

    Example:

    >>> record = train(Run("digits", "lightlayers", rank=1, epochs=1))
    >>> record["parameters"]["total"]
    2649
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    data = datasets.load(run.dataset).limited(run.train_size, run.test_size)
    keras = backend.load()
    backend.check_device()
    recipe = recipes.get(run.recipe)
    schedule = recipe.schedule(run.dataset)
    keras.utils.set_random_seed(run.seed)
    order_of = np.random.default_rng(run.seed)
    model = networks.build(run.dataset, run.method, run.rank, recipe)
    optimizer = keras.optimizers.Adam(schedule.learning_rate)
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)
    loop = {"tensorflow": _tensorflow_loop, "jax": _jax_loop}[backend.name()]
    to_device, train_epoch, evaluate = loop(model, optimizer, recipe.batch_size)
    count = len(data.y_train)
    if recipe.validation == "held-out":
        count = count * 9 // 10
        watched = to_device(data.x_train[count:]), to_device(data.y_train[count:])
    else:
        watched = to_device(data.x_test), to_device(data.y_test)
    x, y = to_device(data.x_train[:count]), to_device(data.y_train[:count])
    callbacks = keras.callbacks.CallbackList(
        [
            keras.callbacks.ReduceLROnPlateau(
                "val_loss", factor=0.1, patience=schedule.plateau_patience
            ),
            keras.callbacks.EarlyStopping("val_loss", patience=schedule.stop_patience),
        ],
        model=model,
    )
    callbacks.on_train_begin()

    history = {}
    for epoch in range(run.epochs):
        tick = time.perf_counter()
        order = order_of.permutation(count) if recipe.shuffle else np.arange(count)
        loss, accuracy = (float(v) for v in train_epoch(x, y, order))
        seconds = time.perf_counter() - tick
        cross_entropy, watched_accuracy = (float(v) for v in evaluate(*watched))
        logs = {
            "loss": loss,
            "accuracy": accuracy,
            "val_loss": cross_entropy + float(sum(model.losses)),
            "val_accuracy": watched_accuracy,
            "learning_rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate)),
            "seconds": seconds,
        }
        for name, value in logs.items():
            history.setdefault(name, []).append(float(f"{value:.6g}"))
        callbacks.on_epoch_end(epoch, logs)
        if progress:
            progress(epoch + 1, run.epochs)
        if model.stop_training:
            break
    # The last epoch's weights are what the authors evaluate, and so is done here.
    result = evaluate(to_device(data.x_test), to_device(data.y_test))
    cross_entropy, test_accuracy = (float(v) for v in result)
    return {
        "run": dataclasses.asdict(run),
        "id": run.id,
        "recipe": dataclasses.asdict(recipe),
        "fingerprint": datasets.FINGERPRINTS[run.dataset],
        "test": {
            "accuracy": round(test_accuracy, 6),
            "loss": float(f"{cross_entropy + float(sum(model.losses)):.6g}"),
            "cross_entropy": float(f"{cross_entropy:.6g}"),
        },
        "parameters": {
            "total": model.count_params(),
            "trainable": sum(math.prod(v.shape) for v in model.trainable_variables),
        },
        "multiply_adds": sum(families.multiply_adds(layer) for layer in model.layers),
        "weight_file_bytes": _weight_file_bytes(model),
        "history": history,
        "seconds": round(time.perf_counter() - clock, 2),
        "started": started.isoformat(timespec="seconds"),
        "environment": _environment(),
        "revision": _revision(),
        "shown": _shown(model, data),
    }


def collect(planned, outputs, train=True, fresh=False):
    """Returns the records of runs, training those that have none.

    Each record is written as its run is finished, so that an interruption costs one run.

    Args:
        planned: List of `runs.Run`.
        outputs: Path of the outputs folder.
        train: Boolean, whether to train what is missing. Defaults to `True`. Otherwise
            the command that does is printed.
        fresh: Boolean, whether to train also what is stored. Defaults to `False`.

    Returns:
        List of records, in the order of `planned`.
    """
    records, damaged = runs.stored(outputs, planned)
    for message in damaged:
        print(f"Not used: {message}")
    missing = planned if fresh else [run for run in planned if run not in records]
    print(f"{len(records)} of {len(planned)} runs are stored.")
    if missing and train:
        _train_all(missing, outputs, records)
    elif missing:
        names = " ".join(dict.fromkeys(run.dataset for run in missing))
        print(f"{len(missing)} are not. To train them: lightlayers reproduce {names}")
    return [records[run] for run in planned if run in records]


def _train_all(missing, outputs, records):
    from tqdm.auto import tqdm

    with tqdm(total=sum(run.epochs for run in missing), unit="epoch") as bar:
        for run in missing:
            bar.set_description(f"{run.row}, seed {run.seed}")

            def progress(epoch, epochs, run=run):
                bar.update()
                _tell(run, epoch, epochs)

            _tell(run, 0, run.epochs)
            records[run] = train(run, progress)
            runs.write(outputs, records[run])
            bar.update(run.epochs - len(records[run]["history"]["loss"]))


def _tell(run, epoch, epochs):
    if file := os.environ.get(PROGRESS):
        pathlib.Path(file).write_text(json.dumps({"id": run.id, "epoch": epoch, "epochs": epochs}))


def _weight_file_bytes(model):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "model.weights.h5")
        model.save_weights(file)
        return file.stat().st_size


def _shown(model, data):
    """What notebooks show of a model without its weights: small, and rounded."""
    images = data.x_test[:_SHOWN].astype("float32") / 255
    first = next(layer for layer in model.layers if layer.weights)
    if hasattr(first, "depthwise_kernel"):
        kernels = np.asarray(first.depthwise_kernel) * np.asarray(first.pointwise_kernel)
    else:
        kernels = np.asarray(first.factor_1 if hasattr(first, "factor_1") else first.kernel)
    outputs = backend.load().ops.convert_to_numpy(model(images, training=False))
    return {
        "per_mille": np.round(outputs * 1000).astype(int).tolist(),
        "first_kernels": np.round(kernels.astype(float), 3).tolist(),
    }


def _environment():
    names = ("keras", backend.name(), "numpy")
    accelerators = backend.devices()
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in names},
        "backend": backend.name(),
        "device": accelerators[0] if accelerators else "CPU",
        "processor": _processor(),
        "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _version(package):
    module = sys.modules[package]
    return getattr(module, "__version__", None) or importlib.metadata.version(package)


def _processor():
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _revision():
    """The commit that the code is of, and whether it is unchanged since; `None` outside git."""

    def git(*arguments):
        folder = pathlib.Path(__file__).parent
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ".")
        return {"commit": git("rev-parse", "HEAD"), "clean": not changed}
    except (OSError, subprocess.CalledProcessError):
        return None
