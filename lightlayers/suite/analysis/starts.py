"""What a network is like before its first step: its logits, dead channels and gradients."""

import json

import numpy as np

from lightlayers.suite import backend, datasets, networks, paper, recipes
from lightlayers.suite.analysis import chance
from lightlayers.suite.files import write_text
from lightlayers.suite.runs import Run

_SEEDS = 100  # of which a share is told
_ALIKE = 1e-3  # features of images differ by tenths, or by rounding
_METHOD = next(row.method for row in paper.ROWS if row.rank)  # the paper's own
_RANKS = (1, 2, 3)
# One grey and one colour data set show what biases of zero change.
_GROUPS = [(name, "paper") for name in paper.DATASETS]
_GROUPS += [(name, "zero-biases") for name in ("mnist", "cifar10")]


def _build_untrained(run, images):
    """Returns a run's network before its first step, images in 0..1 and their labels."""
    keras = backend.load()
    data = datasets.load(run.dataset).limited(images, 1)
    keras.utils.set_random_seed(run.seed)
    model = networks.build(run.dataset, run.method, run.rank, run.recipe, run.width)
    return model, data.x_train.astype("float32") / 255, data.y_train


def is_cut_off(run, images=256):
    """Returns whether a network says the same of every image before any training.

    A ReLU that is zero for every image lets nothing through. Where it is the only way, nothing
    that comes before it gets a gradient either.

    Args:
        run: A `Run`.
        images: Integer, how many of the first training images are looked at.
    """
    model, x, _ = _build_untrained(run, images)
    keras = backend.load()
    # In training mode, for batch normalisation has no statistics of its own yet.
    features = keras.Model(model.input, model.layers[-1].input)(x, training=True)
    return bool(keras.ops.convert_to_numpy(features).std(axis=0).max() < _ALIKE)


def measure_start(run, images=512):
    """Returns what explains how a run's training begins.

    Args:
        run: A `Run` of the paper's layers.
        images: Integer, how many of the first training images are looked at.

    Returns:
        Dictionary: `logit_sd` (standard deviation of the logits over the images, mean over
        the classes), `dead` (share of the channels between the factors of convolutions
        that are zero everywhere), `gradient` (root mean square of the cross-entropy's
        gradient over the weights of the convolutions), `pull` (the same of their L2
        penalty's) and `bias_gradient` (of the cross-entropy's over the last biases, which
        the scale of the last layer does not multiply).
    """
    model, x, y = _build_untrained(run, images)
    convolutions = [layer for layer in model.layers if _has_bias_inside(layer)]
    logits, dead = _look_inside(model, convolutions, x)  # before the step below
    before, moves, bias_moves = _take_step(model, convolutions, x, y)
    pull = -2 * recipes.get(run.recipe).kernel_l2 * before
    return {
        "logit_sd": _round(logits.std(axis=0).mean()),
        "dead": round(float(np.mean(dead)), 4),
        "gradient": _root_mean_square(moves - pull),
        "pull": _root_mean_square(pull),
        "bias_gradient": _root_mean_square(bias_moves),
    }


def _has_bias_inside(layer):
    """Returns whether a layer is a convolution of the paper's form: one with a bias inside."""
    return getattr(layer, "intermediate_bias", None) is not None


def _look_inside(model, convolutions, x):
    """Returns the logits of images, and of each channel between factors whether it is dead."""
    keras = backend.load()
    to_numpy = keras.ops.convert_to_numpy
    head = model.layers[-1]
    inside = keras.Model(model.input, [head.input, *(layer.input for layer in convolutions)])
    features, *inputs = inside(x, training=True)
    logits = to_numpy(features) @ to_numpy(head.kernel)
    dead = []
    for layer, entering in zip(convolutions, inputs, strict=True):
        hidden = keras.ops.conv(entering, layer.factor_1, 1, "same", "channels_last")
        hidden += layer.intermediate_bias
        hidden = to_numpy(layer.intermediate_activation(hidden))
        dead.extend((hidden == 0).all(axis=(0, 1, 2)))
    return logits, dead


def _take_step(model, convolutions, x, y):
    """Returns the factors before one step of gradient descent at rate 1, and how far it moves.

    At that rate weights move by minus their gradient.

    Returns:
        Triple of vectors: the factors before, by what they move, and by what the last biases do.
    """
    keras = backend.load()
    to_numpy = keras.ops.convert_to_numpy
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy", jit_compile=False)
    factors = [layer.factor_1 for layer in convolutions]
    factors += [layer.factor_2 for layer in convolutions]

    def read_weights():
        joined = np.concatenate([to_numpy(factor).ravel() for factor in factors])
        return joined, to_numpy(model.layers[-1].bias).copy()

    weights, biases = read_weights()
    model.train_on_batch(x, y)
    moved_weights, moved_biases = read_weights()
    return weights, moved_weights - weights, moved_biases - biases


def _round(value):
    return float(f"{value:.4g}")


def _root_mean_square(values):
    return _round(np.sqrt(np.mean(np.square(values))))


def measure_starts(runs, store, renew=False):
    """Returns `measure_start` of runs, from a store or the data.

    Args:
        runs: List of `Run`.
        store: `Store` that keeps them, in `bench/starts.json`.
        renew: Boolean, whether to compute them even if they are kept. Defaults to `False`.

    Returns:
        A `pandas.DataFrame`, one row per data set, recipe and seed.

    Raises:
        datasets.DataError: If they are not kept and a data set can't be had.
    """

    def measure():
        lines = []
        for run in runs:
            place = {"dataset": run.dataset, "recipe": run.recipe, "seed": run.seed}
            lines.append(place | measure_start(run))
        return lines

    return _keep(store, "starts", measure, renew, indent=1)


def find_cut_off_seeds(store, renew=False):
    """Returns which of many seeds start cut off, see `is_cut_off`, from a store or the data.

    Args:
        store: `Store` that keeps them, in `bench/cut-off.json`.
        renew: Boolean, whether to compute them even if they are kept. Defaults to `False`.

    Returns:
        A `pandas.DataFrame`: `dataset`, `recipe`, `K`, `seeds` (how many, from 0 on) and
        `cut off` (a list of those seeds).

    Raises:
        datasets.DataError: If they are not kept and a data set can't be had.
    """

    def find():
        lines = []
        for name, recipe in _GROUPS:
            for rank in _RANKS:
                runs = [Run(name, _METHOD, rank, recipe, seed) for seed in range(_SEEDS)]
                line = {"dataset": name, "recipe": recipe, "K": rank, "seeds": _SEEDS}
                lines.append(line | {"cut off": [run.seed for run in runs if is_cut_off(run)]})
        return lines

    return _keep(store, "cut-off", find, renew)


def _keep(store, name, compute, renew, indent=None):
    """Returns what a store keeps under a name as a table, computed first where it is not kept."""
    import pandas as pd

    if renew or store.measurement(name) is None:
        lines = compute()
        write_text(store.bench / f"{name}.json", json.dumps(lines, indent=indent) + "\n")
    return pd.DataFrame(store.measurement(name))


def count_outcomes(frame, starts):
    """Returns what became of runs that start cut off, and of the others.

    Args:
        frame: DataFrame, as `tables.frame` returns it.
        starts: DataFrame, as `find_cut_off_seeds` returns it.

    Returns:
        A `pandas.DataFrame`, one row per data set, K and start (`"cut off"` or `"not"`), of
        recipe "paper": `runs`, how many `learn nothing`, and the `lowest` and `highest` test
        accuracy.
    """
    known = {}
    for row in starts[starts["recipe"] == "paper"].to_dict("records"):
        known[row["dataset"], row["K"]] = row

    def find_start(run):
        row = known.get((run["dataset"], run["rank"]))
        if run["recipe"] != "paper" or not row or run["seed"] >= row["seeds"]:
            return None
        return "cut off" if run["seed"] in row["cut off"] else "not"

    ours = frame[frame["method"] == _METHOD]
    starts_of_runs = ours.apply(find_start, axis=1)
    ours = ours.assign(start=starts_of_runs, stuck=chance.find_stuck_runs(ours))
    groups = ours.rename(columns={"rank": "K"}).dropna(subset="start")
    groups = groups.astype({"K": int}).groupby(["dataset", "K", "start"], sort=False)
    table = groups.agg(
        runs=("seed", "size"),
        stuck=("stuck", "sum"),
        lowest=("accuracy", "min"),
        highest=("accuracy", "max"),
    )
    return table.rename(columns={"stuck": "learn nothing"}).round(4)
