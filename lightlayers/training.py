"""Training one run, and the record of it."""

import base64
import contextlib
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
import time
import types

import numpy as np

from lightlayers import backend, datasets, families, networks, recipes, runs

PROGRESS = "LIGHTLAYERS_PROGRESS"  # names the file in which a run says how far it is
_EVALUATION_BATCH = 500
_SHOWN = 16


def _tensorflow_loop(models, optimizer, batch_size):
    import tensorflow as tf

    (model,) = models

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

    @tf.function
    def classify(x):
        every = tf.range(tf.shape(x)[0])
        classes = tf.TensorArray("int32", 0, dynamic_size=True, infer_shape=False)
        for start in tf.range(0, tf.shape(x)[0], _EVALUATION_BATCH):
            images, _ = batch(x, every, every[start : start + _EVALUATION_BATCH])
            outputs = model(images, training=False)
            found = tf.argmax(outputs, axis=-1, output_type="int32")
            classes = classes.write(start // _EVALUATION_BATCH, found)
        return classes.concat()

    return types.SimpleNamespace(
        to_device=tf.constant,
        train=lambda x, y, orders: [train(x, y, orders[0])],
        evaluate=lambda x, y: [evaluate(x, y)],
        classify=lambda x: [classify(x)],
        set_rate=lambda i, value: optimizer.learning_rate.assign(value),
        take=lambda i: None,
        update=lambda i: None,
    )


def _jax_loop(models, optimizer, batch_size):
    """Trains several models of one shape in one program: all that is theirs is stacked."""
    import jax
    import jax.numpy as jnp

    keras = backend.load()
    cross_entropy, dtype = keras.losses.sparse_categorical_crossentropy, keras.config.floatx()
    model = models[0]

    def stacked(variables):
        return [jnp.stack(values) for values in zip(*variables, strict=True)]

    state = [
        stacked([[v.value for v in each.trainable_variables] for each in models]),
        stacked([[v.value for v in each.non_trainable_variables] for each in models]),
        stacked([[v.value for v in optimizer.variables] for _ in models]),
    ]
    parts = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    names = [v.name for v in optimizer.variables]

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
        return [trainable, others, moments], totals

    # Convolutions of several models at once are grouped ones, which XLA has no fast code for on
    # a CPU: there they take turns, step by step.
    every = jax.vmap if backend.devices() else lambda f: lambda models: jax.lax.map(f, models)

    @jax.jit
    def steps(state, batches, x, y):
        def each(state, rows):
            # Orders are equal unless the recipe shuffles: then one batch serves all models.
            if rows.ndim == 1:
                return every(lambda one: step(one, rows, x, y))(state)
            return every(lambda one: step(*one, x, y))((state, rows))

        return jax.lax.scan(each, state, batches)

    @jax.jit
    def totals_of(trainable, others, rows, x, y):
        images, labels = batch(x, y, rows)

        def of_one(variables):
            outputs, _ = model.stateless_call(*variables, images, training=False)
            return jnp.stack([jnp.sum(cross_entropy(labels, outputs)), right(labels, outputs)])

        return every(of_one)([trainable, others])

    def train(x, y, orders):
        totals, count = 0, orders.shape[-1]
        orders = orders[0] if (orders == orders[0]).all() else np.moveaxis(orders, 0, 1)
        whole = count // batch_size * batch_size
        for part, size in ((orders[:whole], batch_size), (orders[whole:], count - whole)):
            if size:
                batches = part.reshape(-1, size, *part.shape[1:])
                batches = batches if batches.ndim == 2 else np.moveaxis(batches, 2, 1)
                state[:], found = steps(state, batches, x, y)
                totals += np.asarray(found).sum(axis=0, dtype="float64")
        return totals / count

    def evaluate(x, y):
        cuts = np.arange(_EVALUATION_BATCH, len(y), _EVALUATION_BATCH)
        batches = np.split(np.arange(len(y)), cuts)
        return sum(np.asarray(totals_of(*state[:2], b, x, y)) for b in batches) / len(y)

    @jax.jit
    def classes_of(trainable, others, rows, x):
        images, _ = batch(x, rows, rows)

        def of_one(variables):
            outputs, _ = model.stateless_call(*variables, images, training=False)
            return jnp.argmax(outputs, axis=-1)

        return every(of_one)([trainable, others])

    def classify(x):
        cuts = np.arange(_EVALUATION_BATCH, len(x), _EVALUATION_BATCH)
        batches = np.split(np.arange(len(x)), cuts)
        return np.concatenate([classes_of(*state[:2], b, x) for b in batches], axis=-1)

    def set_rate(i, value):
        rate = names.index("learning_rate")
        state[2][rate] = state[2][rate].at[i].set(value)

    def take(i):
        """Returns a model's state, and puts it into `models[0]` and the optimiser."""
        mine = [[values[i] for values in part] for part in state]
        for part, values in zip(parts, mine, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        return mine

    def put(i, mine):
        for part, values in zip(state, mine, strict=True):
            part[:] = [many.at[i].set(one) for many, one in zip(part, values, strict=True)]

    def update(i):
        put(i, [[v.value for v in part] for part in parts])

    return types.SimpleNamespace(
        to_device=jnp.asarray,
        train=train,
        evaluate=evaluate,
        classify=classify,
        set_rate=set_rate,
        take=take,
        put=put,
        update=update,
    )


def loop(models, optimizer, batch_size):
    """Returns the training loop of Keras' backend over models of one shape.

    Args:
        models: List of `keras.Model` with weights of their own; one on TensorFlow.
        optimizer: A Keras optimiser, not built yet.
        batch_size: Integer, images.

    Returns:
        Namespace of the functions `to_device(array)`, `train(x, y, orders)`, one epoch of
        every model, `evaluate(x, y)`, both giving loss and accuracy of each, `classify(x)`,
        giving the most probable class of each image, and `set_rate(i, value)`, `take(i)`,
        `put(i, state)` of the model at `i`, and `update(i)`, after what was taken has been
        changed.
    """
    optimizer.build(models[0].trainable_variables)
    make = {"tensorflow": _tensorflow_loop, "jax": _jax_loop}[backend.name()]
    return make(models, optimizer, batch_size)


def train(run, progress=None, keep=None):
    """Trains one run from its seed to its last epoch, and returns its record.

    Args:
        run: A `runs.Run`.
        progress: Function `(epoch, epochs)`, called after each epoch, or `None`.
        keep: Function that takes the trained model, or `None`.

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
    (record,) = train_together([run], progress, keep)
    return record


def train_together(planned, progress=None, keep=None):
    """Trains runs that differ in their seeds alone in one program, and returns their records.

    Each seed has its own weights, order and schedule. Records tell the seconds of the
    program divided by the number of seeds, and that number.

    Args:
        planned: List of `runs.Run`. More than one needs Keras' JAX backend.
        progress: Function `(epoch, epochs)`, called after each epoch, or `None`.
        keep: Function that takes each trained model, called while it has its weights, or
            `None`.

    Returns:
        List of records, see `runs.write`.

    Raises:
        ValueError: If the runs differ in more than their seeds, several are converted halfway
            or are not on the JAX backend, or the budget of ranks can't be held.
        datasets.DataError: If the data set can't be had.
        backend.DeviceError: If a GPU was asked for and there is none.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    run, n = planned[0], len(planned)
    if any(dataclasses.replace(each, seed=run.seed) != run for each in planned):
        raise ValueError(f"Runs trained together differ in their seeds alone. Received: {planned}")
    recipe, family = recipes.get(run.recipe), families.get(run.method, run.rank)
    if n > 1 and family.rule:
        raise ValueError(
            f"Networks converted halfway can't be trained together. Received: {run.row}"
        )
    data = datasets.load(run.dataset).limited(run.train_size, run.test_size)
    keras = backend.load()
    backend.check_device()
    environment, revision = _environment() | {"together": n}, _revision()
    if n > 1 and backend.name() != "jax":
        raise ValueError(
            "Only the JAX backend trains seeds together: set KERAS_BACKEND=jax. "
            f"Received: {backend.name()}"
        )
    schedule = recipe.schedule(run.dataset)
    models = []
    for each in planned:
        keras.utils.set_random_seed(each.seed)
        models.append(networks.build(run.dataset, run.method, run.rank, recipe))
    model = models[0]
    count = len(data.y_train)
    if recipe.validation == "held-out":
        count = count * 9 // 10
    if run.dataset in datasets.FILES:
        absent = np.setdiff1d(data.y_train, data.y_train[:count])
        if len(absent):
            raise datasets.DataError(
                f"The images that are trained on, the first {count:,}, lack classes that the "
                "others have: shuffle the file, then images and labels in the same order. "
                f"Received: none of {', '.join(map(str, absent))}"
            )
    epoch_steps = math.ceil(count / recipe.batch_size)
    half = max(1, run.epochs // 2)  # of the epochs, where ranks are looked for
    begun, ends = 0, half if family.rule else run.epochs
    rate = _rate(schedule, ends * epoch_steps)
    model.optimizer = keras.optimizers.Adam(rate)
    steps = loop(models, model.optimizer, recipe.batch_size)
    schedule_of_ranks = _rank_schedule(run, model, half) if family.start > 1 else None
    if family.rule:
        plan_ranks(run, model, "uniform")  # a budget that can't be held is told before half is done
    if recipe.validation == "held-out":
        watched = steps.to_device(data.x_train[count:]), steps.to_device(data.y_train[count:])
    else:
        watched = steps.to_device(data.x_test), steps.to_device(data.y_test)
    x, y = steps.to_device(data.x_train[:count]), steps.to_device(data.y_train[:count])

    seeds = [_Seed(each, schedule, half if family.chooses else 0) for each in planned]
    for epoch in range(run.epochs):
        tick = time.perf_counter()
        orders = [each.order(count) if recipe.shuffle else np.arange(count) for each in seeds]
        trained = np.asarray(steps.train(x, y, np.stack(orders)))
        seconds = (time.perf_counter() - tick) / n
        evaluated = np.asarray(steps.evaluate(*watched))
        for i, each in enumerate(seeds):
            if each.stop_training:
                continue
            state = steps.take(i)
            if callable(rate):
                each.optimizer.learning_rate = float(rate((epoch + 1 - begun) * epoch_steps))
            each.ended(epoch, trained[i], evaluated[i], float(sum(model.losses)), seconds)
            if not callable(rate):
                steps.set_rate(i, each.rate)
            if each.stop_training:
                each.state = state
            if schedule_of_ranks:
                schedule_of_ranks.on_epoch_end(epoch)
                steps.update(i)
        if family.rule and epoch + 1 == half:
            # A cosine rises and falls anew, for other weights; plateaus go on.
            begun, rate = half, _rate(schedule, max(1, run.epochs - half) * epoch_steps)
            from lightlayers import conversion

            plan = plan_ranks(run, model, family.rule)
            models = [model := conversion.convert(model, plan)]
            model.optimizer = keras.optimizers.Adam(rate)
            steps = loop(models, model.optimizer, recipe.batch_size)
            if not callable(rate):
                steps.set_rate(0, seeds[0].rate)
        if progress:
            progress(epoch + 1, run.epochs)
        if all(each.stop_training for each in seeds):
            break
    # The last epoch's weights are what the authors evaluate, and so is done here.
    for i, each in enumerate(seeds):
        if each.state is not None:
            steps.put(i, each.state)
    images = steps.to_device(data.x_test)
    results = np.asarray(steps.evaluate(images, steps.to_device(data.y_test)))
    right = np.asarray(steps.classify(images)) == data.y_test
    records = []
    if _revision() != revision:  # what ran is what was imported before
        revision = (revision or {"commit": None}) | {"clean": False}
    for i, each in enumerate(seeds):
        steps.take(i)
        model = models[0]
        if schedule_of_ranks:
            from lightlayers import pruning

            model = pruning.squeeze(model)
        cross_entropy, accuracy = map(float, results[i])
        records.append(
            {
                "run": dataclasses.asdict(each.run),
                "id": each.run.id,
                "recipe": dataclasses.asdict(recipe),
                "fingerprint": datasets.FINGERPRINTS[run.dataset],
                "test": {
                    "accuracy": round(accuracy, 6),
                    "loss": float(f"{cross_entropy + float(sum(model.losses)):.6g}"),
                    "cross_entropy": float(f"{cross_entropy:.6g}"),
                    "right": base64.b64encode(np.packbits(right[i])).decode(),
                },
                "parameters": {
                    "total": model.count_params(),
                    "trainable": sum(math.prod(v.shape) for v in model.trainable_variables),
                },
                "multiply_adds": sum(families.multiply_adds(layer) for layer in model.layers),
                "history": each.history,
                "started": started.isoformat(timespec="seconds"),
                "environment": environment,
                "revision": revision,
                "shown": _shown(model, data),
            }
        )
        if family.chooses:
            light = [layer for layer in model.layers if hasattr(layer, "break_even_rank")]
            records[-1]["ranks"] = {layer.name: layer.rank for layer in light}
        if keep:
            keep(model)
    seconds = round((time.perf_counter() - clock) / n, 2)
    return [record | {"seconds": seconds} for record in records]


def _budget(run):
    from lightlayers import ranks

    if run.dataset in datasets.FILES:  # of which the paper has no count
        like = networks.build(run.dataset, "lightlayers", run.rank)
        return ranks.Budget(parameters=like.count_params())
    return ranks.Budget(like=f"K={run.rank}").resolve(run.dataset)


def _rank_schedule(run, model, epochs):
    """Returns the callback that finds a run's ranks in the first of its epochs."""
    from lightlayers import pruning

    callback = pruning.RankSchedule(_budget(run), epochs)
    callback.set_model(model)
    callback.on_train_begin()
    return callback


def plan_ranks(run, model, rule):
    """Returns the plan that makes a run's trained Conv2D light, but for shortcuts and head."""
    from lightlayers import conversion

    dense = [layer.name for layer in model.layers if layer.name.endswith(("_shortcut", "classes"))]
    return conversion.plan(model, _budget(run), rule, exclude=dense)


def _rate(schedule, steps):
    """Returns the learning rate at the start, or that of each step."""
    if schedule.plateau_patience is not None:
        return schedule.learning_rate
    rise = max(1, steps // 20)
    return backend.load().optimizers.schedules.CosineDecay(
        0.0, max(1, steps - rise), warmup_target=schedule.learning_rate, warmup_steps=rise
    )


class _Seed:
    """One seed's order, schedule and history; Keras' callbacks get it in place of a model."""

    def __init__(self, run, schedule, searched):
        keras = backend.load()
        self.run, self.history, self.state = run, {}, None
        self.stop_training = False
        self.optimizer = types.SimpleNamespace(learning_rate=np.float32(schedule.learning_rate))
        self._random = np.random.default_rng(run.seed)
        plateau, stop = schedule.plateau_patience, schedule.stop_patience
        self._callbacks = []
        if plateau is not None:
            self._callbacks = [
                keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.1, patience=plateau),
                # Before its ranks are chosen, a network is larger than it may be.
                keras.callbacks.EarlyStopping(
                    "val_loss", patience=stop, mode="min", start_from_epoch=searched
                ),
            ]
        for callback in self._callbacks:
            callback.set_model(self)
            callback.on_train_begin()

    def order(self, count):
        return self._random.permutation(count)

    @property
    def rate(self):
        return np.float32(self.optimizer.learning_rate)

    def ended(self, epoch, trained, evaluated, penalties, seconds):
        loss, accuracy = map(float, trained)
        cross_entropy, watched_accuracy = map(float, evaluated)
        logs = {
            "loss": loss,
            "accuracy": accuracy,
            "val_loss": cross_entropy + penalties,
            "val_accuracy": watched_accuracy,
            "learning_rate": float(self.rate),
            "seconds": seconds,
        }
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(f"{value:.6g}"))
        for callback in self._callbacks:
            callback.on_epoch_end(epoch, logs)


def collect(planned, outputs, train=True, fresh=False, together=False, name=None):
    """Returns the records of runs, training those that have none.

    Each record is written as its run is finished, so that an interruption costs one run.

    Args:
        planned: List of `runs.Run`.
        outputs: Path of the outputs folder.
        train: Boolean, whether to train what is missing. Defaults to `True`. Otherwise
            the command that does is printed.
        fresh: Boolean, whether to train also what is stored. Defaults to `False`.
        together: Boolean, whether to train the seeds of a row in one program, on Keras'
            JAX backend. Defaults to `False`.
        name: String, what `lightlayers reproduce` calls these runs. Defaults to their data
            set.

    Returns:
        List of records, in the order of `planned`.

    Raises:
        ValueError: If an option is no boolean, or the outputs folder can't be written.
    """
    for option, value in (("train", train), ("fresh", fresh), ("together", together)):
        if not isinstance(value, bool):  # Papermill's -p takes `false` for a word
            raise ValueError(f"`{option}` must be True or False. Received: {option}={value!r}")
    records, damaged = runs.stored(outputs, planned)
    for message in damaged:
        print(f"Not used: {message}")
    missing = planned if fresh else [run for run in planned if run not in records]
    print(f"{len(records)} of {len(planned)} runs are stored.")
    if not all(run.whole for run in planned):
        print("They have fewer epochs or images than the recipe: verdicts on them say nothing.")
    backends = {record["environment"]["backend"] for record in records.values()}
    if len(backends) > 1:
        print(f"They are of {' and '.join(sorted(backends))}: seeds of both are pooled.")
    if missing and train:
        if (floatx := backend.load().config.floatx()) != "float32":
            raise ValueError(
                "Runs are computed in float32: set it in ~/.keras/keras.json, or by "
                f"keras.config.set_floatx. Received: floatx={floatx!r}"
            )
        runs.check_writable(outputs, missing)
        _train_all(missing, outputs, records, together, fresh)
    elif missing:
        print(f"{len(missing)} are not. To train them: {runs.command(missing, outputs, name)}")
    return [records[run] for run in planned if run in records]


def _train_all(missing, outputs, records, together, fresh):
    from tqdm.auto import tqdm

    groups = {}
    for run in missing:
        alike = together and not families.get(run.method, run.rank).rule
        groups.setdefault(dataclasses.replace(run, seed=0) if alike else run, []).append(run)
    with tqdm(total=sum(run.epochs for run in missing), unit="epoch") as bar:
        for group in groups.values():
            run = group[0]
            done = {} if fresh else runs.stored(outputs, group)[0]
            if len(done) == len(group):  # by another process, since this one has begun
                records.update(done)
                bar.update(sum(each.epochs for each in group))
                continue
            bar.set_description(f"{run.row}, seed {', '.join(str(each.seed) for each in group)}")

            def progress(epoch, epochs, group=group):
                bar.update(len(group))
                _tell(group[0], epoch, epochs)

            _tell(run, 0, run.epochs)
            for each, record in zip(group, train_together(group, progress), strict=True):
                records[each] = record
                runs.write(outputs, record)
                # Of a seed that stopped early some epochs remain; together the slowest counts.
                bar.update(0 if together else run.epochs - len(record["history"]["loss"]))


def _tell(run, epoch, epochs):
    if file := os.environ.get(PROGRESS):
        told = json.dumps({"id": run.id, "epoch": epoch, "epochs": epochs})
        with contextlib.suppress(OSError):  # a full disk there costs a line on a screen, no run
            pathlib.Path(file).write_text(told)


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
        "threads": _threads(),
        **_arithmetic(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _threads():
    from lightlayers import execution

    given = os.environ.get("NPROC" if backend.name() == "jax" else "TF_NUM_INTRAOP_THREADS", "")
    return int(given) if given.isdigit() and int(given) else execution.cores()


def _arithmetic():
    """What makes the same run come out a little otherwise."""
    found = {"floatx": backend.load().config.floatx()}
    if backend.name() == "tensorflow":
        # TensorFlow tells nobody else; where it moves, nothing is said.
        with contextlib.suppress(ImportError, AttributeError):
            from tensorflow.python.util import _pywrap_util_port

            found["onednn"] = bool(_pywrap_util_port.IsMklEnabled())
    return found


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
        git("ls-files", "--error-unmatch", "training.py")  # not the repository of something else
        changed = git("status", "--porcelain", "--", ".")
        return {"commit": git("rev-parse", "HEAD"), "clean": not changed}
    except (OSError, subprocess.CalledProcessError):
        return None
