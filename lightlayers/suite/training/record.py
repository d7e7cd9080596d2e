"""The record of one finished run."""

import base64
import dataclasses
import math

import numpy as np

from lightlayers.suite import backend, datasets, recipes

SHOWN_IMAGES = 16


def check_costs(model):
    """Finds out before the first epoch that a network's cost can be told.

    Raises:
        ValueError: If the multiply-adds of a layer are not known.
    """
    counts, layers = _count_multiply_adds(model)
    unknown = [layers[path] for path, count in counts.items() if count is None]
    if unknown:
        names = ", ".join(f"{layer.name!r} ({type(layer).__name__})" for layer in unknown)
        raise ValueError(
            "The multiply-adds of each layer have to be known: lightlayers.costs.register tells "
            f"them. Received: {names}"
        )


def make_record(run, history, cross_entropy, accuracy, penalties, right):
    """Returns what a record says of a run and its test.

    Args:
        run: A `runs.Run`.
        history: Dictionary from a name to its value after each epoch.
        cross_entropy: Float, on the test set.
        accuracy: Float, on the test set.
        penalties: Float, what the authors' loss adds to the cross-entropy.
        right: Boolean array, which test images are classified rightly.
    """
    return {
        "run": run.to_record(),
        "id": run.id,
        "recipe": dataclasses.asdict(recipes.get(run.recipe)),
        "fingerprint": datasets.get(run.dataset).fingerprint,
        "test": {
            "accuracy": round(float(accuracy), 6),
            "loss": float(f"{float(cross_entropy) + float(penalties):.6g}"),
            "cross_entropy": float(f"{float(cross_entropy):.6g}"),
            "right": base64.b64encode(np.packbits(right)).decode(),
        },
        "history": history,
    }


def describe_model(model):
    """Returns the parameters and the multiply-adds of a model, for its record."""
    counts = _count_multiply_adds(model)[0].values()
    return {
        "parameters": {
            "total": model.count_params(),
            "trainable": sum(math.prod(v.shape) for v in model.trainable_variables),
        },
        # Of what a method makes of its model at the end they need not be known.
        "multiply_adds": None if None in counts else sum(counts),
    }


def _count_multiply_adds(model):
    """Returns the multiply-adds of all applications of each layer by its path, and the layers."""
    from lightlayers import costs, graphs

    applications = graphs.applications(model)
    layers = {path: layer for path, (layer, _) in applications.items()}
    return costs.count_applications(applications), layers


def list_ranks(model):
    """Returns the rank of each light layer of a model by its name."""
    light = [layer for layer in model.layers if hasattr(layer, "break_even_rank")]
    return {layer.name: layer.rank for layer in light}


def describe_shown(model, data):
    """Returns what notebooks show of a model without its weights: small, and rounded."""
    images = data.x_test[:SHOWN_IMAGES].astype("float32") / 255
    outputs = backend.load().ops.convert_to_numpy(model(images, training=False))
    shown = {"per_mille": np.round(outputs * 1000).astype(int).tolist()}
    kernels = _find_first_kernels(model)
    if kernels is not None:
        shown["first_kernels"] = np.round(kernels.astype(float), 3).tolist()
    return shown


def _find_first_kernels(model):
    """Returns the kernels of the first convolution, `None` of a layer that has none to show."""
    first = next(layer for layer in model.layers if layer.weights)
    if hasattr(first, "depthwise_kernel") and hasattr(first, "pointwise_kernel"):
        return np.asarray(first.depthwise_kernel) * np.asarray(first.pointwise_kernel)
    for name in ("factor_1", "kernel"):
        kernel = getattr(first, name, None)
        if kernel is not None and len(kernel.shape) == 4:
            return np.asarray(kernel)
    return None
