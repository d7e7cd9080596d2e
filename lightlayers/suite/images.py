"""Images and labels: what they are in memory, in a file, and by which digest they are known."""

import dataclasses
import hashlib
import zipfile
import zlib

import numpy as np

KEYS = ("x_train", "y_train", "x_test", "y_test")
_LABELS = 2**16  # as many as the fingerprint tells apart


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


def read_arrays(path):
    """Returns the four arrays of an .npz file by their names."""
    try:
        # Never unpickle what lies in a data folder. NumPy leaves a broken file open: open it here.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in KEYS}
    except KeyError:
        raise DataError(f"{path} lacks one of the arrays {', '.join(KEYS)}.") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = "it holds pickled objects, or is none" if "pickle" in str(error) else error
        raise DataError(f"{path} can't be read as an .npz file ({reason}).") from None


def check_arrays(name, arrays):
    """Returns the `Data` of four arrays; `name` says in errors where they are from."""
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
    arrays = read_arrays(path)

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
    data = check_arrays(path, arrays)
    if data.x_train.shape[1:] != data.x_test.shape[1:]:
        shapes = f"{data.x_train.shape[1:]} and {data.x_test.shape[1:]}"
        expected("images of one shape in x_train and x_test", shapes)
    found = np.unique(data.y_train)
    if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        expected("the labels 0, 1, 2, ... without gaps in y_train", found[:20].tolist())
    if unknown := sorted(set(data.y_test.tolist()) - set(found.tolist())):
        expected("in y_test only labels that y_train has", unknown[:20])
    return data
