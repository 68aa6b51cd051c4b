"""Runs as the columns of a table, for spreadsheets and data frames: a row a run, or one a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tutelage.core.store import METRICS, Run
from tutelage.report.curves import read_history
from tutelage.report.settings import as_text, differences

Columns = dict[str, list[object]]


def run_columns(runs: Sequence[Run]) -> Columns:
    """Return a row for each run: what it is, its scores and baselines, the settings that differ.

    Scores are called ``split/metric``, those of a baseline ``NAME: split/metric``, settings
    ``section.field`` and tags ``tag NAME``; what a run does not have is null.

    Raises:
        StoreError: A run's record or configuration can't be read.
    """
    varied = differences(runs)
    rows = [_facts(run) for run in runs]
    for number, row in enumerate(rows):
        row |= {name: as_text(values[number]) for name, values in varied.items()}
        row |= _scores(runs[number])
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def curve_columns(runs: Sequence[Run]) -> Columns:
    """Return a row for each value that was logged in training: run, metric, step, value.

    Raises:
        StoreError: A run's metrics can't be read.
    """
    columns: Columns = {"run": [], "metric": [], "step": [], "value": []}
    for run in runs:
        for metric, points in read_history(run.path / METRICS).items():
            columns["run"] += [run.id] * len(points)
            columns["metric"] += [metric] * len(points)
            columns["step"] += [step for step, _ in points]
            columns["value"] += [value for _, value in points]
    return columns


def _facts(run: Run) -> dict[str, object]:
    record = run.record
    facts: dict[str, object] = {
        "run": run.id,
        "status": run.status,
        "task": record.task,
        "model": record.model,
        "mode": record.mode,
        "created": record.created.isoformat(),
        "seconds": record.seconds.get("total"),
        "best_epoch": record.best_epoch,
        "parents": " ".join(f"{one.role}={one.run}" for one in record.parents),
        "fingerprint": record.fingerprints.run,
    }
    return facts | {f"tag {name}": word for name, word in record.tags.items()}


def _scores(run: Run) -> Mapping[str, object]:
    record = run.record
    of_baselines = {
        f"{name}: {key}": value
        for name, scores in record.baselines.items()
        for key, value in scores.items()
    }
    return {**record.metrics, **of_baselines}
