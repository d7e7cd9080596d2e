"""The data sets: where they are found, and how it is known that they are the right ones."""

import dataclasses
import functools
import os
import pathlib
import re

import numpy as np

from lightlayers.suite import backend, files
from lightlayers.suite.images import (
    KEYS,
    Data,
    DataError,
    check_arrays,
    fingerprint,
    read,
    read_arrays,
    read_labelled,
)

__all__ = [
    "DATASETS",
    "KEYS",
    "NAMES",
    "VARIABLE",
    "Data",
    "DataError",
    "Dataset",
    "add",
    "export",
    "fingerprint",
    "forget_own",
    "get",
    "load",
    "own_names",
    "read",
    "read_labelled",
]

VARIABLE = "LIGHTLAYERS_DATA"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What the suite knows of a data set without its images.

    Args:
        name: String.
        shape: Tuple, height, width and channels of an image.
        labels: Tuple of strings, the names of the classes.
        train_size: Integer, images.
        test_size: Integer, images.
        fingerprint: String, a digest of the images and labels: see `fingerprint`.
        ordered_fingerprint: String, the same of their order: it decides what is held out, and what
            the first images are.
        mean: Tuple of floats by channel, of the training pixels in 0..1 but for the held-out tenth.
        deviation: Tuple of floats, their standard deviation.
        schedule: String, the data set whose schedule it takes.
        table: String, the data set whose published rows it takes.
        file: Path of the reader's own file, or `None`.
    """

    name: str
    shape: tuple
    labels: tuple
    train_size: int = 0
    test_size: int = 0
    fingerprint: str = ""
    ordered_fingerprint: str = ""
    mean: tuple = (0.5,)
    deviation: tuple = (0.25,)
    schedule: str = ""
    table: str = ""
    file: pathlib.Path | None = None

    @property
    def classes(self):
        return len(self.labels)

    @property
    def own(self):
        """Whether it is the reader's own."""
        return self.file is not None

    @property
    def notebook(self):
        """The name of the notebook that trains it."""
        return "own_data" if self.own else self.name

    @property
    def usual_recipe(self):
        """The recipe that it is trained by unless told: the reader's own have no paper."""
        return "corrected" if self.own else "paper"


_DIGITS = tuple("0123456789")
_CLOTHES = "T-shirt trouser pullover dress coat sandal shirt sneaker bag boot"
_THINGS = "airplane automobile bird cat deer dog frog horse ship truck"
# The hundred fine labels, in their alphabetical order.
_FINE = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
    crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
    lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm"""
_GREY, _COLOUR = (28, 28, 1), (32, 32, 3)
_KNOWN = (
    Dataset(
        name="digits",
        shape=(8, 8, 1),
        labels=_DIGITS,
        train_size=1437,
        test_size=360,
        fingerprint="c340e972ed26c6f8",
        ordered_fingerprint="8794064c38c92c85",
        mean=(0.3054,),
        deviation=(0.3755,),
        schedule="digits",
        table="mnist",
    ),
    Dataset(
        name="mnist",
        shape=_GREY,
        labels=_DIGITS,
        train_size=60000,
        test_size=10000,
        fingerprint="371dcf9d9371581f",
        ordered_fingerprint="d3b99ceecc83217c",
        mean=(0.1307,),
        deviation=(0.3082,),
        schedule="mnist",
        table="mnist",
    ),
    Dataset(
        name="fashion_mnist",
        shape=_GREY,
        labels=tuple(_CLOTHES.split()),
        train_size=60000,
        test_size=10000,
        fingerprint="6d175d83ae0f53ca",
        ordered_fingerprint="bd8868a2473aab65",
        mean=(0.2857,),
        deviation=(0.3529,),
        schedule="fashion_mnist",
        table="fashion_mnist",
    ),
    Dataset(
        name="cifar10",
        shape=_COLOUR,
        labels=tuple(_THINGS.split()),
        train_size=50000,
        test_size=10000,
        fingerprint="6213ad2ff44c7af5",
        ordered_fingerprint="75b27e83aa3624ba",
        mean=(0.4915, 0.4821, 0.4464),
        deviation=(0.2472, 0.2437, 0.2617),
        schedule="cifar10",
        table="cifar10",
    ),
    Dataset(
        name="cifar100",
        shape=_COLOUR,
        labels=tuple(_FINE.split()),
        train_size=50000,
        test_size=10000,
        fingerprint="33847932370c7e81",
        ordered_fingerprint="100c50893ada41f1",
        mean=(0.5072, 0.4866, 0.4410),
        deviation=(0.2673, 0.2564, 0.2760),
        schedule="cifar100",
        table="cifar100",
    ),
)
NAMES = tuple(dataset.name for dataset in _KNOWN)
DATASETS = {dataset.name: dataset for dataset in _KNOWN}  # the reader's own are added


def get(dataset):
    """Returns a data set by its name.

    Args:
        dataset: String, the name of a known data set or of one that was added; a `Dataset`, which
            is returned as it is; or a pair `(input_shape, classes)`, for images without a name.

    Raises:
        ValueError: If there is no such data set.
    """
    if isinstance(dataset, Dataset):
        return dataset
    if not isinstance(dataset, str):
        shape, classes = dataset
        return Dataset("", tuple(shape), tuple(map(str, range(classes))))
    if dataset not in DATASETS:
        raise ValueError(
            f"Unknown data set. Expected one of {list(DATASETS)}. Received: {dataset!r}"
        )
    return DATASETS[dataset]


def own_names():
    """Returns the names of the reader's own data sets that were added."""
    return tuple(name for name, dataset in DATASETS.items() if dataset.own)


def add(path, taken=()):
    """Makes a data set of a file known to this process by the file's name.

    Grey images get the network, schedule and rows of MNIST, colour images those of CIFAR-10. The
    name and the fingerprint of the images are in each record and its id, the path is not.

    Args:
        path: Path of a NAME.npz, see `read`.
        taken: Tuple of strings, names that it can't have besides those of known data sets.

    Returns:
        String, NAME.

    Raises:
        DataError: If it can't be read, or can't be trained on.
        ValueError: If it has the name of something else.
    """
    path = pathlib.Path(path).resolve()
    name, taken = path.stem, (*NAMES, *taken)
    if name in taken or not re.fullmatch(r"[\w-]+", name):
        raise ValueError(
            f"Expected a file name of letters, digits, - and _, but none of {', '.join(taken)}. "
            f"Received: {path.name}"
        )
    if name in DATASETS and (other := DATASETS[name].file) != path:
        raise ValueError(f"Two files of one name: rename one. Received: {other} and {path}")
    data = read(path)
    load.cache_clear()
    digest = fingerprint(data, ordered=True)
    like = "mnist" if data.x_train.shape[-1] == 1 else "cifar10"
    DATASETS[name] = Dataset(
        name,
        data.x_train.shape[1:],
        tuple(map(str, range(int(data.y_train.max()) + 1))),
        len(data.y_train),
        len(data.y_test),
        digest,  # it has no other order
        digest,
        schedule=like,
        table=like,
        file=path,
    )
    return name


def forget_own():
    """Forgets the reader's own data sets, as a new process does."""
    for name in own_names():
        del DATASETS[name]
    load.cache_clear()


def _load_digits():
    # The last 360 of the 1,797 images are the test set; 0..16 becomes 0..255.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = np.round(bunch.images * (255 / 16)).astype("uint8"), bunch.target
    return {"x_train": x[:-360], "y_train": y[:-360], "x_test": x[-360:], "y_test": y[-360:]}


def _load_from_keras(name):
    keras = backend.load()
    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise DataError(
            f"{name} is not on this machine and can't be downloaded ({error}). On a machine "
            f"with a network run: lightlayers data export DIR --names {name}. Copy DIR here "
            f"and set {VARIABLE}=DIR. (Received: {VARIABLE}={os.environ.get(VARIABLE)!r})"
        ) from None
    return dict(zip(KEYS, (x_train, y_train, x_test, y_test), strict=True))


@functools.lru_cache(maxsize=2)
def load(name):
    """Returns a data set, having checked that it is the right one.

    `"digits"` comes with scikit-learn. The others are looked for as `NAME.npz` in the
    folder that the environment variable LIGHTLAYERS_DATA names, and else come from
    `keras.datasets`.

    Args:
        name: String, the name of a data set, see `get`.

    Returns:
        A `Data`.

    Raises:
        ValueError: If there is no data set of that name.
        DataError: If it is absent, unreadable or has other images than it should.

    Example:

    >>> load("digits").x_train.shape
    (1437, 8, 8, 1)
    """
    dataset, folder = get(name), os.environ.get(VARIABLE)
    path = pathlib.Path(folder, f"{name}.npz") if folder else None
    if dataset.own:
        source, data = str(dataset.file), read(dataset.file)
    elif name == "digits":
        source, data = "scikit-learn's digits", check_arrays("digits", _load_digits())
    elif path is not None and path.exists():
        return _load_file(dataset, path)
    elif path is not None and not path.parent.is_dir():
        raise DataError(f"{VARIABLE} names no folder. Received: {VARIABLE}={folder!r}")
    else:
        source = f"keras.datasets.{name}"
        data = check_arrays(source, _load_from_keras(name))
    _check_identity(dataset, source, data)
    return data


def _check_identity(dataset, source, data):
    """Checks that images and labels are those of a data set, in its order."""
    if fingerprint(data, ordered=True) == dataset.ordered_fingerprint:
        return
    name, found = dataset.name, fingerprint(data, dataset.own)
    if found != dataset.fingerprint:
        raise DataError(
            f"{source} is not the {name} that the results belong to: expected fingerprint "
            f"{dataset.fingerprint}. Received: {found}. Replace it by the original."
        )
    if (shape := data.x_train.shape[1:]) != dataset.shape:
        raise DataError(f"{source}: expected images of {dataset.shape}. Received: {shape}.")
    raise DataError(f"{source} has the images of {name} in another order. Trainings depend on it.")


def _load_file(dataset, path):
    """Returns a known data set from a file, or says how to get the right file."""
    try:
        data = check_arrays(path, read_arrays(path))
        _check_identity(dataset, path, data)
    except DataError as error:
        remedy = f"Move it away, then run: lightlayers data export DIR --names {dataset.name}"
        raise DataError(f"{str(error).rstrip('.')}. {remedy}") from None
    return data


def export(name, folder):
    """Writes a data set as `NAME.npz`, for LIGHTLAYERS_DATA on machines without a network.

    Args:
        name: String, one of `datasets.NAMES`.
        folder: Path, made if it is not there.

    Returns:
        Path of the file.

    Raises:
        DataError: If the data set can't be had.
    """
    data = load(name)
    target = pathlib.Path(folder, f"{name}.npz")
    files.write_file(target, lambda path: np.savez_compressed(path, **dataclasses.asdict(data)))
    return target
