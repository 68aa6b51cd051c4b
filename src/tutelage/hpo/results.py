"""What a study says of itself in files: `study.json` and `trials.json`, read without Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from tutelage.core.documents import read_json
from tutelage.core.errors import StoreError
from tutelage.core.files import write_json
from tutelage.core.records import Score

STUDIES: Final = "studies"
STUDY, TRIALS, SPLIT = "study.json", "trials.json", "split.json"
TrialStatus = Literal["waiting", "running", "complete", "pruned", "failed"]
FailureClass = Literal["oom", "nan", "timeout", "crash", "killed", "refused"]
StudyStatus = Literal["running", "interrupted", "failed", "finished"]


class _Said(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=_Said)


class FoldResult(_Said):
    """What one fold of a trial came to.

    Args:
        fold: Its number over all repeats, from 0.
        run: Id of the run that trained it.
        value: Its score by `hpo.metric` on the held-out data.
        best_epoch: The epoch, from 1, whose weights were scored, as far as it is known.
        seconds: Wall-clock seconds of the run, by the run's own account.
    """

    fold: int
    run: str
    value: float
    best_epoch: int | None = None
    seconds: float = 0.0


class Failure(_Said):
    """Why a fold failed once.

    Args:
        fold: Its number, from 0.
        kind: What class of failure it was.
        said: The message.
        run: Id of the run, where there was one.
    """

    fold: int
    kind: FailureClass
    said: str
    run: str | None = None


class TrialResult(_Said):
    """What is known of a trial.

    Args:
        number: From 0.
        status: How it stands; only `complete` has a value.
        params: What was sampled: setting to value.
        value: Mean of its folds' values.
        folds: The folds that are done, in order.
        failures: What failed, each time that it did; a trial that went well may have some.
    """

    number: int
    status: TrialStatus
    params: Mapping[str, JsonValue] = {}
    value: Score | None = None
    folds: tuple[FoldResult, ...] = ()
    failures: tuple[Failure, ...] = ()
    started: datetime | None = None
    finished: datetime | None = None

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of its finished folds' runs."""
        return sum(fold.seconds for fold in self.folds)


class Refit(_Said):
    """A model trained by the chosen settings on all training data.

    Args:
        seed: Its `training.seed`.
        run: Id of the run.
        metrics: The run's scores, on the tests.
    """

    seed: int
    run: str
    metrics: Mapping[str, Score] = {}


class StudyRecord(_Said):
    """The truth about a study, as `study.json` tells it.

    Args:
        id: The name of its folder.
        fingerprint: Hash of all that its trials depend on: task, base settings, space, sampler,
            pruners, folds, data and the package's source.
        study_name: Its name in Optuna's storage.
        hpo: Its settings; the password of a database is not written.
        base: Settings of the runs, to which a trial's are added.
        space: What is searched.
        data: Digest of the data.
        split: Digest of the folds, where there are several.
        metric: What trials are compared by, and `direction` whether more or less of it is better.
        chosen: Number of the chosen trial.
        refits: The models that were trained by its settings.
    """

    schema_version: Literal[1] = 1
    id: str
    task: str
    status: StudyStatus
    created: datetime
    finished: datetime | None = None
    fingerprint: str
    study_name: str
    hpo: Mapping[str, JsonValue]
    base: Mapping[str, JsonValue]
    space: Mapping[str, JsonValue]
    data: str
    split: str | None = None
    metric: str
    direction: Literal["maximize", "minimize"]
    chosen: int | None = None
    refits: tuple[Refit, ...] = ()
    error: str | None = None

    @property
    def model(self) -> Refit | None:
        """The refit of the least seed, which `tutelage final` ships; null where there is none."""
        return min(self.refits, key=lambda refit: refit.seed, default=None)


class StudyFolder:
    """A study's folder.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        """The study's name."""
        return self.path.name

    @property
    def home(self) -> Path:
        """The folder of the runs."""
        return self.path.parent.parent

    @property
    def split_file(self) -> Path:
        """Who is held out in each fold."""
        return self.path / SPLIT

    @property
    def record(self) -> StudyRecord:
        """What is known of the study.

        Raises:
            StoreError: The file is absent or damaged.
        """
        return _read(self.path / STUDY, StudyRecord)

    @property
    def trials(self) -> tuple[TrialResult, ...]:
        """What is known of its trials, by number; as of the last one that began or ended.

        Raises:
            StoreError: The file is damaged.
        """
        path = self.path / TRIALS
        if not path.exists():
            return ()
        return _read(path, _Trials).trials

    def write(self, record: StudyRecord) -> None:
        """Write the record, atomically."""
        write_json(self.path / STUDY, record.model_dump(mode="json"))

    def update(self, **changes: object) -> StudyRecord:
        """Write the record with some fields changed, atomically."""
        changed = StudyRecord.model_validate(self.record.model_dump() | changes)
        self.write(changed)
        return changed

    def write_trials(self, trials: tuple[TrialResult, ...]) -> None:
        """Write what is known of the trials, atomically."""
        write_json(self.path / TRIALS, _Trials(trials=trials).model_dump(mode="json"))


class _Trials(_Said):
    schema_version: Literal[1] = 1
    trials: tuple[TrialResult, ...]


def _read(path: Path, kind: type[S]) -> S:
    try:
        return kind.model_validate(read_json(path))
    except FileNotFoundError:
        raise StoreError("this is no study", where=path.parent) from None
    except (OSError, ValueError, ValidationError) as error:
        said = f"can't be read: {error}"
        hint = "Restore the file from a copy, or begin another study."
        raise StoreError(said, where=path, hint=hint) from error


def find_study(home: Path, name: str) -> StudyFolder:
    """Return the study of that id, unique prefix or path, or the newest for ``@last``.

    Raises:
        StoreError: There is none, or the name fits several.
    """
    if (Path(name) / STUDY).is_file():
        return StudyFolder(Path(name).resolve())
    there = sorted(path.parent for path in (home / STUDIES).glob(f"*/{STUDY}"))
    if name == "@last" and there:
        return StudyFolder(there[-1])
    found = [path for path in there if path.name == name]
    found = found or [path for path in there if path.name.startswith(name)]
    if len(found) == 1:
        return StudyFolder(found[0])
    if found:
        some = ", ".join(path.name for path in found[-5:])
        raise StoreError(f"{name!r} fits {len(found)} studies", hint=f"Write more of it: {some}.")
    some = ", ".join(path.name for path in there[-5:]) or "none"
    raise StoreError(f"no study {name!r} in {home / STUDIES}", hint=f"There are: {some}.")
