"""The diagnosis of a machine: each planted fault is found, named and given a remedy."""

import collections
import dataclasses
import json
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from lightlayers import cli
from lightlayers.suite import datasets, doctor
from lightlayers.suite.store import Store


def states(check, *arguments):
    return {finding.what: finding.state for finding in check(*arguments)}


def only_wrong(check, *arguments):
    (finding,) = [each for each in check(*arguments) if each.state == "WRONG"]
    return str(finding)


@pytest.fixture
def nothing_wrong(monkeypatch):
    """Only the quick checks: the packages, outputs, disk and memory of this machine."""
    for name in ("check_backend", "check_data", "check_kernels"):
        monkeypatch.setattr(doctor, name, lambda: ())


def test_a_good_machine_is_status_0_and_a_fault_status_1(
    nothing_wrong, tmp_path, capsys, monkeypatch
):
    assert cli.main(["doctor", "--outputs", str(tmp_path / "a" / "b")]) == 0
    said = capsys.readouterr().out
    assert "OK     packages: keras " in said and "WRONG" not in said
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.1")
    assert cli.main(["doctor", "--outputs", str(tmp_path)]) == 1
    assert "WRONG  Python 3.9.1 (expected " in capsys.readouterr().out


def test_old_and_missing_packages(monkeypatch):
    known = doctor.metadata.version
    planted = {"keras": "3.9.2", "pandas": None, "distributed": None, "jax": "0.4.0"}

    def version(name):
        if planted.get(name, "") is None:
            raise doctor.metadata.PackageNotFoundError(name)
        return planted.get(name) or known(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    said = [str(finding) for finding in doctor.check_packages()]
    assert any("WRONG  package keras 3.9.2 (expected >=3." in line for line in said)
    assert any(
        "pandas is not installed" in line and "pip install 'pandas>=" in line for line in said
    )
    assert any("WRONG  package jax 0.4.0" in line for line in said)
    assert "ABSENT extra dask. Run: pip install -e '.[dask]'" in said
    assert not any(line.startswith("OK     packages") for line in said)


def test_the_package_itself_not_installed(monkeypatch, nothing_wrong, tmp_path):
    def absent(name):
        raise doctor.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "metadata", absent)
    said = {str(finding) for finding in doctor.diagnose(Store(tmp_path))}
    assert "package lightlayers is not installed. Run in its folder" in " ".join(said)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "OK     backend: tensorflow below Keras "),
        ({"KERAS_BACKEND": "numpy"}, "expected tensorflow or jax. Received: numpy"),
        ({"LIGHTLAYERS_DEVICE": "gpu", "CUDA_VISIBLE_DEVICES": "-1"}, "WRONG  backend .* GPU"),
    ],
)
def test_backend(monkeypatch, environment, expected):
    for name, value in ({"KERAS_BACKEND": "tensorflow"} | environment).items():
        monkeypatch.setenv(name, value)
    (finding,) = doctor.check_backend()
    assert re.search(expected, str(finding)), finding


def test_a_backend_that_dies_at_its_import(monkeypatch):
    monkeypatch.setattr(
        doctor, "PROBE", "import os; os.kill(os.getpid(), 4)"
    )  # illegal instruction
    assert "ended with status -4" in only_wrong(doctor.check_backend)


def test_data_sets_present_absent_and_wrong(monkeypatch, tmp_path):
    """What is there is read, so that it is judged as trainings and `data check` do."""
    folder, home = tmp_path / "data", tmp_path / "keras"
    (home / "datasets" / "cifar-10-batches-py-target").mkdir(parents=True)
    folder.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setenv(datasets.VARIABLE, str(folder))
    datasets.load.cache_clear()
    data = datasets.load("digits")
    digits = {key: getattr(data, key) for key in datasets.KEYS}
    known = datasets.get("digits")
    monkeypatch.setitem(datasets.DATASETS, "mnist", dataclasses.replace(known, name="mnist"))
    np.savez(folder / "mnist.npz", **digits)
    np.savez(folder / "fashion_mnist.npz", **digits)
    found = states(doctor.check_data)
    (wrong,) = [what for what, state in found.items() if state == "WRONG"]
    assert f"{folder / 'fashion_mnist.npz'} is not the fashion_mnist" in wrong
    assert "Move it away, then run: lightlayers data export DIR --names fashion_mnist" in wrong
    assert [state for what, state in found.items() if what != wrong] == ["OK", "OK", "OK", "ABSENT"]
    assert f"data: mnist, {folder / 'mnist.npz'}" in found
    (folder / "fashion_mnist.npz").unlink()
    (folder / "mnist.npz").write_bytes((folder / "mnist.npz").read_bytes()[:9000])
    datasets.load.cache_clear()
    assert "mnist.npz can't be read as an .npz file" in only_wrong(doctor.check_data)
    monkeypatch.setenv(datasets.VARIABLE, str(tmp_path / "nowhere"))
    assert "LIGHTLAYERS_DATA" in only_wrong(doctor.check_data)
    datasets.load.cache_clear()


def test_kernels(monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    known = states(doctor.check_kernels)
    assert known["kernel python3"] == "OK"
    for name, program in (("lightlayers-cpu", "python"), ("python3", "/opt/other/bin/python")):
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        spec = {"argv": [program, "-m", "ipykernel"], "display_name": name, "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))
    assert states(doctor.check_kernels)["kernel lightlayers-cpu"] == "OK"
    assert "starts /opt/other/bin/python" in only_wrong(doctor.check_kernels)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text("{damaged")
    assert "python3/kernel.json can't be read" in only_wrong(doctor.check_kernels)


def test_a_read_only_folder(closed):
    outputs, first = closed
    code = f"from lightlayers.suite import doctor, store; import psutil\n{first}"
    code += f"print(*doctor.check_places(store.Store({str(outputs)!r})), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "can't be written (Permission denied). Choose another" in done.stdout, done.stderr


def test_a_full_disk_and_little_memory(monkeypatch, tmp_path):
    usage = collections.namedtuple("usage", "free")
    monkeypatch.setattr(doctor, "free_memory", lambda: 1.2e9)
    for free, state in ((5e6, "WRONG"), (5e8, "ABSENT"), (5e9, "OK")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, free=free: usage(free))
        outputs, disk, memory = doctor.check_places(Store(tmp_path))
        assert (outputs.state, disk.state, memory.state) == ("OK", state, "ABSENT")
    assert "CIFAR takes 1.6" in memory.what


@pytest.fixture
def light_install(monkeypatch):
    """The packages that `pip install lightlayers` brings, without those of the suite."""
    needed = ["keras>=3.10", "rich>=13; extra == 'suite'", "filelock>=3.16; extra == 'suite'"]
    extras = {"Provides-Extra": ["suite"]}
    known = doctor.metadata.version

    def version(name):
        if name in ("rich", "filelock"):
            raise doctor.metadata.PackageNotFoundError(name)
        return known(name)

    told = types.SimpleNamespace(get_all=extras.get)
    monkeypatch.setattr(doctor.metadata, "metadata", lambda name: told)
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: needed)
    monkeypatch.setattr(doctor.metadata, "version", version)


def test_the_suite_that_is_not_installed_is_wrong(light_install):
    packages, suite = doctor.check_packages()
    assert str(packages).startswith("OK     packages: keras ")
    assert suite.state == "WRONG" and "lacks rich, filelock" in suite.what
    assert suite.remedy == "Run: pip install 'lightlayers[suite]'"


def test_the_doctor_runs_without_the_suites_packages(monkeypatch, tmp_path):
    for name in ("psutil", "jupyter_client", "jupyter_client.kernelspec", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    datasets.load.cache_clear()
    monkeypatch.setattr(doctor, "check_backend", lambda: ())
    said = "\n".join(map(str, doctor.diagnose(Store(tmp_path))))
    assert "ABSENT memory: unknown" in said
    assert re.search(r"WRONG  .*jupyter_client.*pip install 'lightlayers\[suite\]'", said)
    assert re.search(r"WRONG  data: digits.*pip install 'lightlayers\[suite\]'", said)
