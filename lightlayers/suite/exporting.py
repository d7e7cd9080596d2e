"""A model as TFLite and ONNX files, each checked against Keras: size, time and agreement."""

import importlib.util
import pathlib
import tempfile
import time
import warnings

import numpy as np

FORMATS = {
    "float32": "TFLite, 32-bit floats",
    "dynamic": "TFLite, 8-bit weights, sums in 32-bit floats",
    "int8": "TFLite, 8-bit integers but for input and output, from calibration images",
    "onnx": "ONNX, 32-bit floats",
}
_SECONDS = 0.2  # of timing each file
# How far a probability may be from Keras', where nothing is rounded to 8 bits, and the share of
# images that may get another class.
_LARGEST_DIFFERENCE = {"float32": 1e-3, "onnx": 1e-3}
_LARGEST_CHANGE = 0.1


def _make_tflite(model, name, images):
    import tensorflow as tf

    # A batch of one, of a known shape: what runs on a phone.
    entry = tf.TensorSpec((1, *images.shape[1:]), "float32")
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, "tf_saved_model", verbose=False, input_signature=[entry])
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if name != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if name == "int8":
            converter.representative_dataset = lambda: ([image[None]] for image in images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return converter.convert()


def load_tflite(file):
    """Returns the name of what runs a TFLite file, and a function from an image to its result."""
    import tensorflow as tf

    def load(**options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it announces its successor, for the same files
            interpreter = tf.lite.Interpreter(str(file), num_threads=1, **options)
        interpreter.allocate_tensors()
        return interpreter

    try:
        runtime, interpreter = "TFLite with XNNPACK", load()
    except RuntimeError:
        # XNNPACK refuses layers whose scales lie far apart, as those of a hardly trained head do.
        plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        runtime, interpreter = "TFLite", load(experimental_op_resolver_type=plain)
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

    def predict(image):
        interpreter.set_tensor(entry["index"], image[None])
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])[0]

    return runtime, predict


def _load_onnx(file):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options)
    name = session.get_inputs()[0].name
    return "ONNX Runtime", lambda image: session.run(None, {name: image[None]})[0][0]


def _write(model, folder, name, calibration):
    """Writes a model in one format, and returns the file, its runtime and what runs it."""
    if name == "onnx":
        file = folder / f"{model.name}.onnx"
        model.export(file, format="onnx", verbose=False)
        return file, *_load_onnx(file)
    file = folder / f"{model.name}-{name}.tflite"
    file.write_bytes(_make_tflite(model, name, calibration))
    return file, *load_tflite(file)


def _measure_milliseconds(predict, image):
    times, end = [], time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        predict(image)
        times.append(1000 * (time.perf_counter() - began))
    return round(float(np.median(times)), 4)


def _check(model, formats):
    import keras

    from lightlayers import graphs

    if unknown := [name for name in formats if name not in FORMATS]:
        raise ValueError(f"Unknown formats. Expected {list(FORMATS)}. Received: {unknown}")
    if missing := [name for name in formats if name not in available()]:
        raise ValueError(f"Needs pip install 'lightlayers[export]'. Received: {missing}")
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"Set KERAS_BACKEND=tensorflow to export. Received: KERAS_BACKEND={backend}"
        )
    layers = graphs.flatten_layers(model)
    if half := [layer.name for layer in layers if layer.compute_dtype.endswith("float16")]:
        raise ValueError(
            "These formats have 32-bit floats: build the model under dtype policy 'float32' and "
            f"load the weights into it. Received: 16 bits in {', '.join(half)}"
        )


def available():
    """Returns the formats that can be written here: ONNX needs packages of its own."""
    found = all(map(importlib.util.find_spec, ("tf2onnx", "onnxruntime")))
    return [name for name in FORMATS if name != "onnx" or found]


def export(model, folder, images, formats=None, calibration=None):
    """Writes a model in other formats, and compares each with Keras.

    Args:
        model: A `keras.Model` from one image to class probabilities.
        folder: Path, made if it is not there. The files get the model's name.
        images: Array of images as the model takes them, which are compared on.
        formats: Sequence of keys of `FORMATS`, or `None` for those of `available`.
        calibration: Array of images that calibrate `"int8"`, best of the training set.
            Defaults to `images`.

    Returns:
        A `pandas.DataFrame`: `format`, `file`, `kB`, `runtime` (what ran the file here:
        TFLite does without XNNPACK where that refuses it, and is then slower),
        `milliseconds` (of one image, one thread, the median), `largest difference` (of a
        probability from Keras') and `same class` (share of the images).

    Raises:
        ValueError: If a format is unknown, the model computes in 16 bits, or the backend is not
            TensorFlow.
    """
    import pandas as pd
    from keras import ops

    formats = available() if formats is None else formats
    _check(model, formats)
    images = np.asarray(images, "float32")
    calibration = images if calibration is None else np.asarray(calibration, "float32")
    expected = ops.convert_to_numpy(model(images, training=False))
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in formats:
        file, runtime, predict = _write(model, folder, name, calibration)
        results = np.stack([predict(image) for image in images])
        same = results.argmax(-1) == expected.argmax(-1)
        row = {"format": name, "file": file.name, "kB": round(file.stat().st_size / 1000, 1)}
        row |= {"runtime": runtime, "milliseconds": _measure_milliseconds(predict, images[0])}
        row["largest difference"] = float(np.abs(results - expected).max().round(5))
        rows.append(row | {"same class": same.mean().round(4)})
    return pd.DataFrame(rows)


def disagreements(table):
    """Returns sentences on the formats that do not say what Keras says, of `export`'s table."""
    found = []
    for name, row in table.set_index("format").iterrows():
        moved, changed = row["largest difference"], 1 - row["same class"]
        limit = _LARGEST_DIFFERENCE.get(name, np.inf)
        if not moved <= limit:  # nor is what is not a number
            found.append(f"{name} moves a probability by {moved:.3f}, at most {limit} is rounding")
        elif changed > _LARGEST_CHANGE:
            found.append(f"{name} gives another class than Keras for {changed:.0%} of the images")
    return found
