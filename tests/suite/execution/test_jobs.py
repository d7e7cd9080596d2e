"""Jobs: which runs one of them trains."""

from lightlayers.suite import plans
from lightlayers.suite.execution import jobs


def test_rows_of_an_experiment_are_jobs_of_their_own():
    planned = plans.plan_experiment("collapse", [1, 2])
    assert len(planned) == len(set(planned)) == 26
    assert len({jobs.Job([run]).name for run in planned}) == 13
    assert jobs.Job(planned[:1]).name == "cifar100-lightlayers-5"


def test_a_job_has_the_seeds_of_a_row_or_one_of_them():
    planned = plans.plan("digits", ["conv2d", "lightlayers-1"], [1, 2])
    assert [len(job.runs) for job in jobs.make_jobs(planned)] == [2, 2]
    assert [job.runs for job in jobs.make_jobs(planned, apart=True)] == [[run] for run in planned]
