"""Pictures that a run keeps: a table's cell that names one shows it, inside of the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from tutelage.core.store import Run

MOST_BYTES: Final = 1 << 21
"""Pictures larger than this are named and not shown."""
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def pictures_of(run: Run) -> Mapping[str, str]:
    """Return each PNG file among a run's artifacts, by its name, as an address that holds it."""
    found = {}
    for name, artifact in run.record.artifacts.items():
        inside = PurePosixPath(artifact.path)
        path = run.path / inside
        if inside.suffix != ".png" or len(inside.parts) != 1 or not path.is_file():
            continue
        if path.stat().st_size <= MOST_BYTES:
            content = path.read_bytes()
            if content.startswith(_SIGNATURE):
                found[name] = f"data:image/png;base64,{b64encode(content).decode()}"
    return found
