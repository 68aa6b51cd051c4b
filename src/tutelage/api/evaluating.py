"""`evaluate`: a finished run scored, on its own test data or on others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tutelage.api.restoring import FREE, restore
from tutelage.core.files import write_files, write_json
from tutelage.core.records import AuditStamp, Evaluation, now
from tutelage.core.store import Run, RunStore


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A run's scores on some data, the audit's stamp on those data, and the file of the result."""

    run: Run
    evaluation: Evaluation
    audit: AuditStamp
    path: Path

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints: the shape of `RunRecord.summary`."""
        record = self.run.record
        scored = record.model_copy(
            update={"metrics": self.evaluation.metrics, "baselines": self.evaluation.baselines}
        )
        return scored.summary(self.run.path)


def evaluate(run: Run | str, *overrides: str, home: Path | str | None = None) -> Evaluated:
    """Score a finished run, on its own test data or on what ``data.…`` overrides name.

    Overrides ``evaluation.…``, where the task has them, say how it is scored.

    The result is kept in the run's folder, under ``evaluations``, its files in a folder beside it.

    Raises:
        StoreError: The run isn't finished.
        CheckpointError: Its weights or their card are damaged or were changed.
        ConfigError: An override is not about data.
        DataError: The data are missing, malformed or unlabelled.
    """
    store = RunStore.at(home)
    found = store.find(run)
    task, config, module, data = restore(found, overrides, store)
    evaluation = task.evaluate(config, module, data)
    folder = found.path / "evaluations"
    folder.mkdir(exist_ok=True)
    path = folder / f"{now():%Y%m%d-%H%M%S-%f}.json"
    stamp = data.audit.beside(found.record.parents)
    result = Evaluated(found, evaluation, stamp, path)
    dumped = config.model_dump(mode="json")
    source = {name: dumped[name] for name in FREE if name in dumped}
    if evaluation.files:
        path.with_suffix("").mkdir()
        write_files(path.with_suffix(""), evaluation.files)
    write_json(path, result.summary() | source | {"audit": stamp.model_dump(mode="json")})
    return result
