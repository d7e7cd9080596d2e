"""Whole models to light layers and back: the plan, its conversion, and merging."""

import dataclasses
import fnmatch
import json
import math
import operator
import warnings

import keras
import numpy as np

from lightlayers import costs, graphs, ranks
from lightlayers.base import LightLayer
from lightlayers.layers import LightConv2D, LightDense
from lightlayers.substitution import (
    FORMS,
    find_obstacle,
    flatten_kernel,
    from_conv2d,
    from_dense,
    make_light,
    to_conv2d,
    to_dense,
)

_COLUMNS = [
    *("layer", "kernel", "form", "rank", "parameters", "multiply-adds"),
    *("parameters before", "multiply-adds before", "error", "why not"),
]


@dataclasses.dataclass
class _Kernel:
    """One layer with a kernel, in a plan."""

    layer: keras.layers.Layer
    macs: int | None
    reason: str  # why it stays as it is, or an empty string
    size: int = 0
    per_rank: tuple = (0, 0)  # parameters and multiply-adds
    spectrum: ranks.Spectrum | None = None

    def describe(self, path, form, rank, limits):
        """Returns what a plan says of it at a rank, in the order of `_COLUMNS`."""
        before = parameters = self.layer.count_params()
        macs, error, reason = self.macs, 0.0, self.reason
        if rank:
            weights, macs = self.per_rank
            parameters = before - self.size + rank * weights
            macs = None if macs is None else rank * macs
            error = math.sqrt(max(0.0, 1 - self.spectrum.kept[rank - 1]))
        elif not reason:
            saves = self.per_rank[0] < self.size, (self.per_rank[1] or 0) < (macs or 0)
            saves = np.array(saves)[np.isfinite(limits)].any()
            reason = "dense fits the budget" if saves else "dense is cheaper"
        form = form if rank and isinstance(self.layer, keras.layers.Conv2D) else ""
        now = [path, _describe_kernel(self.layer), form, rank, parameters, macs]
        return [*now, before, self.macs, round(error, 4), reason]


def _describe_kernel(layer):
    shapes = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
    return " × ".join(map(str, max(shapes, key=math.prod, default=())))


def _find_kernels(applications, macs, form, exclude):
    """Returns `{path: _Kernel}` of the layers that have one, no rank chosen yet."""
    excluded = set()
    for pattern in [exclude] if isinstance(exclude, str) else exclude:
        found = fnmatch.filter(applications, pattern)
        if not found:
            raise ValueError(f"`exclude` has no such layer. Received: {pattern!r}")
        excluded.update(found)
    kernels = {}
    for path, (layer, shapes) in applications.items():
        if not _describe_kernel(layer):
            continue
        reason = "excluded" if path in excluded else find_obstacle(layer)
        kernels[path] = kernel = _Kernel(layer, macs[path], reason)
        if not reason:
            light = make_light(layer, 1, form)
            count = costs.count_applications({path: (light, shapes)})[path]
            kernel.size = math.prod(layer.kernel.shape)
            kernel.per_rank = light.parameters_per_rank, count
            kernel.spectrum = ranks.Spectrum.of(flatten_kernel(layer, form))
    return kernels


def _choose_ranks(rule, model, macs, kernels, budget):
    """Returns the ranks that a rule chooses for kernels `{path: _Kernel}`, and checks them."""
    dense = np.array([(each.size, each.macs or 0) for each in kernels.values()])
    per_rank = np.array([(each.per_rank[0], each.per_rank[1] or 0) for each in kernels.values()])
    rest = model.count_params() - sum(each.size for each in kernels.values())
    rest = rest, sum(count or 0 for path, count in macs.items() if path not in kernels)
    spent, spectra = ranks.Costs(dense, per_rank, rest), [x.spectrum for x in kernels.values()]
    chosen = rule(spectra, spent, budget)
    most = [len(spectrum.kept) for spectrum in spectra]
    allowed = [(None, *range(1, full + 1)) for full in most]
    if len(chosen) != len(most) or not all(map(operator.contains, allowed, chosen)):
        raise ValueError(
            "A rule returns one rank for each layer that can be light: None where it stays, or "
            f"an integer from 1 to the most it can have, {most}. Received: {chosen}"
        )
    cost, limits = spent.total(chosen), budget.limits
    if cost[0] > limits[0] or cost[1] > limits[1]:
        raise ValueError(
            f"The rule's ranks must fit the budget. Received: rule={rule!r}, whose ranks {chosen} "
            f"cost {cost[0]:,} parameters and {cost[1]:,} macs, for {budget}"
        )
    return chosen


def plan(model, budget, rule="greedy", form="spatial", exclude=()):
    """Returns which layers of a model become light, at which rank, and what that costs.

    Args:
        model: Built Sequential or functional `keras.Model`, which stays as it is.
        budget: `Budget` of the whole model: all weights count, of all layers.
        rule: Name of `ranks.RULES`, or a function like those. Defaults to `"greedy"`.
        form: `"spatial"` or `"channel"`, of all convolutions. Defaults to `"spatial"`.
        exclude: String or sequence of them, layers that stay as they are: names as in the
            table, or patterns such as `"head/*"`. Defaults to none.

    Returns:
        A `pandas.DataFrame` with one row for each layer that has a kernel: `layer` (in nested
        models its path), `kernel` (its shape), `form`, `rank` (missing where the layer stays),
        `parameters` and `multiply-adds` (for one input, of all its applications; missing where
        they are not known), both also as they were (`before`), `error` (of the kernel,
        `||W - W'|| / ||W||`) and `why not`. It is plain data:
        `json.loads(table.to_json(orient="records"))` is a plan for `convert` too.

    Raises:
        ValueError: If the budget is too small, it is of multiply-adds and some are missing, a
            rule's ranks are not within it, or the model can't be rebuilt.

    Example:

    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, name="dense")])
    >>> plan(model, Budget(parameters=1000))[["layer", "rank", "parameters"]]
       layer  rank  parameters
    0  dense    10         992
    """
    import pandas as pd

    if form not in FORMS:
        raise ValueError(f"A Conv2D converts to form {FORMS}. Received: form={form!r}")
    rule = rule if callable(rule) else ranks.get(rule)
    limits = ranks.limits_of(budget)
    applications = graphs.applications(model)
    macs = costs.count_applications(applications, limits)
    kernels = _find_kernels(applications, macs, form, exclude)
    able = {path: kernel for path, kernel in kernels.items() if not kernel.reason}
    chosen = dict(zip(able, _choose_ranks(rule, model, macs, able, budget), strict=True))
    rows = [each.describe(path, form, chosen.get(path), limits) for path, each in kernels.items()]
    integers = dict.fromkeys(("rank", "multiply-adds", "multiply-adds before"), "Int64")
    return pd.DataFrame(rows, columns=_COLUMNS).astype(integers)


def _convert_row(row, applications, model):
    """Returns `{id of the layer: light layer}` of a row of a plan, empty where the layer stays."""
    import pandas as pd

    path, rank = row["layer"], row["rank"]
    if path not in applications:
        raise ValueError(
            "The plan is of another model: this one has no such layer. "
            f"Received: layer={path!r}, model {model.name!r}"
        )
    layer = applications[path][0]
    shape = _describe_kernel(layer)
    if row.get("kernel", shape) != shape:
        raise ValueError(
            f"The plan is of another model: layer {path!r} has a kernel of {shape} here. "
            f"Received: kernel={row['kernel']!r}"
        )
    if pd.isna(rank):
        return {}
    if isinstance(rank, float) and rank.is_integer():
        rank = int(rank)  # of a column with missing values
    if isinstance(layer, keras.layers.Conv2D):
        return {id(layer): from_conv2d(layer, rank, row.get("form"))}
    return {id(layer): from_dense(layer, rank)}


def convert(model, plan):
    """Returns a model whose planned layers are light, started from the given one's weights.

    All other layers are copied with their weights and state. Shared layers stay shared and nested
    models nested. Layers, and what the model was compiled with, are copied by configuration:
    register functions of your own with `keras.saving.register_keras_serializable`. The new model
    is compiled if the given one was, with a fresh optimizer.

    Args:
        model: The `keras.Model` of the plan, which stays as it is.
        plan: What `plan` returns, or its rows as a list of dictionaries. Only `layer`, `form` and
            `rank` matter, and `kernel` where it is given.

    Raises:
        ValueError: If the plan is not one of this model, or the model can't be rebuilt.

    Example:

    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, name="dense")])
    >>> convert(model, [{"layer": "dense", "form": "", "rank": 10}]).count_params()
    992
    """
    rows = json.loads(plan.to_json(orient="records")) if hasattr(plan, "to_json") else plan
    applications = graphs.applications(model)
    light, seen = {}, set()
    for row in rows:
        if not isinstance(row, dict) or "rank" not in row or not isinstance(row.get("layer"), str):
            raise ValueError(
                f"Each row of a plan has a `layer`, a `rank` and a `form`. Received: {row!r}"
            )
        path = row["layer"]
        if path in seen:
            raise ValueError(f"The plan has two rows of one layer. Received: layer={path!r}")
        seen.add(path)
        light |= _convert_row(row, applications, model)
    return graphs.rebuild(model, lambda layer: light.get(id(layer)))


def merge(model):
    """Returns a model of plain Keras layers that computes what one with light layers does.

    For serving where `lightlayers` is not installed. Three kinds of layers stay, and a warning
    names them: form `"paper"` stands for no single kernel, subclasses may compute something else,
    and layers inside other layers, such as TimeDistributed, are not reached.

    Args:
        model: Built Sequential or functional `keras.Model`, which stays as it is.

    Raises:
        ValueError: If the model can't be rebuilt.
    """
    applications = graphs.applications(model)
    plain, papers, subclassed = {}, [], []
    for path, (layer, _) in applications.items():
        if type(layer) is LightDense:
            plain[id(layer)] = to_dense(layer)
        elif type(layer) is LightConv2D and layer.form != "paper":
            plain[id(layer)] = to_conv2d(layer)
        elif type(layer) is LightConv2D:
            papers.append(path)
        elif isinstance(layer, LightLayer):
            subclassed.append(path)
    for paths, reason in (
        (papers, "Form 'paper' stands for no single kernel"),
        (subclassed, "Layers of a class of their own may compute something else"),
    ):
        if paths:
            why = f"{reason}, so these layers stay as they are: "
            warnings.warn(why + ", ".join(paths), stacklevel=2)
    graphs.warn_of_hidden(applications)
    return graphs.rebuild(model, lambda layer: plain.get(id(layer)))
