"""Where sessions come from: `data.root` becomes a list of sources, one a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.errors import DataError
from tutelage.core.files import digest_file, digest_json
from tutelage.tasks.neural.config import NeuralData
from tutelage.tasks.neural.sessions.npz import read_npz
from tutelage.tasks.neural.sessions.recording import Recording

Reader = Callable[[Path], Recording]
YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Source:
    """A session that can be read.

    Args:
        path: The file that holds the arrays.
        read: Reads it.
        settings: JSON text of what a YAML file says of it; empty without one.
    """

    path: Path
    read: Callable[[], Recording]
    settings: str = ""

    def digest(self) -> str:
        """Digest of the file's content and of what is said of it."""
        return digest_json([digest_file(self.path), self.settings])


def readers() -> dict[str, Reader]:
    """The reader of each file suffix."""
    return {".npz": read_npz}


def find_sources(data: NeuralData) -> Sequence[Source]:
    """Return every session that ``data.root`` names, in order of the files' names.

    Raises:
        DataError: It is missing, of no known format, or holds no session.
    """
    root = data.root
    assert root is not None
    if root.is_file():
        return [_source(root)]
    if not root.is_dir():
        raise DataError("no such file or folder", where=root, hint="Check data.root.")
    known = readers()
    files = sorted(path for path in root.iterdir() if path.suffix.lower() in known)
    if not files:
        raise DataError(
            "no session file in this folder",
            where=root,
            hint=f"It should hold {', '.join(known)} files, one a session, or name a YAML file.",
        )
    return [_source(path) for path in files]


def _source(path: Path) -> Source:
    read = readers().get(path.suffix.lower())
    if read is None:
        suffixes = ", ".join((*readers(), *YAML))
        raise DataError(f"no known format: {path.suffix!r}", where=path, hint=f"Give {suffixes}.")
    return Source(path, lambda: read(path))
