"""The `lightlayers` command: one file for each group of commands, the action beside its options."""

import os
import re
import sys

import click

from lightlayers.cli.commands import CommandGroup, load_module

__all__ = ["main"]

# What `pip install 'lightlayers[suite]'` brings, by the names that are imported.
SUITE_PACKAGES = {
    *("scipy", "sklearn", "matplotlib", "seaborn", "tabulate"),
    *("jupyterlab", "jupyter_client", "ipykernel", "ipywidgets", "IPython", "nbformat"),
    *("papermill", "filelock", "packaging", "psutil", "rich", "tqdm"),
}


def _run(arguments):
    """Parses arguments and runs the command; returns its exit status."""
    group = CommandGroup(
        "lightlayers",
        help="Reproduce the LightLayers paper (arXiv 2101.02268).",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if arguments is None:
        arguments = sys.argv[1:]
    try:
        with group.make_context("lightlayers", list(arguments)) as context:
            status = group.invoke(context)
    except click.exceptions.Exit as ended:  # as --help does
        status = ended.exit_code
    sys.stdout.flush()  # so that a reader that is gone is noticed here
    return status or 0


def _explain_usage(error):
    message = " ".join(error.format_message().split())
    if not message.endswith((".", "?")):
        message += "."
    command = error.ctx.command_path if error.ctx else "lightlayers"
    return f"{message} See: {command} --help"


def _explain_import(error):
    if SUITE_PACKAGES.intersection(re.findall(r"\w+", str(error))):
        return f"{error}. It comes with the suite: pip install 'lightlayers[suite]'"
    return f"{error}. What is missing, and how to get it: lightlayers doctor"


def main(arguments=None):
    """Runs the command line.

    Args:
        arguments: List of strings, or `None` for those of this process.

    Returns:
        Integer, the exit status: 0, 1 (some failed), 2 (wrong use) or 130 (interrupted).
    """
    if sys.stdout is None:  # a service without a console, or `>&-`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    if hasattr(sys.stdout, "reconfigure"):  # a notebook's has not
        sys.stdout.reconfigure(errors="backslashreplace")  # what a locale can't show is no error
    try:
        return _run(arguments)
    except click.ClickException as error:
        status, message = 2, _explain_usage(error)
    except RuntimeError as error:
        status, message = 1, error
    except BrokenPipeError:  # who reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ImportError as error:
        status, message = 2, _explain_import(error)
    except KeyboardInterrupt as error:
        status, message = 130, f"interrupted. {error}".strip()
    except Exception as error:
        if not isinstance(error, load_module("errors").WRONG_USE):
            raise
        status, message = 2, error
    sys.stdout.flush()  # a pipe holds back what was said before
    print(f"lightlayers: {message}", file=sys.stderr)
    return status
