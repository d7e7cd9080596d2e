"""Rules of ranks against the optimum."""

import keras
import pytest
from test_ranks import exhaustive, least, problem

from lightlayers import ranks
from lightlayers.suite import datasets
from lightlayers.suite.bench import ranks as bench_ranks


def test_the_optimum_is_that_of_an_exhaustive_search():
    for seed in range(10):
        spectra, costs = problem(seed, layers=3, most=5)
        low, high = least(spectra, costs), costs.total([None] * 3)[0]
        for budget in map(ranks.Budget, range(low, high + 1, max(1, (high - low) // 4))):
            found = bench_ranks.find_optimum(ranks.Options(spectra, costs, budget))
            assert found == pytest.approx(exhaustive(spectra, costs, budget))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="as on TensorFlow, and slow")
def test_no_rule_of_ranks_keeps_more_than_the_optimum(planned, monkeypatch):
    few = datasets.load("digits").limited(200, 100)
    monkeypatch.setattr(datasets, "load", lambda name: few)
    rows = bench_ranks.measure_ranks(planned, say=lambda line: None)["rows"]
    assert {(row["K"], row["rule"]) for row in rows} == {
        (k, rule) for k in (1, 3, 5) for rule in ranks.RULES
    }
    assert all(0 < row["kept"] <= row["optimum"] + 1e-4 for row in rows)
    gaps = {(row["K"], row["rule"]): row["gap"] for row in rows}
    assert all(gaps[k, "greedy"] <= min(gaps[k, "uniform"], 0.1) for k in (1, 3, 5))
