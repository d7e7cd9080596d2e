"""The backend: which one is configured, and what is refused before a training."""

import json

import pytest

from lightlayers.suite import backend, plans, training


@pytest.mark.parametrize(
    ("variable", "file", "expected"),
    [
        ("", None, "tensorflow"),
        ("", json.dumps({"backend": "torch"}), "torch"),
        ("jax", json.dumps({"backend": "torch"}), "jax"),
        ("", "{", "tensorflow"),
        ("", json.dumps({"floatx": "float32"}), "tensorflow"),
        ("", "[]", "tensorflow"),
    ],
)
def test_the_configured_backend_is_known_without_keras(
    monkeypatch, tmp_path, variable, file, expected
):
    monkeypatch.setenv("KERAS_BACKEND", variable)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if file:
        (tmp_path / "keras.json").write_text(file)
    assert backend.configured_name() == expected


@pytest.mark.parametrize(
    ("changed", "error", "expected"),
    [
        ({"name": "torch"}, ValueError, "expected tensorflow or jax. Received: torch"),
        (
            {"name": "tensorflow", "devices": []},
            backend.DeviceError,
            "kernel for GPUs, and the backend sees none",
        ),
    ],
)
def test_what_can_not_be_trained_on_is_refused_first(monkeypatch, changed, error, expected):
    monkeypatch.setenv("LIGHTLAYERS_DEVICE", "gpu")
    for name, value in changed.items():
        monkeypatch.setattr(backend, name, lambda value=value: value)
    (run,) = plans.plan("digits", ["conv2d"], [1])
    with pytest.raises(error, match=expected):
        training.train(run)
