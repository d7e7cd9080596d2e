"""A model as TFLite and ONNX files, each checked against Keras: size, time and agreement."""

import functools
import importlib.util
import pathlib
import shutil
import tempfile
import time
import warnings

import numpy as np

from lightlayers.suite import files

FORMATS = {
    "float32": "TFLite, 32-bit floats",
    "dynamic": "TFLite, 8-bit weights, sums in 32-bit floats",
    "int8": "TFLite, 8-bit integers but for input and output, from calibration images",
    "onnx": "ONNX, 32-bit floats",
}
# What models usually take for pixels of 0 to 255: (scale, offset), as Keras' `Rescaling` has them.
SCALES = {"1/255": (1 / 255, 0), "1": (1, 0), "1/127.5 with offset -1": (1 / 127.5, -1)}
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


def _write(model, file, name, calibration):
    """Writes a model to a file in one format, and returns its runtime and what runs it."""
    try:
        if name == "onnx":
            model.export(file, format="onnx", verbose=False)
            return _load_onnx(file)
        file.write_bytes(_make_tflite(model, name, calibration))
        return load_tflite(file)
    except OSError:
        raise  # of the disk
    except Exception as error:  # of any kind: each converter has its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"The model can't be converted to {name}: {lines[0][:200]}") from error


def _measure_milliseconds(predict, image):
    times, end = [], time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        predict(image)
        times.append(1000 * (time.perf_counter() - began))
    return round(float(np.median(times)), 4)


def check(model, formats):
    """Refuses what can't be exported: formats, the backend, and models of another kind.

    Args:
        model: `keras.Model`.
        formats: Sequence of keys of `FORMATS`.

    Raises:
        ValueError: See `export`.
    """
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
    if not model.built:
        raise ValueError(f"Build the model before it is saved. Received: {model.name}")
    if getattr(model, "inputs", None):  # of a subclassed model its first result tells
        dtypes = [each.dtype for each in model.inputs]
        if dtypes != ["float32"]:
            raise ValueError(f"Expected one input of float32. Received: {', '.join(dtypes)}")
        _check_output(model.output_shape)
    for layer in graphs.flatten_layers(model):
        if "float" in layer.compute_dtype and layer.compute_dtype != "float32":
            raise ValueError(
                "These formats have 32-bit floats: build the model under dtype policy 'float32' "
                f"and load the weights into it. Received: {layer.compute_dtype} in {layer.name}"
            )


def _check_output(shape):
    """Refuses what has not one number for each of several classes."""
    flat = isinstance(shape, tuple) and not any(isinstance(size, tuple) for size in shape)
    if not flat or len(shape) != 2 or shape[1] in (None, 1):
        raise ValueError(
            "Expected one output of shape (images, classes), of two classes at least. "
            f"Received: {shape}"
        )


def shape_images(model, images):
    """Returns images in the shape that a model takes: grey ones without channels, or flat.

    Args:
        model: `keras.Model` with one input.
        images: Array `(n, ...)`.

    Raises:
        ValueError: If they are of another shape.
    """
    size = images.shape[1:]
    shapes = [size, (int(np.prod(size)),)]
    if size[-1:] == (1,):
        shapes.append(size[:-1])
    batch, *expected = model.input_shape
    for shape in shapes:
        pairs = zip(expected, shape, strict=False)
        if len(expected) == len(shape) and all(known in (None, given) for known, given in pairs):
            break
    else:
        raise ValueError(f"The model takes images of shape {tuple(expected)}. Received: {size}")
    if batch is not None:
        raise ValueError(f"Expected a model for any number of images. Received: batches of {batch}")
    return images.reshape(len(images), *shape)


def available():
    """Returns the formats that can be written here: ONNX needs packages of its own."""
    found = all(map(importlib.util.find_spec, ("tf2onnx", "onnxruntime")))
    return [name for name in FORMATS if name != "onnx" or found]


def _measure_accuracy(results, labels):
    """Returns the share of results whose largest number is at the label."""
    return float((results.argmax(-1) == labels).mean())


def _is_chance(accuracy, labels):
    """Returns whether an accuracy is no better than to say the most frequent class each time.

    What lies within two standard errors of that is not better.
    """
    share = np.bincount(labels).max() / len(labels)
    return not accuracy > share + 2 * np.sqrt(share * (1 - share) / len(labels))


def _predict(model, images):
    """Returns what Keras says of images, as an array `(n, classes)`."""
    from keras import ops, tree

    output = model(np.asarray(images, "float32"), training=False)
    _check_output(tree.map_structure(ops.shape, output))
    return ops.convert_to_numpy(output)


def measure_scales(model, images, labels):
    """Returns the scales of `SCALES` by how well a model does with them, the best first.

    Accuracy hardly tells scales apart where layers are ReLU and have small biases: of those
    within two standard errors of the best, the one with the least cross-entropy comes first.

    Args:
        model: `keras.Model` from one image to class probabilities.
        images: Array of images, as they are stored.
        labels: Array of integers.

    Returns:
        Dictionary from names in `SCALES` to accuracies.
    """
    accuracies, losses = {}, {}
    for name, (scale, offset) in SCALES.items():
        results = _predict(model, images * scale + offset)
        accuracies[name] = _measure_accuracy(results, labels)
        losses[name] = _measure_cross_entropy(results, labels)
    best = max(accuracies.values())
    near = best - 2 * np.sqrt(best * (1 - best) / len(labels))
    order = sorted(SCALES, key=lambda name: (accuracies[name] < near, losses[name]))
    return {name: accuracies[name] for name in order}


def _measure_cross_entropy(results, labels):
    """Returns the mean cross-entropy; results that are no probabilities count as logits."""
    results = results.astype("float64")
    if results.min() < 0 or not np.allclose(results.sum(-1), 1, atol=1e-3):
        results = np.exp(results - results.max(-1, keepdims=True))
        results /= results.sum(-1, keepdims=True)
    return float(-np.log(np.maximum(results[np.arange(len(labels)), labels], 1e-12)).mean())


def export(model, folder, images, formats=None, calibration=None, labels=None):
    """Writes a model in other formats, and compares each with Keras.

    Args:
        model: A `keras.Model` from one image to class probabilities.
        folder: Path, made if it is not there. The files get the model's name.
        images: Array of images as the model takes them, which are compared on.
        formats: Sequence of keys of `FORMATS`, or `None` for those of `available`.
        calibration: Array of images that calibrate `"int8"`, best of the training set.
            Defaults to `images`.
        labels: Array of integers, the classes of `images`, or `None`. With them a file whose
            accuracy is at chance is not written.

    Returns:
        A `pandas.DataFrame`: `format`, `file`, `kB`, `runtime` (what ran the file here:
        TFLite does without XNNPACK where that refuses it, and is then slower),
        `milliseconds` (of one image, one thread, the median), `largest difference` (of a
        probability from Keras') and `same class` (share of the images); with labels also
        `accuracy`, `Keras accuracy` and `at chance`.

    Raises:
        ValueError: If a format is unknown, the backend is not TensorFlow, the model has not one
            input of 32-bit floats and one output `(images, classes)`, it computes in other
            floats, its accuracy is at chance, or a converter refuses it.
    """
    import pandas as pd

    formats = available() if formats is None else formats
    check(model, formats)
    images = np.asarray(images, "float32")
    calibration = images if calibration is None else np.asarray(calibration, "float32")
    expected = _predict(model, images)
    if labels is not None and _is_chance(accuracy := _measure_accuracy(expected, labels), labels):
        raise ValueError(
            f"The model's accuracy is at chance. Received: {accuracy:.3f} on {len(images)} images. "
            "Are they scaled as in its training?"
        )
    folder, rows = pathlib.Path(folder), []
    with tempfile.TemporaryDirectory() as made:
        for name in formats:
            file = f"{model.name}.onnx" if name == "onnx" else f"{model.name}-{name}.tflite"
            source = pathlib.Path(made, file)
            row = _compare(model, source, name, images, calibration, expected, labels)
            rows.append({"format": name, "file": file} | row)
            if not row.get("at chance"):
                files.write_file(folder / file, functools.partial(shutil.copyfile, source))
    return pd.DataFrame(rows)


def _compare(model, file, name, images, calibration, expected, labels):
    """Writes a model in one format, and returns how it compares with Keras: see `export`."""
    runtime, run = _write(model, file, name, calibration)
    results = np.stack([run(image) for image in images])
    row = {"kB": round(file.stat().st_size / 1000, 1), "runtime": runtime}
    row["milliseconds"] = _measure_milliseconds(run, images[0])
    row["largest difference"] = float(np.abs(results - expected).max().round(5))
    row["same class"] = (results.argmax(-1) == expected.argmax(-1)).mean().round(4)
    if labels is not None:
        accuracy = _measure_accuracy(results, labels)
        row["accuracy"] = round(accuracy, 4)
        row["Keras accuracy"] = round(_measure_accuracy(expected, labels), 4)
        row["at chance"] = _is_chance(accuracy, labels)
    return row


def disagreements(table):
    """Returns sentences on the formats that do not say what Keras says, of `export`'s table."""
    found = []
    for name, row in table.set_index("format").iterrows():
        moved, changed = row["largest difference"], 1 - row["same class"]
        limit = _LARGEST_DIFFERENCE.get(name, np.inf)
        if row.get("at chance"):
            found.append(f"{name} is at chance, and not written: accuracy {row['accuracy']:.3f}")
        elif not moved <= limit:  # nor is what is not a number
            found.append(f"{name} moves a probability by {moved:.3f}, at most {limit} is rounding")
        elif changed > _LARGEST_CHANGE:
            found.append(f"{name} gives another class than Keras for {changed:.0%} of the images")
    return found
