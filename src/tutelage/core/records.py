"""`RunRecord`: the truth about one run, as `record.json` tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from tutelage.core.config import SCHEMA_VERSION
from tutelage.core.environment import Environment as Environment
from tutelage.core.exhibits import Cell as Cell
from tutelage.core.exhibits import Figure as Figure
from tutelage.core.exhibits import Lane as Lane
from tutelage.core.exhibits import Line as Line
from tutelage.core.exhibits import Panel as Panel
from tutelage.core.exhibits import Table as Table
from tutelage.core.exhibits import marked as marked
from tutelage.core.files import stays_inside
from tutelage.core.sections import Part as Part

Score = Annotated[float, Field(allow_inf_nan=False)]
RunStatus = Literal["created", "running", "finished", "failed", "interrupted"]
Verdict = Literal["clean", "warnings", "leaking"]
TRIAL_FOLD: Final = {"purpose": "trial-fold"}
"""The tag of a run that is one fold of a study's trial."""
INITIAL_WEIGHTS: Final = "initial weights"
"""Role of a parent whose weights training began with."""


class Parent(Part):
    """A run that this one was made from."""

    run: Annotated[str, Field(pattern=r"^[^/\x00]+$")]
    role: str
    same_data: bool = False
    """Whether it was trained on the same data, split alike, so that its tests are these tests."""


class Artifact(Part):
    """A file of the run, by its path inside the run's folder and its xxh3-128 digest."""

    path: Annotated[str, AfterValidator(stays_inside)]
    digest: str


class Fingerprints(Part):
    """What a run depends on: `run` is the hash of the others.

    Args:
        split: Digest of the folds that were dealt for a cross-validation, where it is of one.
    """

    run: str
    config: str
    data: str
    parents: tuple[str, ...] = ()
    source: str
    split: str | None = None


class AuditStamp(Part):
    """What `audit` said of the data that a run saw."""

    verdict: Verdict
    findings: tuple[str, ...] = ()

    def beside(self, parents: Iterable[Parent]) -> AuditStamp:
        """Add what no audit of a run's own data sees: other data behind the runs it was made of."""
        found = tuple(
            f"made from run {parent.run} ({parent.role}); what that run and its own parents were "
            "trained on may overlap these tests"
            for parent in parents
            if not parent.same_data
        )
        if not found:
            return self
        verdict: Verdict = "warnings" if self.verdict == "clean" else self.verdict
        return AuditStamp(verdict=verdict, findings=(*self.findings, *found))


class Evaluation(Part):
    """The scores of one model on one data set.

    Args:
        metrics: Flat, ``split/metric`` to value; a metric that is undefined there (or not a
            finite number) is left out.
        baselines: The same keys under each baseline's name.
        tables: What the task shows beside them.
        figures: What the task draws of them.
        files: Name to content of what is kept beside the record as it is, such as a table too long
            to be read.
    """

    metrics: Mapping[str, Score] = {}
    baselines: Mapping[str, Mapping[str, Score]] = {}
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    files: Mapping[str, bytes] = Field(default={}, exclude=True, repr=False)


class Hashes(Part):
    """Digests of what a run was made with, beside its fingerprints and the digests of its files.

    Args:
        parameters: Of its settings without those of data: of what is tuned.
        environment: Of what is installed (`Environment.digest`).
        initial_weights: Of weights from elsewhere that the model began with, such as an encoder's.
    """

    parameters: str
    environment: str
    initial_weights: str | None = None


class RunRecord(Part):
    """Status, scores, lineage and surroundings of a run.

    Args:
        started: When the process that trained it last had imported all it takes.
        metrics: As in `Evaluation`.
        best_epoch: The epoch, from 1, whose weights the run ended with, as far as it is known.
        seconds: Wall-clock seconds by phase, and ``total``.
        memory: Largest resident memory of the process up to the end of each phase, in MiB.
        hashes: Null in a record of an older Tutelage.
        warnings: Sentences that a reader of the scores should know.
        error: Why the run failed, where it did.
        tags: What `run.tags` said when the run was made.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    id: str
    task: str
    mode: str
    model: str
    status: RunStatus
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    metrics: Mapping[str, Score] = {}
    baselines: Mapping[str, Mapping[str, Score]] = {}
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    best_epoch: int | None = None
    seconds: Mapping[str, Score] = {}
    memory: Mapping[str, Score] = {}
    parents: tuple[Parent, ...] = ()
    artifacts: Mapping[str, Artifact] = {}
    fingerprints: Fingerprints
    hashes: Hashes | None = None
    audit: AuditStamp | None = None
    environment: Environment
    warnings: tuple[str, ...] = ()
    error: str | None = None
    tags: Mapping[str, str] = {}

    @property
    def of_study(self) -> str | None:
        """What the run is to the study that made it, in words; null where none did."""
        if (study := self.tags.get("study")) is None:
            return None
        purpose = self.tags.get("purpose", "run").removeprefix("trial-")
        return f"{purpose} of trial {self.tags.get('trial', '?')} of study {study}"

    def named_hashes(self) -> dict[str, str | None]:
        """Digest, by name, of each thing that the run depends on; null where it has none."""
        revision, weights = self.environment.revision, self.artifacts.get("model.safetensors")
        return {
            "fingerprint": self.fingerprints.run,
            "data": self.fingerprints.data,
            "split": self.fingerprints.split,
            "source": self.fingerprints.source,
            "revision": None if revision is None else str(revision),
            "environment": self.environment.digest,
            "parameters": self.hashes.parameters if self.hashes else None,
            "initial weights": self.hashes.initial_weights if self.hashes else None,
            "weights": None if weights is None else weights.digest,
        }

    def summary(self, path: Path) -> dict[str, object]:
        """Return the one object that ``--json`` prints for this run."""
        return {
            "run": self.id,
            "path": str(path.absolute()),
            "status": self.status,
            "metrics": dict(self.metrics),
            "baselines": {name: dict(scores) for name, scores in self.baselines.items()},
            "seconds": dict(self.seconds),
            "parents": [parent.model_dump() for parent in self.parents],
        }


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)
