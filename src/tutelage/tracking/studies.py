"""The nodes of a study and of its trials, from what the study's folder and its runs say."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.core.records import RunRecord
from tutelage.report.settings import as_text
from tutelage.tracking.folders import RunState, StudyState, TrialFile
from tutelage.tracking.names import NOTE, clipped, metric_name, short
from tutelage.tracking.nodes import (
    ENDED,
    Node,
    Status,
    default_experiment,
    experiment_of,
    milliseconds,
    place,
    run_status,
    trial_id,
    trial_of,
)
from tutelage.tracking.parameters import in_common, parameters


def study_nodes(study: str, states: Sequence[RunState], file: StudyState | None) -> list[Node]:
    """Return the nodes of a study and of its trials, the study's first.

    Args:
        study: Its id.
        states: Its runs.
        file: What its folder says; null where that has gone, and the runs alone are left.

    Raises:
        StoreError: A run's settings can't be read.
    """
    by_trial: dict[int, list[RunState]] = {}
    for state in states:
        if (trial := trial_of(state.record)) is not None:
            by_trial.setdefault(trial, []).append(state)
    said = {} if file is None else file.trials
    experiment = experiment_of(states[0]) if states else default_experiment(_task(states, file))
    trials = [
        _trial_node(study, n, experiment, by_trial.get(n, []), said.get(n))
        for n in sorted({*by_trial, *said})
    ]
    return [_study_node(study, experiment, states, file), *trials]


def _task(states: Sequence[RunState], file: StudyState | None) -> str:
    return states[0].record.task if file is None else file.study.task


def _study_node(
    study: str, experiment: str, states: Sequence[RunState], file: StudyState | None
) -> Node:
    tags = {"tutelage.kind": "study", "tutelage.study": study, "tutelage.task": _task(states, file)}
    scores: dict[str, float] = {}
    status = _together(states)
    started, ended = _span(states)
    if file is not None:
        told = file.study
        tags |= {
            "tutelage.data": told.data,
            "tutelage.objective": f"{told.direction} {told.metric}",
            "tutelage.path": place(file.path),
        }
        started = milliseconds(told.created)
        if told.finished is not None:
            ended = milliseconds(told.finished)
        if told.chosen is not None:
            tags["tutelage.chosen"] = str(told.chosen)
            scores = _objective(told.metric, file.trials.get(told.chosen))
        if told.error is not None:
            tags[NOTE] = clipped(told.error)
        works = file.alive or status == "RUNNING"
        if told.status == "running":
            status = "RUNNING" if works else "KILLED"
        else:
            status = ENDED.get(told.status, "KILLED")
    name = short(study)
    return Node(study, name, experiment, status, started, ended=ended, tags=tags, scores=scores)


def _trial_node(
    study: str, number: int, experiment: str, states: Sequence[RunState], said: TrialFile | None
) -> Node:
    tags = {"tutelage.kind": "trial", "tutelage.study": study, "tutelage.trial": str(number)}
    finished = [state for state in states if state.record.status == "finished"]
    status = _together(states)
    started, ended = _span(states)
    settings = in_common([parameters(state.run) for state in states]) if states else {}
    scores = _means([state.record for state in finished])
    if said is not None:
        tags["tutelage.state"] = said.status
        status = "RUNNING" if status == "RUNNING" else ENDED[said.status]
        settings |= {metric_name(k): clipped(as_text(v)) for k, v in said.params.items()}
        scores |= _objective("objective", said)
        started = milliseconds(said.started) if said.started is not None else started
        ended = milliseconds(said.finished) if said.finished is not None else ended
    if status in ("RUNNING", "SCHEDULED"):
        ended = None
    name = f"trial {number}"
    node = trial_id(study, number)
    return Node(node, name, experiment, status, started, study, ended, tags, settings, scores)


def _objective(name: str, trial: TrialFile | None) -> dict[str, float]:
    return {} if trial is None or trial.value is None else {metric_name(name): trial.value}


def _together(states: Sequence[RunState]) -> Status:
    """How several runs stand as a whole."""
    found = {run_status(state) for state in states}
    order: tuple[Status, ...] = ("RUNNING", "FAILED", "KILLED")
    return next((status for status in order if status in found), "FINISHED")


def _span(states: Sequence[RunState]) -> tuple[int, int | None]:
    """When several runs began, and when the last of them ended."""
    began = min((milliseconds(state.record.created) for state in states), default=0)
    ended = [milliseconds(s.record.finished) for s in states if s.record.finished is not None]
    return began, max(ended, default=None)


def _means(records: Sequence[RunRecord]) -> dict[str, float]:
    """Mean of each metric that all of some finished runs have."""
    if not records:
        return {}
    shared = set(records[0].metrics).intersection(*(record.metrics for record in records[1:]))
    return {
        metric_name(name): sum(record.metrics[name] for record in records) / len(records)
        for name in sorted(shared)
    }
