"""What runs are called where they stand beside each other."""

from __future__ import annotations

import re
from typing import Final

_STAMP: Final = re.compile(r"^\d{8}-\d{6}-\d+-")


def short_name(run: str) -> str:
    """A run's id without the time."""
    return _STAMP.sub("", run)
