"""LightLayers for Keras 3, and the suite that reproduces their paper."""

import importlib
import sys

__version__ = "0.1.0"
_MODULES = {
    "layers": ["LightConv2D", "LightDense"],
    "ranks": ["Budget"],
    "substitution": ["from_conv2d", "from_dense", "to_conv2d", "to_dense"],
    "conversion": ["convert", "merge", "plan"],
    "pruning": ["RankSchedule", "squeeze"],
}
__all__ = [name for names in _MODULES.values() for name in names]


def _register():
    # A model file is loaded without custom_objects only if its layers are registered.
    for module in ("layers", "normalization"):
        importlib.import_module(f"lightlayers.{module}")


def __getattr__(name):
    # Importing Keras takes seconds and half a gigabyte: only what needs it does so.
    for module, names in _MODULES.items():
        if name in names:
            if module != "ranks":
                try:
                    _register()
                except AttributeError as error:
                    # `from lightlayers import ...` would say that there is no such name.
                    raise ImportError(f"Keras can't be imported: {error}") from error
            return getattr(importlib.import_module(f"lightlayers.{module}"), name)
    raise AttributeError(f"module 'lightlayers' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])


if "keras" in sys.modules:
    _register()
