"""Jobs: which runs one of them trains."""

import pytest
from suite.execution.faults import ROOT

from lightlayers.suite import plans
from lightlayers.suite.execution import jobs, local, notebooks
from lightlayers.suite.execution.display import Display
from lightlayers.suite.store import Store


def test_rows_of_an_experiment_are_jobs_of_their_own():
    planned = plans.plan_experiment("collapse", [1, 2])
    assert len(planned) == len(set(planned)) == 26
    assert len({jobs.Job([run]).name for run in planned}) == 13
    assert jobs.Job(planned[:1]).name == "cifar100-lightlayers-5"


def test_a_job_has_the_seeds_of_a_row_or_one_of_them():
    planned = plans.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    assert [len(job.runs) for job in jobs.make_jobs(planned)] == [2, 2]
    assert [job.runs for job in jobs.make_jobs(planned, apart=True)] == [[run] for run in planned]


def test_notebooks_of_finished_rows_do_not_stay_among_the_failed(tmp_path, monkeypatch):
    """A killed command leaves them, also of rows for which there is nothing more to do."""
    stored, failing, waiting = planned = plans.plan(
        "digits", ["conv2d", "separableconv2d", "lightlayers-1"], [1]
    )
    store = Store(tmp_path)
    for record in Store(ROOT / "outputs").read([stored, failing])[0].values():
        store.write(record)
    store.failed.mkdir()
    for run in planned:
        (store.failed / f"{jobs.Job([run]).name}.ipynb").touch()

    def train_jobs(given, *_):
        given[1].error = "planted"
        raise KeyboardInterrupt

    jobs.train([stored], store, Display(live=False))
    left = {file.stem for file in store.failed.iterdir()}
    assert left == {"digits-separableconv2d", "digits-lightlayers-1"}
    monkeypatch.setattr(local, "train_jobs", train_jobs)
    with pytest.raises(KeyboardInterrupt):
        jobs.train(planned, store, Display(live=False), notebooks.Settings(fresh=True))
    # The record of the one is older than the notebook that says why it was not trained again.
    assert {file.stem for file in store.failed.iterdir()} == left
    assert waiting in store.missing(planned)
