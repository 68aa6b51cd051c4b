"""What should not have happened is told with the place to look at."""

from __future__ import annotations

import sys
from importlib import metadata
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from tutelage.cli import app
from tutelage.core.files import digest_bytes


def test_a_fault_that_comes_by_a_plug_in_names_its_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path))
    plugin = ModuleType("somebodys")
    code = "def work(call):\n    call(None)\n"
    exec(compile(code, "/somebodys.py", "exec"), plugin.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, "somebodys", plugin)
    points = [EntryPoint("own", "somebodys:Own", "tutelage.tasks")]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)
    for call, where in (
        (lambda: plugin.work(digest_bytes), "a fault in /somebodys.py:2 or in tutelage;"),
        (lambda: digest_bytes(None), "a fault in tutelage;"),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert where in str(app._as_fault(caught.value))
    assert len((tmp_path / "faults.jsonl").read_text().splitlines()) == 2
