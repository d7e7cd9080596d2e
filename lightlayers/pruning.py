"""Ranks found during training: a callback that lowers them to a budget, and the smaller model."""

import warnings

import keras
import numpy as np

from lightlayers import conversion
from lightlayers.layers import LightConv2D, LightDense
from lightlayers.ranks import limits_of


def _energies(layer):
    """Returns `||u||² · ||v||²` of each direction: a column of one factor, a row of the other.

    The bias between the factors belongs to the column: what it lets through is no zero.
    """
    groups = getattr(layer, "groups", 1)
    one, two = (
        np.square(keras.ops.convert_to_numpy(factor).astype("float64"))
        for factor in (layer.factor_1, layer.factor_2)
    )
    if (bias := getattr(layer, "intermediate_bias", None)) is not None:
        bias = keras.ops.convert_to_numpy(bias).astype("float64")
        one = np.concatenate([one.reshape(-1, len(bias)), np.square(bias)[None]])
    one = one.reshape(-1, groups, layer.rank).sum(axis=0)
    two = two.reshape(-1, layer.rank, groups, layer.factor_2.shape[-1] // groups).sum(axis=(0, 3))
    energies = (one * two.T).sum(axis=0)
    return np.where(np.isnan(energies), np.inf, energies)  # not a number, and so no zero


def _optimizers(optimizer):
    """Returns an optimiser and those in it: LossScaleOptimizer has one, MultiOptimizer several."""
    if optimizer is None:
        return []
    inner = [getattr(optimizer, "inner_optimizer", None)]
    inner += getattr(optimizer, "_inner_optimizers", ())
    return [optimizer, *(one for each in inner for one in _optimizers(each))]


def _slots(optimizer, variable):
    """Returns what an optimiser remembers of each entry of a variable.

    Names don't tell variables apart: in two nested models they can have the same path.
    """
    found = []
    for one in _optimizers(optimizer):
        known = getattr(one, "_trainable_variables", ())
        place = next((i for i, each in enumerate(known) if each is variable), None)
        for values in vars(one).values() if place is not None else ():
            if isinstance(values, list) and len(values) == len(known):
                found.append(values[place])
            elif isinstance(values, dict):  # of Muon, in older Keras
                found.append(values.get(variable.path))
    found = [slot for slot in found if slot is not variable and hasattr(slot, "assign")]
    return [slot for slot in found if slot.shape == variable.shape]


def _clear(layer, kept, model):
    """Zeroes all but the kept directions, and what the model's optimisers remember of them.

    Both sides of a direction at zero have no gradient, so it stays there, whatever
    compiled the training step: no shape changes, nothing is traced again.
    """
    groups = getattr(layer, "groups", 1)
    columns, rows = np.tile(kept, groups), kept[:, None]
    masks = [(layer.factor_1, columns), (layer.factor_2, rows)]
    if getattr(layer, "intermediate_bias", None) is not None:
        masks.append((layer.intermediate_bias, columns))
    for variable, mask in masks:
        # A model with a training step of its own may have more than one.
        optimizers = [
            one for one in vars(model).values() if isinstance(one, keras.optimizers.Optimizer)
        ]
        slots = [slot for one in optimizers for slot in _slots(one, variable)]
        # Divided by, even where nothing changes: without a gradient it changes no weight. Not so
        # the gradients that wait for their step, which would bring the direction back.
        slots = [
            slot
            for slot in slots
            if not slot.name.endswith("accumulator") or slot.name.endswith("gradient_accumulator")
        ]
        for each in (variable, *slots):
            each.assign(each * keras.ops.convert_to_tensor(mask, each.dtype))


def _revives(layer):
    """Returns whether the second factor has a gradient where both are zero."""
    between = getattr(layer, "intermediate_activation", keras.activations.linear)
    zeros = keras.ops.zeros((1, 1, 1, layer.factor_1.shape[-1]))
    return keras.ops.convert_to_numpy(between(zeros)).any()


def _has_weights_between(layer):
    between = getattr(layer, "intermediate_activation", None)
    # Keras builds what will have weights when it is first called, and the others at once.
    return isinstance(between, keras.layers.Layer) and bool(not between.built or between.variables)


class RankSchedule(keras.callbacks.Callback):
    """Lowers the ranks of a model's light layers during training, down to a budget.

    At the end of each of the first epochs, directions are set to zero for good, one after
    the other, wherever in the model the next takes off least per cost: a column u of
    `factor_1` and its row v of `factor_2` take off `-log(1 - ||u||² ||v||² / Σ ||u||² ||v||²)`,
    the sum over what its layer still has. What the model may cost falls as
    `budget + (start - budget) (1 - t)³`, t being the share of these epochs that are done and
    start what the model costs when `fit` begins, also where it goes on. Each layer keeps one
    direction at least, the others keep their weights and the optimiser's moments, and the
    last model costs at most one direction less than the budget. Frozen layers stay as they are.
    `squeeze` returns the model without the zeros.

    In the list of callbacks it stands after `EarlyStopping(restore_best_weights=True)`: Keras
    ends them in that order, and the best weights may hold directions that were dropped since,
    which it drops again; `start_from_epoch=epochs` looks only at weights without them. A
    warning says if training ends above the budget, after fewer epochs for instance. Light
    layers inside other layers, such as TimeDistributed, are not reached: a warning names those.

    Args:
        budget: `Budget` of the whole model.
        epochs: Positive integer, after how many epochs the model fits the budget; let as
            many again follow.

    Raises:
        ValueError: At the start of training, if the model can't reach the budget, the budget
            is of multiply-adds and some are not known, as in `plan`, or an
            `intermediate_activation` is not zero at zero (its directions would come back) or has
            weights.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((64,)), LightDense(64, rank=16)])
    >>> model.compile("adam", "mse")
    >>> schedule = RankSchedule(Budget(parameters=600), epochs=2)
    >>> x = np.random.rand(32, 64)
    >>> _ = model.fit(x, x, epochs=4, callbacks=[schedule], verbose=0)
    >>> squeeze(model).count_params()  # 64 · 4 + 4 · 64 + 64
    576

    Source: Zhang et al., arXiv 2303.10512 (falling budget over all layers); Zhu and Gupta,
    arXiv 1710.01878 (cubic schedule).
    """

    def __init__(self, budget, epochs):
        super().__init__()
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise ValueError(
                f"Argument `epochs` must be a positive integer. Received: epochs={epochs!r}"
            )
        self.epochs = epochs
        self._budget = np.array(limits_of(budget))
        self._held = np.isfinite(self._budget)  # what has no limit has no say
        self._limits = self._budget[self._held]

    def on_train_begin(self, logs=None):
        applied = conversion.applications(self.model, own=True)
        conversion.warn_of_hidden(applied)
        macs = {path: conversion.multiply_adds(*found) for path, found in applied.items()}
        conversion.check_macs(applied, macs, self._budget)
        macs = {path: count or 0 for path, count in macs.items()}
        self._prices = {}  # of one direction
        for path, (layer, _) in applied.items():
            if isinstance(layer, LightDense | LightConv2D):
                merged = getattr(layer, "implementation", "") == "merged"
                each = 0 if merged else macs[path] // layer.rank
                price = np.array([layer.parameters_per_rank, each])[self._held]
                # Else dropping some would spare nothing, or the others could not make up for it.
                if price.any() and layer.trainable_variables:
                    self._prices[layer] = price
        for path, (layer, _) in applied.items():
            if layer in self._prices and _has_weights_between(layer):
                raise ValueError(
                    "The weights of an activation between the factors can't be cut with them. "
                    f"Received: layer {path!r} with {layer.intermediate_activation!r}"
                )
            if layer in self._prices and _revives(layer):
                raise ValueError(
                    "A direction at zero stays there only where the activation between the "
                    f"factors is 0 at 0, as 'relu' and 'tanh' are. Received: layer {path!r} with "
                    f"intermediate_activation={layer.intermediate_activation!r}"
                )
        self._kept = {}  # of the layers that something was dropped from
        whole = np.array([self.model.count_params(), sum(macs.values())])[self._held]
        self._fixed = whole - sum(p * layer.rank for layer, p in self._prices.items())
        least = self._fixed + sum(self._prices.values())
        if (least > self._limits).any():
            raise ValueError(
                "The budget is less than the model costs with rank 1 in every light layer that is "
                f"reached: {least.tolist()}. Received: {self._limits.astype(int).tolist()}"
            )
        self._start = np.maximum(self._cost(ranks(self.model)), self._limits)

    def _cost(self, found):
        return self._fixed + sum(price * found[layer] for layer, price in self._prices.items())

    def on_epoch_end(self, epoch, logs=None):
        if epoch >= self.epochs:
            return
        rest = (1 - (epoch + 1) / self.epochs) ** 3
        limits = self._limits + (self._start - self._limits) * rest
        found = {layer: _energies(layer) for layer in self._prices}
        if not all(np.isfinite(energies).all() for energies in found.values()):
            return  # training has diverged, and what is above the budget is told at its end
        alive = {layer: energies > 0 for layer, energies in found.items()}

        def loss(layer):
            """What the least direction of a layer takes off its energy, per cost."""
            energies = found[layer][alive[layer]]
            kept = 1 - energies.min() / energies.sum()
            return -np.log(kept) / (self._prices[layer] / self._limits).sum()

        def above():
            return self._cost({one: max(1, kept.sum()) for one, kept in alive.items()}) > limits

        dropped = set()
        while (over := above()).any():
            able = (one for one in alive if alive[one].sum() > 1 and self._prices[one][over].any())
            layer = min(able, key=loss)
            least = np.where(alive[layer], found[layer], np.inf).argmin()
            alive[layer][least] = False
            dropped.add(layer)
        self._kept |= {layer: alive[layer] for layer in dropped}
        for layer in dropped:
            _clear(layer, alive[layer], self.model)

    def on_train_end(self, logs=None):
        for layer, kept in self._kept.items():
            _clear(layer, kept, self.model)
        cost = self._cost(ranks(self.model))
        if (cost > self._limits).any():
            warnings.warn(
                f"The model is still above its budget: it costs {cost.tolist()}, not "
                f"{self._limits.astype(int).tolist()}. The first {self.epochs} epochs, as fit "
                "numbers them from initial_epoch on, must be trained with this callback; "
                f"EarlyStopping takes start_from_epoch={self.epochs}.",
                stacklevel=2,
            )


def ranks(model):
    """Returns `{layer: rank}` of a model's light layers, directions at zero not counted.

    They are where an activation between the factors makes something of zero, or can't be cut.
    """
    layers = [layer for layer, _ in conversion.applications(model, own=True).values()]
    light = [layer for layer in layers if isinstance(layer, LightDense | LightConv2D)]
    return {
        layer: layer.rank
        if _has_weights_between(layer) or _revives(layer)
        else max(1, int((_energies(layer) > 0).sum()))
        for layer in light
    }


def _go_on(model, new, cut):
    """Has the optimiser of a new model go on where that of the given one was.

    `cut(value, variable)` takes from what has a variable's shape what the new one has of it.
    """
    if not model.compiled:
        return
    twins = conversion.paired(model, new)
    for one, two in zip(_optimizers(model.optimizer), _optimizers(new.optimizer), strict=True):
        # Keras has this in no configuration.
        excluded = getattr(one, "_exclude_from_weight_decay", ())
        two._exclude_from_weight_decay = {
            two._var_key(target) for source, target in twins if one._var_key(source) in excluded
        }
        pattern = getattr(one, "_exclude_from_weight_decay_pattern", None)
        two._exclude_from_weight_decay_pattern = pattern
    if not model.optimizer.built:
        return
    pairs, known = [], set()
    # What has been frozen since has its slots as before, the new one none for it.
    for source, target in twins:
        slots = [_slots(one.optimizer, v) for one, v in ((model, source), (new, target))]
        pairs += [(*pair, source) for pair in zip(*slots, strict=False)]
        known.update(id(slot) for some in slots for slot in some)
    others = [[v for v in m.optimizer.variables if id(v) not in known] for m in (model, new)]
    if len(others[0]) != len(others[1]) or any(len(variable.shape) for variable in others[0]):
        return  # what has another shape can't be cut
    for slot, twin, source in (*pairs, *((*pair, None) for pair in zip(*others, strict=True))):
        twin.assign(cut(slot, source))


def squeeze(model):
    """Returns a model that computes the same without the directions that are zero.

    It is compiled if the given one was, and trains on as that would: the optimiser keeps its
    moments and its iterations. Only where it remembers something that has not the shape of
    the weights, as Adafactor does, it is a fresh one.

    Args:
        model: Built Sequential or functional `keras.Model`, which stays as it is.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If the model can't be rebuilt.
    """
    found, cuts = ranks(model), {}

    def cut(value, variable):
        value = keras.ops.convert_to_numpy(value)
        if id(variable) not in cuts:
            return value
        axis, index = cuts[id(variable)]
        return np.take(value, index, axis)

    def smaller(layer):
        if not isinstance(layer, LightDense | LightConv2D):
            return None
        kept = np.sort(np.argsort(-_energies(layer), kind="stable")[: found[layer]])
        new = conversion.build_like(conversion.copied(layer, rank=len(kept)), layer)
        columns = np.concatenate(
            [kept + group * layer.rank for group in range(getattr(layer, "groups", 1))]
        )
        cuts[id(layer.factor_1)] = -1, columns
        cuts[id(layer.factor_2)] = -2, kept
        if getattr(layer, "intermediate_bias", None) is not None:
            cuts[id(layer.intermediate_bias)] = -1, columns
        for source, target in zip(layer.variables, new.variables, strict=True):
            target.assign(cut(source, source))
        return new

    new = conversion.rebuild(model, smaller)
    _go_on(model, new, cut)
    return new
