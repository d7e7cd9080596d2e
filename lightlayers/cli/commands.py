"""The commands by name. The module of a command is imported when the command is asked for.

`lightlayers --help` imports none of them, and so needs no second.
"""

import importlib
import inspect

import click

# Name -> module of this package, help.
COMMANDS = {
    "reproduce": ("reproduce", "Train what is missing, then write the results."),
    "status": ("records", "Say which runs are stored."),
    "report": ("records", "Write tables, figures and notebooks from stored runs."),
    "data": ("data", "Check the data sets, or export them as NAME.npz."),
    "bench": ("bench", "Measure training, networks, layers, rules or exported files."),
    "export": ("library", "Write a .keras model as TFLite and ONNX, and compare."),
    "plan": ("library", "Plan which layers of a .keras model become light, in a budget."),
    "convert": ("library", "Convert a .keras model to light layers by a plan."),
    "merge": ("library", "Turn light layers of a .keras model into plain Keras layers."),
    "doctor": ("machine", "Say what this machine lacks, and how to get it."),
    "kernels": ("machine", "Install the kernelspecs lightlayers-cpu and lightlayers-gpu."),
}


def load_module(name):
    """Imports and returns a module of this package."""
    return importlib.import_module(f"lightlayers.cli.{name}")


class CommandGroup(click.Group):
    """All commands, each a function with its name in its module."""

    def __init__(self, name, **kwargs):
        super().__init__(name, no_args_is_help=False, **kwargs)

    def list_commands(self, context):
        return list(COMMANDS)

    def get_command(self, context, name):
        if name not in COMMANDS:
            return None
        module, text = COMMANDS[name]
        command = getattr(load_module(module), name)
        command.help = f"{text}\n\n{inspect.cleandoc(command.callback.__doc__)}"
        return command

    def format_commands(self, context, formatter):
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
