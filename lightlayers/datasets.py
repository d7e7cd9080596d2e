"""The data sets: where they are found, and how it is known that they are the right ones."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import zipfile
import zlib

import numpy as np

VARIABLE = "LIGHTLAYERS_DATA"
KEYS = ("x_train", "y_train", "x_test", "y_test")

# Digests over sorted digests of label and pixels: the same for any order of the images.
FINGERPRINTS = {
    "digits": "c340e972ed26c6f8",
    "mnist": "371dcf9d9371581f",
    "fashion_mnist": "6d175d83ae0f53ca",
    "cifar10": "6213ad2ff44c7af5",
    "cifar100": "33847932370c7e81",
}
NAMES = tuple(FINGERPRINTS)
_LABELS = 2**16  # as many as the fingerprint tells apart
FILES = {}  # the reader's own data sets: name to path, see `runs.add_data`
_DIGITS = tuple("0123456789")
CLASSES = {
    "digits": _DIGITS,
    "mnist": _DIGITS,
    "fashion_mnist": tuple(
        "T-shirt trouser pullover dress coat sandal shirt sneaker bag boot".split()
    ),
    "cifar10": tuple("airplane automobile bird cat deer dog frog horse ship truck".split()),
    # The hundred fine labels, in their alphabetical order.
    "cifar100": tuple(
        """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
        crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
        keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
        mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
        plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
        television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
        worm""".split()
    ),
}


class DataError(Exception):
    """A data set that is absent, unreadable or not the one it should be."""


@dataclasses.dataclass(frozen=True)
class Data:
    """One data set: `uint8` images `(n, height, width, channels)`, integer labels `(n,)`."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def limited(self, train_size=None, test_size=None):
        """Returns the first images of each split, all where the size is `None`."""
        return Data(
            self.x_train[:train_size],
            self.y_train[:train_size],
            self.x_test[:test_size],
            self.y_test[:test_size],
        )


def fingerprint(data, ordered=False):
    """Returns a digest of both splits.

    Args:
        data: A `Data`.
        ordered: Boolean, whether it depends on the order within a split, which decides what is
            held out and, without shuffling, what is learned; the shape of the images is in it
            too. Defaults to `False`.

    Returns:
        String, 16 hexadecimal digits.
    """
    whole = hashlib.sha256()
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        images = (
            hashlib.sha256(int(label).to_bytes(2, "little") + pixels.tobytes()).digest()
            for pixels, label in zip(x, y, strict=True)
        )
        images = (repr(x.shape).encode(), *images) if ordered else sorted(images)
        whole.update(hashlib.sha256(b"".join(images)).digest())
    return whole.hexdigest()[:16]


def _digits():
    # The last 360 of the 1,797 images are the test set; 0..16 becomes 0..255.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = np.round(bunch.images * (255 / 16)).astype("uint8"), bunch.target
    return {"x_train": x[:-360], "y_train": y[:-360], "x_test": x[-360:], "y_test": y[-360:]}


def _from_folder(path):
    try:
        # Never unpickle what lies in a data folder. NumPy leaves a broken file open: open it here.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in KEYS}
    except KeyError:
        raise DataError(f"{path} lacks one of the arrays {', '.join(KEYS)}.") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = "it holds pickled objects, or is none" if "pickle" in str(error) else error
        raise DataError(f"{path} can't be read as an .npz file ({reason}).") from None


def _from_keras(name):
    from lightlayers import backend

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


def _standardize(name, arrays):
    for key, array in arrays.items():
        if not np.issubdtype(array.dtype, np.integer) or array.ndim < 1:
            raise DataError(
                f"{name}: expected integers in {key}. Received: {array.dtype}, shape {array.shape}"
                + ("; np.unique(y, return_inverse=True) numbers classes" if key[0] == "y" else "")
            )
    images = {
        key: array[..., None] if array.ndim == 3 else array
        for key, array in arrays.items()
        if key.startswith("x")
    }
    labels = {}
    for split in ("train", "test"):
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if y.shape not in ((len(x),), (len(x), 1)):
            raise DataError(
                f"{name}: expected one label for each of the {len(x)} images in y_{split}. "
                f"Received: shape {y.shape}; of one-hot labels take y.argmax(axis=1)"
            )
        if len(y) and not 0 <= y.min() <= y.max() < _LABELS:
            raise DataError(
                f"{name}: expected labels of 0 to {_LABELS - 1:,} in y_{split}. "
                f"Received: {y.min()} to {y.max()}"
            )
        labels[f"y_{split}"] = y.reshape(-1).astype("int32")
    return Data(**images, **labels)


def read(path):
    """Returns the images and labels of any NAME.npz, having checked that they can be trained on.

    Args:
        path: Path of a file with the arrays `x_train`, `y_train`, `x_test` and `y_test`:
            `uint8` images `(n, height, width)`, or `(n, height, width, channels)` with 1
            or 3 channels, of 8 × 8 pixels at least, and integer labels `0, 1, 2, ...`.

    Returns:
        A `Data`.

    Raises:
        DataError: If it is absent, unreadable or not so.
    """
    arrays = _from_folder(path)

    def expected(what, received):
        raise DataError(f"{path}: expected {what}. Received: {received}")

    for split in ("train", "test"):
        x = arrays[f"x_{split}"]
        if x.dtype != np.uint8:
            remedy = "; for images in 0..1: np.round(255 * x).astype('uint8')"
            expected(f"uint8 images (0 to 255) in x_{split}{remedy}", x.dtype)
        if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[-1] not in (1, 3)):
            shapes = "(n, height, width) or (n, height, width, 1 or 3)"
            expected(f"x_{split} of shape {shapes}", x.shape)
        if min(x.shape[1:3]) < 8:
            expected("images of 8 × 8 pixels at least, for three poolings", x.shape[1:3])
        if not len(x):
            expected(f"images in x_{split}", "none")
    data = _standardize(path, arrays)
    if data.x_train.shape[1:] != data.x_test.shape[1:]:
        shapes = f"{data.x_train.shape[1:]} and {data.x_test.shape[1:]}"
        expected("images of one shape in x_train and x_test", shapes)
    found = np.unique(data.y_train)
    if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        expected("the labels 0, 1, 2, ... without gaps in y_train", found[:20].tolist())
    if unknown := sorted(set(data.y_test.tolist()) - set(found.tolist())):
        expected("in y_test only labels that y_train has", unknown[:20])
    return data


@functools.lru_cache(maxsize=2)
def load(name):
    """Returns a data set, having checked that it is the right one.

    `"digits"` comes with scikit-learn. The others are looked for as `NAME.npz` in the
    folder that the environment variable LIGHTLAYERS_DATA names, and else come from
    `keras.datasets`.

    Args:
        name: String, one of `datasets.NAMES`, or of `datasets.FILES`.

    Returns:
        A `Data`.

    Raises:
        ValueError: If there is no data set of that name.
        DataError: If it is absent, unreadable or has other images than it should.

    Example:

    >>> load("digits").x_train.shape
    (1437, 8, 8, 1)
    """
    from lightlayers import networks

    if name not in (*NAMES, *FILES):
        raise ValueError(f"Unknown data set. Expected one of {list(NAMES)}. Received: {name!r}")
    folder = os.environ.get(VARIABLE)
    path = pathlib.Path(folder, f"{name}.npz") if folder else None
    if name in FILES:
        source, data = str(FILES[name]), read(FILES[name])
    elif name == "digits":
        source, data = "scikit-learn's digits", _standardize("digits", _digits())
    elif path is not None and path.exists():
        source, data = str(path), _standardize(path, _from_folder(path))
    elif path is not None and not path.parent.is_dir():
        raise DataError(f"{VARIABLE} names no folder. Received: {VARIABLE}={folder!r}")
    else:
        source = f"keras.datasets.{name}"
        data = _standardize(source, _from_keras(name))
    found = fingerprint(data, name in FILES)
    if found != FINGERPRINTS[name]:
        raise DataError(
            f"{source} is not the {name} that the results belong to: expected fingerprint "
            f"{FINGERPRINTS[name]}. Received: {found}. Replace it by the original."
        )
    (expected, _), shape = networks.specification(name), data.x_train.shape[1:]
    if shape != expected:
        raise DataError(f"{source}: expected images of {expected}. Received: {shape}")
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
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{name}-{os.getpid()}.npz")
    try:
        np.savez_compressed(temporary, **dataclasses.asdict(data))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
