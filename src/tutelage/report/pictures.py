"""Pictures as addresses that hold them, so that a page needs nothing else."""

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
    """Return each picture of a run by its name, as an address: a cell that names one shows it."""
    return {name: picture("png", content) for name, content in png_files(run).items()}


def png_files(run: Run) -> Mapping[str, bytes]:
    """Return each PNG file among a run's artifacts by its name."""
    found = {}
    for name, artifact in run.record.artifacts.items():
        inside = PurePosixPath(artifact.path)
        path = run.path / inside
        if inside.suffix != ".png" or len(inside.parts) != 1 or not path.is_file():
            continue
        if path.stat().st_size <= MOST_BYTES:
            content = path.read_bytes()
            if content.startswith(_SIGNATURE):
                found[name] = content
    return found


def picture(kind: str, content: bytes) -> str:
    """Return an address that holds a picture, such as one of kind ``png``."""
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
