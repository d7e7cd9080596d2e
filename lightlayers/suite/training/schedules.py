"""What a seed has of its own while it is trained: order, learning rate, history, early stop."""

import types

import numpy as np

from lightlayers.suite import backend


def make_rate(schedule, steps):
    """Returns the learning rate at the start, or that of each step.

    Args:
        schedule: A `recipes.Schedule`.
        steps: Integer, steps of the training.

    Returns:
        Float, or a Keras schedule: it rises over the first twentieth of the steps, then falls to
        zero along a half cosine.
    """
    if schedule.plateau_patience is not None:
        return schedule.learning_rate
    rise = max(1, steps // 20)
    return backend.load().optimizers.schedules.CosineDecay(
        0.0, max(1, steps - rise), warmup_target=schedule.learning_rate, warmup_steps=rise
    )


class Seed:
    """One seed's order, schedule and history; Keras' callbacks get it in place of a model.

    Args:
        run: A `runs.Run`.
        schedule: A `recipes.Schedule`.
    """

    def __init__(self, run, schedule):
        self.run, self.history, self.state = run, {}, None
        self.stop_training = False
        self.optimizer = types.SimpleNamespace(learning_rate=np.float32(schedule.learning_rate))
        self._schedule = schedule
        self._random = np.random.default_rng(run.seed)
        self._plateau = self._stop = None
        if schedule.plateau_patience is not None:
            callbacks = backend.load().callbacks
            patience = schedule.plateau_patience
            self._plateau = self._start(
                callbacks.ReduceLROnPlateau("val_loss", factor=0.1, patience=patience)
            )

    def _start(self, callback):
        callback.set_model(self)
        callback.on_train_begin()
        return callback

    def begin(self, stop_from):
        """Begins a training, which may stop early from an epoch of the run on."""
        self.stop_training = False  # the training before may have ended so
        if self._plateau:
            self._stop = self._start(
                backend.load().callbacks.EarlyStopping(
                    "val_loss",
                    patience=self._schedule.stop_patience,
                    mode="min",
                    start_from_epoch=stop_from,
                )
            )

    def draw_order(self, count):
        """Returns an order of so many images for the next epoch."""
        return self._random.permutation(count)

    def draw_uniform(self, shape):
        """Returns numbers in 0..1, which augmentation takes."""
        return self._random.random(shape, dtype="float32")

    @property
    def rate(self):
        """The learning rate."""
        return np.float32(self.optimizer.learning_rate)

    def end_epoch(self, epoch, logs):
        """Notes what an epoch gave, and has the schedule act on it."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(f"{value:.6g}"))
        for callback in (self._plateau, self._stop):
            if callback:
                callback.on_epoch_end(epoch, logs)
