"""`lightlayers doctor` and `kernels`."""

import json
import sys

from lightlayers import cli


def test_kernels_carry_their_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert cli.main(["kernels"]) == 0
    found = {
        file.parent.name: json.loads(file.read_text())["env"]
        for file in tmp_path.rglob("kernel.json")
    }
    assert found["lightlayers-cpu"]["CUDA_VISIBLE_DEVICES"] == "-1"
    assert found["lightlayers-gpu"]["LIGHTLAYERS_DEVICE"] == "gpu"
