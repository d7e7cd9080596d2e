"""Networks: the time of a forward pass and of a training step, memory, the weight file."""

import math
import pathlib
import tempfile

import numpy as np

from lightlayers.suite import backend, networks, recipes
from lightlayers.suite.bench import timing
from lightlayers.suite.bench.activations import count_activations
from lightlayers.suite.training import loops

BATCHES = (1, 256)  # images of a forward pass


def measure_networks(planned, say=print):
    """Measures networks: time of a forward pass and of a training step, memory, weight file.

    Args:
        planned: List of `Run`, one per row.
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
        runs = [run for run in planned if run.dataset == dataset]
        models = {
            run: networks.build(run.dataset, run.method, run.rank, run.recipe, run.width)
            for run in runs
        }
        measured = [*_time_networks(models), *_size_networks(models)]
        rows += [{"dataset": dataset, **row} for row in measured]
        say(f"{dataset}: {len(runs)} networks")
    return timing.stamp_rows(rows)


def _time_networks(models):
    """Returns the rows of what is timed of networks, the first of which is the ratios' base."""
    tasks = {}
    for run, model in models.items():
        for name, task in _make_tasks(run, model).items():
            tasks[run.row, name] = task
    base = next(iter(models)).row
    found = timing.time_in_turn(tasks, lambda key: (base, key[1]))
    return [{"row": row, "task": task, **times} for (row, task), times in found.items()]


def _make_tasks(run, model):
    """Returns what is timed of one network: name -> function, and the steps of one call."""
    keras = backend.load()
    recipe = recipes.get(run.recipe)
    x, y = timing.random_images(run.dataset)
    forward = timing.compile_forward(model)
    tasks = {}
    for count in BATCHES:
        images = keras.ops.convert_to_tensor(x[:count] / np.float32(255))
        tasks[f"forward {count}"] = (lambda images=images: forward(images), 1)
    optimizer = keras.optimizers.Adam(recipe.schedule(run.dataset).learning_rate)
    loop = loops.make_loop([model], [optimizer], recipe.batch_size)
    count = timing.STEPS * recipe.batch_size
    images, labels = loop.to_device(x[:count]), loop.to_device(y[:count])
    order = np.arange(count)[None]
    tasks["train"] = (lambda: loop.train(images, labels, order), timing.STEPS)
    return tasks


def _size_networks(models):
    """Returns the rows of memory and weight file, the first network being the ratios' base."""
    rows, base = [], {}
    for run, model in models.items():
        batch_size = recipes.get(run.recipe).batch_size
        sizes = {
            "memory": ("megabytes", _count_step_memory(model, batch_size)),
            "file": ("kilobytes", _measure_weight_file(model)),
        }
        for task, (unit, value) in sizes.items():
            ratio = value / base.setdefault(task, value)
            row = {"row": run.row, "task": task, unit: round(value, 3)}
            rows.append(row | {"ratio": round(ratio, 4)})
    return rows


def _count_step_memory(model, batch_size):
    """Returns the megabytes that a training step holds.

    Those are what all layers compute for its images, the weights, and of the weights that are
    trained the gradient and Adam's two moments.
    """
    computed = sum(count_activations(layer) for layer in model.layers)
    trained = sum(math.prod(v.shape) for v in model.trainable_variables)
    return 4 * (batch_size * computed + model.count_params() + 3 * trained) / 1e6


def _measure_weight_file(model):
    """Returns the kilobytes of a network's `.weights.h5`, without an optimiser's."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "network.weights.h5")
        model.save_weights(file)
        return file.stat().st_size / 1e3
