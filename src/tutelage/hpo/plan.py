"""`StudyPlan`: a study that was checked before any work, and the folder that it finds or gets."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from pydantic import JsonValue

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, HeldError
from tutelage.core.files import digest_json, storage_errors
from tutelage.core.fingerprint import config_digest, source_digest
from tutelage.core.folds import write_split
from tutelage.core.locks import holding
from tutelage.core.records import now
from tutelage.core.store import LOCK, RunStore
from tutelage.hpo.asking import check_sampler, planned_trials
from tutelage.hpo.config import Direction, HpoConfig
from tutelage.hpo.ledger import shown_url
from tutelage.hpo.pruning import Steps
from tutelage.hpo.refit import check_refit
from tutelage.hpo.results import STUDIES, STUDY, StudyFolder, StudyRecord
from tutelage.hpo.space import SearchSpace, check_space, read_space
from tutelage.task import SupportsFolds, Task, fold_split

_DECISIVE: Final = (
    "folds", "repeats", "split", "seed", "sampler", "pruner", "fold_pruner", "name",
)  # fmt: skip
"""Settings of a study that its trials depend on; the others may change when it goes on."""
_EPOCHS: Final = "training.max_epochs"
_ID_LENGTH: Final = 48
_NAMED: Final = 8
"""Most settings that are named where a study of the same name has others."""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A study that was checked.

    Args:
        task: The domain.
        base: Settings of the runs, to which a trial's are added.
        hpo: The study's own settings.
        space: What is searched: what of the space that was named applies to these runs.
        metric: What trials are compared by, without its split.
        direction: Whether more of it is better.
        store: Where runs live.
        data: Digest of the data.
    """

    task: Task[RunConfig]
    base: RunConfig
    hpo: HpoConfig
    space: SearchSpace
    metric: str
    direction: Direction
    store: RunStore
    data: str

    @property
    def trials(self) -> int:
        """How many trials it has."""
        return planned_trials(self.hpo, self.space)

    @property
    def steps(self) -> Steps:
        """How epochs are numbered."""
        varied = self.space.parameters.get(_EPOCHS)
        most = self.base.training.max_epochs if varied is None else max(_whole(varied.probes))
        return Steps(most)

    @property
    def fingerprint(self) -> str:
        """Hash of all that its trials depend on."""
        hpo = self.hpo.model_dump(mode="json", include=set(_DECISIVE))
        rule = self.hpo.workers if self.hpo.deterministic and self.hpo.workers > 1 else None
        space = {name: p.model_dump(mode="json") for name, p in self.space.parameters.items()}
        judged = [self.metric, self.direction]
        source = source_digest(type(self.base).__module__)
        parts = (config_digest(self.base), self.data, hpo, rule, space, judged, source)
        return digest_json(parts)


def plan_study(
    task: Task[RunConfig],
    base: RunConfig,
    hpo: HpoConfig,
    store: RunStore,
    typed: Sequence[str] = (),
    space: SearchSpace | None = None,
) -> StudyPlan:
    """Check a study; nothing is written.

    Args:
        task: The domain.
        base: Settings of the runs.
        hpo: The study's own settings.
        store: Where runs live.
        typed: Settings of ``base`` that were typed, which no parameter may vary.
        space: What is searched, where it is no file and not one of the task's.

    Raises:
        RequestError: Something of it can't be.
    """
    if base.data.fold is not None:
        hint = "Leave data.fold and data.split_file out: a study deals its own, hpo.folds=3."
        raise ConfigError("a study sets the folds itself", where="data.fold", hint=hint)
    if hpo.folds > 1 and not isinstance(task, SupportsFolds):
        hint = "Leave hpo.folds out: trials are compared by the task's own validation data."
        raise ConfigError("this task's data can't be dealt into folds", where=task.name, hint=hint)
    shown_url(hpo.storage)
    found = read_space(hpo.space, task) if space is None else space
    epochs = _epochs(base, hpo, found, typed)
    training = base.training.model_copy(update={"max_epochs": epochs})
    base = base.model_copy(update={"training": training})
    bound = check_space(found, task, base, typed)
    check_sampler(hpo.sampler, bound)
    check_refit(hpo, task, base, bound)
    metric = _metric(task, base, hpo)
    less = metric.endswith("loss")
    direction: Direction = hpo.direction or ("minimize" if less else "maximize")
    data = task.data_fingerprint(base)
    return StudyPlan(task, base, hpo, bound, metric, direction, store, data)


def _epochs(base: RunConfig, hpo: HpoConfig, space: SearchSpace, typed: Sequence[str]) -> int:
    """Return the epochs of a trial: as the study says, or the run, or else the space."""
    asked = base.training.max_epochs
    if hpo.max_epochs is not None:
        return hpo.max_epochs
    said = any(text.startswith(f"{_EPOCHS}=") for text in typed)
    if space.epochs is None or said or "max_epochs" in base.training.moved():
        return asked
    return min(asked, space.epochs)


def _metric(task: Task[RunConfig], base: RunConfig, hpo: HpoConfig) -> str:
    """The metric's name without its split: that of the settings, else the task's first one."""
    named = hpo.metric or (base.training.monitor if hpo.folds == 1 else None) or task.headline
    split, slash, name = named.rpartition("/")
    if slash and split not in ("val", "held_out"):
        hint = f"Write hpo.metric={name}: trials are compared on what they did not train on."
        raise ConfigError(f"{named!r} is of another split", where="hpo.metric", hint=hint)
    return name


def open_study(plan: StudyPlan) -> tuple[StudyFolder, bool]:
    """Return the folder of the study of the same fingerprint, or of a new one; and whether it is.

    Raises:
        ConfigError: A study of that name has other settings.
        DataError: The data are missing, or can't be dealt into so many folds.
        StorageError: The folder can't be made.
    """
    studies = plan.store.home / STUDIES
    with storage_errors(studies):
        studies.mkdir(parents=True, exist_ok=True)
    busy = HeldError("another process is opening a study", where=studies, hint="Try again.")
    with holding(studies / LOCK, busy):
        for path in sorted(studies.glob(f"*/{STUDY}"), reverse=True):
            folder = StudyFolder(path.parent)
            record = folder.record
            if record.fingerprint == plan.fingerprint:
                return folder, False
            same_name = plan.hpo.name is not None and record.hpo.get("name") == plan.hpo.name
            if same_name and record.task == plan.task.name:
                _refuse_other(plan, record, folder)
        return _create(plan, studies), True


def _create(plan: StudyPlan, studies: Path) -> StudyFolder:
    """Make the folder of a new study; `study.json` comes last, so that it is whole or not there."""
    moment = datetime.now(UTC)
    word = plan.hpo.name or plan.base.model.name
    end = f"-{secrets.token_hex(2)}"
    head = f"{moment:%Y%m%d-%H%M%S}-{plan.task.name}-{word}"
    folder = StudyFolder(studies / (head[: _ID_LENGTH - len(end)] + end))
    split = None
    if plan.hpo.folds > 1:
        hpo = plan.hpo
        cache = plan.store.cache(plan.task.name)
        dealt = (hpo.split, hpo.folds, hpo.repeats, hpo.seed)
        split = fold_split(plan.task, plan.base, cache, *dealt)
    with storage_errors(folder.path):
        folder.path.mkdir()
    if split is not None:
        write_split(split, folder.split_file)
    folder.write(
        StudyRecord(
            id=folder.id,
            task=plan.task.name,
            status="running",
            created=now(),
            fingerprint=plan.fingerprint,
            study_name=f"tutelage-{plan.task.name}-{plan.fingerprint[:20]}",
            hpo=shown(plan.hpo),
            base=cast("Mapping[str, JsonValue]", plan.base.model_dump(mode="json")),
            space=plan.space.as_json(),
            data=plan.data,
            split=None if split is None else split.digest,
            metric=plan.metric,
            direction=plan.direction,
        )
    )
    return folder


def shown(hpo: HpoConfig) -> Mapping[str, JsonValue]:
    """A study's settings as they are written down: without a password."""
    visible = hpo.model_copy(update={"storage": shown_url(hpo.storage)})
    return cast("Mapping[str, JsonValue]", visible.model_dump(mode="json"))


def _refuse_other(plan: StudyPlan, record: StudyRecord, folder: StudyFolder) -> None:
    """Refuse to go on with a study of the same name under other settings.

    Raises:
        ConfigError: Always; says what differs.
    """
    mine: dict[str, object] = {f"hpo.{k}": v for k, v in shown(plan.hpo).items() if k in _DECISIVE}
    theirs: dict[str, object] = {f"hpo.{k}": v for k, v in record.hpo.items() if k in _DECISIVE}
    mine |= _flat(plan.base.model_dump(mode="json", exclude={"run", "execution"}))
    theirs |= _flat({k: v for k, v in record.base.items() if k not in ("run", "execution")})
    mine["space"], theirs["space"] = plan.space.as_json(), record.space
    mine["data"], theirs["data"] = plan.data, record.data
    names = sorted(k for k in {*mine, *theirs} if mine.get(k) != theirs.get(k))
    differ = ", ".join(names[:_NAMED]) or "hpo.workers, or the package's source"
    differ += f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    raise ConfigError(
        f"the study {plan.hpo.name!r} was begun under other settings: {differ}",
        where=folder.id,
        hint="Give it those again to go on with it, or this one another hpo.name.",
    )


def _flat(settings: Mapping[str, object], above: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value
    return flat


def _whole(values: Sequence[JsonValue]) -> list[int]:
    return [value for value in values if isinstance(value, int)]
