"""Ranks under a budget: which singular directions of which layers are worth their cost."""

import dataclasses
import math
import numbers
import re

import numpy as np

# The paper's LightLayers networks (arXiv 2101.02268, tables 1 to 4), by the channels of the images
# and the number of classes: the parameters at K = 1, and what each further K adds.
PAPER_PARAMETERS = {(1, 10): (2649, 1743), (3, 10): (5937, 3655), (3, 100): (6747, 3655)}
_DATASETS = dict.fromkeys(("digits", "mnist", "fashion_mnist"), (1, 10))
_DATASETS |= {"cifar10": (3, 10), "cifar100": (3, 100)}


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much a whole model may cost. Both limits may be given, and both hold.

    Args:
        parameters: Positive integer, the most that `model.count_params()` may be.
        macs: Positive integer, the most multiply-adds for one input.
        like: String such as `"K=3"`, for as many parameters as the paper's network has at that K,
            instead of `parameters`. `resolve` says how many those are.

    Raises:
        ValueError: If there is no limit, or one is none of the above.

    Example:

    >>> Budget(like="K=3").resolve("cifar10")
    Budget(parameters=13247, macs=None, like=None)
    """

    parameters: int | None = None
    macs: int | None = None
    like: str | None = None

    def __post_init__(self):
        for name in ("parameters", "macs"):
            value = getattr(self, name)
            wrong = isinstance(value, bool) or not isinstance(value, numbers.Integral)
            if value is not None and (wrong or value < 1):
                raise ValueError(
                    f"A budget's `{name}` must be a positive integer. Received: {name}={value!r}"
                )
        if self.like is not None and not re.fullmatch(r"K=[1-9][0-9]*", str(self.like)):
            raise ValueError(f"`like` names a K, such as 'K=3'. Received: like={self.like!r}")
        if self.like is not None and self.parameters is not None:
            raise ValueError(
                "A budget has `parameters` or `like`, not both. "
                f"Received: parameters={self.parameters}, like={self.like!r}"
            )
        if (self.parameters, self.macs, self.like) == (None, None, None):
            raise ValueError("A budget needs `parameters`, `macs` or `like`. Received: none")

    def resolve(self, dataset):
        """Returns this budget with the number of parameters that `like` stands for.

        Args:
            dataset: String, `"digits"`, `"mnist"`, `"fashion_mnist"`, `"cifar10"` or `"cifar100"`,
                or a pair `(input_shape, classes)`.

        Raises:
            ValueError: If the paper has no network for such a data set.
        """
        if self.like is None:
            return self
        if not isinstance(dataset, str):
            shape, classes = dataset
            network = shape[-1], classes
        elif dataset in _DATASETS:
            network = _DATASETS[dataset]
        else:
            raise ValueError(f"Expected a data set of {list(_DATASETS)}. Received: {dataset!r}")
        if network not in PAPER_PARAMETERS:
            raise ValueError(
                "The paper has no network for such images and classes. Give `parameters`. "
                f"Received: {dataset!r}"
            )
        first, further = PAPER_PARAMETERS[network]
        rank = int(self.like.removeprefix("K="))
        return Budget(first + (rank - 1) * further, self.macs)

    @property
    def limits(self):
        """Pair of the most parameters and multiply-adds, infinite where there is no limit."""
        if self.like is not None:
            raise ValueError(f"`like` depends on the data set: call `resolve`. Received: {self}")
        return tuple(math.inf if limit is None else limit for limit in (self.parameters, self.macs))


def limits_of(budget):
    """Returns the limits of what should be a `Budget`."""
    if not isinstance(budget, Budget):
        raise ValueError(f"Give a budget, such as Budget(parameters=50_000). Received: {budget!r}")
    return budget.limits


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """The singular values of one layer's kernel.

    Args:
        values: Array `(groups, min(shape))`, each row falling.
        shape: Pair of integers, the shape of each group's matrix.
    """

    values: np.ndarray
    shape: tuple

    @classmethod
    def of(cls, matrices):
        """Returns the spectrum of an array `(groups, m, n)` of matrices."""
        matrices = np.asarray(matrices, "float64")
        return cls(np.linalg.svd(matrices, compute_uv=False), matrices.shape[1:])

    @property
    def kept(self):
        """Array, the share of the squared kernel that each rank from 1 on keeps."""
        energy = np.cumsum(np.square(self.values).sum(axis=0))
        return energy / energy[-1] if energy[-1] else np.ones_like(energy)


@dataclasses.dataclass(frozen=True)
class Costs:
    """What layers cost, each time as a pair of parameters and multiply-adds.

    Args:
        dense: Array `(layers, 2)`, what each layer's dense kernel costs.
        per_rank: Array `(layers, 2)`, what each rank of its factors costs.
        fixed: Pair, what the rest of the model costs. Defaults to `(0, 0)`.
    """

    dense: np.ndarray
    per_rank: np.ndarray
    fixed: tuple = (0, 0)

    def total(self, ranks):
        """Returns the pair that the model costs at these ranks; `None` is a dense kernel."""
        spent = np.array(self.fixed, "int64")
        for rank, dense, per_rank in zip(ranks, self.dense, self.per_rank, strict=True):
            spent = spent + (np.asarray(dense) if rank is None else rank * np.asarray(per_rank))
        return tuple(map(int, spent))


class Options:
    """What each layer can be, from cheap to dear: ranks 1, 2, ... and last its dense kernel.

    A rank that costs no less than the dense kernel is none of them. For each layer, `costs` has
    what each option costs under each limit, `kept` the share of the squared kernel that it keeps,
    and `start` the cheapest option. `room` is what the budget leaves, and `last` the dense options.

    Raises:
        ValueError: If the budget is less than the cheapest options cost.
    """

    def __init__(self, spectra, costs, budget):
        limited = np.isfinite(budget.limits)
        self.limits = np.array(budget.limits)[limited].astype("int64")
        self.room = self.limits - np.asarray(costs.fixed, "int64")[limited]
        self.costs, self.kept, starts = [], [], []
        for spectrum, dense, per_rank in zip(spectra, costs.dense, costs.per_rank, strict=True):
            dense, per_rank = (np.asarray(cost, "int64")[limited] for cost in (dense, per_rank))
            light = per_rank * np.arange(1, len(spectrum.kept) + 1)[:, None]
            useful = (light < dense).any(axis=1)
            self.costs.append(np.concatenate([light[useful], [dense]]))
            self.kept.append(np.append(spectrum.kept[useful], 1.0))
            # With two limits, rank 1 may save of one and cost more of the other.
            shares = self.costs[-1] / self.limits
            ways = np.column_stack([shares.sum(axis=1), shares])
            starts.append(np.where(ways[0] <= ways[-1], 0, len(ways) - 1))
        self.last = [len(cost) - 1 for cost in self.costs]
        starts = np.array(starts, "int64").reshape(len(starts), 1 + len(self.limits)).T
        self.start = next((start for start in starts if self.fits(start)), None)
        if self.start is None:
            self._refuse(starts[1:], costs, budget, limited)

    def _refuse(self, starts, costs, budget, limited):
        least = np.diagonal([np.array(costs.total(self.ranks(x)))[limited] for x in starts])
        names = np.array(["parameters", "macs"])[limited]
        named = " and ".join(f"{n:,} {name}" for n, name in zip(least, names, strict=True))
        each = ", each by itself" if len(names) > 1 else ""
        limits = ", ".join(f"{name}={n}" for name, n in vars(budget).items() if n is not None)
        raise ValueError(
            f"The least possible is {named}{each}: every layer that can be light at rank 1, or "
            f"dense where cheaper. Received: Budget({limits})"
        )

    def room_after(self, chosen):
        """Returns what chosen options, one index for each layer, leave of the room."""
        spent = [cost[i] for cost, i in zip(self.costs, chosen, strict=True)]
        return self.room - sum(spent)

    def fits(self, chosen):
        """Returns whether chosen options are within the budget."""
        return bool((self.room_after(chosen) >= 0).all())

    def ranks(self, chosen):
        """Returns the ranks of chosen options, `None` for a dense kernel."""
        return [int(i) + 1 if i < n else None for i, n in zip(chosen, self.last, strict=True)]

    def first_that_fits(self, candidates):
        """Returns the first list of ranks within the budget, each by its nearest option."""
        for ranks in candidates:
            chosen = np.clip(np.asarray(ranks, "int64") - 1, self.start, self.last)
            if self.fits(chosen):
                return self.ranks(chosen)
        return self.ranks(self.start)


def greedy(spectra, costs, budget):
    """Returns ranks that keep much of every kernel for what they cost: the default rule.

    Step by step it adds the directions with the largest `s_i² / ||W||²` per added cost, until
    nothing more fits. From each rank it looks at all dearer ones, the dense kernel among them: the
    last step to that keeps all that is left. Under two limits, a cost is the sum of its shares of
    both.

    It is near the optimum: under one limit it keeps less by at most what the first step that does
    not fit would add, by `lightlayers bench ranks` about 1% at most. What it keeps is a sum over
    layers, so a small budget can leave a dear layer at rank 1, which narrows the whole network:
    look at the plan, or take `product`.

    Args:
        spectra: List of `Spectrum`, one for each layer.
        costs: `Costs` of the same layers.
        budget: `Budget`.

    Returns:
        List of integers from 1, or `None` where the dense kernel stays.

    Raises:
        ValueError: If the budget is too small for rank 1 everywhere.
    """
    return _ascend(Options(spectra, costs, budget), lambda kept: kept)


def product(spectra, costs, budget):
    """Returns ranks as `greedy` does, but for the product of what the layers keep.

    A direction is worth `log(kept after / kept before)` per added cost. A layer that keeps
    little gains much, so none is starved where the budget is small.
    """
    return _ascend(Options(spectra, costs, budget), np.log)


def _ascend(options, value):
    """Returns the ranks of steps that each add most to the value of what is kept, per cost."""
    chosen, room = options.start.copy(), options.room_after(options.start)

    def find_step(layer):
        """Returns what the best step that fits is worth, and the option it leads to."""
        now = chosen[layer]
        cost, kept = options.costs[layer], value(options.kept[layer])
        added, gain = cost[now + 1 :] - cost[now], kept[now + 1 :] - kept[now]
        if not len(added):
            return 0, now
        price = (added / options.limits).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            worth = np.where(price > 0, gain / price, np.inf)
        worth[(added > room).any(axis=1)] = 0
        best = int(np.argmax(worth))
        return worth[best], now + 1 + best

    steps = [find_step(layer) for layer in range(len(chosen))]
    while steps:
        layer = max(range(len(steps)), key=lambda i: steps[i][0])
        worth, option = steps[layer]
        if worth <= 0:
            break
        added = options.costs[layer][option] - options.costs[layer][chosen[layer]]
        if (added <= room).all():
            chosen[layer], room = option, room - added
        steps[layer] = find_step(layer)  # the next one, or one that still fits
    return options.ranks(chosen)


def uniform(spectra, costs, budget):
    """Returns the largest one rank that fits for all layers, as the paper's k is.

    A layer whose dense kernel costs no more than that rank stays dense.
    """
    options = Options(spectra, costs, budget)
    most = max(map(len, options.costs), default=0)
    return options.first_that_fits([rank] * len(spectra) for rank in range(most, 0, -1))


def compute_free_energy_drop(tau, ratio):
    """Returns what keeping a direction takes off the free energy, times 2 / M."""
    return tau - np.log1p(tau) - ratio * np.log1p(tau / ratio)


def find_evbmf_threshold(ratio):
    """Returns the `s² / (M · noise)` from which on keeping a direction takes something off.

    The paper approximates its tau by 2.5129 √ratio, which is exact for square kernels.
    """
    low, high = math.sqrt(ratio), 10 * math.sqrt(ratio)
    for _ in range(60):  # each halves the interval, until no number lies between
        tau = (low + high) / 2
        if compute_free_energy_drop(tau, ratio) < 0:
            low = tau
        else:
            high = tau
    return (1 + tau) * (1 + ratio / tau)


def evbmf_rank(spectrum):
    """Returns how many directions of a kernel stand out of noise, by variational Bayes.

    Empirical variational Bayes of a matrix factorisation (EVBMF) has a closed solution once the
    variance of the noise is known; that is found where the free energy is least. With groups it is
    the largest rank of a group. It may be 0.

    Source: Nakajima, Sugiyama, Babacan and Tomioka, JMLR 14, 2013 (global solution).
    """
    return max(_count_above_noise(values, max(spectrum.shape)) for values in spectrum.values)


def _count_above_noise(values, large):
    if not values[0]:
        return 0
    squares = np.square(np.maximum(values, np.finfo("float64").eps * values[0])) / large
    ratio = len(values) / large
    threshold = find_evbmf_threshold(ratio)
    tail = squares[math.ceil(len(values) / (1 + ratio)) - 1 :]  # is noise in any case
    low, high = max(tail[0] / threshold, tail.mean()), squares.mean()
    for _ in range(2):  # a grid, and a finer one about its best
        noise = np.geomspace(low, max(low, high), 512)
        x = squares / noise[:, None]
        above = np.maximum(x, threshold) - 1 - ratio
        tau = (above + np.sqrt(np.square(above) - 4 * ratio)) / 2
        drop = np.where(x > threshold, compute_free_energy_drop(tau, ratio), 0)
        energy = (x - np.log(x) - drop).sum(axis=1)
        best = int(np.argmin(energy))
        low, high = noise[max(best - 1, 0)], noise[min(best + 1, len(noise) - 1)]
    return int((squares > noise[best] * threshold).sum())


def gavish_donoho_rank(spectrum):
    """Returns how many singular values pass the optimal hard threshold for unknown noise.

    With groups it is the largest rank of a group. It may be 0.

    Source: Gavish and Donoho, arXiv 1305.5870, equation 5.
    """
    ratio = min(spectrum.shape) / max(spectrum.shape)
    omega = 0.56 * ratio**3 - 0.95 * ratio**2 + 1.82 * ratio + 1.43
    thresholds = omega * np.median(spectrum.values, axis=1, keepdims=True)
    return int((spectrum.values > thresholds).sum(axis=1).max())


def stable_rank(spectrum):
    """Returns `||W||² / s_1²`, rounded; with groups the largest of a group."""
    squares = np.square(spectrum.values)
    largest = squares.max(axis=1)
    return int(np.rint((squares.sum(axis=1) / np.where(largest, largest, 1)).max()))


def _make_rule(estimate):
    """Returns the rule that scales down estimated ranks as far as the budget asks."""

    def rule(spectra, costs, budget):
        options = Options(spectra, costs, budget)
        estimates = [estimate(spectrum) for spectrum in spectra]
        most = max(estimates, default=0)
        return options.first_that_fits(
            [rank * level // most for rank in estimates] for level in range(most, 0, -1)
        )

    rule.__name__ = estimate.__name__.removesuffix("_rank")
    rule.__doc__ = f"Returns each layer's `{estimate.__name__}`, at least 1, within the budget."
    return rule


evbmf = _make_rule(evbmf_rank)
gavish_donoho = _make_rule(gavish_donoho_rank)
stable = _make_rule(stable_rank)
RULES = {"greedy": greedy, "product": product, "uniform": uniform}
RULES |= {"evbmf": evbmf, "gavish-donoho": gavish_donoho, "stable": stable}


def get(rule):
    """Returns the rule of a name of `RULES`."""
    if rule not in RULES:
        raise ValueError(f"Unknown rule. Expected one of {list(RULES)}. Received: {rule!r}")
    return RULES[rule]
