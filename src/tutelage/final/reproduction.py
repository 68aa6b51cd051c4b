"""Make a run again from its own configuration, and compare the weights bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from tutelage.core.config import CurriculumMode, RunConfig
from tutelage.core.errors import StoreError
from tutelage.core.execution import ExecutionConfig, InProcessExecution
from tutelage.core.files import write_json
from tutelage.core.fingerprint import source_digest
from tutelage.core.records import INITIAL_WEIGHTS, Environment, RunRecord
from tutelage.core.store import WEIGHTS, Run, RunStore
from tutelage.final.data_checks import read_config, read_data
from tutelage.final.weights import WeightsComparison, compare_weights
from tutelage.task import Task, load_task

Train = Callable[[Task[RunConfig], RunConfig], Run]
"""Makes a run; tutelage.final knows no torch, so that it is given to it."""
IN_PROCESS: Final = InProcessExecution()
REPRODUCTION: Final = "reproduction.json"
_SIZE: Final = "batch_size.json"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that was otherwise when a run was made.

    Args:
        what: ``source``, ``python``, the name of a package, ``data``, …
        then: What the record says.
        now: What is here.
    """

    what: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A run and the same run made again.

    Args:
        run: The run.
        again: The one made now.
        differences: What was otherwise when the first was made.
        weights: How far the weights are apart.
        metrics: Name of each metric that is not the same, with both values.
    """

    run: Run
    again: Run
    differences: tuple[Difference, ...]
    weights: WeightsComparison
    metrics: Mapping[str, tuple[float | None, float | None]]

    @property
    def identical(self) -> bool:
        """Whether all weights and all metrics are the same to the bit."""
        return self.weights.identical and not self.metrics

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        return {
            "run": self.run.id,
            "again": self.again.id,
            "path": str(self.again.path.absolute()),
            "identical": self.identical,
            "weights": asdict(self.weights) | {"identical": self.weights.identical},
            "metrics": {name: list(pair) for name, pair in self.metrics.items()},
            "differences": [asdict(difference) for difference in self.differences],
        }


def reproduce(
    run: Run,
    train: Train,
    tell: Callable[[Sequence[Difference]], None] = lambda differences: None,
    execution: ExecutionConfig = IN_PROCESS,
) -> Reproduction:
    """Make a finished run again, from the same parents, and compare.

    Args:
        run: The run.
        train: Makes a run of a configuration, in the store of ``run``.
        tell: Told, before any work, what was otherwise when the run was made.
        execution: Where to make it.

    Raises:
        StoreError: The run isn't finished, or a parent of it is no longer in the store.
        TutelageError: The run can't be made again, for instance since its data are gone.
    """
    record = run.record
    if record.status != "finished":
        raise StoreError(f"this run is {run.status}", where=run.id, hint="Finish it first.")
    _refuse_orphans(run, record)
    task = load_task(record.task)
    config = read_config(run, task)
    found = tuple(differences(record, task, config))
    tell(found)
    again = train(task, _again(run, record, config, execution))
    weights = compare_weights(run.path / WEIGHTS, again.path / WEIGHTS)
    made = Reproduction(run, again, found, weights, _metrics(record, again.record))
    write_json(again.path / REPRODUCTION, made.summary())
    return made


def differences(
    record: RunRecord, task: Task[RunConfig], config: RunConfig
) -> Iterator[Difference]:
    """What of source, packages, machine and data is not as the record has it."""
    then, now = record.environment, Environment.here()
    source = source_digest(type(config).__module__)
    if record.fingerprints.source != source:
        digests = (record.fingerprints.source, source)
        said = [
            f"{digest} (revision {each.revision})" if each.revision else digest
            for digest, each in zip(digests, (then, now), strict=True)
        ]
        yield Difference("source", *said)
    yield from _apart("tutelage", then.tutelage, now.tutelage)
    yield from _apart("python", then.python, now.python)
    for name in sorted({*then.packages, *now.packages}):
        yield from _apart(name, then.packages.get(name), now.packages.get(name))
    if then.processor is not None:
        yield from _apart("processor", then.processor, now.processor)
        yield from _apart("threads", str(then.threads), str(now.threads))
    data = read_data(task, config)
    if data.fingerprint != record.fingerprints.data:
        yield Difference("data", record.fingerprints.data, data.fingerprint or data.problem)
    if config.training.time_budget is not None:
        budget = f"{config.training.time_budget:g} s"
        yield Difference("time", f"ended by a budget of {budget}", "the clock decides again")


def _apart(what: str, then: str | None, now: str | None) -> Iterator[Difference]:
    if then != now:
        yield Difference(what, then or "none", now or "none")


def _refuse_orphans(run: Run, record: RunRecord) -> None:
    store = RunStore(run.path.parent)
    gone = [parent for parent in record.parents if not (store.home / parent.run).is_dir()]
    if gone:
        said = f"was made from {gone[0].run} ({gone[0].role}), which is no longer in the store"
        raise StoreError(said, where=run.id, hint="Put that run's folder back beside this one.")


def _again(run: Run, record: RunRecord, config: RunConfig, execution: ExecutionConfig) -> RunConfig:
    """The run's configuration for a new run of the same bits."""
    begun = [parent.run for parent in record.parents if parent.role == INITIAL_WEIGHTS]
    options = config.run.model_copy(
        update={
            "policy": "force_new",
            "initial_weights": begun[-1] if begun else None,
            "tags": {"purpose": "reproduction"},
        }
    )
    changed = {"run": options, "execution": execution, "training": _sized(run, config).training}
    return config.model_copy(update=changed)


def _sized(run: Run, config: RunConfig) -> RunConfig:
    """Take the batch size that the run measured, if it did: measured again it may be another."""
    measured = run.path / _SIZE
    mode = config.mode
    resizes = isinstance(mode, CurriculumMode) and mode.resize_batch
    if config.training.batch_size != "auto" or resizes or not measured.exists():
        return config
    size = int(json.loads(measured.read_text(encoding="utf-8"))["size"])
    training = config.training.model_copy(update={"batch_size": size})
    return config.model_copy(update={"training": training})


def _metrics(then: RunRecord, now: RunRecord) -> dict[str, tuple[float | None, float | None]]:
    names = sorted({*then.metrics, *now.metrics})
    pairs = {name: (then.metrics.get(name), now.metrics.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
