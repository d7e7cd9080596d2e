"""A Dask cluster, its workers and scheduler lost, and what a worker refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from suite.execution.faults import (
    ROW,
    begun,
    plant,
    records,
    reproduce,
    slim,
    started,
    wait_for,
)

import lightlayers
from lightlayers.suite import datasets
from lightlayers.suite.execution import cluster as on_cluster
from lightlayers.suite.runs import Run
from lightlayers.suite.store import read_record

pytest.importorskip("distributed")


class Cluster:
    """A real Dask scheduler and workers, each in an empty folder of its own."""

    def __init__(self, folder, workers=2):
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        self.start("scheduler", "--port", "0", "--scheduler-file", self.file, "--no-dashboard")
        # It is there before it is written.
        wait_for(lambda: self.file.exists() and self.file.read_text().strip().endswith("}"), 30)
        self.address = json.loads(self.file.read_text())["address"]
        self.workers = [self.worker(i) for i in range(workers)]

    def start(self, kind, *arguments, cwd=None):
        module = f"distributed.cli.dask_{kind}"
        command = [sys.executable, "-m", module, *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=cwd or self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def worker(self, i):
        folder = self.folder / f"worker{i}"
        folder.mkdir()
        options = ["--nthreads", "1", "--no-dashboard", "--local-directory", folder]
        return self.start("worker", self.address, *options, cwd=folder)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


def test_cluster_gives_what_this_machine_gives_and_survives_a_lost_worker(folder, cluster):
    # Here the training is real: what a worker computes must be what this machine computes.
    slim(folder)
    plant(folder, f"open({str(folder / 'trained')!r}, 'a').write(str(planned) + chr(10))")
    choice = ["--rows", "lightlayers-1", "--limit", "64", "--seeds", "1,2", "--epochs", "1"]
    process = started(folder, *choice, "--scheduler", cluster.address)
    # Kill one worker, nanny and all, while it trains.
    wait_for(lambda: begun(folder) == 2)
    os.killpg(cluster.workers[0].pid, signal.SIGKILL)
    assert process.wait(timeout=200) == 0, (folder / "log").read_text()
    there = {file.name: read_record(file) for file in records(folder)}
    assert len(there) == 2
    shutil.rmtree(folder / "outputs")
    assert reproduce(folder, *choice).returncode == 0
    here = {file.name: read_record(file) for file in records(folder)}
    assert here.keys() == there.keys()
    for name, record in here.items():
        assert record["history"]["loss"] == there[name]["history"]["loss"]
        assert record["test"] == there[name]["test"]


def test_scheduler_gone(folder, cluster):
    choice = [*ROW, "--seeds", "1,2,3", "--scheduler", cluster.address]
    process = started(folder, *choice, "--epochs", "100000")
    wait_for(lambda: begun(folder) == 2)
    cluster.stop()
    assert process.wait(timeout=120) == 1
    text = (folder / "log").read_text()
    assert text.count("failed: digits-separableconv2d: ") == 3 and "Traceback" not in text
    assert reproduce(folder, *choice, "--epochs", "1").returncode == 2
    assert reproduce(folder, *choice[:-2], "--epochs", "1").returncode == 0


def test_interrupted_cluster(folder, cluster):
    choice = [*ROW, "--seeds", "1,2,3", "--epochs", "100000", "--scheduler", cluster.address]
    process = started(folder, *choice)
    wait_for(lambda: begun(folder) == 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert "What is finished is kept" in (folder / "log").read_text()


def test_a_worker_with_another_version_of_a_recipe_trains_nothing():
    run = Run("digits", "conv2d")
    job = {
        "version": lightlayers.__version__,
        "fingerprint": datasets.get("digits").fingerprint,
        "runs": [run.to_record()],
        "ids": ["0123456789ab"],
    }
    found = on_cluster.train_remotely(job)
    assert not found["records"] and "another version of recipe 'paper'" in found["error"]


def test_no_scheduler_there(folder):
    done = reproduce(folder, *ROW, "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == 2
    assert "No Dask scheduler answers" in done.stderr and "tcp://127.0.0.1:9" in done.stderr
