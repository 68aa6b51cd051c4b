"""Where sessions come from: `data.root` becomes a list of sources, one a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tutelage.core.errors import DataError
from tutelage.core.files import digest_file, digest_json, require_inside
from tutelage.tasks.neural.config import NeuralData
from tutelage.tasks.neural.sessions.described import (
    READERS,
    described_sessions,
    is_yaml,
    read_described,
)
from tutelage.tasks.neural.sessions.recording import Recording


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

    @property
    def foreign(self) -> Path | None:
        """The file, where a library in C parses it, which a damaged one may crash."""
        return None if self.path.suffix.lower() == ".npz" else self.path

    def digest(self) -> str:
        """Digest of the file's content and of what is said of it.

        Raises:
            DataError: It can't be read.
        """
        try:
            return digest_json([digest_file(self.path), self.settings])
        except OSError as error:
            raise DataError(f"can't be read: {error.strerror or error}", where=self.path) from error


def find_sources(data: NeuralData) -> Sequence[Source]:
    """Return every session that ``data.root`` names, in order of the files' names.

    Raises:
        DataError: It is missing, of no known format, or holds no session.
    """
    root = data.root
    assert root is not None
    if root.is_file():
        return _described(root, data.sessions) if is_yaml(root) else [_source(root)]
    if not root.is_dir():
        raise DataError("no such file or folder", where=root, hint="Check data.root.")
    files = sorted(path for path in root.iterdir() if path.suffix.lower() in READERS)
    if not files:
        raise DataError(
            "no session file in this folder",
            where=root,
            hint=f"It should hold {', '.join(READERS)} files, one a session; or give data.root a "
            "YAML file that describes them.",
        )
    if data.links == "inside":
        require_inside(root, files)
    return [_source(path) for path in files]


def _described(path: Path, folder: Path | None) -> list[Source]:
    found = []
    digest_file(path)  # descriptions are files that a run is made from, too
    for description, session in described_sessions(path, folder):
        assert session.file is not None
        digest_file(description)
        if not session.file.is_file():
            raise DataError(
                f"session {session.id or session.file.stem}: file: no such session file",
                where=session.file,
                hint=f"It is named in {path}, or in a file that it names.",
            )
        text = session.model_copy(update={"file": None}).model_dump_json()
        found.append(Source(session.file, partial(read_described, session), text))
    return found


def _source(path: Path) -> Source:
    read = READERS.get(path.suffix.lower())
    if read is None:
        suffixes = ", ".join((*READERS, ".yaml"))
        raise DataError(f"no known format: {path.suffix!r}", where=path, hint=f"Give {suffixes}.")
    return Source(path, partial(read, path))
