"""`final.json`: what a final training came to: lineage, hashes, scores, gates, exported files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from tutelage.core.documents import read_json
from tutelage.core.errors import StoreError
from tutelage.core.records import Artifact, Environment
from tutelage.core.store import Run

FINAL: Final = "final.json"


class Part(BaseModel):
    """A piece of the manifest."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class GateResult(Part):
    """What a gate asked and what there was.

    Args:
        what: The metric, ``latency p50`` or ``size``.
        limit: What was allowed.
        value: What there was; null where the run has no such metric.
        unit: Of both; empty for a metric.
        passed: Whether it was kept.
    """

    what: str
    limit: float
    value: float | None
    unit: str = ""
    passed: bool


class ExportedFile(Artifact):
    """An exported file or folder, by its path in the run's folder.

    Args:
        format: What it was exported as.
        bytes: Its size.
        latency_p50_ms: Of its slowest sample, where it was measured.
    """

    format: str
    bytes: int
    latency_p50_ms: float | None = None


class ParentOf(Part):
    """A run of the chain.

    Args:
        run: Its id.
        child: The run that was made from it.
        role: What it gave.
        fingerprint: Its fingerprint; null where it is no longer in the store.
    """

    run: str
    child: str
    role: str
    fingerprint: str | None


class Manifest(Part):
    """What a final training came to.

    Args:
        source: What the settings came from: a run, or a study and its trial.
        asked: Formats and gates that were asked for.
        settings: The whole section `final`.
        hashes: Digests of data, folds, source, parameters, environment, weights.
        passed: Whether every gate was kept.
    """

    schema_version: Literal[1] = 1
    run: str
    task: str
    model: str
    mode: str
    source: Mapping[str, str]
    asked: Mapping[str, JsonValue]
    settings: Mapping[str, JsonValue]
    lineage: tuple[ParentOf, ...]
    hashes: Mapping[str, str | None]
    environment: Environment
    metrics: Mapping[str, float]
    gates: tuple[GateResult, ...]
    exports: tuple[ExportedFile, ...]
    passed: bool


def read_manifest(run: Run) -> Manifest | None:
    """Return the manifest of a run; null where it has none.

    Raises:
        StoreError: It is damaged.
    """
    path: Path = run.path / FINAL
    try:
        return Manifest.model_validate(read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError) as error:
        hint = "Ship it again with final.policy=resume_if_incomplete after removing the file."
        raise StoreError("the manifest can't be read", where=path, hint=hint) from error


def read_exports(run: Run) -> tuple[Artifact, ...]:
    """Return the files that the manifest of a run names; none where it has no manifest.

    Raises:
        StoreError: It is damaged.
    """
    manifest = read_manifest(run)
    return () if manifest is None else manifest.exports
