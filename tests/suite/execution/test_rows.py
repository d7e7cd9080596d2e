"""A row is trained, and what was lost is tried again."""

from suite.execution.faults import ROOT

from lightlayers.suite import plans
from lightlayers.suite.execution import notebooks, rows
from lightlayers.suite.store import Store


def test_a_folder_that_another_command_removes_is_made_again(tmp_path, monkeypatch):
    (run,) = plans.plan("digits", ["conv2d"], [1])
    (record,) = Store(ROOT / "outputs").read([run])[0].values()
    tries = []

    def execute(source, target, *_):
        tries.append(target)
        if len(tries) == 1:
            return "FileNotFoundError: output folder doesn't exist. (exit status 1)"
        Store(tmp_path).write(record)
        return ""

    monkeypatch.setattr(notebooks, "execute", execute)
    settings = notebooks.Settings(timeout=9)
    source = ROOT / "notebooks/digits.ipynb"
    assert rows.train_row([run], source, Store(tmp_path), settings) == ""
    assert len(tries) == 2
