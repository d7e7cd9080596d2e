"""Whether this machine has what the suite needs, and what to do where it has not."""

import contextlib
import dataclasses
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lightlayers import datasets

GB = 1e9
# (digits, the CIFARs): measured peaks of one kernel; the four data sets and their copies.
MEMORY, DISK = (1.0 * GB, 1.6 * GB), (0.1 * GB, 1.0 * GB)
_CACHED = {  # what keras.datasets leaves in its cache
    "mnist": "mnist.npz",
    "fashion_mnist": "fashion-mnist/t10k-labels-idx1-ubyte.gz",  # the last of four
    "cifar10": "cifar-10-batches-py*",
    "cifar100": "cifar-100-python*",
}
_PROBE = """
from lightlayers import backend
keras = backend.load()
if backend.name() not in ("tensorflow", "jax"):
    raise ImportError(f"expected tensorflow or jax. Received: {backend.name()}")
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


def _python():
    expected = metadata.metadata("lightlayers")["Requires-Python"]
    fits = platform.python_version() in SpecifierSet(expected, prereleases=True)
    what = f"Python {platform.python_version()} (expected {expected})"
    remedy = "Make an environment with such a Python: make PYTHON=/path/to/one"
    yield Finding("OK", what) if fits else Finding("WRONG", what, remedy)


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages():
    by_extra = {}
    extras = metadata.metadata("lightlayers").get_all("Provides-Extra") or ()
    for requirement in map(Requirement, metadata.requires("lightlayers")):
        for extra in ("", *extras):
            if not requirement.marker or requirement.marker.evaluate({"extra": extra}):
                by_extra.setdefault(extra, []).append(requirement)
                break
    for extra, needed in by_extra.items():
        found = {each: _version(each.name) for each in needed}
        good = True
        for each, version in found.items():
            wanted = f"{each.name}{each.specifier}"
            if version and not each.specifier.contains(version, prereleases=True):
                what = f"package {each.name} {version} (expected {each.specifier})"
            elif not version and not extra:
                what = f"package {each.name} is not installed (expected {each.specifier})"
            else:
                continue
            good = False
            yield Finding("WRONG", what, f"Run: pip install '{wanted}'")
        if good and all(found.values()):
            kind = f"extra {extra}" if extra else "packages"
            yield Finding("OK", f"{kind}: {', '.join(f'{e.name} {v}' for e, v in found.items())}")
        elif good and extra not in ("cpu", "gpu"):  # of these one is enough: see the backend
            yield Finding("ABSENT", f"extra {extra}", f"Run: pip install -e '.[{extra}]'")


def _backend():
    chosen = os.environ.get("KERAS_BACKEND", "as Keras has it configured")
    # In a process of its own: a library built for another processor ends the one that imports it.
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True)
    lines = (done.stdout if not done.returncode else done.stderr).strip().splitlines()
    last = lines[-1] if lines else f"its import ended with status {done.returncode}"
    if not done.returncode:
        yield Finding("OK", f"backend: {last}")
        return
    remedy = "Run: pip install -e '.[cpu]' (or gpu, jax), and set KERAS_BACKEND to match"
    yield Finding("WRONG", f"backend (KERAS_BACKEND: {chosen}): {last}", remedy)


def _data():
    try:
        datasets.load("digits")
        yield Finding("OK", "data: digits, embedded in scikit-learn")
    except (ImportError, datasets.DataError) as error:
        yield Finding("WRONG", f"data: digits ({error})", "Run: pip install scikit-learn")
    folder = os.environ.get(datasets.VARIABLE)
    if folder and not pathlib.Path(folder).is_dir():
        what = f"data: {datasets.VARIABLE}={folder} is no folder"
        yield Finding("WRONG", what, f"Run: lightlayers data export {folder}")
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    for name, pattern in _CACHED.items():
        file = pathlib.Path(folder, f"{name}.npz") if folder else None
        if file and file.exists():
            keys = set()
            with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(file) as archive:
                keys = {pathlib.Path(each).stem for each in archive.namelist()}
            if keys >= set(datasets.KEYS):
                yield Finding("OK", f"data: {name}, {file}")
            else:
                remedy = "Delete it, then run: lightlayers data export DIR --names " + name
                yield Finding("WRONG", f"data: {file} is damaged", remedy)
        elif any(pathlib.Path(home, "datasets").glob(pattern)):
            yield Finding("OK", f"data: {name}, in Keras' cache")
        else:
            remedy = (
                f"It is downloaded when it is first used: lightlayers data check --names {name}"
            )
            yield Finding("ABSENT", f"data: {name}", remedy)


def _kernels():
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    known = manager.find_kernel_specs()
    if "python3" not in known:
        remedy = "Run: python -m ipykernel install --sys-prefix"
        yield Finding("WRONG", "kernel python3", remedy)
    else:
        try:
            program = pathlib.Path(manager.get_kernel_spec("python3").argv[0])
        except (ValueError, LookupError) as error:
            what = f"kernel python3: {known['python3']}/kernel.json can't be read ({error})"
            yield Finding(
                "WRONG", what, "Remove it, then: python -m ipykernel install --sys-prefix"
            )
            program = None
        # Jupyter takes a bare name for its own Python; a path may be of another environment.
        if (
            program
            and program.is_absolute()
            and program.parent != pathlib.Path(sys.executable).parent
        ):
            remedy = f"Remove {known['python3']}: it hides the one of this environment"
            yield Finding("WRONG", f"kernel python3 starts {program}", remedy)
        elif program:
            yield Finding("OK", "kernel python3")
    for name in ("lightlayers-cpu", "lightlayers-gpu"):
        if name in known:
            yield Finding("OK", f"kernel {name}")
        else:
            yield Finding("ABSENT", f"kernel {name}", "Run: lightlayers kernels")


def _space(what, free, needs, remedy):
    digits, cifar = needs
    what = f"{what}: {free / GB:.1f} GB free"
    if free >= cifar:
        return Finding("OK", what)
    if free >= digits:
        return Finding("ABSENT", f"{what}, enough for digits; CIFAR takes {cifar / GB:.1f}", remedy)
    return Finding("WRONG", f"{what}, even digits takes {digits / GB:.1f}", remedy)


def _places(outputs):
    folder = pathlib.Path(outputs).resolve()
    try:
        folder = next(each for each in (folder, *folder.parents) if each.exists())
        with tempfile.TemporaryFile(dir=folder):
            yield Finding("OK", f"outputs: {outputs} can be written")
        free = shutil.disk_usage(folder).free
        yield _space("disk", free, DISK, "Make room, or choose another folder with --outputs")
    except OSError as error:
        what = f"outputs: {outputs} can't be written ({error.strerror})"
        yield Finding("WRONG", what, "Choose another folder with --outputs")
    yield _space("memory", _memory(), MEMORY, "Close other programs and take --workers 1")


def _memory():
    import psutil

    free = psutil.virtual_memory().available
    # In a container, as on Binder, the machine's memory is not ours.
    limit = pathlib.Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text))
    return free


def diagnose(outputs):
    """Looks at everything the suite needs; downloads and writes nothing.

    Args:
        outputs: Path of the outputs folder, which need not exist.

    Returns:
        Iterator of `Finding`. One that is WRONG hinders reading the notebooks and
        training digits, or is present and broken; one that is ABSENT hinders neither.
    """
    for check in (_python, _packages, _backend, _data, _kernels, lambda: _places(outputs)):
        try:
            yield from check()
        except metadata.PackageNotFoundError as error:
            name = f"package {error.name} is not installed"
            yield Finding("WRONG", name, "Run in its folder: pip install -e '.[cpu]'")
        except ImportError as error:
            yield Finding("WRONG", str(error), "Run in its folder: pip install -e '.[cpu]'")
