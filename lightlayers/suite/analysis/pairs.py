"""Which rows the experiments compare: pairs of rows, from the ranks in `plans`."""

from lightlayers.suite import plans
from lightlayers.suite.runs import write_row


def form_pairs():
    """Returns what the linear forms stand against in experiment "corrected".

    Both forms stand against the paper's layer. They are the largest that have no more parameters
    than it. The spatial form also stands against SeparableConv2D, which has no rank: its parameters
    are what they are.

    Returns:
        List of (data set, row, other row).
    """
    pairs, separable = [], []
    for dataset, budgets in plans.FITTING.items():
        for budget, (channel, spatial) in budgets.items():
            paper = write_row("lightlayers", budget)
            pairs.append((dataset, write_row("channel", channel), paper))
            pairs.append((dataset, write_row("spatial", spatial), paper))
            separable.append((dataset, write_row("spatial", spatial), "separableconv2d"))
    return pairs + separable


def rank_pairs():
    """Returns what chosen ranks stand against in experiment "ranks".

    That is one rank for all layers within the same budget, the largest that fits, trained from the
    start. The ranks that a rule chooses halfway also stand against those of rule "uniform", which
    starts from Conv2D as they do.

    Returns:
        List of (data set, row, other row).
    """
    pairs = []
    for dataset, uniform in plans.UNIFORM.items():
        for budget, rank in uniform.items():
            one_rank = write_row("spatial", rank)
            for method in plans.CHOSEN:
                pairs.append((dataset, write_row(method, budget), one_rank))
            for rule in ("greedy", "product"):
                pairs.append((dataset, write_row(rule, budget), write_row("uniform", budget)))
    return pairs


def aimed_row(dataset):
    """Returns the row that was to reach the aim of a data set: set before the runs."""
    return write_row("spatial", plans.AIMED[dataset])
