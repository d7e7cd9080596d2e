"""Exported files are compared format by format."""

import keras
import pytest
from suite.bench.conftest import ROWS

from lightlayers.suite import exporting
from lightlayers.suite.bench import export


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow exports")
@pytest.mark.filterwarnings("ignore")  # TFLite's interpreter announces its successor
def test_export_compares_each_format_with_the_same_of_the_first_row(planned, monkeypatch):
    monkeypatch.setattr(exporting, "_SECONDS", 0.01)
    some = exporting.available()[:2]
    monkeypatch.setattr(exporting, "available", lambda: some)
    rows = export.measure_export(planned, count=8, say=lambda line: None)["rows"]
    formats = exporting.available()
    assert [(row["row"], row["format"]) for row in rows] == [(r, f) for r in ROWS for f in formats]
    first, second = rows[: len(formats)], rows[len(formats) :]
    assert {row["runtime"] for row in first} <= {"TFLite with XNNPACK", "ONNX Runtime"}
    assert {row["kB ratio"] for row in first} == {row["time ratio"] for row in first} == {1}
    for one, two in zip(first, second, strict=True):
        assert two["kB ratio"] == pytest.approx(two["kB"] / one["kB"], abs=1e-3)
