"""Seeds trained together against one after the other."""

import keras
import pytest

from lightlayers.suite.bench import grid, together


def test_together(planned, monkeypatch):
    if keras.backend.backend() != "jax":
        with pytest.raises(ValueError, match="Set KERAS_BACKEND=jax"):
            together.measure_together(planned)
        return
    monkeypatch.setattr(
        grid, "measure_in_processes", lambda *given: ({1: 0.2, 2: 0.3}[given[-1]], 100)
    )
    found = together.measure_together(planned[:1], seeds=(1, 2), say=lambda line: None)
    told = [(row["seeds"], row["milliseconds"], row["speedup"]) for row in found["rows"]]
    assert told == [(1, 200, 1), (2, 150, 1.333)]
