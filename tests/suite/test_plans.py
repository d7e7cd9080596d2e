"""The plans: rows, seeds and experiments, the command that trains them, rows that fit a budget."""

import dataclasses
import re

import pytest
from suite.stored import record_of

from lightlayers import Budget
from lightlayers.suite import datasets, networks, plans
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store


def test_the_command_for_runs_plans_them_again(tmp_path):
    store = Store()
    assert plans.command(plans.plan("mnist"), store) == "lightlayers reproduce mnist"
    chosen = ["conv2d", "lightlayers-1"], [42, 7], "no-l2", 2, 100
    assert plans.command(plans.plan("digits", *chosen), Store(tmp_path / "a b")) == (
        "lightlayers reproduce digits --rows conv2d,lightlayers-1 --recipe no-l2 --seeds 42,7 "
        f"--epochs 2 --limit 100 --outputs '{tmp_path}/a b'"
    )
    few = plans.plan_experiment("collapse", [2, 1])
    assert plans.command(few, store, "collapse") == "lightlayers reproduce collapse --seeds 2,1"
    planned = plans.plan_experiment("starts")
    assert plans.command(planned, store, "starts") == "lightlayers reproduce starts"


def test_plan_names_rows_as_the_tables_do():
    planned = plans.plan("mnist", seeds=[42, 1])
    assert [run.row for run in planned[::2]] == [
        "conv2d",
        "separableconv2d",
        *(f"lightlayers-{k}" for k in range(1, 5)),
    ]
    with pytest.raises(ValueError, match="Received: 'lightlayers-x'"):
        plans.plan("digits", rows=["lightlayers-x"])
    assert len(plans.plan("digits", rows=["conv2d", "conv2d"], seeds=[1, 1])) == 1


def test_stored_runs_of_further_seeds_come_with_the_suites(tmp_path):
    choice = {"rows": ["conv2d", "lightlayers-1"], "epochs": 1}
    store, usual = Store(tmp_path), plans.plan("digits", **choice)
    assert [run.seed for run in usual] == 2 * list(plans.SEEDS)
    for changes in ({"seed": 9}, {"seed": 7}, {"seed": 8, "epochs": 2}, {"recipe": "no-l2"}):
        run = dataclasses.replace(usual[0], **changes)
        store.write(record_of(run))
    found = plans.plan("digits", **choice, store=store)
    assert [run.seed for run in found] == [*plans.SEEDS, 7, 9, *plans.SEEDS]
    assert [run.row for run in found] == 7 * ["conv2d"] + 5 * ["lightlayers-1"]
    assert plans.plan("digits", **choice, seeds=[1], store=store) == [usual[1], usual[6]]
    one = plans.plan_experiment("starts")[0]
    one = dataclasses.replace(one, seed=9)
    store.write(record_of(one))
    more = plans.plan_experiment("starts", store=store)
    assert [run.seed for run in more[:7]] == [*plans.SEEDS, 9, plans.SEEDS[0]]


@pytest.mark.parametrize("wrong", [{"seeds": 42}, {"rows": "conv2d"}, {"seeds": []}])
def test_rows_and_seeds_are_lists(wrong):
    ((name, value),) = wrong.items()
    expected = f"`{name}` must be a list like .*{name}={re.escape(repr(value))}"
    with pytest.raises(ValueError, match=expected):
        plans.plan("digits", **wrong)


def test_results_of_own_data_replace_no_others(own):
    for name in ("table1", "bench-grid", "mnist-shuffled"):
        own(name)
        for recipe in ("paper", "corrected"):
            assert plans.result_name(name, recipe).startswith(f"{name}/{name}")
    assert plans.result_name("mnist", "shuffled") == "mnist-shuffled"


def test_own_data_has_the_budget_of_its_own_network(own):
    run = Run(own("mine"), "greedy", 2)
    count = networks.build("mine", "lightlayers", 2).count_params()
    assert plans.make_budget(run.dataset, run.rank) == Budget(parameters=count)


@pytest.mark.parametrize("name", ["mnist", "collapse", "report", "my data", "a.b"])
def test_a_name_that_own_data_can_not_have(own, name):
    with pytest.raises(ValueError, match=f"Received: {name}.npz"):
        own(name)
    assert datasets.own_names() == ()


@pytest.mark.parametrize(
    ("row", "recipe"),
    [
        ("conv2d", "paper"),
        ("separableconv2d", "corrected"),
        ("lightlayers", "paper"),
        ("spatial", "corrected"),
        ("lightlayers-3", "paper"),
    ],
)
def test_a_row_at_a_budget_is_the_largest_that_fits(row, recipe):
    budget = 20557
    fitted = Run.from_row("cifar10", plans.fit_row("cifar10", row, recipe, budget), recipe)
    assert fitted.row.startswith(row)
    larger = dataclasses.replace(fitted, width=fitted.width + 1)
    if row in ("lightlayers", "spatial"):
        larger = dataclasses.replace(fitted, rank=fitted.rank + 1)
    counts = [
        networks.build(run.dataset, run.method, run.rank, recipe, run.width).count_params()
        for run in (fitted, larger)
    ]
    assert counts[0] <= budget < counts[1]


def test_the_papers_own_rows_fit_their_own_budget():
    assert plans.fit_rows("cifar10", ["lightlayers"], "paper", 20557) == ["lightlayers-5"]


@pytest.mark.parametrize(
    ("row", "budget", "received"),
    [("conv2d", 30, "budget=30"), ("conv2d-w50", 9999, "'conv2d-w50'"), ("conv2d", 0, "budget=0")],
)
def test_a_budget_that_no_row_can_hold(row, budget, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        plans.fit_row("digits", row, "paper", budget)


def test_a_budget_is_refused_where_the_rank_names_one():
    with pytest.raises(ValueError, match="names its budget.*automatic-3.*Received: 'automatic'"):
        plans.fit_row("cifar10", "automatic", "corrected", 20557)


def test_of_sizes_that_change_nothing_the_least_is_taken():
    # From the rank on at which nothing is saved, each convolution is dense.
    rank = Run.from_row("digits", plans.fit_row("digits", "spatial", "corrected", 10**6)).rank
    counts = [
        networks.count_parameters("digits", "spatial", size, "corrected")
        for size in (rank - 1, rank, rank + 1)
    ]
    assert counts[0] < counts[1] == counts[2]
    with pytest.raises(ValueError, match="No row is that large. Received: budget=10"):
        plans.fit_row("digits", "conv2d", "corrected", 10**9)
