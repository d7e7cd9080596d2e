"""What both training loops do alike: batches, the loss, and the parts that a method gives."""

import numpy as np

from lightlayers.suite import backend

EVALUATION_BATCH = 500


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
