"""`lightlayers bench`."""

import json

from cli.command import refused

from lightlayers import cli
from lightlayers.cli import bench


def test_measurements_are_not_replaced_by_fewer(tmp_path, capsys, monkeypatch):
    rows = [{"dataset": "mnist", "row": "conv2d"}, {"dataset": "mnist", "row": "lightlayers-1"}]
    file = tmp_path / "bench" / "networks.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"rows": rows}))
    monkeypatch.setitem(bench.MEASURES, "networks", lambda planned: {"rows": len(planned)})
    choice = ["bench", "networks", "--names", "mnist", "--outputs", tmp_path]
    line = refused(capsys, *choice, "--rows", "conv2d")
    assert "also has mnist lightlayers-1: measure" in line
    assert "one or more" in refused(capsys, *choice, "--rows", ",")
    for broken in ("{}", "{", "[]"):
        file.write_text(broken)
        assert "networks.json is no measurement that can be read" in refused(capsys, *choice)
    file.write_text(json.dumps({"rows": rows}))
    table = tmp_path / "tables" / "bench-grid.csv"
    table.parent.mkdir()
    table.write_text("dataset,row,suite\nmnist,conv2d,1\nmnist,lightlayers-1,1\ngeometric mean,,1")
    grid = ["bench", "grid", "--names", "mnist", "--outputs", tmp_path, "--rows", "conv2d"]
    assert "bench-grid.csv also has mnist lightlayers-1: measure" in refused(capsys, *grid)
    table.with_name("bench-grid-parts.csv").write_text(
        "dataset,row,fit (ms/step),input\nmnist,conv2d,1,1\nmean,,1,1"
    )
    parts = [*grid, "--variants", "processes,suite"]
    assert "bench-grid-parts.csv also has fit, input: measure" in refused(capsys, *parts)
    ranks = ["bench", "ranks", "--names", "cifar100", "--outputs", tmp_path]
    assert "Received: cifar100" in refused(capsys, *ranks)
    assert json.loads(file.read_text()) == {"rows": rows}
    assert cli.main([str(part) for part in choice]) == 0
    assert json.loads(file.read_text()) == {"rows": 6}
