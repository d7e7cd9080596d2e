"""Exported models: they say what Keras says, and are as small as promised."""

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


def test_a_model_of_open_image_size_is_exported_for_the_images(images, tmp_path, capsys):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, None, 1))
    x = keras.layers.GlobalAveragePooling2D()(LightConv2D(8, 3, rank=2, form="spatial")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x), name="open")
    file = tmp_path / "open.keras"
    model.save(file)
    choice = ["--images", "20", "--to", str(tmp_path), "--formats", "float32"]
    assert cli.main(["export", str(file), "--data", "digits", *choice]) == 0
    assert (tmp_path / "open-float32.tflite").exists()
    networks.build("cifar10", "lightlayers", 1).save(file)
    assert cli.main(["export", str(file), "--data", "digits", *choice]) == 2
    assert "takes images of shape (32, 32, 3). Received: --data digits" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_refused(policy, images, tmp_path):
    inputs = keras.Input((28, 28, 1))
    outputs = keras.layers.Dense(10, dtype=policy, name="half")(keras.layers.Flatten()(inputs))
    with pytest.raises(ValueError, match="Received: 16 bits in half"):
        exporting.export(keras.Model(inputs, outputs), tmp_path, images)
    assert not list(tmp_path.iterdir())


def test_command_exports_a_saved_model(model, tmp_path, capsys, monkeypatch):
    file = tmp_path / "model.keras"
    model.save(file)
    choice = ["--data", "digits", "--images", "20", "--to", str(tmp_path)]
    assert cli.main(["export", str(file), *choice, "--formats", "float32"]) == 0
    assert "lightlayers_3-float32.tflite" in capsys.readouterr().out
    monkeypatch.setattr(exporting, "disagreements", lambda table: ["float32 is another model"])
    assert cli.main(["export", str(file), *choice, "--formats", "float32"]) == 1
    assert "WRONG  float32 is another model" in capsys.readouterr().out
    assert cli.main(["export", str(tmp_path / "none.keras"), *choice]) == 2
    assert "can't be loaded as a Keras model" in capsys.readouterr().err
    assert cli.main(["export", str(file), *choice, "--formats", "tflite"]) == 2
    assert "Received: ['tflite']" in capsys.readouterr().err
