"""The run store: folders that sort by time, found by id, prefix, path or `@last`; process-safe."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from tutelage.core import removal
from tutelage.core.config import RunConfig
from tutelage.core.errors import StorageError, StoreError
from tutelage.core.files import exists, storage_errors, write_json
from tutelage.core.fingerprint import hashes_of
from tutelage.core.inputs import Inputs
from tutelage.core.locks import LOCK as LOCK
from tutelage.core.locks import waiting
from tutelage.core.records import Environment, Fingerprints, Parent, RunRecord, now
from tutelage.core.run import CONFIG as CONFIG
from tutelage.core.run import INPUTS as INPUTS
from tutelage.core.run import LOG as LOG
from tutelage.core.run import METRICS as METRICS
from tutelage.core.run import RECORD as RECORD
from tutelage.core.run import WEIGHTS as WEIGHTS
from tutelage.core.run import Run as Run

_HOME = "Set TUTELAGE_HOME to a folder that you may read and write, or leave it out for ./runs."

log: Final = logging.getLogger(__name__)


def _is_run(folder: Path) -> bool:
    """Whether a folder holds a record; a name that no file can have holds none."""
    try:
        return (folder / RECORD).is_file()
    except OSError:
        return False


def _has_record(folder: Path) -> bool:
    """The same; a folder that may not be looked into is left out with a warning."""
    try:
        return (folder / RECORD).is_file()
    except PermissionError:
        log.warning("left out: %s may not be looked into", folder)
        return False


LAST: Final = ".last.json"
"""Names the run that `@last` is."""


class RunStore:
    """All runs and caches below one folder.

    Args:
        home: The folder; made when the first run is.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    @classmethod
    def default(cls) -> RunStore:
        """The store at ``TUTELAGE_HOME``, by default ``./runs``."""
        return cls(Path(os.environ.get("TUTELAGE_HOME") or "runs"))

    @classmethod
    def at(cls, home: Path | str | None) -> RunStore:
        """The store at a folder that a caller named, or the default one."""
        return cls.default() if home is None else cls(Path(home))

    def cache(self, name: str) -> Path:
        """Return (and make) a folder for things that can be made again."""
        folder = self.home / ".cache" / name
        with storage_errors(folder, _HOME):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def create(
        self,
        config: RunConfig,
        fingerprints: Fingerprints,
        parents: tuple[Parent, ...] = (),
        inputs: Inputs | None = None,
        initial_weights: str | None = None,
    ) -> Run:
        """Make the folder of a new run with its configuration and a record of status `created`.

        Args:
            config: The whole run.
            fingerprints: What it depends on.
            parents: The runs that it is made from.
            inputs: The files that it reads.
            initial_weights: Digest of weights from elsewhere that its model begins with.

        Raises:
            StorageError: The store can't be written.
        """
        moment = datetime.now(UTC)
        words = [config.task, config.model.name, config.mode.name, *filter(None, [config.run.name])]
        stamp = moment.strftime("%Y%m%d-%H%M%S-") + f"{moment.microsecond // 1000:03d}"
        path = self.home / "-".join([stamp, *words, secrets.token_hex(2)])
        with storage_errors(path, _HOME):
            self._refuse_file()
            self.home.mkdir(parents=True, exist_ok=True)
        environment = Environment.here()
        record = RunRecord(
            id=path.name,
            task=config.task,
            mode=config.mode.name,
            model=config.model.name,
            status="created",
            created=now(),
            parents=parents,
            fingerprints=fingerprints,
            hashes=hashes_of(config, environment, initial_weights),
            environment=environment,
            tags=config.run.tags,
        )
        written_by = {"tutelage_version": metadata.version("tutelage")}
        with waiting(self.home / LOCK, shared=True):
            with storage_errors(path, _HOME):
                path.mkdir()
            write_json(path / CONFIG, written_by | config.model_dump(mode="json"))
            if inputs is not None:
                write_json(path / INPUTS, inputs.model_dump(mode="json"))
            write_json(path / RECORD, record.model_dump(mode="json"))
        return Run(path)

    def runs(self) -> list[Run]:
        """Every run of the store that has a record, oldest first; none where no folder is yet.

        Raises:
            StorageError: The store is no folder.
            StoreError: The store can't be looked into.
        """
        try:
            self._refuse_file()
            folders = sorted(self.home.iterdir())
            if not os.access(self.home, os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return [Run(p) for p in folders if p.name[0] != "." and _has_record(p)]
        except FileNotFoundError:
            return []
        except OSError as error:
            said = f"runs can't be written or read there: {error.strerror or error}"
            raise StoreError(said, where=self.home, hint=_HOME) from error

    def _refuse_file(self) -> None:
        if self.home.is_file():
            said = "is a file: runs can't be written or read there"
            raise StorageError(said, where=self.home, hint=_HOME)

    def readable(self) -> list[tuple[Run, RunRecord]]:
        """Every run with its record, oldest first; a damaged one is left out with a warning."""
        found = []
        for run in self.runs():
            try:
                found.append((run, run.record))
            except StoreError as error:
                if run.path.exists():  # else it was removed meanwhile
                    log.warning("left out: %s", error)
        return found

    def with_fingerprint(self, fingerprint: str) -> list[Run]:
        """The runs that computed, or were to compute, the same thing; oldest first."""
        return [run for run, record in self.readable() if record.fingerprints.run == fingerprint]

    def find(self, name: Run | str) -> Run:
        """Return the run of that id, unique prefix or path; for ``@last`` see `note_last`.

        A run that was found before is returned as it is.

        Raises:
            StoreError: There is none, or the prefix fits several.
        """
        if isinstance(name, Run):
            return name
        if not name:
            raise StoreError(
                "no run is named", hint="Give an id, a unique prefix, a path or @last."
            )
        if _is_run(Path(name)):
            path = Path(name)
            return Run(path.resolve() if path.name in ("", "..") else path)
        runs = self.runs()
        if name == "@last" and runs:
            return self._last(runs)
        found = [run for run in runs if run.id == name] or [
            r for r in runs if r.id.startswith(name)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(run.id for run in found[-5:])
            raise StoreError(f"{name!r} fits {len(found)} runs", hint=f"Write more of it: {some}.")
        if not runs:
            hint = f"There are no runs in {self.home} yet; `tutelage train can` makes one."
            raise StoreError(f"no run {name!r}", hint=hint)
        if exists(Path(name)):
            hint = (
                "Name the run first, then what it is applied to; `tutelage runs list` shows them."
            )
            raise StoreError(f"{name!r} is no run", hint=hint)
        latest = ", ".join(run.id for run in runs[-3:])
        hint = f"The latest of {len(runs)}: {latest}; `tutelage runs list` shows all."
        raise StoreError(f"no run {name!r} in {self.home}", hint=hint)

    def note_last(self, run: Run) -> None:
        """Let ``@last`` be a run: one that was made, went on or answered; a model that was chosen.

        Without a note, or once the run is gone, it is the newest.

        Raises:
            StorageError: The disk is full, or the folder can't be written.
        """
        write_json(self.home / LAST, run.id)

    def _last(self, runs: Sequence[Run]) -> Run:
        try:
            noted = json.loads((self.home / LAST).read_bytes())
        except (OSError, ValueError):
            noted = None
        return next((run for run in runs if run.id == noted), runs[-1])

    def children(self, run: Run) -> list[Run]:
        """The runs made directly from ``run``."""
        return removal.children(run, self.readable())

    def remove(self, *runs: Run) -> None:
        """Delete runs that no others descend from; outside the store only what is surely a run.

        Nothing is removed unless everything can be. A run vanishes at once, whoever looks.

        Raises:
            StoreError: Another run descends from one, a process works on it, or a folder elsewhere
                has no valid record.
        """
        removal.remove(self, runs)
