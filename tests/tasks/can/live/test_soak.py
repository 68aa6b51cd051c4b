"""The soak of `make soak-watch`, some seconds of it: nothing lost, memory flat."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system
SCRIPT = Path(__file__).parents[4] / "benchmarks" / "soak_watch.py"


def test_a_busy_virtual_bus_loses_no_frame(tmp_path: Path) -> None:
    result = tmp_path / "soak.json"
    arguments = ("--seconds", "2", "--rate", "4000", "--json", str(result))
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(result.read_text())
    assert found["held"] == found["tried"] == found["frames"] == found["sent"] > 1000
    assert found["windows"] == found["sent"] // 100
    assert found["dropped"] == found["compiled_late"] == 0
