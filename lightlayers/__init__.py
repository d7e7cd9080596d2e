"""LightLayers for Keras 3, and the suite that reproduces their paper."""

import importlib
import sys

__version__ = "0.1.0"
__all__ = ["LightConv2D", "LightDense"]


def __getattr__(name):
    # Importing Keras takes seconds and half a gigabyte: only a layer needs it.
    if name in __all__:
        importlib.import_module("lightlayers.backend").load()
        return getattr(importlib.import_module("lightlayers.layers"), name)
    raise AttributeError(f"module 'lightlayers' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])


if "keras" in sys.modules:
    # A model file is loaded without custom_objects only if the layers are registered.
    importlib.import_module("lightlayers.layers")
