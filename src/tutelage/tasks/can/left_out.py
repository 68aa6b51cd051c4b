"""`LeftOut`: captures that can't be calibrated are left out one by one, and named."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from tutelage.core.records import Table
from tutelage.tasks.can.baseline import CalibrationError
from tutelage.tasks.can.datamodule import TestCapture

_log = logging.getLogger(__name__)

Judged = TypeVar("Judged")


class LeftOut:
    """Judges captures one after the other, and keeps account of those that can't be calibrated."""

    def __init__(self) -> None:
        self._judged = 0
        self._reasons: list[tuple[str, CalibrationError]] = []

    def attempt(self, test: TestCapture, judge: Callable[[], Judged]) -> Judged | None:
        """Return what ``judge`` makes of a capture; null, with a warning, if it has no baseline."""
        try:
            found = judge()
        except CalibrationError as error:
            self._reasons.append((test.capture.label, error))
            _log.warning("%s is left out: %s", test.capture.label, error.problem)
            return None
        self._judged += 1
        return found

    def require_any(self) -> None:
        """Refuse where captures were tried and none was judged.

        Raises:
            CalibrationError: It says what the first one lacks, and how many there are.
        """
        if self._judged or not self._reasons:
            return
        first, more = self._reasons[0][1], len(self._reasons) - 1
        also = f"; {more} more can't be calibrated either" if more else ""
        raise CalibrationError(first.problem + also, where=first.where, hint=first.hint)

    def tables(self) -> list[Table]:
        """Return a table of what was left out, and why; none where nothing was."""
        if not self._reasons:
            return []
        count = len(self._reasons)
        total = self._judged + count
        rows = tuple((label, error.problem) for label, error in self._reasons)
        note = f"{count} of {total} captures are in none of the scores. {self._reasons[0][1].hint}"
        title = "Left out: captures that can't be calibrated"
        return [Table(title=title, columns=("capture", "why"), rows=rows, note=note)]
