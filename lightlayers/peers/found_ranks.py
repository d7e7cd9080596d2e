"""Ranks that are chosen during training: lowered to a budget, or planned for a trained Conv2D."""

import functools

from lightlayers.peers import baselines, light
from lightlayers.suite.registry import Block, Knob, Method

SEARCH_FACTOR = 5  # the search starts at so many times the rank that its budget allows


def plan_ranks(model, budget, rule):
    """Returns the plan that makes a trained Conv2D network light, but for shortcuts and head."""
    from lightlayers import conversion

    dense = [layer.name for layer in model.layers if layer.name.endswith(("_shortcut", "classes"))]
    return conversion.plan(model, budget, rule, exclude=dense)


def _lower_ranks(session):
    from lightlayers import pruning

    half = session.half
    session.fit(
        session.build(),
        callbacks=lambda: [pruning.RankSchedule(session.budget, half)],
        stop_from=half,  # before its ranks are chosen, a network is larger than it may be
    )
    session.evaluate()  # before the zeros are cut out, as in all stored records
    return pruning.squeeze


def _convert_halfway(session, rule):
    from lightlayers import conversion

    (model,) = models = session.build()
    plan_ranks(model, session.budget, "uniform")  # refuses early a budget that can't be held
    session.fit(models, epochs=session.half, stop_from=session.half)
    plan = plan_ranks(model, session.budget, rule)
    session.fit([conversion.convert(model, plan)], stop_from=session.half)


_START = Block(
    name="automatic_start",
    label="spatial form before its ranks are found ({size})",
    knob=Knob("rank"),
    everywhere=True,
    apply=functools.partial(light.apply_light, form="spatial", times=SEARCH_FACTOR),
    weights=functools.partial(light.count_light, form="spatial", times=SEARCH_FACTOR),
    dense=light.make_dense,
    dense_weights=light.count_dense,
)


def _make_rule(rule, marker):
    return Method(
        name=rule,
        label=f"Conv2D, then {rule} ranks (as K = {{size}})",
        source="Eckart and Young; the rule: lightlayers.ranks",
        ours="half the epochs train Conv2D, which is then converted and trained on",
        fidelity="analogue",
        knob=Knob("rank"),
        refused_recipes=_FOR_LIGHT_STARTS,
        marker=marker,
        group="light",
        block=baselines.CONV2D,
        train=functools.partial(_convert_halfway, rule=rule),
        chooses_ranks=True,
        seeds_together=False,
    )


# Starts and penalties of layers that are light from the first step.
_FOR_LIGHT_STARTS = ("spectral-start", "variance-start", "product-l2")
PEERS = (
    Method(
        name="automatic",
        label="ranks found (as K = {size})",
        source="Zhang et al., arXiv 2303.10512; Zhu and Gupta, arXiv 1710.01878",
        ours="the search of lightlayers.RankSchedule on the spatial form, in half the epochs",
        fidelity="analogue",
        knob=Knob("rank"),
        marker="P",
        group="light",
        block=_START,
        train=_lower_ranks,
        chooses_ranks=True,
    ),
    _make_rule("greedy", "<"),
    _make_rule("product", ">"),
    _make_rule("uniform", "X"),
)
