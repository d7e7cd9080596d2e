"""Images and labels: what they are in memory, in a file, and by which digest they are known."""

import dataclasses
import hashlib

import numpy as np

KEYS = ("x_train", "y_train", "x_test", "y_test")
_LABELS = 2**16  # as many as the fingerprint tells apart
_DENSITY = 200  # bytes of an array in one byte of the file: images come nowhere near
_HARMLESS = 1e8  # bytes of an array that may be as dense as it likes
_TOPS = (1, 255, 4095, 65535)  # the largest values that pixels are usually stored with


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
            if missing := set(KEYS).difference(archive.files):
                raise ValueError(f"it lacks {', '.join(sorted(missing))} of {', '.join(KEYS)}")
            _check_density(archive.zip)
            arrays = {key: archive[key] for key in KEYS}
    except Exception as error:  # a broken file raises whatever its broken bytes lead to
        reason = str(error) or type(error).__name__
        if "pickle" in reason:
            reason = "it holds pickled objects, or is none"
        raise DataError(f"{path} can't be read as an .npz file ({reason}).") from None
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DataError(f"{path}: expected an array {key}.npy. Received: other bytes")
    return arrays


def _check_density(archive):
    """Refuses a file that is small and would fill the memory, before anything is unpacked."""
    for member in archive.infolist():
        if member.file_size > max(_HARMLESS, _DENSITY * member.compress_size):
            sizes = f"{member.file_size / 1e9:.1f} GB from {member.compress_size / 1e6:.1f} MB"
            raise ValueError(f"no images compress so far. Received: {member.filename}, {sizes}")


def check_arrays(name, arrays):
    """Returns the `Data` of four arrays; `name` says in errors where they are from."""
    for key, array in arrays.items():
        _check_numbers(name, key, array)
    images = {
        key: array[..., None] if array.ndim == 3 else array
        for key, array in arrays.items()
        if key.startswith("x")
    }
    labels = {}
    for split in ("train", "test"):
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if not len(x):
            raise DataError(f"{name}: expected images in x_{split}. Received: none")
        if y.shape not in ((len(x),), (len(x), 1)):
            raise DataError(
                f"{name}: expected one label for each of the {len(x)} images in y_{split}. "
                f"Received: shape {y.shape}; of one-hot labels take y.argmax(axis=1)"
            )
        if not 0 <= y.min() <= y.max() < _LABELS:
            raise DataError(
                f"{name}: expected labels of 0 to {_LABELS - 1:,} in y_{split}. "
                f"Received: {y.min()} to {y.max()}"
            )
        labels[f"y_{split}"] = y.reshape(-1).astype("int32")
    return Data(**images, **labels)


def _check_numbers(name, key, array):
    """Checks that labels are integers, and images numbers."""
    kinds, expected, remedy = "biuf", "numbers", ""
    if key.startswith("y"):
        kinds, expected = "iu", "integers"
        remedy = "; np.unique(y, return_inverse=True) numbers classes"
    if array.dtype.kind not in kinds or not array.ndim:
        raise DataError(
            f"{name}: expected {expected} in {key}. "
            f"Received: {array.dtype}, shape {array.shape}{remedy}"
        )


def read_labelled(path):
    """Returns images of any shape and their labels.

    Args:
        path: Path of a NAME.npz with the arrays `x_train`, `y_train`, `x_test` and `y_test`:
            numbers `(n, ...)`, and integer labels from 0.

    Returns:
        A `Data`, whose images have the file's type.

    Raises:
        DataError: If it is absent, unreadable or not so.
    """
    return check_arrays(path, read_arrays(path))


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
    data = read_labelled(path)

    def expected(what, received):
        raise DataError(f"{path}: expected {what}. Received: {received}")

    for split, x in (("train", data.x_train), ("test", data.x_test)):
        if x.dtype != np.uint8:
            found, remedy = _describe_pixels(data)
            expected(f"uint8 images (0 to 255) in x_{split}", f"{x.dtype}, {found}; {remedy}")
        if x.ndim != 4 or x.shape[-1] not in (1, 3):
            shapes = "(n, height, width) or (n, height, width, 1 or 3)"
            expected(f"x_{split} of shape {shapes}", x.shape)
        if min(x.shape[1:3]) < 8:
            expected("images of 8 × 8 pixels at least, for three poolings", x.shape[1:3])
    if data.x_train.shape[1:] != data.x_test.shape[1:]:
        shapes = f"{data.x_train.shape[1:]} and {data.x_test.shape[1:]}"
        expected("images of one shape in x_train and x_test", shapes)
    found = np.unique(data.y_train)
    if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        expected("the labels 0, 1, 2, ... without gaps in y_train", found[:20].tolist())
    if unknown := sorted(set(data.y_test.tolist()) - set(found.tolist())):
        expected("in y_test only labels that y_train has", unknown[:20])
    return data


def _describe_pixels(data):
    """Returns the range of the pixels, and what makes 0 to 255 of it.

    Args:
        data: `Data`. Its splits are looked at together: one may lack the brightest pixels.
    """
    low = min(float(x.min()) for x in (data.x_train, data.x_test))
    high = max(float(x.max()) for x in (data.x_train, data.x_test))
    top = next((top for top in _TOPS if high <= top), None)
    # The factors are floats: in a small integer type the products would wrap around.
    if low >= 0 and top == 255:
        scaled = "x"
    elif low >= 0 and top:
        scaled = "255.0 * x" if top == 1 else f"x * (255 / {top})"
    elif -1 <= low < 0 and top == 1:
        scaled = "127.5 * (x + 1)"
    else:
        return f"{low:g} to {high:g}", "undo what was done to the pixels, and round to 0 to 255"
    return f"{low:g} to {high:g}", f"for such images: np.round({scaled}).astype('uint8')"
