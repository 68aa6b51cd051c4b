"""A line of what several scripts print: what was tried, and how often all that must hold did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Row:
    """What was tried, how often, how often all that must hold did, and how long it took."""

    what: str
    tried: int = 0
    held: int = 0
    seconds: float = 0.0


def write(rows: Sequence[Row], path: Path | None) -> None:
    """Write rows as JSON, which `soak.py` reads, if there is a path."""
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
