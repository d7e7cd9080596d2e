"""The plans: which runs a table, an experiment or the reader's own images consist of."""

import dataclasses
import shlex

from lightlayers.suite import datasets, networks, paper, pilots, recipes, registry
from lightlayers.suite.runs import Run, check_integer, parse_row, write_row
from lightlayers.suite.store import find_outputs

SEEDS = (42, 1, 2, 3, 4)  # 42 is the authors'


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a notebook beside those of the data sets compares.

    Args:
        groups: Tuple of (data set, row, recipes).
        seeds: Tuple of integers. Defaults to the first three of the suite's.
        tuned: Tuple of (data set, row), which are also trained under the recipe that their pilot
            runs choose.
    """

    groups: tuple
    seeds: tuple = SEEDS[:3]
    tuned: tuple = ()


# The largest ranks of the forms "channel" and "spatial" whose networks have no more parameters than
# LightLayers at that K, all under recipe "corrected".
FITTING = {
    "mnist": {1: (2, 3), 3: (6, 9)},
    "fashion_mnist": {1: (2, 3), 3: (6, 9), 5: (10, 15)},
    "cifar10": {3: (6, 9), 5: (10, 15)},
    "cifar100": {3: (6, 9), 5: (10, 15)},
}
# The largest ranks of the spatial form within what the paper's networks have at K = 1, 3 and 5.
UNIFORM = {
    "digits": {1: 3, 3: 9, 5: 16},  # it has the network of MNIST
    "mnist": {1: 3, 3: 9},
    "fashion_mnist": {1: 3, 3: 9, 5: 16},
    "cifar10": {1: 1, 3: 7, 5: 14},
}
# The rows that were to reach the aims, set before the runs: the largest ranks within these.
AIMED = {"mnist": 9, "fashion_mnist": 16, "cifar10": 14, "cifar100": 9}
# Rows of about equal cost under recipe "corrected": each is the largest of its kind that fits.
# First at the parameters of the paper's own networks, whose K is no more than theirs.
EQUAL_PARAMETERS = {
    "mnist": ("conv2d-w55", "separableconv2d-w141", "lightlayers-3", "spatial-9"),
    "fashion_mnist": ("conv2d-w69", "separableconv2d-w183", "lightlayers-5", "spatial-16"),
    "cifar10": ("conv2d-w51", "separableconv2d-w123", "lightlayers-4", "spatial-14"),
    "cifar100": ("conv2d-w48", "separableconv2d-w104", "lightlayers-3", "spatial-9"),
}
# Then at the multiply-adds of the spatial form above.
EQUAL_WORK = {
    "mnist": ("conv2d-w66", "separableconv2d-w172"),
    "fashion_mnist": ("conv2d-w80", "separableconv2d-w222"),
    "cifar10": ("conv2d-w60", "separableconv2d-w156"),
    "cifar100": ("conv2d-w51", "separableconv2d-w129"),
}
# Where it is decided which starts and penalties belong in recipe "corrected".
JUDGED = ("fashion_mnist", "cifar10")
# The methods that choose ranks, and which row of "ranks" has which K's parameters.
CHOSEN = tuple(
    entry.name
    for entry in registry.entries().values()
    if entry.group == "light" and getattr(entry, "chooses_ranks", False)
)
BUDGETS = {
    (name, row): budget
    for name, uniform in UNIFORM.items()
    for budget, rank in uniform.items()
    for row in (f"spatial-{rank}", *(f"{method}-{budget}" for method in CHOSEN))
}


def _corrected_rows(dataset):
    rows = ["conv2d", "separableconv2d"]
    for budget, (channel, spatial) in FITTING[dataset].items():
        rows += [f"lightlayers-{budget}", f"channel-{channel}", f"spatial-{spatial}"]
    return list(dict.fromkeys([*rows, f"spatial-{AIMED[dataset]}"]))


EXPERIMENTS = {
    "collapse": Experiment(
        (
            ("cifar100", "lightlayers-5", ("paper", *recipes.CHANGES)),
            ("cifar10", "lightlayers-1", ("paper", "no-scale", "zero-biases", "all-changes")),
        )
    ),
    "corrected": Experiment(
        tuple((name, row, ("corrected",)) for name in FITTING for row in _corrected_rows(name))
    ),
    "starts": Experiment(
        tuple((name, f"spatial-{AIMED[name]}", ("corrected", *recipes.STARTS)) for name in JUDGED)
        # No part of that decision: it stands in the table of aims.
        + (("mnist", f"spatial-{AIMED['mnist']}", ("corrected", "product-l2")),),
        SEEDS,
    ),
    "ranks": Experiment(tuple((name, row, ("corrected",)) for name, row in BUDGETS)),
    "rivals": Experiment(
        tuple(
            (name, row, ("corrected",))
            for rows in (EQUAL_PARAMETERS, EQUAL_WORK)
            for name in rows
            for row in rows[name]
        ),
        SEEDS,
        tuned=tuple((name, row) for name in EQUAL_PARAMETERS for row in EQUAL_PARAMETERS[name]),
    ),
}
NAMES = (*datasets.NAMES, *EXPERIMENTS)
OTHER_NOTEBOOKS = ("start", "layers", "audit", "speed", "report", "explore", "own_data")


def add_data(path):
    """Makes a data set of the reader's own file known by its name: see `datasets.add`."""
    return datasets.add(path, taken=(*EXPERIMENTS, *OTHER_NOTEBOOKS))


def table_rows(dataset):
    """Returns the rows of a data set's table; without one those of MNIST or CIFAR-10."""
    return [write_row(row.method, row.rank) for row in paper.rows(datasets.get(dataset).table)]


def usual_recipe(name):
    """Returns what a data set is trained by unless told."""
    return datasets.get(name).usual_recipe


def make_budget(dataset, k):
    """Returns the parameters of the paper's own network at a K, a `Budget` for others.

    Args:
        dataset: String, the name of a data set; of the reader's own the network is counted.
        k: Positive integer, the paper's K.
    """
    from lightlayers.ranks import Budget

    if datasets.get(dataset).own:  # of which the paper has no count
        return Budget(parameters=networks.count_parameters(dataset, "lightlayers", k))
    return Budget(like=f"K={k}").resolve(dataset)


def fit_row(dataset, row, recipe, budget, cost="parameters"):
    """Returns the largest row of a method that has at most so many parameters.

    It has the largest size of the method's knob. Without a knob, or where a size is given, it has
    the network's largest width.

    Args:
        dataset: String, the name of a data set.
        row: String, a row, such as `"conv2d"` or `"lightlayers"`.
        recipe: String, one of `recipes.RECIPES`.
        budget: Positive integer, parameters.
        cost: `"parameters"`, or `"multiply-adds"` for a budget of those.

    Raises:
        ValueError: If none fits, or the row has a width.

    Example:

    >>> fit_row("cifar10", "conv2d", "paper", budget=20557)
    'conv2d-w50'
    """
    check_integer("budget", budget, least=1)
    method, rank, width = parse_row(row)
    if width != 100:
        raise ValueError(f"A budget chooses the width: leave it out. Received: {row!r}")
    entry = registry.get(method, rank) if rank else registry.find(method)
    if getattr(entry, "chooses_ranks", False):
        raise ValueError(
            f"The rank of {method!r} names its budget, that of the paper's network at that K: give "
            f"a row such as {method}-3. Received: {row!r}"
        )
    registry.get_block(method, rank or (1 if entry.knob else None))  # refuses rows of several
    search_size = entry.knob is not None and rank is None

    def count(number):
        size, percent = (number, 100) if search_size else (rank, number)
        return networks.count_layers(dataset, method, size, recipe, percent)[cost].sum()

    if count(1) > budget:
        raise ValueError(
            f"The least that {row!r} has on {dataset} is {count(1):,} {cost}. "
            f"Received: budget={budget}"
        )
    best = _find_largest(count, budget)
    return write_row(method, best) if search_size else write_row(method, rank, best)


def fit_rows(dataset, rows, recipe, budget):
    """Returns for each row the largest that has at most so many parameters: see `fit_row`."""
    return [fit_row(dataset, row, recipe, budget) for row in _check_list("rows", rows)]


def _find_largest(count, budget, most=1000):
    """Returns the least number with the largest count within a budget, if counts never fall."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        if count(middle) <= budget:
            low = middle
        else:
            high = middle - 1
    if low == most and count(most) > count(most // 2):
        raise ValueError(f"No row is that large. Received: budget={budget}")
    while low > 1 and count(low - 1) == count(low):  # where a larger size changes nothing more
        low -= 1
    return low


def _check_list(name, values):
    if not isinstance(values, (list, tuple)) or not values:
        example = "[42, 1]" if name == "seeds" else '["conv2d", "lightlayers-3"]'
        raise ValueError(f"`{name}` must be a list like {example}. Received: {name}={values!r}")
    return values


def _add_stored(runs, seeds, store):
    """Returns runs, and unless seeds were given, behind each row's the stored further ones."""
    if seeds is not None or not store:
        return runs
    rows = {}
    for run in runs:
        rows.setdefault(dataclasses.replace(run, seed=0), []).append(run)
    for dataset in dict.fromkeys(run.dataset for run in runs):
        stored, _ = store.runs(dataset)
        for run in sorted(stored, key=lambda run: run.seed):
            row = dataclasses.replace(run, seed=0)
            if row in rows and run.seed != pilots.SEED:
                rows[row].append(run)
    return list(dict.fromkeys(run for row in rows.values() for run in row))


def plan(dataset, rows=None, seeds=None, recipe="paper", epochs=None, limit=None, store=None):
    """Returns the runs of a table, row by row.

    Args:
        dataset: String, one of `datasets.NAMES`.
        rows: List of names such as `"conv2d"` and `"lightlayers-3"`, or `None` for
            the table's.
        seeds: List of integers, or `None` for the suite's.
        recipe: String, one of `recipes.RECIPES`.
        epochs: Positive integer, or `None` for the recipe's.
        limit: Positive integer, the most images of each split, or `None` for all.
        store: `Store` whose stored runs of further seeds come with the suite's, or `None`. It has
            no say where `seeds` are given.

    Returns:
        List of `Run`.

    Raises:
        ValueError: If one of them is none of the above.

    Example:

    >>> [run.row for run in plan("digits", rows=["conv2d", "lightlayers-1"], seeds=[42])]
    ['conv2d', 'lightlayers-1']
    """
    rows = table_rows(dataset) if rows is None else _check_list("rows", rows)
    chosen = _check_list("seeds", SEEDS if seeds is None else seeds)
    runs = [
        Run.from_row(dataset, row, recipe, seed, epochs, limit) for row in rows for seed in chosen
    ]
    return _add_stored(list(dict.fromkeys(runs)), seeds, store)


def plan_experiment(name, seeds=None, epochs=None, limit=None, store=None):
    """Returns the runs that a notebook of `EXPERIMENTS` compares, recipe by recipe.

    Args:
        name: String, a key of `EXPERIMENTS`.
        seeds: List of integers, or `None` for the experiment's.
        epochs: Positive integer, or `None` for the recipes'.
        limit: Positive integer, the most images of each split, or `None` for all.
        store: As for `plan`. From its pilot runs follow further recipes, whatever the seeds.

    Returns:
        List of `Run`.
    """
    experiment = EXPERIMENTS[name]
    chosen = experiment.seeds if seeds is None else seeds
    groups = list(experiment.groups)
    for (dataset, row), recipe in choose_recipes(name, epochs, limit, store).items():
        groups.append((dataset, row, (recipe,)))
    runs = []
    for dataset, row, recipe_names in groups:
        for recipe in recipe_names:
            runs += plan(dataset, [row], chosen, recipe, epochs, limit)
    return _add_stored(list(dict.fromkeys(runs)), seeds, store)


def plan_pilots(name, epochs=None, limit=None):
    """Returns the pilot runs of a data set or an experiment, which come before its other runs.

    Args:
        name: String. Of a data set there are none.
        epochs: As for `plan`, like `limit`.
    """
    runs = []
    for dataset, row in EXPERIMENTS[name].tuned if name in EXPERIMENTS else ():
        runs += pilots.plan_pilots(dataset, row, epochs, limit)
    return runs


def choose_recipes(name, epochs=None, limit=None, store=None):
    """Returns the recipe of each row of an experiment whose pilot runs are all stored.

    Args:
        name: String, a key of `EXPERIMENTS`.
        epochs: As for `plan`, like `limit`.
        store: `Store` of the pilot runs, or `None` for no recipes.

    Returns:
        Dictionary from (data set, row) to the name of a recipe.
    """
    found = {}
    for dataset, row in EXPERIMENTS[name].tuned if store else ():
        runs = pilots.plan_pilots(dataset, row, epochs, limit)
        if recipe := pilots.choose_recipe(runs, store):
            found[dataset, row] = recipe
    return found


def plan_named(name, **choice):
    """Returns the runs of a data set or of an experiment, whichever has the name."""
    return plan_experiment(name, **choice) if name in EXPERIMENTS else plan(name, **choice)


def command(runs, store, name=None):
    """Returns the command that trains runs, with what differs from its defaults.

    Args:
        runs: List of `Run`, all of one experiment, or of one data set and recipe.
        store: `Store` that they are to be kept in.
        name: String, what `lightlayers reproduce` calls them. Defaults to their data set.

    Example:

    >>> command(plan("mnist", ["conv2d"], [7], epochs=2), Store())
    'lightlayers reproduce mnist --rows conv2d --seeds 7 --epochs 2'
    """
    run, options = runs[0], {}
    usual = dataclasses.replace(run, epochs=None, train_size=None, test_size=None)
    if name not in EXPERIMENTS:
        rows = list(dict.fromkeys(run.row for run in runs))
        if rows != table_rows(run.dataset):
            options["rows"] = ",".join(rows)
        if run.recipe != usual_recipe(run.dataset):
            options["recipe"] = run.recipe
    usual_seeds = EXPERIMENTS[name].seeds if name in EXPERIMENTS else SEEDS
    seeds = list(dict.fromkeys(run.seed for run in runs))
    if set(seeds) != set(usual_seeds):
        options["seeds"] = ",".join(map(str, seeds))
    if run.epochs != usual.epochs:
        options["epochs"] = run.epochs
    if run.train_size != usual.train_size:
        options["limit"] = run.train_size
    if store.outputs.resolve() != find_outputs().resolve():
        options["outputs"] = shlex.quote(str(store.outputs))
    words = ["lightlayers reproduce", shlex.quote(name or run.dataset)]
    return " ".join([*words, *(f"--{option} {value}" for option, value in options.items())])


def result_name(name, recipe):
    """Returns the name of a notebook's tables and figures, such as `"mnist-shuffled"`.

    Those of the reader's own data are in a folder of their own: `"mine/mine-corrected"`. So no name
    of theirs is that of another result.
    """
    result = name if recipe == "paper" else f"{name}-{recipe}"
    return f"{name}/{result}" if name in datasets.own_names() else result
