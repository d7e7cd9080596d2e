"""Errors that are a user's mistake: the command tells them in one line, without a traceback."""

from lightlayers.suite.backend import DeviceError
from lightlayers.suite.datasets import DataError

WRONG_USE = (ValueError, OSError, DataError, DeviceError)
