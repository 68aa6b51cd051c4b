"""The tree that MLflow shows: a node for each run, trial and study, made from records alone."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from tutelage.core.records import RunRecord
from tutelage.core.store import METRICS
from tutelage.tracking.curves import Point, read_curves
from tutelage.tracking.folders import RunState
from tutelage.tracking.names import COMMIT, NOTE, SOURCE, clipped, metric_name, short
from tutelage.tracking.parameters import parameters

Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
log = logging.getLogger(__name__)
ENDED: Final[Mapping[str, Status]] = {
    "finished": "FINISHED", "failed": "FAILED", "complete": "FINISHED", "pruned": "KILLED",
    "waiting": "SCHEDULED", "running": "SCHEDULED",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """What MLflow is to show of a run, a trial or a study.

    Args:
        id: By which it is found again: a run's id, a study's, or ``STUDY/NUMBER`` of a trial.
        name: What people see.
        experiment: MLflow's experiment.
        status: How it stands; never RUNNING where no process works on it.
        started: When it began, in milliseconds.
        parent: The `id` of the node above it.
        ended: When it ended.
        tags: Beside the one with its id.
        parameters: Settings.
        scores: Metrics that are known at the end, ``split/metric`` to value.
        curves: Points of metrics over steps.
        files: Name to file of what is copied.
    """

    id: str
    name: str
    experiment: str
    status: Status
    started: int
    parent: str | None = None
    ended: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[Point] = ()
    files: Mapping[str, Path] = field(default_factory=dict)


def trial_id(study: str, number: int) -> str:
    """The id of a trial's node."""
    return f"{study}/{number}"


def trial_of(record: RunRecord) -> int | None:
    """The number of the trial that a run is a fold of; a refit of a trial's settings is no part."""
    number = record.tags.get("trial") if "fold" in record.tags else None
    return int(number) if number is not None and number.isdecimal() else None


def place(path: Path) -> str:
    """A folder and the machine that it is on."""
    return f"{socket.gethostname()}:{path.absolute()}"


def run_node(state: RunState) -> Node:
    """Return the node of a run.

    Raises:
        StoreError: Its settings or its metrics can't be read.
    """
    run, record = state.run, state.record
    started = milliseconds(record.created)
    study, trial = record.tags.get("study"), trial_of(record)
    parent = None if study is None else study if trial is None else trial_id(study, trial)
    status = run_status(state)
    return Node(
        id=run.id,
        name=_run_name(run.id, record),
        experiment=experiment_of(state),
        status=status,
        started=started,
        parent=parent,
        ended=None if record.finished is None else milliseconds(record.finished),
        tags=_run_tags(state),
        parameters=parameters(run),
        scores=_scores(record),
        curves=read_curves(run.path / METRICS, started),
        files=_files(state) if status == "FINISHED" else {},
    )


def run_status(state: RunState) -> Status:
    """How a run stands; one that says that it lasts while no process works in it was killed."""
    return "RUNNING" if state.alive else ENDED.get(_settled(state.record), "KILLED")


def _settled(record: RunRecord) -> str:
    return "interrupted" if record.status in ("created", "running") else record.status


def default_experiment(task: str) -> str:
    """The experiment of a task's runs where none is named."""
    return f"tutelage/{task}"


def _run_name(run: str, record: RunRecord) -> str:
    tags = record.tags
    if "study" not in tags:
        return short(run)
    if "fold" in tags:
        return f"fold {tags['fold']}"
    purpose = tags.get("purpose", short(run))
    return f"{purpose} seed {tags['seed']}" if "seed" in tags else purpose


def _run_tags(state: RunState) -> dict[str, str]:
    record = state.record
    tags = {f"tutelage.{key}": value for key, value in record.tags.items()} | {
        "tutelage.kind": "run",
        "tutelage.task": record.task,
        "tutelage.mode": record.mode,
        "tutelage.model": record.model,
        "tutelage.data": record.fingerprints.data,
        "tutelage.source": record.fingerprints.source,
        "tutelage.fingerprint": record.fingerprints.run,
        "tutelage.path": place(state.run.path),
        SOURCE: f"tutelage {record.environment.tutelage}",
    }
    if (revision := record.environment.revision) is not None:
        tags |= {"tutelage.revision": str(revision), COMMIT: revision.commit}
    if record.parents:
        said = ", ".join(f"{parent.role}: {parent.run}" for parent in record.parents)
        tags["tutelage.parents"] = clipped(said)
    if record.audit is not None:
        tags["tutelage.audit"] = record.audit.verdict
    if record.error is not None:
        tags[NOTE] = clipped(record.error)
    return tags


def _scores(record: RunRecord) -> dict[str, float]:
    """The record's metrics, and beneath its name each baseline's of whole splits."""
    beside = {
        f"baselines/{name}/{key}": value
        for name, scores in record.baselines.items()
        for key, value in scores.items()
        if key.count("/") == 1
    }
    return {metric_name(key): value for key, value in {**record.metrics, **beside}.items()}


def _tracking(state: RunState) -> Mapping[str, object]:
    section = state.run.settings.get("tracking")
    return section if isinstance(section, dict) else {}


def experiment_of(state: RunState) -> str:
    """The experiment that a run belongs to."""
    return str(_tracking(state).get("experiment") or default_experiment(state.record.task))


def _files(state: RunState) -> dict[str, Path]:
    """The files of a run that are to be copied, by name; of one that it lacks, a warning."""
    asked = _tracking(state).get("artifacts")
    names = [str(name) for name in asked] if isinstance(asked, list) else []
    there = state.record.artifacts
    for name in names:
        if name not in there:
            log.warning("run %s has no file %r to copy to the tracker", state.run.id, name)
    return {name: state.run.path / there[name].path for name in names if name in there}


def milliseconds(moment: datetime) -> int:
    """A moment as MLflow writes it."""
    return round(1000 * moment.timestamp())
