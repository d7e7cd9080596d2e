"""The store of runs: what identifies one, and one JSON record for each, written atomically."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import tempfile

from lightlayers import datasets, families, networks, published, recipes

SCHEMA = 1
SEEDS = (42, 1, 2, 3, 4)  # 42 is the authors'
SIZES = {
    "digits": (1437, 360),
    "mnist": (60000, 10000),
    "fashion_mnist": (60000, 10000),
    "cifar10": (50000, 10000),
    "cifar100": (50000, 10000),
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a notebook beside those of the data sets compares.

    Args:
        groups: Tuple of (data set, row, recipes).
        seeds: Tuple of integers. Defaults to the first three of the suite's.
    """

    groups: tuple
    seeds: tuple = SEEDS[:3]


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
# Where it is decided which starts and penalties belong in recipe "corrected".
JUDGED = ("fashion_mnist", "cifar10")
# The methods that choose ranks, and which row of "ranks" has which K's parameters.
CHOSEN = tuple(family.name for family in families.FAMILIES.values() if family.chooses)
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
}
NAMES = (*datasets.NAMES, *EXPERIMENTS)
OTHER_NOTEBOOKS = ("layers", "speed", "report", "explore", "own_data")


class RecordError(Exception):
    """A record that is damaged, edited, or of another version of its format."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: what is trained, on what, how and from which seed.

    Args:
        dataset: String, one of `datasets.NAMES`, or what `add_data` returned.
        method: String, one of `families.FAMILIES`.
        rank: Positive integer for the methods that have one, else `None`.
        recipe: String, one of `recipes.RECIPES`. Defaults to `"paper"`.
        seed: Integer. Defaults to 42, the authors'.
        epochs: Positive integer, or `None` for the recipe's.
        train_size: Positive integer, images, or `None` for all.
        test_size: Positive integer, images, or `None` for all.

    Raises:
        ValueError: If one of them is none of the above.
    """

    dataset: str
    method: str
    rank: int | None = None
    recipe: str = "paper"
    seed: int = 42
    epochs: int | None = None
    train_size: int | None = None
    test_size: int | None = None

    def __post_init__(self):
        networks.specification(self.dataset)
        if families.get(self.method, self.rank).rule and self.recipe in recipes.STARTS:
            raise ValueError(
                f"Recipe {self.recipe!r} is one for layers that are light from the start. "
                f"Received: method={self.method!r}"
            )
        schedule = recipes.get(self.recipe).schedule(self.dataset)
        _integer("seed", self.seed, least=0)
        if self.seed >= 2**32:
            raise ValueError(f"`seed` must be below 2**32, as NumPy's. Received: seed={self.seed}")
        defaults = (schedule.epochs, *SIZES[self.dataset])
        names = ("epochs", "train_size", "test_size")
        for name, default in zip(names, defaults, strict=True):
            value = getattr(self, name)
            value = default if value is None else _integer(name, value, least=1)
            object.__setattr__(self, name, value if name == "epochs" else min(value, default))
        if self.train_size < 2 and recipes.get(self.recipe).validation == "held-out":
            raise ValueError(
                f"Recipe {self.recipe!r} holds training images out, so it needs two at least. "
                f"Received: train_size={self.train_size}"
            )

    @property
    def id(self):
        """The run's identity, from its configuration, recipe version and data."""
        parts = [
            dataclasses.asdict(self),
            recipes.get(self.recipe).version_of(self.method),
            datasets.FINGERPRINTS[self.dataset],
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def row(self):
        """The run's row in its table, such as `"lightlayers-3"`."""
        return self.method if self.rank is None else f"{self.method}-{self.rank}"

    @property
    def whole(self):
        """Whether the run has the recipe's epochs and all images."""
        schedule = recipes.get(self.recipe).schedule(self.dataset)
        return (self.epochs, self.train_size, self.test_size) == (
            schedule.epochs,
            *SIZES[self.dataset],
        )


def _integer(name, value, least):
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"`{name}` must be an integer, at least {least}. Received: {name}={value!r}"
        )
    return value


def add_data(path):
    """Makes a data set of a file known to this process by the file's name.

    Grey images get the network, schedule and rows of MNIST, colour images those of
    CIFAR-10. The name and the fingerprint of the images are in each record and its id, the
    path is not.

    Args:
        path: Path of a NAME.npz, see `datasets.read`.

    Returns:
        String, NAME.

    Raises:
        datasets.DataError: If it can't be read, or can't be trained on.
        ValueError: If it has the name of something else.
    """
    path = pathlib.Path(path).resolve()
    name = path.stem
    taken = (*NAMES, *OTHER_NOTEBOOKS)
    if name in taken or not re.fullmatch(r"[\w-]+", name):
        raise ValueError(
            f"Expected a file name of letters, digits, - and _, but none of {', '.join(taken)}. "
            f"Received: {path.name}"
        )
    if (other := datasets.FILES.get(name, path)) != path:
        raise ValueError(f"Two files of one name: rename one. Received: {other} and {path}")
    data = datasets.read(path)
    classes = int(data.y_train.max()) + 1
    datasets.load.cache_clear()
    datasets.FILES[name] = path
    datasets.FINGERPRINTS[name] = datasets.fingerprint(data, ordered=True)
    datasets.CLASSES[name] = tuple(map(str, range(classes)))
    networks.SPECIFICATIONS[name] = data.x_train.shape[1:], classes
    recipes.LIKE[name] = "mnist" if data.x_train.shape[-1] == 1 else "cifar10"
    SIZES[name] = len(data.y_train), len(data.y_test)
    return name


def table_rows(dataset):
    """Returns the rows of a data set's table; digits and other grey data take those of MNIST."""
    networks.specification(dataset)
    table = published.rows(({"digits": "mnist"} | recipes.LIKE).get(dataset, dataset))
    return [Run(dataset, row.method, row.rank).row for row in table]


def usual_recipe(dataset):
    """Returns what a data set is trained by unless told: the reader's own have no paper."""
    return "corrected" if dataset in datasets.FILES else "paper"


def _list(name, values):
    if not isinstance(values, (list, tuple)) or not values:
        example = "[42, 1]" if name == "seeds" else '["conv2d", "lightlayers-3"]'
        raise ValueError(f"`{name}` must be a list like {example}. Received: {name}={values!r}")
    return values


def _with_stored(planned, seeds, outputs):
    """Returns runs, and unless seeds were given, behind each row's the stored further ones."""
    if seeds is not None or not outputs:
        return planned
    groups = {}
    for run in planned:
        groups.setdefault(dataclasses.replace(run, seed=0), []).append(run)
    for dataset in dict.fromkeys(run.dataset for run in planned):
        for run in sorted(every(outputs, dataset)[0], key=lambda run: run.seed):
            if (alike := dataclasses.replace(run, seed=0)) in groups:
                groups[alike].append(run)
    return list(dict.fromkeys(run for group in groups.values() for run in group))


def plan(dataset, rows=None, seeds=None, recipe="paper", epochs=None, limit=None, outputs=None):
    """Returns the runs of a table, row by row.

    Args:
        dataset: String, one of `datasets.NAMES`.
        rows: List of names such as `"conv2d"` and `"lightlayers-3"`, or `None` for
            the table's.
        seeds: List of integers, or `None` for the suite's.
        recipe: String, one of `recipes.RECIPES`.
        epochs: Positive integer, or `None` for the recipe's.
        limit: Positive integer, the most images of each split, or `None` for all.
        outputs: Path of an outputs folder, whose stored runs of further seeds come with the
            suite's, or `None`. Has no say where `seeds` are given.

    Returns:
        List of `Run`.

    Raises:
        ValueError: If one of them is none of the above.

    Example:

    >>> [run.row for run in plan("digits", rows=["conv2d", "lightlayers-1"], seeds=[42])]
    ['conv2d', 'lightlayers-1']
    """
    table = table_rows(dataset)
    found = []
    for row in table if rows is None else _list("rows", rows):
        method, _, rank = str(row).partition("-")
        if rank and not rank.isdecimal():
            raise ValueError(f"Unknown row. Expected one like {table}. Received: {row!r}")
        for seed in _list("seeds", SEEDS if seeds is None else seeds):
            run = Run(
                dataset, method, int(rank) if rank else None, recipe, seed, epochs, limit, limit
            )
            found.append(run)
    return _with_stored(list(dict.fromkeys(found)), seeds, outputs)


def plan_experiment(name, seeds=None, epochs=None, limit=None, outputs=None):
    """Returns the runs that a notebook of `EXPERIMENTS` compares, recipe by recipe.

    Args:
        name: String, a key of `EXPERIMENTS`.
        seeds: List of integers, or `None` for the experiment's.
        epochs: Positive integer, or `None` for the recipes'.
        limit: Positive integer, the most images of each split, or `None` for all.
        outputs: As for `plan`.

    Returns:
        List of `Run`.
    """
    experiment = EXPERIMENTS[name]
    usual = experiment.seeds if seeds is None else seeds
    found = [
        run
        for dataset, row, recipes_ in experiment.groups
        for recipe in recipes_
        for run in plan(dataset, [row], usual, recipe, epochs, limit)
    ]
    return _with_stored(found, seeds, outputs)


def command(planned, outputs, name=None):
    """Returns the command that trains runs, with what differs from its defaults.

    Args:
        planned: List of `Run`, all of one experiment, or of one data set and recipe.
        outputs: Path of the outputs folder.
        name: String, what `lightlayers reproduce` calls them. Defaults to their data set.

    Example:

    >>> command(plan("mnist", ["conv2d"], [7], epochs=2), outputs_folder())
    'lightlayers reproduce mnist --rows conv2d --seeds 7 --epochs 2'
    """
    run = planned[0]
    usual = Run(run.dataset, run.method, run.rank, run.recipe)
    seeds, options = SEEDS, {}
    if name in EXPERIMENTS:
        seeds = EXPERIMENTS[name].seeds
    else:
        rows = list(dict.fromkeys(each.row for each in planned))
        if rows != table_rows(run.dataset):
            options["rows"] = ",".join(rows)
        if run.recipe != usual_recipe(run.dataset):
            options["recipe"] = run.recipe
    chosen = list(dict.fromkeys(each.seed for each in planned))
    if set(chosen) != set(seeds):
        options["seeds"] = ",".join(map(str, chosen))
    if run.epochs != usual.epochs:
        options["epochs"] = run.epochs
    if run.train_size != usual.train_size:
        options["limit"] = run.train_size
    if pathlib.Path(outputs).resolve() != outputs_folder().resolve():
        options["outputs"] = shlex.quote(str(outputs))
    words = ["lightlayers reproduce", shlex.quote(name or run.dataset)]
    return " ".join([*words, *(f"--{option} {value}" for option, value in options.items())])


def result_name(name, recipe):
    """Returns the name of a notebook's tables and figures, such as `"mnist-shuffled"`."""
    return name if recipe == "paper" else f"{name}-{recipe}"


def path(outputs, run):
    """Returns where the record of a run is kept."""
    name = f"{run.row}-seed{run.seed}-{run.id}.json"
    return pathlib.Path(outputs, "runs", run.dataset, name)


def _digest(record):
    body = {key: value for key, value in record.items() if key != "digest"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def write(outputs, record):
    """Writes a record, whole or not at all, and returns its path."""
    target = path(outputs, Run(**record["run"]))
    target.parent.mkdir(parents=True, exist_ok=True)
    record = record | {"schema": SCHEMA}
    record["digest"] = _digest(record)
    # One line per entry reads well in a diff, and keeps long lists on one line.
    body = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
    replace_text(target, "{\n" + body + "\n}\n")
    return target


def replace_text(target, text):
    """Writes a file, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _of(record):
    return Run(**record["run"]), record["id"]


def read(file):
    """Returns the record in a file.

    Raises:
        RecordError: If it is truncated, edited, or not a record.
        RuntimeError: If a newer version of the suite has written it: it is no damage, and must
            not be trained over.
    """
    try:
        record = json.loads(pathlib.Path(file).read_text())
        if record["schema"] > SCHEMA:
            raise RuntimeError(
                f"{file} has been written by a newer version of lightlayers: update the package, "
                f"or choose other outputs. Received: format {record['schema']}, expected {SCHEMA}"
            )
        if record["schema"] != SCHEMA:
            raise RecordError(
                f"{file}: its format is version {record['schema']}, expected {SCHEMA}"
            )
        if record["digest"] != _digest(record):
            raise RecordError(f"{file}: its content is not what was written")
        _of(record)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RecordError(f"{file}: not a whole record ({type(error).__name__})") from None
    return record


def stored(outputs, runs):
    """Returns the records of those runs that have a good one, and what is wrong with others.

    Args:
        outputs: Path of the outputs folder.
        runs: List of `Run`.

    Returns:
        Dictionary from `Run` to its record, and a list of messages, one for each
        damaged record.
    """
    found, damaged = {}, []
    for run in runs:
        file = path(outputs, run)
        try:
            record = read(file)
        except FileNotFoundError:
            continue
        except (RecordError, OSError) as error:
            damaged.append(str(error))
            continue
        if _of(record) == (run, run.id):
            found[run] = record
        else:
            damaged.append(f"{file}: it is the record of another run, or of an older recipe")
    return found, damaged


def every(outputs, dataset, recipe=None):
    """Returns all stored runs of a data set, and what is wrong with damaged records.

    Args:
        outputs: Path of the outputs folder.
        dataset: String, one of `datasets.NAMES`.
        recipe: String, one of `recipes.RECIPES`, or `None` for all of them.

    Returns:
        Dictionary from `Run` to its record, and a list of messages.
    """
    networks.specification(dataset)
    found, damaged = {}, []
    for file in sorted(pathlib.Path(outputs, "runs", dataset).glob("*.json")):
        try:
            record = read(file)
        except (RecordError, OSError) as error:
            damaged.append(str(error))
            continue
        run, known = _of(record)
        if recipe in (None, run.recipe) and known == run.id and path(outputs, run) == file:
            found[run] = record
    return found, damaged


def check_writable(outputs, planned=()):
    """Makes the folders of some runs' records, and finds out now that they can be written.

    Raises:
        ValueError: If not: hours of training would be lost.
    """
    outputs = pathlib.Path(outputs)
    for folder in dict.fromkeys((outputs, *(path(outputs, run).parent for run in planned))):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix="."):
                pass
        except OSError as error:
            raise ValueError(
                f"The outputs folder can't be written ({error.strerror}). Choose another with "
                f"--outputs, or `outputs` in a notebook. Received: {folder}"
            ) from None


def outputs_folder():
    """Returns the outputs folder of the repository around the working folder, else `outputs`."""
    here = pathlib.Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").exists():
            return folder / "outputs"
    return here / "outputs"


def default_outputs():
    """Returns `outputs_folder()`, filled with the results that a wheel brings if it is missing."""
    outputs = outputs_folder()
    brought = pathlib.Path(__file__).with_name("outputs.zip")
    if brought.exists() and not outputs.exists():
        with tempfile.TemporaryDirectory(dir=outputs.parent) as folder:
            shutil.unpack_archive(brought, folder)
            try:
                pathlib.Path(folder, "outputs").rename(outputs)
            except OSError:
                if not outputs.exists():  # else another notebook came first
                    raise
    return outputs
