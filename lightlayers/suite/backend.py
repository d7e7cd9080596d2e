"""Keras' backend: imported without its start-up noise, and what it runs on."""

import contextlib
import json
import logging
import os
import pathlib
import sys
import tempfile

BACKENDS = ("tensorflow", "jax")  # those that the suite has loops for


class DeviceError(Exception):
    """A device that was asked for and is not there."""


@contextlib.contextmanager
def _native_stderr_held():
    # TensorFlow's C++ writes to file descriptor 2, past sys.stderr and, in 2.21, past
    # TF_CPP_MIN_LOG_LEVEL: notebooks would store it as output that changes with each run.
    if sys.stderr is None:  # a service without a console
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def load():
    """Imports Keras and its backend quietly, and returns the `keras` module.

    The first operation, which is as loud, is done here as well: it sets up the devices. So the
    suite calls this, and who only wants a layer is not made to.
    """
    if "keras" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        # TensorFlow's own choice is by the processor: without it convolutions take twice as long
        # on many.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        with _native_stderr_held():
            import keras

            keras.ops.zeros(1)  # some of it comes at the first operation
        # That each network is traced anew is meant: no warning of it among the results.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    import keras

    return keras


def name():
    """Returns the name of Keras' backend, `"tensorflow"` or `"jax"`."""
    return load().backend.backend()


def configured_name():
    """Returns the name of the backend that Keras will take, without importing it."""
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return json.loads(pathlib.Path(home, "keras.json").read_text("utf-8"))["backend"]
    return "tensorflow"


def check_name(found):
    """Refuses a backend that the suite does not train on.

    Raises:
        ValueError: If it is none of `BACKENDS`.
    """
    if found not in BACKENDS:
        raise ValueError(
            "The suite can't train on this backend: set KERAS_BACKEND, or `backend` in "
            f"~/.keras/keras.json; expected {' or '.join(BACKENDS)}. Received: {found}"
        )


def devices():
    """Returns the accelerators that the backend sees, by their models' names."""
    load()
    if name() == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    import tensorflow as tf

    return [
        tf.config.experimental.get_device_details(device).get("device_name", device.name)
        for device in tf.config.list_physical_devices("GPU")
    ]


def check_device():
    """Refuses to train on a CPU what was meant for a GPU, and on a backend without loops.

    Raises:
        ValueError: If the backend is none of `BACKENDS`.
        DeviceError: If the kernel is the one for GPUs and there is none.
    """
    check_name(name())
    if os.environ.get("LIGHTLAYERS_DEVICE") == "gpu" and not devices():
        raise DeviceError(
            "This is the kernel for GPUs, and the backend sees none. Install the driver and "
            "pip install 'lightlayers[gpu]', or take the kernel lightlayers-cpu."
        )
