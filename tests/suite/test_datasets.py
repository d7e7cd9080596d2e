"""The data sets: the right images or a clear error, and nothing unpickled."""

import dataclasses
import os
import pathlib
import pickle
import re
import zipfile

import numpy as np
import pytest
from suite.stored import record_of

from lightlayers.suite import backend, datasets, networks, plans, recipes, training
from lightlayers.suite.images import check_arrays
from lightlayers.suite.runs import Run
from lightlayers.suite.store import Store

FOLDER = pathlib.Path(os.environ.get(datasets.VARIABLE, "nowhere"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(datasets.VARIABLE, str(tmp_path))
    datasets.load.cache_clear()
    yield tmp_path
    datasets.load.cache_clear()


def plant(monkeypatch, name, content):
    """Makes small arrays the images that a known data set should have."""
    data = datasets.Data(**content)
    known = dataclasses.replace(
        datasets.get(name),
        shape=(*data.x_train.shape[1:], 1)[:3],
        fingerprint=datasets.fingerprint(data),
        ordered_fingerprint=datasets.fingerprint(check_arrays(name, content), ordered=True),
    )
    monkeypatch.setitem(datasets.DATASETS, name, known)


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


def test_of_own_images_order_and_shape_are_in_the_fingerprint():
    ours = arrays()
    known = datasets.fingerprint(datasets.Data(**ours), ordered=True)
    turned = {key: each[::-1] for key, each in ours.items()}
    flat = ours | {key: ours[key].reshape(4, -1) for key in ("x_train", "x_test")}
    for other in (turned, flat):
        assert datasets.fingerprint(datasets.Data(**other), ordered=True) != known


def test_images_of_another_shape_and_a_folder_that_is_none_are_refused(folder, monkeypatch):
    plant(monkeypatch, "mnist", arrays())
    flat = arrays()
    flat |= {key: flat[key].reshape(4, 16, 49) for key in ("x_train", "x_test")}
    np.savez(folder / "mnist.npz", **flat)
    expected = r"expected images of \(28, 28, 1\). Received: \(16, 49, 1\)"
    with pytest.raises(datasets.DataError, match=expected):
        datasets.load("mnist")
    monkeypatch.setenv(datasets.VARIABLE, str(folder / "missing"))
    with pytest.raises(datasets.DataError, match="names no folder. Received: .*missing"):
        datasets.load("mnist")


def test_images_come_from_the_folder_or_from_keras_and_survive_export(
    folder, tmp_path, monkeypatch
):
    ours = arrays()
    ours["y_test"] = ours["y_test"][::-1].copy()
    plant(monkeypatch, "cifar10", ours)
    columns = {key: x.reshape(-1, 1) if key[0] == "y" else x for key, x in ours.items()}
    train, test = (tuple(columns[f"{kind}_{part}"] for kind in "xy") for part in ("train", "test"))
    keras = backend.load()
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: (train, test))
    exported = tmp_path / "exported"
    datasets.load.cache_clear()
    datasets.export("cifar10", exported)
    monkeypatch.delattr(keras.datasets.cifar10, "load_data")
    monkeypatch.setenv("LIGHTLAYERS_DATA", str(exported))
    datasets.load.cache_clear()
    found = datasets.load("cifar10")
    for key in datasets.KEYS:
        value = getattr(found, key)
        np.testing.assert_array_equal(np.squeeze(value), ours[key])
        assert value.ndim == (4 if key[0] == "x" else 1)
    datasets.load.cache_clear()


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_images_in_another_order_are_refused(folder, monkeypatch, split):
    """The order decides what is held out, what the first images are, and what is learned."""
    content = arrays()
    plant(monkeypatch, "mnist", content)
    np.savez(folder / "mnist.npz", **content)
    datasets.load("mnist")
    order = [1, 0, 2, 3]
    content |= {key: content[key][order] for key in (f"x_{split}", f"y_{split}")}
    np.savez(folder / "mnist.npz", **content)
    datasets.load.cache_clear()
    advice = "another order.*Move it away, then run: lightlayers data export DIR --names mnist"
    with pytest.raises(datasets.DataError, match=advice):
        datasets.load("mnist")


def test_other_images_are_refused(folder):
    np.savez(folder / "mnist.npz", **arrays())
    with pytest.raises(datasets.DataError, match="mnist.npz is not the mnist .*Received: "):
        datasets.load("mnist")


# Of an array that is none, of 10 exabytes, of more than there are numbers for, and cut off.
HEADERS = {
    "bytes": None,
    "huge": f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**18},), }}",
    "endless": f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**30},), }}",
    "unfinished": "{'descr': '|u1', 'fortran_order': False, 'shape': (2L, ",
}


def write_headers(file, header):
    """Writes an .npz file whose arrays have a header and no content."""
    with zipfile.ZipFile(file, "w") as archive:
        for key in datasets.KEYS:
            with archive.open(f"{key}.npy", "w") as member:
                if header:
                    text = header.ljust(117) + "\n"
                    member.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little"))
                    member.write(text.encode())


@pytest.mark.parametrize(
    "damage",
    [
        *("truncated", "flipped", "emptied", "array", "text", "key", "floats", "fewer", "label"),
        *("bytes", "huge", "endless", "unfinished"),
    ],
)
def test_a_broken_file_is_named(folder, damage):
    file = folder / "mnist.npz"
    content = arrays()
    if damage == "key":
        del content["y_test"]
    if damage == "floats":
        content["x_train"] = content["x_train"] / 255
    if damage == "fewer":
        content["y_train"] = content["y_train"][1:]
    if damage == "label":
        content["y_test"] = content["y_test"].astype(int) - 1
    (np.savez_compressed if damage == "flipped" else np.savez)(file, **content)
    whole = file.read_bytes()
    if damage == "flipped":
        file.write_bytes(whole[:200] + bytes(255 - byte for byte in whole[200:400]) + whole[400:])
    if damage == "array":
        np.save(folder / "mnist", content["x_train"])
        (folder / "mnist.npy").rename(file)
    if damage in ("truncated", "emptied", "text"):
        file.write_bytes({"truncated": whole[:2000], "emptied": b"", "text": b"hello"}[damage])
    if damage in HEADERS:
        write_headers(file, HEADERS[damage])
    with pytest.raises(datasets.DataError, match="mnist.npz"):
        datasets.load("mnist")


def test_what_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    content = own() | {"x_train": np.zeros((2000, 256, 256), "uint8")}  # 131 MB from 0.1
    np.savez_compressed(tmp_path / "own.npz", **content)
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *key: pytest.fail("unpacked"))
    with pytest.raises(datasets.DataError, match="own.npz .*Received: x_train.npy, 0.1 GB from 0"):
        datasets.read(tmp_path / "own.npz")


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


def own(n=6, channels=(), side=8):
    images = np.random.default_rng(0).integers(0, 256, (n, side, side, *channels), dtype="uint8")
    return dict(
        zip(datasets.KEYS, (images, np.arange(n) % 3, images, np.arange(n) % 3), strict=True)
    )


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_own_images_are_read(tmp_path, channels):
    np.savez(tmp_path / "own.npz", **own(channels=channels))
    data = datasets.read(tmp_path / "own.npz")
    assert data.x_train.shape == (6, 8, 8, channels[0] if channels else 1)
    assert data.y_test.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": own()["x_train"] / 255}, "uint8 images .* in x_train.*Received: float64"),
        ({"x_test": own()["x_test"].astype("int64")}, "uint8 images .* in x_test"),
        ({"x_train": own()["x_train"][:, 0]}, r"x_train of shape .*Received: \(6, 8\)"),
        ({"x_train": own(channels=(4,))["x_train"]}, r"or 3\)\. Received: \(6, 8, 8, 4\)"),
        ({"x_test": own(side=9)["x_test"]}, r"one shape .*Received: \(8, 8, 1\) and \(9, 9, 1\)"),
        ({"x_train": own(side=7)["x_train"]}, r"8 × 8 pixels at least.*Received: \(7, 7\)"),
        ({"x_train": own()["x_train"][:0], "y_train": np.arange(0)}, "expected images in x_train"),
        ({"y_train": np.arange(5)}, r"each of the 6 images in y_train. Received: shape \(5,\)"),
        (
            {"y_test": np.eye(3, dtype=int)[own()["y_test"]]},
            r"y_test. Received: shape \(6, 3\); of one-hot",
        ),
        ({"y_train": own()["y_train"] * 1.0}, "integers in y_train. Received: float64.*np.unique"),
        ({"y_train": own()["y_train"] - 1}, r"labels of 0 to 65,535 .*Received: -1 to 1"),
        ({"y_train": own()["y_train"] + 2**32}, "labels of 0 to .*Received: 4294967296 to"),
        ({"y_train": own()["y_train"] * 2}, r"without gaps .*Received: \[0, 2, 4\]"),
        ({"y_train": own()["y_train"] * 0}, r"without gaps .*Received: \[0\]"),
        ({"y_test": own()["y_test"] + 1}, r"only labels that y_train has. Received: \[3\]"),
    ],
)
def test_own_images_that_can_not_be_trained_on(tmp_path, change, message):
    np.savez(tmp_path / "own.npz", **(own() | change))
    with pytest.raises(datasets.DataError, match=f"own.npz.*{message}"):
        datasets.read(tmp_path / "own.npz")


def _as_bits(bits):
    return lambda x: np.round(x * ((2**bits - 1) / 255)).astype("uint16")


@pytest.mark.parametrize(
    "store",
    [
        *(lambda x: x.astype("int64"), lambda x: x.astype("float32"), lambda x: x / 255),
        *(lambda x: (x / 255).astype("float16"), lambda x: x / 127.5 - 1),
        *(_as_bits(12), _as_bits(16)),
    ],
    ids=["int64", "float of 0..255", "0..1", "float16", "-1..1", "12 bits", "16 bits"],
)
def test_the_remedy_for_images_of_another_type_gives_the_images(tmp_path, store):
    content = own(n=20)
    content["x_train"][0, 0, :2] = 0, 255
    content["x_test"] = content["x_test"] // 8  # darker, but scaled as the others
    stored = {key: store(x) if key[0] == "x" else x for key, x in content.items()}
    np.savez(tmp_path / "own.npz", **stored)
    with pytest.raises(datasets.DataError, match="Received: .*for such images: ") as caught:
        datasets.read(tmp_path / "own.npz")
    remedy = re.search(r"np\.round.*", str(caught.value)).group()
    for key in ("x_train", "x_test"):
        found = eval(remedy, {"np": np, "x": stored[key]})
        np.testing.assert_array_equal(found, content[key])
        assert found.dtype == np.uint8


@pytest.mark.parametrize("pixels", [np.nan, -300, 1e6])
def test_no_remedy_is_given_for_pixels_of_an_unknown_range(tmp_path, pixels):
    np.savez(tmp_path / "own.npz", **(own() | {"x_train": np.full((6, 8, 8), pixels)}))
    with pytest.raises(datasets.DataError, match="undo what was done to the pixels"):
        datasets.read(tmp_path / "own.npz")


def test_an_absent_file_of_ones_own(tmp_path):
    with pytest.raises(datasets.DataError, match="own.npz can't be read"):
        datasets.read(tmp_path / "own.npz")


# ---------------------------------------------------------------- the reader's own


def test_own_data_is_a_data_set_by_its_name(own, tmp_path):
    assert own("mine") == "mine"
    run = Run("mine", "lightlayers", 2)
    assert (run.epochs, run.train_size, run.test_size) == (10, 12, 4) and run.whole
    assert plans.table_rows("mine") == plans.table_rows("mnist")
    assert (datasets.get("mine").shape, datasets.get("mine").classes) == ((8, 9, 1), 2)
    store = Store(tmp_path)
    store.write(record_of(run))
    assert str(tmp_path) not in store.path(run).read_text()
    assert list(store.every("mine")[0]) == [run]
    assert "mine" not in plans.NAMES


@pytest.mark.parametrize("recipe", ["paper", "corrected"])
def test_own_colour_data_gets_the_network_of_the_cifars(own, recipe):
    run = Run(own("colours", channels=3), "lightlayers", 2, recipe)
    assert run.epochs == recipes.get(recipe).schedule("cifar10").epochs == 20
    model = networks.build(run.dataset, run.method, run.rank, recipe)
    assert model.output_shape == (None, 2) and model.get_layer("block1_shortcut")
    assert model(np.zeros((1, 8, 9, 3))).shape == (1, 2)


def test_own_data_sorted_by_class_is_not_trained_on(own, tmp_path):
    own("mine")
    arrays = dict(np.load(tmp_path / "mine.npz"))
    arrays["y_train"] = np.repeat([0, 1], [11, 1])  # the last tenth is held out
    np.savez(tmp_path / "sorted.npz", **arrays)
    run = Run(plans.add_data(tmp_path / "sorted.npz"), "conv2d", recipe="corrected", epochs=1)
    with pytest.raises(datasets.DataError, match="shuffle the file.*Received: none of 1"):
        training.train(run)


def test_changed_own_data_is_another_data_set(own):
    known = Run(own("mine"), "conv2d").id
    assert Run(own("mine"), "conv2d").id == known
    assert Run(own("mine", seed=1), "conv2d").id != known
    assert Run(own("other", seed=1), "conv2d").id != Run("mine", "conv2d").id


def test_own_data_that_changes_under_way_is_noticed(own, tmp_path):
    own("other", seed=1)
    own("mine")
    os.replace(tmp_path / "other.npz", tmp_path / "mine.npz")
    with pytest.raises(datasets.DataError, match="mine.npz is not the mine that"):
        datasets.load("mine")


def test_two_files_of_one_name(own, tmp_path):
    own("mine")
    (tmp_path / "other").mkdir()
    other = (tmp_path / "mine.npz").rename(tmp_path / "other" / "mine.npz")
    with pytest.raises(ValueError, match=f"rename one. Received: .*mine.npz and {other}"):
        plans.add_data(other)
