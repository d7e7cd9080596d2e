"""The data sets: the right images or a clear error, and nothing unpickled."""

import pathlib
import pickle

import numpy as np
import pytest

from lightlayers import backend, datasets

FOLDER = pathlib.Path(datasets.os.environ.get(datasets.VARIABLE, "nowhere"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(datasets.VARIABLE, str(tmp_path))
    datasets.load.cache_clear()
    yield tmp_path
    datasets.load.cache_clear()


def arrays(n=4):
    images = np.arange(n * 784, dtype="uint8").reshape(n, 28, 28)
    labels = np.arange(n, dtype="uint8")
    return dict(zip(datasets.KEYS, (images, labels, images, labels), strict=True))


def test_digits_are_the_embedded_ones():
    data = datasets.load("digits")
    assert data.x_train.shape == (1437, 8, 8, 1) and data.x_train.dtype == np.uint8
    assert data.x_test.shape == (360, 8, 8, 1) and data.x_train.max() == 255
    assert set(data.y_test) == set(range(10))


@pytest.mark.parametrize("name", datasets.NAMES[1:])
def test_real_data_set(name):
    if not (FOLDER / f"{name}.npz").exists():
        pytest.skip(f"{name} is not in LIGHTLAYERS_DATA")
    data = datasets.load(name)
    assert len(data.y_test) == 10000 and data.x_train.ndim == 4


def test_fingerprint_ignores_order_but_nothing_else():
    data = datasets.Data(**arrays())
    known = datasets.fingerprint(data)
    turned = datasets.Data(
        data.x_train[::-1], data.y_train[::-1], data.x_test[::-1], data.y_test[::-1]
    )
    assert datasets.fingerprint(turned) == known
    labels = datasets.Data(data.x_train, data.y_train[::-1], data.x_test, data.y_test)
    assert datasets.fingerprint(labels) != known
    pixel = arrays()
    pixel["x_test"] = pixel["x_test"].copy()
    pixel["x_test"][0, 0, 0] ^= 1
    assert datasets.fingerprint(datasets.Data(**pixel)) != known
    fewer = datasets.Data(data.x_train[:2], data.y_train[:2], data.x_test, data.y_test)
    assert datasets.fingerprint(fewer) != known


def test_other_images_are_refused(folder):
    np.savez(folder / "mnist.npz", **arrays())
    with pytest.raises(datasets.DataError, match="mnist.npz is not the mnist .*Received: "):
        datasets.load("mnist")


@pytest.mark.parametrize("damage", ["truncated", "emptied", "text", "key", "floats"])
def test_a_broken_file_is_named(folder, damage):
    file = folder / "mnist.npz"
    content = arrays()
    if damage == "key":
        del content["y_test"]
    if damage == "floats":
        content["x_train"] = content["x_train"] / 255
    np.savez(file, **content)
    whole = file.read_bytes()
    if damage in ("truncated", "emptied", "text"):
        file.write_bytes({"truncated": whole[:2000], "emptied": b"", "text": b"hello"}[damage])
    with pytest.raises(datasets.DataError, match="mnist.npz"):
        datasets.load("mnist")


def test_nothing_is_unpickled(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "sprung",))

    np.savez(folder / "mnist.npz", **(arrays() | {"x_test": np.array([Trap()], dtype=object)}))
    (folder / "fashion_mnist.npz").write_bytes(pickle.dumps(Trap()))
    for name in ("mnist", "fashion_mnist"):
        with pytest.raises(datasets.DataError, match=f"{name}.npz"):
            datasets.load(name)
    assert not (tmp_path / "sprung").exists()


def test_absent_and_offline_says_what_to_do(folder, monkeypatch):
    def offline():
        raise OSError("no route to host")

    monkeypatch.setattr(backend.load().datasets.cifar10, "load_data", offline)
    with pytest.raises(datasets.DataError, match="lightlayers data export .*LIGHTLAYERS_DATA"):
        datasets.load("cifar10")


def test_unknown_name():
    with pytest.raises(ValueError, match="Received: 'svhn'"):
        datasets.load("svhn")
