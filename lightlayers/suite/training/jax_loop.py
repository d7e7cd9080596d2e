"""The training loop on JAX, for several models of one shape in one program."""

import jax
import jax.numpy as jnp
import numpy as np

from lightlayers.suite import backend
from lightlayers.suite.training.steps import EVALUATION_BATCH, cross_entropy, split_rows


def _stack(values):
    return [jnp.stack(one) for one in zip(*values, strict=True)]


class JaxLoop:
    """Trains models together: what each has of its own is stacked, an epoch is one scan.

    Args:
        models: List of `keras.Model`.
        optimizers: List of built optimisers, one a model.
        batch_size: Integer, images.
        steps: `steps.Steps`.
    """

    def __init__(self, models, optimizers, batch_size, steps):
        self._models, self._optimizers = models, optimizers
        self._batch_size, self._steps = batch_size, steps
        self._model, self._optimizer = models[0], optimizers[0]
        self._dtype = backend.load().config.floatx()
        variables = [self._variables(i) for i in range(len(models))]
        self._state = [
            _stack([[v.value for v in part] for part in parts])
            for parts in zip(*variables, strict=True)
        ]
        # Convolutions of several models at once are grouped ones, which XLA has no fast code for
        # on a CPU: there they take turns, step by step.
        self._map = jax.vmap if backend.devices() else self._map_in_turn
        self._train = jax.jit(self._train_steps)
        self._evaluate = jax.jit(self._evaluate_batch)
        self._classify = jax.jit(self._classify_batch)

    to_device = staticmethod(jnp.asarray)

    @staticmethod
    def _map_in_turn(function):
        return lambda values: jax.lax.map(function, values)

    def _variables(self, i):
        model = self._models[i]
        others = model.non_trainable_variables
        return model.trainable_variables, others, self._optimizers[i].variables

    def _scale(self, x, rows):
        return jnp.asarray(x[rows], self._dtype) / 255

    def _compute_loss(self, trainable, others, images, targets):
        outputs, others, penalties = self._model.stateless_call(
            trainable, others, images, training=True, return_losses=True
        )
        loss = jnp.mean(self._steps.objective(targets, outputs, images)) + sum(penalties)
        return loss, (others, outputs)

    def _train_step(self, state, rows, draws, x, y):
        trainable, others, moments = state
        images, labels = self._scale(x, rows), y[rows]
        targets = labels
        if self._steps.augment:
            images, targets = self._steps.augment(images, labels, draws)
        compute = jax.value_and_grad(self._compute_loss, has_aux=True)
        (loss, (others, outputs)), gradients = compute(trainable, others, images, targets)
        if self._steps.gradients:
            gradients = self._steps.gradients(gradients, images)
        trainable, moments = self._optimizer.stateless_apply(moments, gradients, trainable)
        right = jnp.sum(jnp.argmax(outputs, axis=-1) == labels)
        return [trainable, others, moments], jnp.stack([loss * len(rows), right])

    def _train_steps(self, state, batches, draws, x, y):
        def step_each(state, inputs):
            rows, drawn = inputs
            if rows.ndim == 1:  # one batch serves all models
                return self._map(lambda one: self._train_step(one, rows, None, x, y))(state)
            step = self._map(lambda each: self._train_step(*each, x, y))
            return step((state, rows, drawn))

        return jax.lax.scan(step_each, state, (batches, draws))

    def _evaluate_batch(self, trainable, others, rows, x, y):
        images, labels = self._scale(x, rows), y[rows]

        def evaluate_one(variables):
            outputs, _ = self._model.stateless_call(*variables, images, training=False)
            losses = jnp.sum(cross_entropy(labels, outputs))
            return jnp.stack([losses, jnp.sum(jnp.argmax(outputs, axis=-1) == labels)])

        return self._map(evaluate_one)([trainable, others])

    def _classify_batch(self, trainable, others, rows, x):
        images = self._scale(x, rows)

        def classify_one(variables):
            outputs, _ = self._model.stateless_call(*variables, images, training=False)
            return jnp.argmax(outputs, axis=-1)

        return self._map(classify_one)([trainable, others])

    def train(self, x, y, orders, draws=None):
        """Trains one epoch; returns loss and accuracy of each model.

        Args:
            x: Images on the device.
            y: Labels on the device.
            orders: Integer array `(models, images)`.
            draws: Array `(models, images, numbers)` for the augmentation, or `None`.
        """
        totals, count = 0, orders.shape[-1]
        # Orders are equal unless the recipe shuffles.
        shared = draws is None and (orders == orders[0]).all()
        rows = orders[0] if shared else np.moveaxis(orders, 0, 1)
        draws = None if draws is None else np.moveaxis(draws, 0, 1)
        whole = count // self._batch_size * self._batch_size
        for start, stop, size in ((0, whole, self._batch_size), (whole, count, count - whole)):
            if start == stop:
                continue
            batches = _cut_batches(rows[start:stop], size)
            drawn = None if draws is None else _cut_batches(draws[start:stop], size)
            self._state[:], found = self._train(self._state, batches, drawn, x, y)
            totals += np.asarray(found).sum(axis=0, dtype="float64")
        return totals / count

    def evaluate(self, x, y):
        """Returns cross-entropy and accuracy of each model."""
        batches = split_rows(len(y), EVALUATION_BATCH)
        found = [self._evaluate(*self._state[:2], rows, x, y) for rows in batches]
        return sum(np.asarray(totals) for totals in found) / len(y)

    def classify(self, x):
        """Returns the most probable class of each image, for each model."""
        batches = split_rows(len(x), EVALUATION_BATCH)
        found = [self._classify(*self._state[:2], rows, x) for rows in batches]
        return np.concatenate(found, axis=-1)

    def set_rate(self, i, value):
        """Sets the learning rate of model `i`."""
        names = [variable.name for variable in self._optimizer.variables]
        place = names.index("learning_rate")
        self._state[2][place] = self._state[2][place].at[i].set(value)

    def take(self, i):
        """Puts what was trained into model `i` and its optimiser, and returns it."""
        taken = [[values[i] for values in part] for part in self._state]
        for variables, values in zip(self._variables(i), taken, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return taken

    def put(self, i, taken):
        """Gives model `i` what `take` has returned."""
        for part, values in zip(self._state, taken, strict=True):
            part[:] = [many.at[i].set(one) for many, one in zip(part, values, strict=True)]

    def update(self, i):
        """Goes on from the weights of model `i`, which were changed."""
        self.put(i, [[v.value for v in part] for part in self._variables(i)])


def _cut_batches(values, size):
    """Returns values by image, then by model, as batches: steps, models, images."""
    batches = values.reshape(-1, size, *values.shape[1:])
    return batches if batches.ndim == 2 else np.moveaxis(batches, 2, 1)
