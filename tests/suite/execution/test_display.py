"""What a running command shows."""

import io
import json
import time

import pytest

from lightlayers.suite import plans
from lightlayers.suite.execution import display
from lightlayers.suite.execution.jobs import Job


def test_display_tells_what_remains(tmp_path, monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    planned = plans.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    jobs = [Job(planned[:2]), Job(planned[2:])]
    view = display.Display(live=False)
    with view.show(jobs, {}, planned, [], workers=1):
        view.tell_start(jobs[0])
        view.progress_file(jobs[0]).write_text(
            json.dumps({"id": planned[1].id, "epoch": 3, "epochs": 40})
        )
        text = "\n".join(map(str, view.view().renderables))
        assert "0/4 runs done, 2 running, 2 waiting, 0 failed" in text
        assert "digits-conv2d: seed 2, epoch 3 of 40" in text
        now[0] += 60
        jobs[0].trained = 48.0
        view.tell_end(jobs[0])
        jobs[1].error = "lost"
        view.tell_end(jobs[1])
    said = capsys.readouterr().out
    assert "2/4 runs done, 0 running, 2 waiting, 0 failed · 1:00 so far, about 1:00 left" in said
    assert "FAILED digits-lightlayers-1: lost" in said
    assert "Papermill, kernel start and imports took 12 s a job" in said


class Ended(io.RawIOBase):
    """What stdout writes to where its disk is full, or nobody reads any more."""

    def writable(self):
        return True

    def write(self, data):
        raise OSError("planted")


@pytest.mark.parametrize("fault", ["ended", "closed", "ascii"])
@pytest.mark.parametrize("live", [True, False])
def test_a_broken_stdout_costs_no_run(monkeypatch, capsys, fault, live):
    raw = Ended() if fault == "ended" else io.BytesIO()
    stdout = io.TextIOWrapper(raw, "ascii" if fault == "ascii" else "utf-8")
    monkeypatch.setattr("sys.stdout", stdout)
    if fault == "closed":
        stdout.close()
    planned = plans.plan("digits", ["conv2d"], [1])
    (job,) = [Job(planned)]
    with display.tolerate_broken_output():
        view = display.Display(live=live)
        with view.show([job], {}, planned, [], workers=1):
            view.tell_start(job)
            view.tell_end(job)
        print("done · µ", flush=True)
    told = capsys.readouterr().err
    if fault == "ascii":
        assert "done ? ?" in raw.getvalue().decode() and not told
    else:
        assert told.count("\n") == 1 and "not all that was to be shown could be" in told
    if fault == "ended":
        raw.write = len  # else the stream tells of it once more where it ends


def test_what_remains_is_told_at_the_pace_of_this_machine(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    planned = plans.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    jobs = [Job([run]) for run in planned if run.seed == 2]
    stored = {run: {"seconds": 100.0} for run in planned if run.seed == 1}
    stored[planned[2]]["seconds"] = 200.0
    view = display.Display(live=False)
    with view.show(jobs, stored, planned, [], workers=1):
        assert "about 5:00 left" in view.counts()
        view.tell_start(jobs[0])
        now[0] += 10
        view.tell_end(jobs[0])
    assert "about 0:20 left" in capsys.readouterr().out


def test_what_remains_is_of_the_jobs_that_can_run(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    planned = plans.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    jobs = [Job([run]) for run in planned[:3]]
    view = display.Display(live=False)
    with view.show(jobs, {}, planned[:3], [], workers=4):
        view.set_workers(2)  # of a cluster, which is given all at once
        for job in jobs:
            view.tell_start(job)
        assert "2 running, 1 waiting" in view.counts()
        now[0] += 60
        for job in jobs[:2]:
            view.tell_end(job)
        now[0] += 20
        assert "2/3 runs done, 1 running, 0 waiting" in view.counts()
        assert view.seconds_left() == pytest.approx(
            40
        )  # the third has run for 20 s, and has no use for two workers
    together = Job(planned[:2])
    with view.show([together], {}, planned[:2], [], workers=1, together=True):
        view.tell_start(together)
        told = {"id": planned[0].id, "epoch": 10, "epochs": 40}
        view.progress_file(together).write_text(json.dumps(told))
        now[0] += 10
        assert view.seconds_left() == pytest.approx(30)


def test_a_log_is_told_of_jobs_that_run(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(display, "LOG_INTERVAL", 0.02)
    planned = plans.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    jobs = [Job(planned[:2]), Job(planned[2:])]
    view = display.Display(live=False)
    with view.show(jobs, {}, planned, [], workers=1):
        assert view.seconds_left() is None
        view.tell_start(jobs[0])
        # The second of two seeds is half done after 30 s: 10 s remain, and 40 for the other row.
        told = {"id": planned[1].id, "epoch": 20, "epochs": 40}
        view.progress_file(jobs[0]).write_text(json.dumps(told))
        now[0] += 30
        deadline = time.time() + 30
        while "about 0:50 left" not in (said := capsys.readouterr().out):
            assert time.time() < deadline
            time.sleep(0.02)
    assert "  digits-conv2d: seed 2, epoch 20 of 40, 0:30" in said
    time.sleep(0.1)
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().out == ""
