"""Ranks found during training: a callback that lowers them to a budget, and the smaller model."""

import warnings

import keras
import numpy as np

from lightlayers import costs, graphs
from lightlayers.base import LightLayer, check_positive_integer
from lightlayers.ranks import limits_of


def _compute_energies(layer):
    """Returns `||u||² · ||v||²` of each direction: a column of one factor, a row of the other.

    The bias between the factors belongs to the column: what it lets through is no zero.
    """

    def square(weight):
        return np.square(keras.ops.convert_to_numpy(weight).astype("float64"))

    columns = square(layer.factor_1).reshape(-1, layer.groups, layer.rank).sum(axis=0)
    if layer.intermediate_bias is not None:
        columns += square(layer.intermediate_bias).reshape(layer.groups, layer.rank)
    rows = square(layer.factor_2)
    rows = rows.reshape(-1, layer.rank, layer.groups, rows.shape[-1] // layer.groups)
    energies = (columns * rows.sum(axis=(0, 3)).T).sum(axis=0)
    return np.where(np.isnan(energies), np.inf, energies)  # not a number, and so no zero


def _clear_directions(layer, kept, model):
    """Zeroes all but the kept directions, and what the model's optimisers remember of them.

    Both sides of a direction at zero have no gradient, so it stays there, whatever compiled the
    training step: no shape changes, nothing is traced again.
    """
    columns = np.tile(kept, layer.groups)
    masks = [(layer.factor_1, columns), (layer.factor_2, kept[:, None])]
    if layer.intermediate_bias is not None:
        masks.append((layer.intermediate_bias, columns))
    # A model with a training step of its own may have more than one.
    optimizers = [each for each in vars(model).values() if isinstance(each, keras.Optimizer)]
    for variable, mask in masks:
        slots = [slot for each in optimizers for slot in graphs.find_slots(each, variable)]
        for each in [variable, *slots]:
            # Gradients that wait for their step would bring the direction back. By other
            # accumulators the step is divided: at zero they would make it infinite.
            if not each.name.endswith("accumulator") or each.name.endswith("gradient_accumulator"):
                each.assign(each * keras.ops.convert_to_tensor(mask, each.dtype))


def _find_obstacle(layer):
    """Returns why a layer's directions can't be dropped one by one, or an empty string."""
    between = layer.intermediate_activation
    # Keras builds what will have weights when it is first called, and the others at once.
    if isinstance(between, keras.layers.Layer) and (not between.built or between.variables):
        return "The weights of an activation between the factors can't be cut with them"
    zeros = keras.ops.zeros((1, 1, 1, layer.factor_1.shape[-1]))
    # Otherwise the second factor has a gradient where both are zero.
    if keras.ops.convert_to_numpy(between(zeros)).any():
        return (
            "A direction at zero stays there only where the activation between the factors is 0 "
            "at 0, as 'relu' and 'tanh' are"
        )
    return ""


class RankSchedule(keras.callbacks.Callback):
    """Lowers the ranks of a model's light layers during training, down to a budget.

    At the end of each of the first epochs, directions are set to zero for good, one after the
    other, wherever in the model the next takes off least per cost: a column u of `factor_1` and its
    row v of `factor_2` take off `-log(1 - ||u||² ||v||² / Σ ||u||² ||v||²)`, the sum over what its
    layer still has. What the model may cost falls as `budget + (start - budget) (1 - t)³`, t being
    the share of these epochs that are done and start what the model costs when `fit` begins, also
    where it goes on; the last model costs at most one direction less than the budget. Each layer
    keeps one direction at least, the others keep their weights and the optimiser's moments. Frozen
    layers, and light layers inside others such as TimeDistributed, stay as they are; a warning
    names the latter. `squeeze` returns the model without the zeros.

    In the list of callbacks it stands after `EarlyStopping(restore_best_weights=True)`, whose best
    weights may hold directions that were dropped since: it drops them again.
    `start_from_epoch=epochs` looks only at weights without them. A warning says if training ends
    above the budget, after fewer epochs for instance.

    Args:
        budget: `Budget` of the whole model.
        epochs: Positive integer, after how many epochs the model fits the budget; let as many
            again follow.

    Raises:
        ValueError: At the start of training, if the model can't reach the budget, the budget is of
            multiply-adds and some are not known, or an `intermediate_activation` is not zero at
            zero (its directions would come back) or has weights.

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
        self.epochs = check_positive_integer("epochs", epochs)
        self._budget = np.array(limits_of(budget))
        self._limited = np.isfinite(self._budget)
        self._limits = self._budget[self._limited]

    def on_train_begin(self, logs=None):
        applications = graphs.applications(self.model, subclassed=True)
        graphs.warn_of_hidden(applications)
        counts = costs.count_applications(applications, self._budget)
        self._prices = {}  # of one direction of a layer
        for path, (layer, _) in applications.items():
            if not isinstance(layer, LightLayer):
                continue
            macs = 0 if layer.implementation == "merged" else (counts[path] or 0) // layer.rank
            price = np.array([layer.parameters_per_rank, macs])[self._limited]
            # Otherwise dropping directions would save nothing, or no training could make up for it.
            if price.any() and layer.trainable_variables:
                obstacle = _find_obstacle(layer)
                if obstacle:
                    between = f"intermediate_activation={layer.intermediate_activation!r}"
                    raise ValueError(f"{obstacle}. Received: layer {path!r} with {between}")
                self._prices[layer] = price
        self._kept = {}  # of the layers that something was dropped from
        macs = sum(count or 0 for count in counts.values())
        whole = np.array([self.model.count_params(), macs])[self._limited]
        self._fixed = whole - sum(price * layer.rank for layer, price in self._prices.items())
        least = self._cost(dict.fromkeys(self._prices, 1))
        if (least > self._limits).any():
            raise ValueError(
                "The budget is less than the model costs with rank 1 in every light layer that is "
                f"reached: {least.tolist()}. Received: {self._limits.astype(int).tolist()}"
            )
        self._start = np.maximum(self._cost(count_ranks(self.model)), self._limits)

    def _cost(self, ranks):
        """Returns what the model costs at ranks `{layer: rank}`."""
        return self._fixed + sum(price * ranks[layer] for layer, price in self._prices.items())

    def on_epoch_end(self, epoch, logs=None):
        if epoch >= self.epochs:
            return
        energies = {layer: _compute_energies(layer) for layer in self._prices}
        if not all(np.isfinite(found).all() for found in energies.values()):
            return  # training has diverged, and its end tells that the budget is exceeded
        rest = (1 - (epoch + 1) / self.epochs) ** 3
        dropped = self._drop(energies, self._limits + (self._start - self._limits) * rest)
        self._kept |= dropped
        for layer, kept in dropped.items():
            _clear_directions(layer, kept, self.model)

    def _drop(self, energies, limits):
        """Returns `{layer: which directions stay}` of the layers that something is dropped from."""
        alive = {layer: found > 0 for layer, found in energies.items()}
        dropped = {}

        def compute_loss(layer):
            """Returns what the least direction of a layer takes off its energy, per cost."""
            left = energies[layer][alive[layer]]
            kept = 1 - left.min() / left.sum()
            return -np.log(kept) / (self._prices[layer] / self._limits).sum()

        while True:
            ranks = {layer: max(1, kept.sum()) for layer, kept in alive.items()}
            exceeded = self._cost(ranks) > limits
            if not exceeded.any():
                return dropped
            able = []
            for layer, price in self._prices.items():
                if alive[layer].sum() > 1 and price[exceeded].any():
                    able.append(layer)
            layer = min(able, key=compute_loss)
            least = np.where(alive[layer], energies[layer], np.inf).argmin()
            alive[layer][least] = False
            dropped[layer] = alive[layer]

    def on_train_end(self, logs=None):
        for layer, kept in self._kept.items():
            _clear_directions(layer, kept, self.model)
        cost = self._cost(count_ranks(self.model))
        if (cost > self._limits).any():
            warnings.warn(
                f"The model is still above its budget: it costs {cost.tolist()}, not "
                f"{self._limits.astype(int).tolist()}. The first {self.epochs} epochs, as fit "
                "numbers them from initial_epoch on, must be trained with this callback; "
                f"EarlyStopping takes start_from_epoch={self.epochs}.",
                stacklevel=2,
            )


def count_ranks(model):
    """Returns `{layer: rank}` of a model's light layers, directions at zero not counted.

    They are counted where the activation between the factors does not let them be cut.
    """
    ranks = {}
    for layer, _ in graphs.applications(model, subclassed=True).values():
        if isinstance(layer, LightLayer):
            ranks[layer] = layer.rank
            if not _find_obstacle(layer):
                ranks[layer] = max(1, int((_compute_energies(layer) > 0).sum()))
    return ranks


def squeeze(model):
    """Returns a model that computes the same without the directions that are zero.

    It is compiled if the given one was, and trains on as that would: the optimiser keeps its
    moments and its iterations. Only where it remembers something that has not the shape of the
    weights, as Adafactor does, it is a fresh one.

    Args:
        model: Built Sequential or functional `keras.Model`, which stays as it is.

    Raises:
        ValueError: If the model can't be rebuilt.
    """
    ranks, cuts = count_ranks(model), {}  # of a variable's id, the axis and what is left along it

    def cut(value, variable):
        value = keras.ops.convert_to_numpy(value)
        if id(variable) not in cuts:
            return value
        axis, left = cuts[id(variable)]
        return np.take(value, left, axis)

    def replace(layer):
        if not isinstance(layer, LightLayer):
            return None
        order = np.argsort(-_compute_energies(layer), kind="stable")
        kept = np.sort(order[: ranks[layer]])
        new = graphs.build_like(graphs.copy_layer(layer, rank=len(kept)), layer)
        columns = np.concatenate([kept + group * layer.rank for group in range(layer.groups)])
        cuts[id(layer.factor_1)] = -1, columns
        cuts[id(layer.factor_2)] = -2, kept
        if layer.intermediate_bias is not None:
            cuts[id(layer.intermediate_bias)] = -1, columns
        for source, target in zip(layer.variables, new.variables, strict=True):
            target.assign(cut(source, source))
        return new

    new = graphs.rebuild(model, replace)
    graphs.carry_optimizer(model, new, cut)
    return new
