"""What the folders of runs and studies say, read again only where a file has changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from tutelage.core.documents import read_json
from tutelage.core.errors import StoreError
from tutelage.core.locks import is_held
from tutelage.core.records import RunRecord
from tutelage.core.store import LOCK, METRICS, RECORD, Run, RunStore

STUDIES, STUDY, TRIALS = "studies", "study.json", "trials.json"
_LASTS: Final = ("created", "running")
log = logging.getLogger(__name__)
Stamp = tuple[int, ...]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TrialFile(_Said):
    """What is shown of a trial: its number, how it stands, what it tries, its value."""

    number: int
    status: Literal["waiting", "running", "complete", "pruned", "failed"]
    params: Mapping[str, JsonValue] = {}
    value: float | None = None
    started: datetime | None = None
    finished: datetime | None = None


class _TrialsFile(_Said):
    trials: tuple[TrialFile, ...] = ()


class StudyFile(_Said):
    """What is shown of a study: how it stands, what its trials are compared by, the chosen one."""

    id: str
    task: str
    status: Literal["running", "interrupted", "failed", "finished"]
    created: datetime
    finished: datetime | None = None
    metric: str
    direction: str
    data: str
    chosen: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as its folder shows it now.

    Args:
        run: The folder.
        record: What it says.
        alive: Whether a process works in it.
        stamp: Changes when anything that is mirrored does.
    """

    run: Run
    record: RunRecord
    alive: bool
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class StudyState:
    """A study as its folder shows it now.

    Args:
        path: The folder.
        study: What it says of itself.
        trials: What it says of its trials, by number.
        alive: Whether a process leads it.
        stamp: Changes when anything of that does.
    """

    path: Path
    study: StudyFile
    trials: Mapping[int, TrialFile]
    alive: bool
    stamp: Stamp


class Folders:
    """The runs and studies of a store.

    Args:
        store: Where they lie.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._records: dict[Path, tuple[Stamp, Run, RunRecord | None]] = {}

    def runs(self) -> list[RunState]:
        """Every run that can be read, oldest first; of another a warning is logged, once."""
        found = [self._state(run) for run in self.store.runs()]
        return [state for state in found if state is not None]

    def run(self, path: Path) -> RunState | None:
        """One run; null where there is none, or none that can be read."""
        return self._state(Run(path))

    def studies(self) -> dict[str, StudyState]:
        """Every study that has a record that can be read, by id."""
        states: dict[str, StudyState] = {}
        for path in sorted((self.store.home / STUDIES).glob(f"*/{STUDY}")):
            try:
                study = _read(path, StudyFile)
                trials = _read(path.with_name(TRIALS), _TrialsFile) or _TrialsFile()
            except StoreError as error:
                log.warning("left out: %s", error)
                continue
            if study is not None:
                alive = any(is_held(lock, "study") for lock in path.parent.glob(f"{LOCK}*"))
                stamp = (*_stamp(path), *_stamp(path.with_name(TRIALS)), alive)
                by_number = {trial.number: trial for trial in trials.trials}
                states[study.id] = StudyState(path.parent, study, by_number, alive, stamp)
        return states

    def _state(self, run: Run) -> RunState | None:
        stamp = _stamp(run.path / RECORD)
        kept = self._records.get(run.path)
        if kept is None or kept[0] != stamp:
            kept = (stamp, run, self._read_record(run))
            self._records[run.path] = kept
        _, run, record = kept
        if record is None:
            return None
        alive = record.status in _LASTS and run.is_held()
        return RunState(run, record, alive, (*stamp, *_stamp(run.path / METRICS), alive))

    def _read_record(self, run: Run) -> RunRecord | None:
        try:
            return run.record
        except StoreError as error:
            if run.path.is_dir():
                log.warning("left out: %s", error)
            return None


def _stamp(path: Path) -> Stamp:
    """What changes when a file does; empty where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


S = TypeVar("S", bound=_Said)


def _read(path: Path, kind: type[S]) -> S | None:
    try:
        return kind.model_validate(read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError) as error:
        raise StoreError(f"can't be read: {error}", where=path) from error
