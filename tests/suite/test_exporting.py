"""Exported models: they say what Keras says, and are as small as promised."""

import types

import numpy as np
import pytest

from lightlayers import LightConv2D, cli
from lightlayers.suite import backend, datasets, exporting, networks

keras = backend.load()
pytestmark = [
    pytest.mark.skipif(backend.name() != "tensorflow", reason="TensorFlow exports"),
    pytest.mark.filterwarnings("ignore"),  # of the converters, about themselves
]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    model = networks.build("digits", "lightlayers", 3, "no-scale")
    data = datasets.load("digits")
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(data.x_train / 255, data.y_train, epochs=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def linear():
    """A model of 0..1 that is right for nine images of ten: classes fitted by least squares."""
    data = datasets.load("digits")
    pixels = np.c_[data.x_train.reshape(-1, 64) / 255, np.ones(len(data.y_train))]
    weights, *_ = np.linalg.lstsq(pixels, 9.0 * np.eye(10)[data.y_train], rcond=None)
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential(layers, name="linear")
    model.set_weights([weights[:-1], weights[-1]])
    return model


@pytest.fixture(scope="module")
def images():
    return datasets.load("digits").x_test[:100] / np.float32(255)


def test_each_format_agrees_with_keras(model, images, tmp_path):
    table = exporting.export(model, tmp_path, images).set_index("format")
    assert not exporting.disagreements(table.reset_index())
    assert set(exporting.available()) == set(table.index) >= {"float32", "dynamic", "int8"}
    assert table.loc["float32", "largest difference"] < 1e-4
    assert table.loc["float32", "same class"] == 1
    assert table.loc[["dynamic", "int8"], "same class"].min() >= 0.95
    assert 0 < table.loc["int8", "largest difference"] < 0.5
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert sizes[table.loc["int8", "file"]] < sizes[table.loc["float32", "file"]]
    if "onnx" in table.index:
        assert table.loc["onnx", "largest difference"] < 1e-4


def test_a_wrong_file_would_be_seen(model, images, tmp_path, monkeypatch):
    true = exporting.load_tflite

    def wrong(file):
        runtime, predict = true(file)
        return runtime, lambda image: np.roll(predict(image), 1)

    monkeypatch.setattr(exporting, "load_tflite", wrong)
    table = exporting.export(model, tmp_path, images, ["float32", "dynamic"])
    assert table["same class"].max() < 0.5
    moved, classes = exporting.disagreements(table)
    assert "float32 moves a probability by" in moved
    assert "dynamic gives another class than Keras for" in classes
    table["largest difference"] = np.nan
    for name, said in zip(("float32", "dynamic"), exporting.disagreements(table), strict=True):
        assert f"{name} moves a probability by nan" in said


def test_what_xnnpack_refuses_runs_without_it(images, tmp_path):
    """Logits that hardly differ: the head's scales lie too far apart for XNNPACK."""
    keras.utils.set_random_seed(42)
    network = networks.build("digits", "lightlayers", 2)
    network.layers[-1].factor_1.assign(network.layers[-1].factor_1 * 1e-4)
    table = exporting.export(network, tmp_path, images, ["float32", "int8"])
    assert table["runtime"].tolist() == ["TFLite with XNNPACK", "TFLite"]
    assert table["largest difference"].max() < 0.05


def test_a_file_at_chance_is_not_written(linear, images, tmp_path, monkeypatch):
    labels = datasets.load("digits").y_test[:100]
    monkeypatch.setattr(exporting, "load_tflite", lambda file: ("", lambda image: np.eye(10)[3]))
    file = tmp_path / "linear-int8.tflite"
    file.write_text("an earlier one")
    table = exporting.export(linear, tmp_path, images, ["int8"], labels=labels)
    assert table["Keras accuracy"].item() > 0.8 > 0.2 > table["accuracy"].item()
    (said,) = exporting.disagreements(table)
    assert "int8 is at chance, and not written: accuracy 0.1" in said
    assert file.read_text() == "an earlier one"


def test_a_model_of_open_image_size_is_exported_for_the_images(images, tmp_path):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, None, 1))
    x = keras.layers.GlobalAveragePooling2D()(LightConv2D(8, 3, rank=2, form="spatial")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x), name="open")
    table = exporting.export(model, tmp_path, images[:20], ["float32"])
    assert not exporting.disagreements(table)
    assert (tmp_path / "open-float32.tflite").exists()


@pytest.mark.parametrize(
    ("expected", "images", "shape"),
    [
        ((None, None, 1), (8, 6, 1), (8, 6, 1)),
        ((8, 6), (8, 6, 1), (8, 6)),
        ((48,), (8, 6, 1), (48,)),
        ((144,), (8, 6, 3), (144,)),
        ((4, 5, 6, 2), (4, 5, 6, 2), (4, 5, 6, 2)),
    ],
)
def test_images_get_the_shape_that_the_model_takes(expected, images, shape):
    model = types.SimpleNamespace(input_shape=(None, *expected))
    assert exporting.shape_images(model, np.zeros((5, *images))).shape == (5, *shape)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ((None, 3, 8, 6), r"takes images of shape \(3, 8, 6\)\. Received: \(8, 6, 3\)"),
        ((1, 8, 6, 3), "any number of images. Received: batches of 1"),
    ],
)
def test_images_of_another_shape_are_refused(expected, message):
    with pytest.raises(ValueError, match=message):
        exporting.shape_images(types.SimpleNamespace(input_shape=expected), np.zeros((5, 8, 6, 3)))


def make_model(outputs, inputs=1, dtype="float32", policy="float32"):
    """Makes a model of images; `outputs` makes its outputs of a flat tensor."""
    entries = [keras.Input((8, 8, 1), dtype=dtype) for _ in range(inputs)]
    x = [keras.layers.Flatten(dtype=policy, name=f"layer_{i}")(x) for i, x in enumerate(entries)]
    return keras.Model(entries if inputs > 1 else entries[0], outputs(sum(x)))


def make_head(units=10):
    return keras.layers.Dense(units)


class Subclassed(keras.Model):
    """A model without a graph: only a call tells what it returns."""

    def call(self, images):
        return {"classes": keras.ops.reshape(images, (-1, 64))}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_model(lambda x: [make_head()(x), make_head()(x)]), "one output of shape"),
        (lambda: make_model(lambda x: {"a": make_head()(x)}), "one output .*Received: .*'a'"),
        (lambda: make_model(make_head(1)), r"two classes at least. Received: \(None, 1\)"),
        (
            lambda: make_model(keras.layers.Reshape((8, 8))),
            r"Received: \(None, 8, 8\)",
        ),
        (lambda: Subclassed(), r"one output .*Received: \{'classes': \(100, 64\)\}"),
        (lambda: make_model(make_head(), inputs=2), "one input.* Received: float32, float32"),
        (lambda: make_model(make_head(), dtype="uint8"), "one input of float32. Received: uint8"),
        *(
            (
                lambda policy=policy: make_model(make_head(), policy=policy),
                f"32-bit floats.*Received: {policy.removeprefix('mixed_')} in layer_0",
            )
            for policy in ("mixed_float16", "mixed_bfloat16", "float64")
        ),
        (
            lambda: make_model(keras.layers.Lambda(lambda x: keras.ops.fft((x, x))[0])),
            "The model can't be converted to float32: ",
        ),
    ],
    ids=[
        *("two outputs", "dictionary", "one number", "images", "subclassed", "two inputs"),
        *("uint8", "float16", "bfloat16", "float64", "Fourier"),
    ],
)
def test_what_is_not_one_image_to_classes_is_refused_in_a_sentence(make, message, images, tmp_path):
    model = make()
    model.built = True
    with pytest.raises(ValueError, match=message):
        exporting.export(model, tmp_path, images, ["float32"])
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("scale", "offset", "found"),
    [(1, 0, "1/255"), (1 / 255, 0, "1"), (0.5, 0.5, "1/127.5 with offset -1")],
)
def test_the_scale_of_the_pixels_is_found_out_and_said(
    linear, tmp_path, capsys, scale, offset, found
):
    file = tmp_path / "scaled.keras"
    layers = [keras.Input((8, 8, 1)), keras.layers.Rescaling(scale, offset), linear]
    keras.Sequential(layers).save(file)
    choice = ["--data", "digits", "--to", str(tmp_path), "--formats", "int8"]
    assert cli.main(["export", str(file), *choice]) == 0
    said, *_, header, row = capsys.readouterr().out.strip().splitlines()
    assert said.startswith(f"Assumed scale of the pixels: {found} (accuracy ")
    assert header.split()[-3:] == ["accuracy", "Keras", "accuracy"]
    assert min(map(float, row.split()[-2:])) > 0.8


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("unit", "found"), [(255, "1/255"), (1, "1")])
def test_scales_of_the_same_accuracy_are_told_apart_by_cross_entropy(dtype, unit, found):
    data = datasets.load("digits")
    layers = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax", use_bias=False)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    pixels = data.x_train.reshape(-1, 64) / unit
    weights, *_ = np.linalg.lstsq(pixels, 9.0 * np.eye(10)[data.y_train], rcond=None)
    model.set_weights([weights])
    images = data.x_train[:200].astype(dtype)
    accuracies = exporting.measure_scales(model, images, data.y_train[:200])
    assert next(iter(accuracies)) == found and accuracies["1/255"] == accuracies["1"]


def test_a_scale_that_leaves_the_model_at_chance_is_refused(linear, tmp_path, capsys):
    file = tmp_path / "model.keras"
    linear.save(file)
    choice = ["export", str(file), "--data", "digits", "--to", str(tmp_path / "out")]
    assert cli.main([*choice, "--scale", "0/1", "--offset", "0.5"]) == 2
    said = capsys.readouterr()
    assert "at chance" in said.err and "Assumed" not in said.out
    assert not (tmp_path / "out").exists()
    for wrong in ("1/0", "half", "nan"):
        assert cli.main([*choice, "--scale", wrong]) == 2
        assert f"such as 1/255. Received: {wrong}" in capsys.readouterr().err
    assert cli.main([*choice, "--offset", "1"]) == 2
    assert "--offset needs --scale" in capsys.readouterr().err


def test_ones_own_images_may_have_any_shape_type_and_order(linear, tmp_path, capsys):
    data = datasets.load("digits")
    arrays = {}
    for split in ("train", "test"):
        x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        order = np.argsort(y, kind="stable")  # the first images are of one class
        arrays |= {f"x_{split}": x[order].reshape(-1, 64) / 255, f"y_{split}": y[order]}
    np.savez(tmp_path / "flat.npz", **arrays)
    inputs = keras.Input((64,))
    outputs = linear(keras.layers.Reshape((8, 8, 1))(inputs))
    keras.Model(inputs, outputs, name="flat").save(tmp_path / "flat.keras")
    choice = ["--data", str(tmp_path / "flat.npz"), "--to", str(tmp_path), "--formats", "float32"]
    assert cli.main(["export", str(tmp_path / "flat.keras"), *choice]) == 0
    assert "scale of the pixels: 1 (accuracy" in capsys.readouterr().out
    np.savez(tmp_path / "flat.npz", **(arrays | {"y_test": arrays["y_test"] + 1}))
    assert cli.main(["export", str(tmp_path / "flat.keras"), *choice]) == 2
    assert "The model has 10 classes. Received: label 10" in capsys.readouterr().err


def test_command_exports_a_saved_model(model, tmp_path, capsys, monkeypatch):
    file = tmp_path / "model.keras"
    model.save(file)
    choice = ["--data", "digits", "--images", "50", "--to", str(tmp_path)]
    assert cli.main(["export", str(file), *choice, "--formats", "float32"]) == 0
    assert "lightlayers_3-float32.tflite" in capsys.readouterr().out
    monkeypatch.setattr(exporting, "disagreements", lambda table: ["float32 is another model"])
    assert cli.main(["export", str(file), *choice, "--formats", "float32"]) == 1
    assert "WRONG  float32 is another model" in capsys.readouterr().out
    assert cli.main(["export", str(tmp_path / "none.keras"), *choice]) == 2
    assert "can't be loaded as a Keras model" in capsys.readouterr().err
    assert cli.main(["export", str(file), *choice, "--formats", "tflite"]) == 2
    assert "Received: ['tflite']" in capsys.readouterr().err
