"""Where a record comes from: packages, device, processor and source revision."""

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys

import lightlayers
from lightlayers.suite import backend, processors


def environment():
    """Returns what a run is computed by, a dictionary for its record."""
    names = ("keras", backend.name(), "numpy")
    accelerators = backend.devices()
    return {
        "python": platform.python_version(),
        "packages": {name: _find_version(name) for name in names},
        "backend": backend.name(),
        "device": accelerators[0] if accelerators else "CPU",
        "processor": _find_processor(),
        "threads": _count_threads(),
        **_describe_arithmetic(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def revision():
    """Returns the commit that the code is of, and whether it is unchanged since.

    Returns:
        Dictionary of `commit` and `clean`, or `None` outside a repository of the package's own.
    """
    package = pathlib.Path(lightlayers.__file__).parent

    def git(*arguments):
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not the repository of something else
        changed = git("status", "--porcelain", "--", ".")
        return {"commit": git("rev-parse", "HEAD"), "clean": not changed}
    except (OSError, subprocess.CalledProcessError):
        return None


def _count_threads():
    variable = "NPROC" if backend.name() == "jax" else "TF_NUM_INTRAOP_THREADS"
    given = os.environ.get(variable, "")
    return int(given) if given.isdigit() and int(given) else processors.cores()


def _describe_arithmetic():
    """Returns what makes the same run come out a little otherwise."""
    found = {"floatx": backend.load().config.floatx()}
    if backend.name() == "tensorflow":
        # TensorFlow tells nobody else; where it moves, nothing is said.
        with contextlib.suppress(ImportError, AttributeError):
            from tensorflow.python.util import _pywrap_util_port

            found["onednn"] = bool(_pywrap_util_port.IsMklEnabled())
    return found


def _find_version(package):
    module = sys.modules[package]
    return getattr(module, "__version__", None) or importlib.metadata.version(package)


def _find_processor():
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
