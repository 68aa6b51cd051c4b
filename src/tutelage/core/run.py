"""`Run`: a run's folder, what is known of it, and who works in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from tutelage.core.config import SCHEMA_VERSION
from tutelage.core.documents import read_json
from tutelage.core.errors import CheckpointError, HeldError, StoreError, suggest
from tutelage.core.files import digest_file, inside, write_json
from tutelage.core.locks import LOCK, holding, is_held
from tutelage.core.migrations import RECORD_MIGRATIONS, migrate
from tutelage.core.records import Artifact, RunRecord
from tutelage.core.redaction import redact

CONFIG, RECORD, WEIGHTS = "config.json", "record.json", "model.safetensors"
METRICS, LOG = "metrics.csv", "log.jsonl"
INPUTS = "inputs.json"
"""The files that a run reads, with their digests (`tutelage.core.inputs`)."""

_DAMAGED = "Restore the file from a copy, or remove the run with `tutelage runs rm`."


class Scores(dict[str, float]):
    """Scores, ``split/metric`` to value; for one that is not there, it tells those that are."""

    def __missing__(self, name: str) -> float:
        raise KeyError(f"no score {name!r}. {suggest(name, self)}")


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
    def metrics(self) -> Scores:
        """Scores, ``split/metric`` to value."""
        return Scores(self.record.metrics)

    @property
    def baselines(self) -> dict[str, Scores]:
        """The same keys under each baseline's name."""
        return {name: Scores(scores) for name, scores in self.record.baselines.items()}

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
    def goes_on_with(self) -> str:
        """The setting with which its request goes on with it, while it isn't finished."""
        options = self.settings.get("run")
        asked = options.get("policy") if isinstance(options, dict) else None
        policy = asked if asked == "continue_from_previous" else "resume_if_incomplete"
        return f"run.policy={policy}"

    @property
    def how_to_go_on(self) -> str:
        """Which request goes on with it, while it isn't finished."""
        command = f"`tutelage doctor {self.id}` prints the command"
        return f"the same settings with {self.goes_on_with}; {command}"

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
