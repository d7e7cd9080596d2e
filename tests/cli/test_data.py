"""`lightlayers data`."""

import numpy as np
from cli.command import refused

from lightlayers import cli


def test_data_is_exported_and_checked(tmp_path, capsys, monkeypatch):
    assert cli.main(["data", "export", str(tmp_path), "--names", "digits"]) == 0
    with np.load(tmp_path / "digits.npz") as arrays:
        assert arrays["x_train"].shape == (1437, 8, 8, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["digits.npz"]
    assert cli.main(["data", "check", "--names", "digits"]) == 0
    assert "OK     digits" in capsys.readouterr().out
    (tmp_path / "mnist.npz").write_bytes(b"nothing")
    monkeypatch.setenv("LIGHTLAYERS_DATA", str(tmp_path))
    assert cli.main(["data", "check", "--names", "mnist"]) == 1
    assert f"WRONG  {tmp_path / 'mnist.npz'} can't be read" in capsys.readouterr().out
    assert "'svhn'" in refused(capsys, "data", "check", "--names", "svhn")
    assert "export DIR" in refused(capsys, "data", "export")
