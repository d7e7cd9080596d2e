"""Rules of ranks: what each keeps of trained kernels, against the most that any ranks could."""

import dataclasses

import numpy as np

from lightlayers import ranks
from lightlayers.suite import plans, registry
from lightlayers.suite.bench import timing
from lightlayers.suite.training import train


def measure_ranks(planned, say=print):
    """Compares what rules of ranks keep of trained kernels with the most that any ranks could.

    Args:
        planned: List of `Run`, whose data sets are taken where ranks are chosen for them.
        say: Function that takes one line of progress.

    Returns:
        Dictionary with `environment`, `revision` and `rows`: dictionaries with `dataset`, `K`
        (whose network's parameters are the budget), `rule`, `kept` (the share of a kernel's
        squares, mean over the layers), `optimum` and `gap`, by how much of the optimum it
        keeps less. The kernels are those of one Conv2D (seed 42) where runs under recipe
        "corrected" choose their ranks: halfway, after a cosine of half the epochs.

    Raises:
        ValueError: If ranks are chosen for none of the data sets.
    """
    datasets = list(dict.fromkeys(run.dataset for run in planned))
    chosen = [name for name in datasets if name in plans.UNIFORM]
    if not chosen:
        raise ValueError(
            f"Ranks are chosen for some of {list(plans.UNIFORM)}. Received: {', '.join(datasets)}"
        )
    rows = []
    for dataset in chosen:
        model = _train_half(dataset)
        for k in plans.UNIFORM[dataset]:
            budget = ranks.Budget(like=f"K={k}").resolve(dataset)
            found = compare_rules(*_read_problem(model, budget))
            rows += [{"dataset": dataset, "K": k, **row} for row in found]
        say(f"{dataset}: {len(plans.UNIFORM[dataset])} budgets")
    return timing.stamp_rows(rows)


def _train_half(dataset):
    """Returns Conv2D's network after half the epochs of recipe "corrected"."""
    (run,) = plans.plan(dataset, [registry.baseline().name], [42], "corrected")
    models = []
    train(dataclasses.replace(run, epochs=run.epochs // 2), keep=models.append)
    return models[0]


def _read_problem(model, budget):
    """Returns what a rule is given: spectra and costs of the layers that may become light, budget.

    Shortcuts and head stay dense, as they do where runs choose their ranks.
    """
    from lightlayers import conversion

    problems = []

    def note_problem(spectra, costs, budget):
        problems.append((spectra, costs, budget))
        return ranks.greedy(spectra, costs, budget)

    dense = [layer.name for layer in model.layers if layer.name.endswith(("_shortcut", "classes"))]
    conversion.plan(model, budget, note_problem, exclude=dense)
    return problems[0]


def compare_rules(spectra, costs, budget):
    """Returns for each rule what its ranks keep, the optimum, and the gap between them.

    Args:
        spectra: List of `ranks.Spectrum`, one for each layer.
        costs: `ranks.Costs` of the same layers.
        budget: `ranks.Budget` of parameters.
    """
    optimum = find_optimum(ranks.Options(spectra, costs, budget)) / len(spectra)
    rows = []
    for rule in ranks.RULES:
        shares = []
        for rank, spectrum in zip(ranks.get(rule)(spectra, costs, budget), spectra, strict=True):
            shares.append(1 if rank is None else spectrum.kept[rank - 1])
        kept = np.mean(shares)
        row = {"rule": rule, "kept": round(float(kept), 4), "optimum": round(optimum, 4)}
        rows.append(row | {"gap": round(float(1 - kept / optimum), 4)})
    return rows


def find_optimum(options):
    """Returns the most that any ranks within the parameters keep, summed over the layers.

    It is found by dynamic programming over the parameters.

    Args:
        options: `ranks.Options` under one limit, of parameters.
    """
    room = int(options.room[0])
    best = np.zeros(room + 1)  # by what may be spent, of the layers so far
    for costs, kept in zip(options.costs, options.kept, strict=True):
        with_layer = np.full(room + 1, -np.inf)
        for cost, share in zip(costs[:, 0].tolist(), kept, strict=True):
            if cost <= room:
                reached = best[: room + 1 - cost] + share
                with_layer[cost:] = np.maximum(with_layer[cost:], reached)
        best = with_layer
    return float(best[-1])
