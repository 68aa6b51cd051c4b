"""A run's log: one JSON object a line, whole lines appended by every process, without secrets."""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

from tutelage.core.files import storage_errors
from tutelage.core.redaction import redact

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
BEGUN: Final = "begun"
"""Event of the entry with which a process begins to work on a run."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a log.

    Args:
        time: When, in UTC.
        level: How much it matters.
        logger: Who said it.
        message: What was said.
        run: Id of the run, where it is of one.
        process: Id of the process.
        event: What it marks: `begun`, or the class of the error that ended the run.
        traceback: Where an error came from.
    """

    time: datetime
    level: str
    logger: str
    message: str
    run: str | None = None
    process: int = 0
    event: str | None = None
    traceback: str | None = None


_KEYS: Final = tuple(field.name for field in fields(Entry) if field.name != "time")


def number_of(level: str) -> int:
    """The number by which `logging` knows a level; 0 for one that it does not know."""
    return logging.getLevelNamesMapping().get(level.upper(), 0)


def marked(event: str) -> Mapping[str, str]:
    """The ``extra`` of an entry that marks an event: for the log alone, no console shows it."""
    return {"event": event}


def is_shown(record: logging.LogRecord) -> bool:
    """Whether a console shows what was logged; what ends a run is told by whoever it is raised to.

    A filter for handlers.
    """
    return not hasattr(record, "event")


class JsonLines(logging.Handler):
    """Appends what is logged to a file, each entry by one call to the system.

    A disk that is full stops no training: what could not be written is counted, and told in the
    first line that can be.

    Args:
        path: The file.
        run: Id of the run that it is of.
        level: The least level that is written.

    Raises:
        StorageError: The file can't be made.
    """

    def __init__(self, path: Path, run: str | None, level: int = logging.INFO) -> None:
        super().__init__(level)
        self.run = run
        self._lost = 0
        with storage_errors(path):
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line."""
        try:
            line = self._line(record)
        except (TypeError, ValueError):  # a message whose arguments don't fit it
            self.handleError(record)
            return
        try:
            if os.write(self._file, line) < len(line):
                raise OSError("torn")
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    def _line(self, record: logging.LogRecord) -> bytes:
        moment = datetime.fromtimestamp(record.created, UTC)
        said = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            "run": self.run,
            "process": record.process,
        }
        if isinstance(event := getattr(record, "event", None), str):
            said["event"] = event
        if record.exc_info:
            said["traceback"] = redact("".join(traceback.format_exception(*record.exc_info)))
        if self._lost:
            said["lost"] = self._lost
        return ("\n" * bool(self._lost) + json.dumps(said, ensure_ascii=False) + "\n").encode()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        super().close()


def read_log(path: Path) -> Iterator[Entry]:
    """Read a log; a line that a process was killed in, or that is none of ours, is passed over."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                said = json.loads(line)
                moment = datetime.fromisoformat(said.pop("time"))
                yield Entry(moment, **{key: said[key] for key in _KEYS if key in said})
            except (ValueError, TypeError, AttributeError, KeyError):
                continue
