"""The processor's cores."""

import builtins
import io
import os

import pytest

from lightlayers.suite import processors

QUOTA = "/sys/fs/cgroup/cpu.max"


@pytest.mark.parametrize(("quota", "expected"), [("50000 100000", 1), ("max 100000", None)])
def test_a_containers_quota_counts(monkeypatch, quota, expected):
    exists, opened = os.path.exists, builtins.open

    def open_quota(file, *arguments, **options):
        return io.StringIO(quota) if file == QUOTA else opened(file, *arguments, **options)

    usual = processors.cores()
    monkeypatch.setattr(os.path, "exists", lambda path: path == QUOTA or exists(path))
    monkeypatch.setattr(builtins, "open", open_quota)
    assert processors.cores() == (expected or usual)
