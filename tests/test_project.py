"""The files around the package: what they pin, name and promise agrees."""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import setuptools
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lightlayers

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
MACHINES = {
    ("linux", "x86_64"): "tensorflow-cpu",
    ("linux", "aarch64"): "tensorflow",
    ("darwin", "arm64"): "tensorflow",
    ("win32", "AMD64"): "tensorflow-cpu",
}


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def applying(lines, extras=(), **environment):
    """The requirements among lines whose marker holds, as (name, extras)."""
    for requirement in map(Requirement, lines):
        environments = [{**environment, "extra": extra} for extra in ("", *extras)]
        if not requirement.marker or any(map(requirement.marker.evaluate, environments)):
            yield canonicalize_name(requirement.name), tuple(sorted(requirement.extras))


def pins():
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( *; .+)?", line)] == []
    found = [Requirement(line) for line in lines]
    return {r.name: r.specifier for r in found if not r.marker or r.marker.evaluate()}


def conda(name):
    environment = yaml.safe_load(read(name))
    *packages, last = environment["dependencies"]
    return environment["name"], packages, [shlex.split(line) for line in last["pip"]]


@pytest.mark.parametrize("machine", MACHINES, ids="-".join)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_one_tensorflow_on_every_machine(machine, python):
    names = {"python_version": python, "sys_platform": machine[0], "platform_machine": machine[1]}
    found = {
        extra: {name for name, _ in applying([*PROJECT["dependencies"], *lines], **names)}
        & {"tensorflow", "tensorflow-cpu"}
        for extra, lines in EXTRAS.items()
    }
    expected = {"cpu": {MACHINES[machine]}, "gpu": {"tensorflow"}}
    assert found == {extra: expected.get(extra, set()) for extra in EXTRAS}


def test_a_light_install_is_light():
    names = {name for name, _ in applying(PROJECT["dependencies"])}
    assert names == {"keras", "numpy", "pandas", "click"}


def test_the_extras_of_the_makefile_are_there():
    lists = re.findall(r"\.\[([a-z,]+)\]", read("Makefile") + read("README.md"))
    assert {"suite,cpu", "suite,cpu,jax,dask,export,test"} <= set(lists)
    assert {extra for each in lists for extra in each.split(",")} <= EXTRAS.keys()


def test_every_package_is_pinned_and_installed_so():
    pinned, seen = pins(), {}
    queue = [*applying([*PROJECT["dependencies"], *sum(EXTRAS.values(), [])])]
    while queue:
        name, extras = key = queue.pop()
        assert name in pinned, f"constraints.txt lacks {name}"
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # in an extra that is not installed here
        if key not in seen:
            seen[key] = found.version
            queue += applying(found.requires or [], extras)
    wrong = {name: version for (name, _), version in seen.items() if version not in pinned[name]}
    assert not wrong, "installed in other versions than constraints.txt has"
    assert len({"tensorflow", "tensorflow-cpu"} & {name for name, _ in seen}) <= 1


def test_conda_environments_are_twins():
    packages, pins = ["python=3.12", "pip"], ["-c", "constraints.txt"]
    for device, suffix in {"cpu": "", "gpu": "-gpu"}.items():
        pip = [pins, ["-e", f".[suite,{device}]"]]
        assert conda(f"environment{suffix}.yml") == (f"lightlayers{suffix}", packages, pip)
    assert {"suite", "cpu", "gpu"} <= EXTRAS.keys()
    assert "3.12" in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_pip_accepts_the_lines_of_the_conda_environment():
    # No network: everything is installed here, in the versions the lines ask for.
    offline = ["--dry-run", "--no-index", "--no-build-isolation"]
    lines = sum(conda("environment.yml")[2], [])
    command = [sys.executable, "-m", "pip", "install", *offline, *lines]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_every_folder_of_the_package_is_packaged():
    options = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["packages"]["find"]
    found = set(setuptools.find_packages(str(ROOT), **options))
    files = (ROOT / "lightlayers").rglob("*.py")
    assert found == {".".join(file.parent.relative_to(ROOT).parts) for file in files}


def test_the_paths_in_the_makefile_are_there():
    paths = re.findall(r"(?<![\w/])tests/[\w/.]+", read("Makefile"))
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_citation_and_licence():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License")
    paper = citation["preferred-citation"]
    assert {"type": "other", "value": "arXiv:2101.02268"} in paper["identifiers"]
    names = "Jha Yazidi Riegler Johansen Johansen Halvorsen"
    assert " ".join(author["family-names"] for author in paper["authors"]) == names


def test_one_version():
    newest, *released = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.M)
    assert newest == "Unreleased" and released[:1] in ([], [lightlayers.__version__])
    assert metadata.version("lightlayers") == lightlayers.__version__
    assert yaml.safe_load(read("CITATION.cff"))["version"] == lightlayers.__version__


def test_the_readme_names_what_is_run():
    readme = read("README.md")
    command = read(".ci/run").splitlines()[-1]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert command in {re.sub(r"\s+#.*", "", line).strip(" $") for line in readme.splitlines()}
    steps = yaml.safe_load(read(".github/workflows/tests.yml"))["jobs"]["test"]["steps"]
    assert command in {step.get("run") for step in steps}
    targets = set(re.findall(r"^([.a-z-]+):", read("Makefile"), re.M))
    assert set(re.findall(r"(?:^ *|`)make ([.a-z-]+)", readme, re.M)) <= targets


def test_the_oldest_keras_that_is_tested_is_the_least_that_is_installed():
    (keras,) = (each for each in map(Requirement, PROJECT["dependencies"]) if each.name == "keras")
    assert re.findall(r"keras==([\d.]+)", read("Makefile")) == [str(keras.specifier)[2:]]


def test_actions_are_pinned_by_commit():
    used = re.findall(r"uses: (.+)", read(".github/workflows/tests.yml"))
    assert (
        used and [x for x in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", x)] == []
    )


def test_tracked_files_are_small_and_name_no_machine():
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    files = [ROOT / name for name in tracked if (ROOT / name).is_file()]
    sizes = {str(file): file.stat().st_size for file in files}
    assert sum(sizes.values()) < 60e6
    assert {name: size for name, size in sizes.items() if size > 2e6} == {}
    place = re.compile(rb"://[^\s/]*pypi|extra[-]index|file:/{3}|(?<![\w/])/(home|root|Users)/\w")
    texts = {file: content for file in files if b"\0" not in (content := file.read_bytes())}
    assert {file.name: m[0] for file, text in texts.items() if (m := place.search(text))} == {}
