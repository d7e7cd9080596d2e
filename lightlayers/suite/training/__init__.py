"""Training runs: the session of a run, its loops and schedule, and the record that is left."""

from lightlayers.suite.training.collection import PROGRESS, collect
from lightlayers.suite.training.trainer import train, train_seeds

__all__ = ["PROGRESS", "collect", "train", "train_seeds"]
