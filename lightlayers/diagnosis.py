"""What a network is like before its first step: its logits, dead channels and gradients."""

import json
import pathlib

import numpy as np

from lightlayers import backend, datasets, networks, recipes, replication, runs

_STARTS = 100  # seeds of which a share is told
_ALIKE = 1e-3  # features of images differ by tenths, or by rounding


def _untrained(run, images):
    keras = backend.load()
    data = datasets.load(run.dataset).limited(images, 1)
    keras.utils.set_random_seed(run.seed)
    model = networks.build(run.dataset, run.method, run.rank, recipes.get(run.recipe))
    return model, data.x_train.astype("float32") / 255, data.y_train


def cut_off(run, images=256):
    """Returns whether a network says the same of every image before any training.

    A ReLU that is zero for every image lets nothing through. Where it is the only way, nothing
    that comes before it gets a gradient either.

    Args:
        run: A `runs.Run`.
        images: Integer, how many of the first training images are looked at.
    """
    model, x, _ = _untrained(run, images)
    keras = backend.load()
    # In training mode, for batch normalisation has no statistics of its own yet.
    features = keras.Model(model.input, model.layers[-1].input)(x, training=True)
    return bool(keras.ops.convert_to_numpy(features).std(axis=0).max() < _ALIKE)


def start(run, images=512):
    """Returns what explains how a run's training begins.

    Args:
        run: A `runs.Run` of LightLayers.
        images: Integer, how many of the first training images are looked at.

    Returns:
        Dictionary: `logit_sd` (standard deviation of the logits over the images, mean over
        the classes), `dead` (share of the channels between the factors of convolutions
        that are zero everywhere), `gradient` (root mean square of the cross-entropy's
        gradient over the weights of the convolutions), `pull` (the same of their L2
        penalty's) and `bias_gradient` (of the cross-entropy's over the last biases, which
        the scale of the last layer does not multiply).
    """
    keras = backend.load()
    recipe = recipes.get(run.recipe)
    model, x, y = _untrained(run, images)
    convolutions = [layer for layer in model.layers if hasattr(layer, "intermediate_bias")]
    head = model.layers[-1]

    looking = keras.Model(model.input, [head.input, *(layer.input for layer in convolutions)])
    features, *inputs = looking(x, training=True)
    head_kernel = keras.ops.convert_to_numpy(head.kernel)
    logits = keras.ops.convert_to_numpy(features) @ head_kernel
    dead = []
    for layer, entering in zip(convolutions, inputs, strict=True):
        hidden = keras.ops.conv(entering, layer.factor_1, 1, "same") + layer.intermediate_bias
        hidden = keras.ops.convert_to_numpy(layer.intermediate_activation(hidden))
        dead.extend((hidden == 0).all(axis=(0, 1, 2)))

    # One step of plain gradient descent at rate 1 moves the weights by their gradient.
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy", jit_compile=False)
    factors = [layer.factor_1 for layer in convolutions] + [
        layer.factor_2 for layer in convolutions
    ]

    def values():
        both = [keras.ops.convert_to_numpy(v).ravel() for v in factors]
        return np.concatenate(both), keras.ops.convert_to_numpy(head.bias).copy()

    before = values()
    model.train_on_batch(x, y)
    weights, biases = (one - two for one, two in zip(values(), before, strict=True))
    pull = -2 * recipe.kernel_l2 * before[0]

    def rms(moved):
        return float(f"{np.sqrt(np.mean(np.square(moved))):.4g}")

    return {
        "logit_sd": float(f"{logits.std(axis=0).mean():.4g}"),
        "dead": round(float(np.mean(dead)), 4),
        "gradient": rms(weights - pull),
        "pull": rms(pull),
        "bias_gradient": rms(biases),
    }


def stored(planned, outputs, renew=False):
    """Returns `start` of runs, from the outputs folder or the data.

    Args:
        planned: List of `runs.Run`.
        outputs: Path of the outputs folder, which keeps them in `bench/starts.json`.
        renew: Boolean, whether to compute them even if they are kept. Defaults to `False`.

    Returns:
        A `pandas.DataFrame`, one row per data set, recipe and seed.

    Raises:
        datasets.DataError: If they are not kept and a data set can't be had.
    """
    import pandas as pd

    file = pathlib.Path(outputs, "bench", "starts.json")
    if renew or not file.exists():
        lines = [
            {"dataset": run.dataset, "recipe": run.recipe, "seed": run.seed, **start(run)}
            for run in planned
        ]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(lines, indent=1) + "\n")
    return pd.DataFrame(json.loads(file.read_text()))


def cut_off_starts(outputs, renew=False):
    """Returns which of many seeds start `cut_off`, from the outputs folder or the data.

    Args:
        outputs: Path of the outputs folder, which keeps them in `bench/cut-off.json`.
        renew: Boolean, whether to compute them even if they are kept. Defaults to `False`.

    Returns:
        A `pandas.DataFrame`: `dataset`, `recipe`, `K`, `seeds` (how many, from 0 on) and
        `cut off` (a list of those seeds).

    Raises:
        datasets.DataError: If they are not kept and a data set can't be had.
    """
    import pandas as pd

    file = pathlib.Path(outputs, "bench", "cut-off.json")
    if renew or not file.exists():
        groups = [(name, "paper") for name in datasets.NAMES[1:]]
        groups += [(name, "zero-biases") for name in ("mnist", "cifar10")]
        lines = []
        for name, recipe in groups:
            for k in (1, 2, 3):
                some = [runs.Run(name, "lightlayers", k, recipe, seed) for seed in range(_STARTS)]
                line = {"dataset": name, "recipe": recipe, "K": k, "seeds": _STARTS}
                lines.append(line | {"cut off": [run.seed for run in some if cut_off(run)]})
        file.parent.mkdir(parents=True, exist_ok=True)
        runs.replace_text(file, json.dumps(lines) + "\n")
    return pd.DataFrame(json.loads(file.read_text()))


def outcomes(frame, starts):
    """Returns what became of runs that start cut off, and of the others.

    Args:
        frame: DataFrame, as `replication.frame` returns it.
        starts: DataFrame, as `cut_off_starts` returns it.

    Returns:
        A `pandas.DataFrame`, one row per data set, K and start (`"cut off"` or `"not"`), of
        recipe "paper": `runs`, how many `learn nothing`, and the `lowest` and `highest` test
        accuracy.
    """
    starts = starts[starts["recipe"] == "paper"]
    known = {(row["dataset"], row["K"]): row for row in starts.to_dict("records")}

    def begins(run):
        row = known.get((run["dataset"], run["rank"]))
        if run["recipe"] != "paper" or not row or run["seed"] >= row["seeds"]:
            return None
        return "cut off" if run["seed"] in row["cut off"] else "not"

    ours = frame[frame["method"] == "lightlayers"]
    ours = ours.assign(start=ours.apply(begins, axis=1), stuck=replication.stuck(ours))
    groups = ours.rename(columns={"rank": "K"}).dropna(subset="start")
    groups = groups.astype({"K": int}).groupby(["dataset", "K", "start"], sort=False)
    table = groups.agg(
        runs=("seed", "size"),
        stuck=("stuck", "sum"),
        lowest=("accuracy", "min"),
        highest=("accuracy", "max"),
    )
    return table.rename(columns={"stuck": "learn nothing"}).round(4)
