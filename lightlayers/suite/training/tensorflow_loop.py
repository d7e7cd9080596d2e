"""The training loop on TensorFlow, for one model."""

import tensorflow as tf

from lightlayers.suite import backend
from lightlayers.suite.training.steps import EVALUATION_BATCH, cross_entropy


class TensorFlowLoop:
    """Trains one model; the whole epoch is one graph, without copies between batches.

    Args:
        models: List of one `keras.Model`.
        optimizers: List of its built optimiser.
        batch_size: Integer, images.
        steps: `steps.Steps`.
    """

    def __init__(self, models, optimizers, batch_size, steps):
        (self._model,), (self._optimizer,) = models, optimizers
        self._batch_size, self._steps = batch_size, steps
        self._dtype = backend.load().config.floatx()
        self._train = tf.function(self._train_epoch)
        self._evaluate = tf.function(self._evaluate_images)
        self._classify = tf.function(self._classify_images)

    to_device = staticmethod(tf.constant)

    def _scale(self, x, rows):
        return tf.cast(tf.gather(x, rows), self._dtype) / 255

    def _count_right(self, labels, outputs):
        hits = tf.argmax(outputs, axis=-1, output_type=labels.dtype) == labels
        return tf.reduce_sum(tf.cast(hits, self._dtype))

    def _train_epoch(self, x, y, order, draws):
        totals = tf.zeros(2, self._dtype)
        for start in tf.range(0, tf.size(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            images, labels = self._scale(x, rows), tf.gather(y, rows)
            drawn = None if draws is None else draws[start : start + self._batch_size]
            totals += self._train_step(images, labels, drawn)
        return totals / tf.cast(tf.size(order), self._dtype)

    def _train_step(self, images, labels, draws):
        targets = labels
        if self._steps.augment:
            images, targets = self._steps.augment(images, labels, draws)
        with tf.GradientTape() as tape:
            outputs = self._model(images, training=True)
            loss = tf.reduce_mean(self._steps.objective(targets, outputs, images))
            loss = tf.add_n([loss, *self._model.losses])
        variables = self._model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        if self._steps.gradients:
            gradients = self._steps.gradients(gradients, images)
        self._optimizer.apply(gradients, variables)
        count = tf.cast(tf.size(labels), self._dtype)
        return tf.stack([loss * count, self._count_right(labels, outputs)])

    def _evaluate_images(self, x, y):
        totals = tf.zeros(2, self._dtype)
        every = tf.range(tf.size(y))
        for start in tf.range(0, tf.size(y), EVALUATION_BATCH):
            rows = every[start : start + EVALUATION_BATCH]
            images, labels = self._scale(x, rows), tf.gather(y, rows)
            outputs = self._model(images, training=False)
            losses = cross_entropy(labels, outputs)
            totals += tf.stack([tf.reduce_sum(losses), self._count_right(labels, outputs)])
        return totals / tf.cast(tf.size(y), self._dtype)

    def _classify_images(self, x):
        count = tf.shape(x)[0]
        every = tf.range(count)
        classes = tf.TensorArray("int32", 0, dynamic_size=True, infer_shape=False)
        for start in tf.range(0, count, EVALUATION_BATCH):
            images = self._scale(x, every[start : start + EVALUATION_BATCH])
            outputs = self._model(images, training=False)
            found = tf.argmax(outputs, axis=-1, output_type="int32")
            classes = classes.write(start // EVALUATION_BATCH, found)
        return classes.concat()

    def train(self, x, y, orders, draws=None):
        """Trains one epoch; returns loss and accuracy of each model.

        Args:
            x: Images on the device.
            y: Labels on the device.
            orders: Integer array `(models, images)`.
            draws: Array `(models, images, numbers)` for the augmentation, or `None`.
        """
        drawn = None if draws is None else tf.constant(draws[0])
        return [self._train(x, y, orders[0], drawn)]

    def evaluate(self, x, y):
        """Returns cross-entropy and accuracy of each model."""
        return [self._evaluate(x, y)]

    def classify(self, x):
        """Returns the most probable class of each image, for each model."""
        return [self._classify(x)]

    def set_rate(self, i, value):
        """Sets the learning rate of model `i`."""
        self._optimizer.learning_rate.assign(value)

    def take(self, i):
        """Puts what was trained into model `i`: it is there already."""

    def update(self, i):
        """Goes on from the weights of model `i`, which were changed: the graph sees them."""
