"""The run store: folders that sort by time, found by id, prefix, path or `@last`; process-safe."""

from __future__ import annotations

import errno
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from tutelage.core import removal
from tutelage.core.config import SCHEMA_VERSION, RunConfig
from tutelage.core.documents import read_json
from tutelage.core.errors import CheckpointError, HeldError, StorageError, StoreError, suggest
from tutelage.core.files import digest_file, inside, storage_errors, write_json
from tutelage.core.fingerprint import hashes_of
from tutelage.core.inputs import Inputs
from tutelage.core.locks import LOCK as LOCK
from tutelage.core.locks import holding, is_held, waiting
from tutelage.core.migrations import RECORD_MIGRATIONS, migrate
from tutelage.core.records import (
    Artifact,
    Environment,
    Fingerprints,
    Parent,
    RunRecord,
    now,
)
from tutelage.core.redaction import redact

CONFIG, RECORD, WEIGHTS = "config.json", "record.json", "model.safetensors"
METRICS, LOG = "metrics.csv", "log.jsonl"
INPUTS = "inputs.json"
"""The files that a run reads, with their digests (`tutelage.core.inputs`)."""

_HOME = "Set TUTELAGE_HOME to a folder that you may read and write, or leave it out for ./runs."
_DAMAGED = "Restore the file from a copy, or remove the run with `tutelage runs rm`."

log: Final = logging.getLogger(__name__)


class Run:
    """A run's folder: configuration, record, weights with their card, checkpoints, metrics, log.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        """The run's name, unique in its store."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """Folder of the saved states of training."""
        return self.path / "checkpoints"

    def __repr__(self) -> str:
        return f"Run({self.id})"

    @property
    def record(self) -> RunRecord:
        """What is known about the run now.

        Raises:
            StoreError: The record is absent, damaged or of a newer version.
        """
        path = self.path / RECORD
        try:
            content = read_json(path)
            if not isinstance(content, dict):
                raise StoreError("the record is no JSON object", where=path)
            return RunRecord.model_validate(
                migrate(content, RECORD_MIGRATIONS, SCHEMA_VERSION, path)
            )
        except FileNotFoundError:
            raise StoreError("this run has no record", where=path) from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            said = f"the record is damaged: {place}: {first['msg']}"
            raise StoreError(said, where=path, hint=_DAMAGED) from error
        except (OSError, ValueError) as error:
            said = f"the record can't be read: {error}"
            raise StoreError(said, where=path, hint=_DAMAGED) from error

    @property
    def status(self) -> str:
        """The record's status; a run that says `running` while nobody holds it was interrupted.

        Raises:
            StoreError: The record or the lock can't be read.
        """
        status = self.record.status
        return "interrupted" if status == "running" and not self.is_held() else status

    @property
    def metrics(self) -> dict[str, float]:
        """Scores, ``split/metric`` to value."""
        return dict(self.record.metrics)

    @property
    def baselines(self) -> dict[str, dict[str, float]]:
        """The same keys under each baseline's name."""
        return {name: dict(scores) for name, scores in self.record.baselines.items()}

    @cached_property
    def settings(self) -> dict[str, object]:
        """The content of `config.json`, as written.

        Raises:
            StoreError: It is absent or damaged.
        """
        path = self.path / CONFIG
        try:
            content = read_json(path)
        except (OSError, ValueError) as error:
            said = f"the configuration can't be read: {error}"
            raise StoreError(said, where=path, hint=_DAMAGED) from error
        if not isinstance(content, dict):
            raise StoreError("the configuration is no JSON object", where=path)
        return content

    @property
    def how_to_go_on(self) -> str:
        """Which request goes on with it, while it isn't finished."""
        options = self.settings.get("run")
        asked = options.get("policy") if isinstance(options, dict) else None
        policy = asked if asked == "continue_from_previous" else "resume_if_incomplete"
        return f"the same settings with run.policy={policy}"

    def update(self, **changes: object) -> RunRecord:
        """Write the record with some fields changed, atomically."""
        if isinstance(said := changes.get("error"), str):
            changes["error"] = redact(said)
        changed = RunRecord.model_validate(self.record.model_dump() | changes)
        write_json(self.path / RECORD, changed.model_dump(mode="json"))
        return changed

    def artifact(self, file: Path) -> Artifact:
        """Describe a file inside the run's folder."""
        return Artifact(path=str(file.relative_to(self.path)), digest=digest_file(file))

    def verify_artifacts(self) -> None:
        """Compare each file that the record lists with the digest it had when the run finished.

        Raises:
            CheckpointError: A file is absent, unreadable or changed; the message names it.
            StoreError: The record can't be read.
        """
        for artifact in self.record.artifacts.values():
            path = self.path / artifact.path
            if not inside(self.path, path):
                raise CheckpointError("leads out of the run's folder", where=path, hint=_DAMAGED)
            try:
                digest = digest_file(path)
            except OSError as error:
                said = f"can't be read: {error.strerror or error}"
                raise CheckpointError(said, where=path, hint=_DAMAGED) from error
            if digest != artifact.digest:
                said = "was changed after the run finished: its digest differs from the record's"
                raise CheckpointError(said, where=path, hint=_DAMAGED)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every other process from working in this folder; a dead holder holds nothing.

        Raises:
            HeldError: Another live process works in it.
        """
        hint = "Wait for it, or start a new run with run.policy=force_new."
        busy = HeldError("another process works on this run", where=self.id, hint=hint)
        with holding(self.path / LOCK, busy):
            yield

    def is_held(self) -> bool:
        """Whether a live process works in this folder.

        Raises:
            StoreError: The lock can't be read, so that nobody knows.
        """
        return is_held(self.path / LOCK, "run")


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

    def find(self, name: str) -> Run:
        """Return the run of that id, unique prefix or path, or the newest for ``@last``.

        Raises:
            StoreError: There is none, or the prefix fits several.
        """
        if not name:
            raise StoreError(
                "no run is named", hint="Give an id, a unique prefix, a path or @last."
            )
        if _is_run(Path(name)):
            path = Path(name)
            return Run(path.resolve() if path.name in ("", "..") else path)
        runs = self.runs()
        if name == "@last" and runs:
            return runs[-1]
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
        raise StoreError(
            f"no run {name!r} in {self.home}", hint=suggest(name, [r.id for r in runs[-5:]])
        )

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
