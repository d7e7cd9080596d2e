"""Whether this machine has what the suite needs, and what to do where it has not."""

import dataclasses
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata

# Keras brings it: the doctor has to run where the suite's packages are not installed.
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lightlayers.suite import datasets

GB = 1e9
# (digits, the CIFARs): measured peaks of one kernel; the four data sets and their copies.
MEMORY, DISK = (1.0 * GB, 1.6 * GB), (0.1 * GB, 1.0 * GB)
INSTALL = "Run in its folder: pip install -e '.[cpu]'"
INSTALL_SUITE = "Run: pip install 'lightlayers[suite]'"
INSTALL_KERNEL = "python -m ipykernel install --sys-prefix"
CACHED = {  # what keras.datasets leaves in its cache
    "mnist": "mnist.npz",
    "fashion_mnist": "fashion-mnist/t10k-labels-idx1-ubyte.gz",  # the last of four
    "cifar10": "cifar-10-batches-py*",
    "cifar100": "cifar-100-python*",
}
PROBE = """
from lightlayers.suite import backend
keras = backend.load()
backend.check_device()
print(f"{backend.name()} below Keras {keras.__version__}, on", *backend.devices() or ["the CPU"])
"""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the diagnosis: OK, ABSENT (optional) or WRONG, with what to do about it."""

    state: str
    what: str
    remedy: str = ""

    def __str__(self):
        return f"{self.state:6} {self.what}" + (f". {self.remedy}" if self.remedy else "")


def check_python():
    """Yields whether the version of Python is one that the package expects."""
    expected = metadata.metadata("lightlayers")["Requires-Python"]
    what = f"Python {platform.python_version()} (expected {expected})"
    if platform.python_version() in SpecifierSet(expected, prereleases=True):
        yield Finding("OK", what)
    else:
        yield Finding(
            "WRONG", what, "Make an environment with such a Python: make PYTHON=/path/to/one"
        )


def _requirements_by_extra():
    """Returns a dictionary from an extra, or "" for what is always needed, to requirements."""
    extras = metadata.metadata("lightlayers").get_all("Provides-Extra") or ()
    by_extra = {}
    for requirement in map(Requirement, metadata.requires("lightlayers")):
        for extra in ("", *extras):
            if not requirement.marker or requirement.marker.evaluate({"extra": extra}):
                by_extra.setdefault(extra, []).append(requirement)
                break
    return by_extra


def _find_version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _check_version(requirement, version, optional):
    """Returns what is wrong with the version of one package, or `None`."""
    name, expected = requirement.name, requirement.specifier
    if version and not expected.contains(version, prereleases=True):
        what = f"package {name} {version} (expected {expected})"
    elif not version and not optional:
        what = f"package {name} is not installed (expected {expected})"
    else:
        return None
    return Finding("WRONG", what, f"Run: pip install '{name}{expected}'")


def _describe_absent(extra, absent):
    """Yields what to say of an extra of which packages are not installed."""
    if extra == "suite":
        what = f"extra suite, which trainings and notebooks need, lacks {', '.join(absent)}"
        yield Finding("WRONG", what, INSTALL_SUITE)
    elif extra not in ("cpu", "gpu"):  # one backend is enough: see `check_backend`
        yield Finding("ABSENT", f"extra {extra}", f"Run: pip install -e '.[{extra}]'")


def check_packages():
    """Yields for the packages and each extra whether they are installed in the right versions."""
    for extra, requirements in _requirements_by_extra().items():
        versions = {each.name: _find_version(each.name) for each in requirements}
        wrong = [
            finding
            for each in requirements
            if (finding := _check_version(each, versions[each.name], optional=bool(extra)))
        ]
        absent = [name for name, version in versions.items() if not version]
        yield from wrong
        if absent and (not wrong or extra == "suite"):
            yield from _describe_absent(extra, absent)
        elif not wrong:
            kind = f"extra {extra}" if extra else "packages"
            found = ", ".join(f"{name} {version}" for name, version in versions.items())
            yield Finding("OK", f"{kind}: {found}")


def check_backend():
    """Yields whether Keras and its backend can be imported, and what they run on."""
    chosen = os.environ.get("KERAS_BACKEND", "as Keras has it configured")
    # In a process of its own: a library built for another processor ends the one that imports it.
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    last = lines[-1] if lines else f"its import ended with status {done.returncode}"
    if not done.returncode:
        yield Finding("OK", f"backend: {last}")
        return
    remedy = "Run: pip install -e '.[cpu]' (or gpu, jax), and set KERAS_BACKEND to match"
    yield Finding("WRONG", f"backend (KERAS_BACKEND: {chosen}): {last}", remedy)


def check_data():
    """Yields for each data set whether it is on this machine. None is downloaded."""
    try:
        datasets.load("digits")
        yield Finding("OK", "data: digits, embedded in scikit-learn")
    except ImportError as error:
        yield Finding("WRONG", f"data: digits ({error})", INSTALL_SUITE)
    except datasets.DataError as error:
        yield Finding("WRONG", f"data: digits ({error})", "Run: pip install scikit-learn")
    folder = os.environ.get(datasets.VARIABLE)
    if folder and not pathlib.Path(folder).is_dir():
        what = f"data: {datasets.VARIABLE}={folder} is no folder"
        yield Finding("WRONG", what, f"Run: lightlayers data export {folder}")
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    for name, pattern in CACHED.items():
        file = pathlib.Path(folder, f"{name}.npz") if folder else None
        if file and file.exists():
            yield _check_file(name, file)
        elif any(pathlib.Path(home, "datasets").glob(pattern)):
            yield Finding("OK", f"data: {name}, in Keras' cache")
        else:
            command = f"lightlayers data check --names {name}"
            remedy = f"It is downloaded when it is first used: {command}"
            yield Finding("ABSENT", f"data: {name}", remedy)


def _check_file(name, file):
    """Returns whether a NAME.npz is the data set, as `lightlayers data check` does."""
    try:
        datasets.load(name)
    except datasets.DataError as error:
        return Finding("WRONG", f"data: {error}")
    return Finding("OK", f"data: {name}, {file}")


def check_kernels():
    """Yields whether Jupyter knows a kernel of this environment, and the suite's own."""
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    known = manager.find_kernel_specs()
    if "python3" in known:
        yield _check_python_kernel(manager, known["python3"])
    else:
        yield Finding("WRONG", "kernel python3", f"Run: {INSTALL_KERNEL}")
    for name in ("lightlayers-cpu", "lightlayers-gpu"):
        if name in known:
            yield Finding("OK", f"kernel {name}")
        else:
            yield Finding("ABSENT", f"kernel {name}", "Run: lightlayers kernels")


def _check_python_kernel(manager, folder):
    try:
        program = pathlib.Path(manager.get_kernel_spec("python3").argv[0])
    except (ValueError, LookupError) as error:
        what = f"kernel python3: {folder}/kernel.json can't be read ({error})"
        return Finding("WRONG", what, f"Remove it, then: {INSTALL_KERNEL}")
    # Jupyter takes a bare name for its own Python; a path may be of another environment.
    if program.is_absolute() and program.parent != pathlib.Path(sys.executable).parent:
        remedy = f"Remove {folder}: it hides the one of this environment"
        return Finding("WRONG", f"kernel python3 starts {program}", remedy)
    return Finding("OK", "kernel python3")


def _check_space(what, free, needs, remedy):
    """Returns whether free bytes are enough for digits, and for CIFAR."""
    digits, cifar = needs
    what = f"{what}: {free / GB:.1f} GB free"
    if free >= cifar:
        return Finding("OK", what)
    if free >= digits:
        return Finding("ABSENT", f"{what}, enough for digits; CIFAR takes {cifar / GB:.1f}", remedy)
    return Finding("WRONG", f"{what}, even digits takes {digits / GB:.1f}", remedy)


def check_places(store):
    """Yields whether the outputs can be written, and whether disk and memory are large enough.

    Args:
        store: `Store`, whose folder need not exist.
    """
    outputs = store.outputs
    folder = outputs.resolve()
    try:
        folder = next(each for each in (folder, *folder.parents) if each.exists())
        with tempfile.TemporaryFile(dir=folder):
            yield Finding("OK", f"outputs: {outputs} can be written")
        free = shutil.disk_usage(folder).free
        yield _check_space("disk", free, DISK, "Make room, or choose another folder with --outputs")
    except OSError as error:
        what = f"outputs: {outputs} can't be written ({error.strerror})"
        yield Finding("WRONG", what, "Choose another folder with --outputs")
    free = free_memory()
    if free is None:
        yield Finding("ABSENT", "memory: unknown without the package psutil", INSTALL_SUITE)
    else:
        remedy = "Close other programs and take --workers 1"
        yield _check_space("memory", free, MEMORY, remedy)


def free_memory():
    """Returns the free memory in bytes, or `None` where no package tells it."""
    try:
        import psutil
    except ImportError:
        return None
    free = psutil.virtual_memory().available
    # In a container, as on Binder, the machine's memory is not ours.
    limit = pathlib.Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text(encoding="utf-8").strip()).isdigit():
        free = min(free, int(text))
    return free


def diagnose(store):
    """Looks at everything the suite needs; downloads and writes nothing.

    Args:
        store: `Store`, whose folder need not exist.

    Returns:
        Iterator of `Finding`. One that is WRONG hinders reading the notebooks and
        training digits, or is present and broken; one that is ABSENT hinders neither.
    """
    checks = [check_python, check_packages, check_backend, check_data, check_kernels]
    for check in (*checks, lambda: check_places(store)):
        try:
            yield from check()
        except metadata.PackageNotFoundError as error:
            yield Finding("WRONG", f"package {error.name} is not installed", INSTALL)
        except ImportError as error:
            yield Finding("WRONG", str(error), INSTALL_SUITE)
