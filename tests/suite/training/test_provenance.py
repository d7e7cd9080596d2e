"""Where a record comes from: what was imported, and how it computes."""

import os
import platform
import subprocess
import sys

import pytest

import lightlayers
from lightlayers.suite import backend, processors, training
from lightlayers.suite.runs import Run
from lightlayers.suite.training import provenance


def test_records_say_what_was_imported_and_how_it_computes(monkeypatch):
    run = Run("digits", "conv2d", epochs=1, train_size=64, test_size=64)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "")  # as good as none, and no reason to fail
    record = training.train(run)
    assert record["environment"]["floatx"] == "float32"
    assert record["environment"]["threads"] == processors.cores()
    if backend.name() == "tensorflow":
        assert isinstance(record["environment"]["onednn"], bool)
    # Another commit is checked out while it trains.
    seen = iter([{"commit": "a", "clean": True}, {"commit": "b", "clean": True}])
    monkeypatch.setattr(provenance, "revision", lambda: next(seen))
    assert training.train(run)["revision"] == {"commit": "a", "clean": False}


def test_a_package_in_another_repository_has_no_revision(tmp_path, monkeypatch):
    copy = tmp_path / "site" / "__init__.py"
    copy.parent.mkdir()
    copy.touch()
    (tmp_path / ".gitignore").write_text("site\n")
    for command in ("init -q", "add .", "-c user.name=a -c user.email=b commit -qm thesis"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    monkeypatch.setattr(lightlayers, "__file__", str(copy))
    assert provenance.revision() is None


@pytest.mark.skipif(backend.name() != "tensorflow", reason="it is TensorFlow's")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have none")
def test_onednn_computes_on_every_processor():
    # Where TensorFlow chooses, the processor decides: without it training takes twice as long.
    code = (
        "from lightlayers.suite import backend; backend.load()\n"
        "from tensorflow.python.util import _pywrap_util_port as port\n"
        "assert port.IsMklEnabled()"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
