"""What the tests of faults share."""

import pytest
from suite.execution.faults import restore


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notebooks").mkdir()
    restore(tmp_path)
    return tmp_path
