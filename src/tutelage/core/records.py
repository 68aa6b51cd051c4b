"""`RunRecord`: the truth about one run, as `record.json` tells it."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_serializer,
    model_validator,
)

from tutelage.core.config import SCHEMA_VERSION
from tutelage.core.files import digest_json, stays_inside
from tutelage.core.revision import Revision, package_revision

DECISIVE: Final = (
    "torch", "lightning", "torch-geometric", "numpy", "pyarrow", "safetensors",
)  # fmt: skip
Cell = str | float | int | None
Score = Annotated[float, Field(allow_inf_nan=False)]
RunStatus = Literal["created", "running", "finished", "failed", "interrupted"]
Verdict = Literal["clean", "warnings", "leaking"]
TRIAL_FOLD: Final = {"purpose": "trial-fold"}
"""The tag of a run that is one fold of a study's trial."""
INITIAL_WEIGHTS: Final = "initial weights"
"""Role of a parent whose weights training began with."""


class Part(BaseModel):
    """A piece of a record."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


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


class Table(Part):
    """A table that a task adds to its report: a title, column names and rows.

    Args:
        title: What it shows.
        columns: Names of its columns.
        rows: Its cells.
        note: A sentence beneath it.
        first: Whether it is one of those that a person sees right after training.
        heat: Whether its counts are shaded by their share of their row.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    first: bool = False
    heat: bool = False

    @model_validator(mode="after")
    def _even(self) -> Self:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row has not {len(self.columns)} cells")
        return self

    @field_serializer("rows", when_used="json")
    def _rows_for_json(self, rows: tuple[tuple[Cell, ...], ...]) -> list[list[Cell]]:
        """JSON has no NaN and no infinity: they become null."""
        return [
            [None if isinstance(v, float) and not math.isfinite(v) else v for v in row]
            for row in rows
        ]


def marked(text: str) -> str:
    """Mark a part of a cell's text: pages show it as marked, terminals between brackets."""
    return f"⟦{text}⟧"


class Line(Part):
    """A line of a drawing.

    Args:
        name: What it is.
        values: Its heights; null leaves a gap.
        at: Where each value stands along the axis, ascending; evenly spaced where there are none.
        low: Lower bounds of an interval about each value, where they are known.
        high: Upper ones.
    """

    name: str
    values: tuple[float | None, ...]
    at: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class Lane(Part):
    """A row of a drawing along an axis.

    Args:
        name: What it is.
        spans: Beginning and end of each stretch of it.
    """

    name: str
    spans: tuple[tuple[float, float], ...]


class Panel(Part):
    """One drawing of a figure: lines over a common axis, lanes along one, or an image.

    Args:
        title: What it shows.
        lines: Lines of one scale.
        image: Rows of an image, the top one first; dark is low.
        marks: Places (row, column) that are marked on the image.
        lanes: Rows along the axis, the top one first.
        across: What the axis is, with its unit; lines without one are a trace that has no axes.
        up: What the lines' heights are.
    """

    title: str
    lines: tuple[Line, ...] = ()
    image: tuple[tuple[float, ...], ...] = ()
    marks: tuple[tuple[float, float], ...] = ()
    lanes: tuple[Lane, ...] = ()
    across: str = ""
    up: str = ""


class Figure(Part):
    """Drawings that a task adds to its report."""

    title: str
    panels: tuple[Panel, ...]
    note: str = ""


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


class Environment(Part):
    """Where a run was made.

    Args:
        packages: Versions of the packages that decide a result.
        revision: The code's, where git tracks it.
        processor: The machine's; another one may round otherwise.
        threads: Threads that arithmetic was shared by; another number may round otherwise.
    """

    tutelage: str
    python: str
    platform: str
    packages: Mapping[str, str]
    revision: Revision | None = None
    processor: str | None = None
    threads: int | None = None

    @property
    def digest(self) -> str:
        """Digest of what is installed: Python and the packages that decide a result."""
        return digest_json([self.tutelage, self.python, dict(self.packages)])

    @classmethod
    def here(cls) -> Environment:
        """Describe this interpreter and the packages that decide a result."""
        packages = {}
        for name in DECISIVE:
            with suppress(metadata.PackageNotFoundError):
                packages[name] = metadata.version(name)
        return cls(
            tutelage=metadata.version("tutelage"),
            python=sys.version.split()[0],
            platform=platform.platform(),
            packages=packages,
            revision=package_revision(),
            processor=_processor(),
            threads=_threads(),
        )


def _processor() -> str:
    """The processor's name; of an unknown one its kind."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _threads() -> int:
    """The threads that arithmetic is shared by, unless a program sets another number."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(said) if said.isdecimal() else len(os.sched_getaffinity(0))


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
