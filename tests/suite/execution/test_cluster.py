"""A Dask cluster, its workers and scheduler lost, and what a worker refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import psutil
import pytest
from suite.execution import stand_in
from suite.execution.faults import ONCE, ROOT, ROW, plant, records, started, wait_for

import lightlayers
from lightlayers.suite import datasets, plans
from lightlayers.suite.execution import cluster as on_cluster
from lightlayers.suite.execution import notebooks
from lightlayers.suite.execution.jobs import Job
from lightlayers.suite.processors import SINGLE_THREADED
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store, read_record

pytest.importorskip("distributed")


class Cluster:
    """A real Dask scheduler and workers, each in an empty folder of its own."""

    def __init__(self, folder, workers, quick=True):
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        self.start("scheduler", "--port", "0", "--scheduler-file", self.file, "--no-dashboard")
        # It is there before it is written.
        wait_for(lambda: self.file.exists() and self.file.read_text().strip().endswith("}"), 30)
        self.address = json.loads(self.file.read_text())["address"]
        self.preload = ["--preload", stand_in.FILE] if quick else []
        self.workers = [self.worker(i) for i in range(workers)]

    def start(self, kind, *arguments, cwd=None):
        module = f"distributed.cli.dask_{kind}"
        command = [sys.executable, "-m", module, *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=cwd or self.folder,
            env=os.environ | {"TMPDIR": str(cwd or self.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def worker(self, i):
        folder = self.folder / f"worker{i}"
        folder.mkdir()
        options = [
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            folder,
            *self.preload,
        ]
        return self.start("worker", self.address, *options, cwd=folder)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def start_cluster(tmp_path_factory):
    """Starts a cluster, of which nothing is left after the test."""
    begun = []

    def start(workers, quick=True):
        begun.append(Cluster(tmp_path_factory.mktemp("cluster"), workers, quick))
        return begun[-1]

    yield start
    for cluster in begun:
        cluster.stop()


# Tells that a training has begun, and lets it wait.
HOLDING = """
import pathlib
folder = pathlib.Path({folder!r})
with open(folder / "held", "a") as file:
    file.write(str(seeds) + chr(10))
while not (folder / "go").exists():
    time.sleep(0.05)
"""


def hold(folder):
    plant(folder, HOLDING.format(folder=str(folder)))


def held(folder):
    """How many trainings have begun to wait."""
    file = folder / "held"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_lost_worker_costs_its_run_which_another_trains(folder, start_cluster):
    cluster = start_cluster(workers=2)
    hold(folder)
    choice = [*ROW, "--seeds", "1,2", "--epochs", "1", "--scheduler", cluster.address]
    process = started(folder, *choice)
    wait_for(lambda: held(folder) == 2)
    os.killpg(cluster.workers[0].pid, signal.SIGKILL)
    wait_for(lambda: cluster.workers[0].poll() is not None)
    (folder / "go").touch()
    assert process.wait(timeout=200) == 0, (folder / "log").read_text()
    assert [read_record(file)["run"]["seed"] for file in sorted(records(folder))] == [1, 2]
    assert held(folder) == 4  # of them one for the table


def test_scheduler_gone(folder, start_cluster):
    cluster = start_cluster(workers=1)
    hold(folder)
    choice = [*ROW, "--seeds", "1,2", "--epochs", "1", "--scheduler", cluster.address]
    process = started(folder, *choice)
    wait_for(lambda: held(folder) == 1)
    cluster.stop()
    assert process.wait(timeout=120) == 1
    text = (folder / "log").read_text()
    assert text.count("failed: digits-separableconv2d: ") == 2 and "Traceback" not in text


def test_a_worker_trains_by_the_notebook_as_this_machine_does(
    folder, start_cluster, reproduce, monkeypatch
):
    """With a kernel; the worker comes after the command has begun."""
    told = folder / "told.json"
    plant(folder, f"import json, os; json.dump(dict(os.environ), open({str(told)!r}, 'w'))")
    cluster = start_cluster(workers=0, quick=False)
    monkeypatch.setattr(notebooks, "render", lambda *_: "executed")
    threading.Timer(1, cluster.worker, [0]).start()
    done = reproduce(*ONCE, "--scheduler", cluster.address)
    assert done.returncode == 0, done.stdout
    assert f"no worker yet. To start one: dask worker {cluster.address}" in done.stdout
    (there,) = records(folder).values()
    assert SINGLE_THREADED.items() <= json.loads(told.read_text()).items()
    shutil.rmtree(folder / "outputs")
    assert reproduce(*ONCE).returncode == 0
    (here,) = records(folder).values()
    there, here = json.loads(there), json.loads(here)
    for name in ("started", "digest"):  # the one holds the other
        assert there.pop(name) != here.pop(name)
    assert there == here


def test_a_worker_stops_when_its_client_does(folder, start_cluster):
    cluster = start_cluster(workers=1)
    hold(folder)
    for count, signal_ in enumerate((signal.SIGINT, signal.SIGKILL), 1):
        process = started(folder, *ONCE, "--scheduler", cluster.address)
        wait_for(lambda count=count: held(folder) == count)
        training = psutil.Process(cluster.workers[0].pid).children(recursive=True)
        assert training
        process.send_signal(signal_)
        assert process.wait(timeout=30) == (130 if signal_ == signal.SIGINT else -9)
        if signal_ == signal.SIGINT:
            assert "What is finished is kept" in (folder / "log").read_text()
        assert not psutil.wait_procs(training, timeout=20)[1]
        assert cluster.workers[0].poll() is None


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


def stored_record(seed):
    (record,) = Store(ROOT / "outputs").read(plans.plan("digits", ["conv2d"], [seed]))[0].values()
    return record


ASKED, OTHER = stored_record(1), stored_record(2)


@pytest.mark.parametrize(
    ("records", "error", "expected"),
    [
        ([ASKED], "", ""),
        ([ASKED], "lost", "lost"),
        ([], "", "no good record of seed 1"),
        ([OTHER], "", "no good record of seed 1"),
        ([ASKED | {"id": OTHER["id"]}], "", "no good record of seed 1"),
        ([ASKED | {"test": {"accuracy": 17.5}}], "", "no good record of seed 1"),
        ([ASKED, OTHER], "", "records of other runs, which are not kept"),
    ],
)
def test_only_the_records_that_a_job_asks_for_are_kept(tmp_path, records, error, expected):
    store = Store(tmp_path)
    stored = [store.write(record | {"seconds": 1.0}) for record in (ASKED, OTHER)]
    before = [file.read_bytes() for file in stored]
    job = Job(plans.plan("digits", ["conv2d"], [1]))
    on_cluster.receive(job, {"records": records, "error": error}, store)
    assert expected in job.error and bool(expected) == bool(job.error)
    after = [file.read_bytes() for file in stored]
    assert after[1] == before[1]
    assert (after[0] != before[0]) == (ASKED in records)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("foo", "missing port number in address 'foo'"),
        ("http://here:1", "unknown address scheme 'http'"),
        ("tcp://127.0.0.1:9", "Timed out trying to connect to tcp://127.0.0.1:9"),
        ("tls://127.0.0.1:9", "perhaps check your TLS configuration"),
    ],
)
def test_no_scheduler_there(folder, reproduce, monkeypatch, address, reason):
    monkeypatch.setattr(on_cluster, "TIMEOUT", 0.5)
    done = reproduce(*ONCE, "--scheduler", address)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "No Dask scheduler answers" in done.stderr and f"--scheduler {address}" in done.stderr
    assert reason in done.stderr
