"""Single layers are timed, and their cost is counted right."""

import json

from lightlayers.suite.bench import layers


def test_layers():
    found = layers.measure_layers(((6, 16, 16, 1), (None, 32, 10, 4)), say=lambda line: None)
    key = ("method", "form", "rank", "implementation", "task")
    rows = {tuple(row[name] for name in key): row for row in found["rows"]}
    conv2d = rows["Conv2D", "", 0, "", "forward"]
    assert (conv2d["ratio"], conv2d["multiply_adds"]) == (1, 36 * 9 * 16 * 16)
    assert conv2d["activations"] == 4 * 36 * (16 + 16)
    assert {each[1:4:2] for each in rows if each[0] == "LightConv2D"} == {
        ("paper", "factored"),
        *((form, how) for form in ("channel", "spatial") for how in ("factored", "merged")),
    }
    spatial = {each[2]: row for each, row in rows.items() if each[1] == "spatial"}
    assert list(spatial) == [1, 3, 6, 12, 18, 24]  # at 24 the factors have as many weights
    two = rows["LightConv2D", "spatial", 6, "factored", "train"]
    assert two["activations"] == 4 * 36 * (16 + 6 + 16) and "share" not in two
    assert two["multiply_adds"] == 36 * (3 * 16 * 6 + 3 * 6 * 16)
    one = rows["LightConv2D", "spatial", 6, "merged", "forward"]
    assert one["multiply_adds"] == conv2d["multiply_adds"]
    assert one["activations"] == conv2d["activations"]
    assert found["matrix_rate"] > 0 and 0 < conv2d["share"]
    dense = rows["Dense", "", 0, "", "forward"]
    assert (dense["ratio"], dense["multiply_adds"]) == (1, 320)
    light = rows["LightDense", "", 2, "", "forward"]
    assert light["multiply_adds"] == 2 * (32 + 10) and light["activations"] == 4 * (32 + 2 + 10)
    assert set(json.loads(json.dumps(found))) == {"environment", "revision", "matrix_rate", "rows"}
