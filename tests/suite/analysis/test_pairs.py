"""Pairs: the compared rows are those that the experiments plan, and the largest that fit."""

import pytest

from lightlayers.suite import networks, paper, plans, recipes
from lightlayers.suite.analysis import aims


@pytest.mark.parametrize("dataset", plans.FITTING)
def test_the_compared_ranks_are_the_largest_that_fit(dataset):
    def count(method, rank):
        return networks.build(dataset, method, rank, "corrected").count_params()

    def largest(form, rank, most):
        return count(form, rank) <= most < count(form, rank + 1)

    for budget, fitting in plans.FITTING[dataset].items():
        most = count("lightlayers", budget)
        for form, rank in zip(("channel", "spatial"), fitting, strict=True):
            assert largest(form, rank, most)
    counts = {row.rank: row.parameters for row in paper.rows(dataset)}
    for budget, rank in plans.UNIFORM.get(dataset, {}).items():
        assert largest("spatial", rank, counts[budget])
    assert largest("spatial", plans.AIMED[dataset], aims.AIMS[dataset][0])
    assert aims.AIMS[dataset][0] in counts.values()


def test_experiments_compare_what_they_say():
    rows = {(run.dataset, run.row) for run in plans.plan_experiment("corrected")}
    assert len(rows) == 8 + 12 + 9 + 8
    found = {
        (dataset, f"{form}-{rank}")
        for dataset, budgets in plans.FITTING.items()
        for fitting in budgets.values()
        for form, rank in zip(("channel", "spatial"), fitting, strict=True)
    }
    assert found < rows
    planned = plans.plan_experiment("starts")
    assert len(planned) == 2 * 4 * 5 + 2 * 5 and {run.recipe for run in planned} == {
        "corrected",
        *recipes.STARTS,
    }
    for run in plans.plan_experiment("starts"):
        assert (run.dataset, run.row) in rows
