"""A session: what a training procedure is given to build and fit the networks of a run."""

import dataclasses
import functools
import math
import time

import numpy as np

from lightlayers.suite import backend, datasets, networks, plans, recipes
from lightlayers.suite.registry import Augmentation
from lightlayers.suite.runs import check_integer, parse_row
from lightlayers.suite.training.loops import make_loop
from lightlayers.suite.training.record import check_costs
from lightlayers.suite.training.schedules import Seed, make_rate


class Session:
    """The training of one run, or of several that differ in their seeds alone.

    It owns the epochs, so that no method trains longer than the others, and the schedule, the order
    of the images, the history of each seed and the evaluation.

    Args:
        runs: List of `runs.Run`.
        progress: Function `(epoch, epochs)`, called after each epoch, or `None`.

    Raises:
        datasets.DataError: If the data set can't be had, or can't be trained on.
    """

    def __init__(self, runs, progress=None):
        self.runs, self.run = runs, runs[0]
        self.recipe = recipes.get(self.run.recipe)
        self.dataset = datasets.get(self.run.dataset)
        self.data = datasets.load(self.run.dataset).limited(self.run.train_size, self.run.test_size)
        self.epochs = self.run.epochs
        self.half = max(1, self.epochs // 2)
        schedule = self.recipe.schedule(self.run.dataset)
        self.seeds = [Seed(run, schedule) for run in runs]
        self.models = []
        self.results = self.right = None
        self._schedule, self._progress = schedule, progress
        self._epoch = 0  # how many are done
        self._count = self._count_training_images()

    def _count_training_images(self):
        count = len(self.data.y_train)
        if self.recipe.validation == "held-out":
            count = count * 9 // 10
        if self.dataset.own:
            absent = np.setdiff1d(self.data.y_train, self.data.y_train[:count])
            if len(absent):
                raise datasets.DataError(
                    f"The images that are trained on, the first {count:,}, lack classes that the "
                    "others have: shuffle the file, then images and labels in the same order. "
                    f"Received: none of {', '.join(map(str, absent))}"
                )
        return count

    @property
    def seed(self):
        """The seed, the first of several."""
        return self.run.seed

    @property
    def held_out(self):
        """The training images that nothing is trained on, in 0..1, and their labels."""
        count = self._count
        return self.data.x_train[count:] / np.float32(255), self.data.y_train[count:]

    @functools.cached_property
    def budget(self):
        """The parameters of the paper's network whose K is the run's rank, a `Budget`."""
        return plans.make_budget(self.run.dataset, self.run.rank)

    def build(self, row=None):
        """Returns the networks of the run, one a seed, with weights of their own.

        Args:
            row: String, the row whose network it is, such as `"conv2d"`. Defaults to the run's.

        Raises:
            ValueError: If what the network costs can't be told.
        """
        keras = backend.load()
        method, rank, width = parse_row(row or self.run.row)
        models = []
        for run in self.runs:
            keras.utils.set_random_seed(run.seed)
            models.append(networks.build(self.run.dataset, method, rank, self.recipe, width))
        check_costs(models[0])
        return models

    def fit(
        self,
        models,
        epochs=None,
        *,
        rate=None,
        callbacks=None,
        augment=None,
        objective=None,
        gradients=None,
        average=None,
        stop_from=0,
    ):
        """Trains models by the recipe, with an optimiser of its own.

        Where the recipe's rate rises and falls, it does so in each call. Where plateaus lower it,
        it stays lowered in the next call, unless `rate` is given.

        Args:
            models: List of `keras.Model`, one a seed; what is trainable of them is trained.
            epochs: Positive integer. Defaults to all that are left; never more.
            rate: Float, the learning rate. Defaults to the recipe's.
            callbacks: Function without arguments that returns Keras callbacks for one model, or
                `None`. Their `on_train_begin` and `on_epoch_end` are called; they can't end it.
            augment: `registry.Augmentation`, or `None`.
            objective: Function `(labels, outputs, images) -> losses` of `keras.ops`, one for each
                image. Defaults to the cross-entropy. Penalties are added.
            gradients: Function `(gradients, images) -> gradients`, over the trainable variables,
                or `None`.
            average: Float in 0..1, the momentum of the moving average that the weights are
                replaced by when training ends, or `None`.
            stop_from: Integer, the epoch of the run from which on training may stop early.

        Raises:
            ValueError: If an argument is none of the above.
        """
        _check_fit(models, epochs, callbacks, augment)
        self.models = models
        first = self._epoch
        last = self.epochs if epochs is None else min(first + epochs, self.epochs)
        epoch_steps = math.ceil(self._count / self.recipe.batch_size)
        schedule = self._schedule
        if rate is not None:
            schedule = dataclasses.replace(schedule, learning_rate=rate)
        rate_of_step = make_rate(schedule, max(1, last - first) * epoch_steps)
        self._make_loop(rate_of_step, average, augment, objective, gradients)
        listeners = [self._start_callbacks(model, callbacks) for model in models]
        self._begin_seeds(stop_from, None if callable(rate_of_step) else schedule)
        for epoch in range(first, last):
            self._fit_epoch(augment, listeners, rate_of_step, (epoch + 1 - first) * epoch_steps)
            self._epoch = epoch + 1
            if self._progress:
                self._progress(epoch + 1, self.epochs)
            if all(seed.stop_training for seed in self.seeds):
                break
        self._end_fit(average if first < last else None)

    def _begin_seeds(self, stop_from, schedule):
        """Begins a training of each seed; without a schedule the rate is given by step."""
        for i, seed in enumerate(self.seeds):
            seed.begin(stop_from)
            if schedule is None:
                continue
            if schedule is not self._schedule:  # it has a rate of its own
                seed.optimizer.learning_rate = np.float32(schedule.learning_rate)
            self._loop.set_rate(i, seed.rate)

    def _make_loop(self, rate, average, augment, objective, gradients):
        keras = backend.load()
        optimizers = []
        for model in self.models:
            if average is None:
                model.optimizer = keras.optimizers.Adam(rate)
            else:
                model.optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=average)
            optimizers.append(model.optimizer)
        apply = augment.apply if augment else None
        self._loop = make_loop(
            self.models, optimizers, self.recipe.batch_size, apply, objective, gradients
        )

    @functools.cached_property
    def _on_device(self):
        """The images that are trained on, and those that are watched, with their labels."""
        data, count, to_device = self.data, self._count, self._loop.to_device
        watched = data.x_test, data.y_test
        if self.recipe.validation == "held-out":
            watched = data.x_train[count:], data.y_train[count:]
        trained = data.x_train[:count], data.y_train[:count]
        return tuple(map(to_device, trained)), tuple(map(to_device, watched))

    def _start_callbacks(self, model, make):
        callbacks = make() if make else []
        for callback in callbacks:
            callback.set_model(model)
            callback.on_train_begin()
        return callbacks

    def _draw(self, augment):
        """Returns each seed's order of the images, and numbers for the augmentation."""
        orders, draws = [], []
        for seed in self.seeds:
            shuffled = self.recipe.shuffle
            orders.append(seed.draw_order(self._count) if shuffled else np.arange(self._count))
            if augment:
                draws.append(seed.draw_uniform((self._count, augment.draws)))
        return np.stack(orders), np.stack(draws) if augment else None

    def _fit_epoch(self, augment, listeners, rate, step):
        began = time.perf_counter()
        trained_on, watched = self._on_device
        trained = np.asarray(self._loop.train(*trained_on, *self._draw(augment)))
        seconds = (time.perf_counter() - began) / len(self.seeds)
        evaluated = np.asarray(self._loop.evaluate(*watched))
        for i, (seed, model) in enumerate(zip(self.seeds, self.models, strict=True)):
            if seed.stop_training:
                continue
            state = self._loop.take(i)
            if callable(rate):
                seed.optimizer.learning_rate = float(rate(step))
            loss, accuracy = map(float, trained[i])
            watched_loss, watched_accuracy = map(float, evaluated[i])
            logs = {
                "loss": loss,
                "accuracy": accuracy,
                "val_loss": watched_loss + float(sum(model.losses)),
                "val_accuracy": watched_accuracy,
                "learning_rate": float(seed.rate),
                "seconds": seconds,
            }
            seed.end_epoch(self._epoch, logs)
            if seed.stop_training:
                seed.state = state
            for callback in listeners[i]:
                callback.on_epoch_end(self._epoch, logs)
            if listeners[i]:
                self._loop.update(i)  # the optimiser's rate is as it was taken again
            if not callable(rate):
                self._loop.set_rate(i, seed.rate)

    def _end_fit(self, average):
        """Leaves in each model the weights of its last epoch, which the authors evaluate too."""
        for i, (seed, model) in enumerate(zip(self.seeds, self.models, strict=True)):
            if seed.state is not None:
                self._loop.put(i, seed.state)
                seed.state = None
            self._loop.take(i)
            if average is not None:
                model.optimizer.finalize_variable_values(model.trainable_variables)
                self._loop.update(i)

    def evaluate(self):
        """Evaluates the models now. Without this call, what the procedure returns is evaluated."""
        images, labels = map(self._loop.to_device, (self.data.x_test, self.data.y_test))
        self.results = np.asarray(self._loop.evaluate(images, labels))
        self.right = np.asarray(self._loop.classify(images)) == self.data.y_test

    def finish_models(self, finish):
        """Replaces the models by what a procedure makes of them.

        They are evaluated, unless the procedure has called `evaluate`.

        Args:
            finish: Function `(model) -> model`, or `None`.
        """
        if not self.models:
            raise ValueError(f"The method {self.run.method!r} never called `session.fit`.")
        if not finish:
            if self.results is None:
                self.evaluate()
            return
        evaluated = self.results is not None
        results, right, models = [], [], []
        for model in self.models:
            models.append(finish(model))
            if not evaluated:
                one = self._evaluate_one(models[-1])
                results.append(one[0])
                right.append(one[1])
        self.models = models
        if not evaluated:
            self.results, self.right = np.stack(results), np.stack(right)

    def _evaluate_one(self, model):
        loop = make_loop([model], [backend.load().optimizers.Adam()], self.recipe.batch_size)
        images, labels = map(loop.to_device, (self.data.x_test, self.data.y_test))
        right = np.asarray(loop.classify(images)[0]) == self.data.y_test
        return np.asarray(loop.evaluate(images, labels))[0], right


def _check_fit(models, epochs, callbacks, augment):
    if epochs is not None:
        check_integer("epochs", epochs, least=1)
    if not isinstance(models, list):
        raise ValueError(
            f"`models` must be a list, as `session.build` returns it. Received: models={models!r}"
        )
    if callbacks is not None and not callable(callbacks):
        raise ValueError(
            "`callbacks` must be a function that returns callbacks for one model, such as "
            f"`lambda: [MyCallback()]`. Received: callbacks={callbacks!r}"
        )
    if augment is not None and not isinstance(augment, Augmentation):
        raise ValueError(
            "`augment` must be a registry.Augmentation, such as Augmentation(flip, draws=1). "
            f"Received: augment={augment!r}"
        )
