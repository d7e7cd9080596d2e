"""What a network is like before its first step: its logits, dead channels and gradients."""

import json
import pathlib

import numpy as np

from lightlayers import backend, datasets, networks, recipes


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
    data = datasets.load(run.dataset).limited(images, 1)
    x, y = data.x_train.astype("float32") / 255, data.y_train
    keras.utils.set_random_seed(run.seed)
    model = networks.build(run.dataset, run.method, run.rank, recipe)
    convolutions = [layer for layer in model.layers if hasattr(layer, "intermediate_bias")]
    head = model.layers[-1]

    # In training mode, for batch normalisation has no statistics of its own yet.
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
