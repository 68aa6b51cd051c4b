"""The task in one file keeps what Tutelage promises of every task, and learns what it is for."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from new_task import Digits  # noqa: E402
from tutelage.testing import TaskConformance  # noqa: E402


class TestDigits(TaskConformance):
    task = Digits()
