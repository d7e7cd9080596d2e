"""The training loop of Keras' backend: an epoch is one graph, the images stay on the device."""

import numpy as np

from lightlayers.suite import backend

EVALUATION_BATCH = 500


def make_loop(models, optimizers, batch_size, augment=None, objective=None, gradients=None):
    """Returns the training loop of Keras' backend over models of one shape.

    Args:
        models: List of `keras.Model` with weights of their own; one on TensorFlow.
        optimizers: List of Keras optimisers of one configuration, not built yet, one a model.
        batch_size: Integer, images.
        augment: Function `(images, labels, draws) -> (images, labels)` of `keras.ops`, or `None`.
        objective: Function `(labels, outputs, images) -> losses`, one for each image. Defaults to
            the cross-entropy.
        gradients: Function `(gradients, images) -> gradients`, over the trainable variables, or
            `None`.

    Returns:
        `TensorFlowLoop` or `JaxLoop`.
    """
    for model, optimizer in zip(models, optimizers, strict=True):
        optimizer.build(model.trainable_variables)
    steps = Steps(augment, objective or cross_entropy, gradients)
    if backend.name() == "jax":
        from lightlayers.suite.training.jax_loop import JaxLoop

        return JaxLoop(models, optimizers, batch_size, steps)
    from lightlayers.suite.training.tensorflow_loop import TensorFlowLoop

    return TensorFlowLoop(models, optimizers, batch_size, steps)


class Steps:
    """The parts of a training step that a method can give: see `make_loop`."""

    def __init__(self, augment, objective, gradients):
        self.augment, self.objective, self.gradients = augment, objective, gradients


def cross_entropy(labels, outputs, images=None):
    """Returns the cross-entropy of each image, of labels or of probabilities for the classes."""
    losses = backend.load().losses
    if len(labels.shape) == 1:
        return losses.sparse_categorical_crossentropy(labels, outputs)
    return losses.categorical_crossentropy(labels, outputs)


def split_rows(count, size):
    """Returns `numpy.arange(count)` in batches of a size, the last may be smaller."""
    return np.split(np.arange(count), np.arange(size, count, size))
