"""`Ledger`: the trials of a study in Optuna's storage, written so that any moment may be the last.

A trial gets its number first; then what was asked for it is written at once and whole; then its
values, as they come. It is RUNNING while an orchestrator works on it, WAITING when one has left it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import JsonValue
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from tutelage.core.errors import ConfigError, StorageError
from tutelage.core.files import storage_errors
from tutelage.hpo.parameters import Label
from tutelage.hpo.results import Failure, FoldResult, TrialResult, TrialStatus

JOURNAL: Final = "journal"
DATABASE_FILE, JOURNAL_FILE = "study.db", "study.journal"
OWNER, ASKED, FOLDS, FAILURES = "owner", "asked", "folds", "failures"
"""Keys of a trial's attributes."""
FINISHER: Final = "finisher"
Direction = Literal["maximize", "minimize"]
Ending = Literal["complete", "pruned", "failed"]
_DAMAGED: Final = (
    ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError, OverflowError,
)  # fmt: skip
"""What a storage, and what is read of it, ends in where its content is not what was written."""
_LOCK_SECONDS: Final = 60
_STATES: Final[Mapping[Ending, TrialState]] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_WORDS: Final[Mapping[TrialState, TrialStatus]] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def shown_url(storage: str | None) -> str | None:
    """Return `hpo.storage` as it may be written down: without a password.

    Raises:
        ConfigError: It is neither `journal` nor the URL of a database.
    """
    if storage is None or storage == JOURNAL:
        return storage
    try:
        return str(make_url(storage).render_as_string(hide_password=True))
    except SQLAlchemyError as error:
        hint = "Use journal, or a URL such as postgresql://user@host/name."
        raise ConfigError(f"{storage!r} is no storage", where="hpo.storage", hint=hint) from error


def open_storage(storage: str | None, folder: Path) -> BaseStorage:
    """Return Optuna's storage as `hpo.storage` names it.

    Args:
        storage: Null for SQLite in the folder, `journal` for a journal file there, or a URL.
        folder: The study's folder.

    Raises:
        ConfigError: It is no storage, or its driver is not installed.
        StorageError: It can't be reached or written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if storage == JOURNAL:
        path = folder / JOURNAL_FILE
        with storage_errors(path):
            lock = JournalFileOpenLock(str(path))
            with _reading(path):
                return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    shown = shown_url(storage)
    url = f"sqlite:///{(folder / DATABASE_FILE).absolute()}" if storage is None else storage
    file = {"connect_args": {"timeout": _LOCK_SECONDS}, "poolclass": NullPool}  # closed after use
    options = file if url.startswith("sqlite") else {}
    try:
        return optuna.storages.get_storage(RDBStorage(url, engine_kwargs=options))
    except ImportError as error:
        said = f"the driver of this database is not installed: {error.__cause__ or error}"
        raise ConfigError(said, where="hpo.storage") from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        said = f"the study's storage can't be reached: {_first_line(error)}"
        raise StorageError(said, where=shown or folder) from error


class Ledger:
    """The trials of a study. Several threads, and several machines, may write to it at once.

    Args:
        storage: Where they are kept.
        name: The study's name there; it is begun if there is none of that name.
        direction: Whether more of the value is better.
    """

    def __init__(self, storage: BaseStorage, name: str, direction: Direction) -> None:
        self._storage = storage
        with self._saying(), _reading(None):
            try:
                self._study: int = storage.create_new_study(
                    [StudyDirection[direction.upper()]], name
                )
            except optuna.exceptions.DuplicatedStudyError:
                self._study = storage.get_study_id_from_name(name)

    def trials(self) -> list[FrozenTrial]:
        """All trials as they stand, by number."""
        with self._saying(), _reading(None):
            found = self._storage.get_all_trials(self._study, deepcopy=True)
        return sorted(found, key=lambda trial: int(trial.number))

    def trial(self, number: int) -> FrozenTrial:
        """One trial as it stands."""
        with self._saying():
            return self._storage.get_trial(self._id(number))

    def begin(self, owner: JsonValue) -> int:
        """Begin the next trial and return its number."""
        moment = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={OWNER: owner})
        with self._saying():
            trial = self._storage.create_new_trial(self._study, moment)
            return int(self._storage.get_trial_number_from_id(trial))

    def claim(self, number: int, owner: JsonValue) -> bool:
        """Take over a trial that waits; false where somebody else was faster."""
        with self._saying():
            if not self._storage.set_trial_state_values(self._id(number), TrialState.RUNNING):
                return False
            self._storage.set_trial_user_attr(self._id(number), OWNER, owner)
        return True

    def leave(self, number: int) -> None:
        """Leave a trial that is not done, for whoever goes on with the study."""
        with self._saying():
            self._storage.set_trial_state_values(self._id(number), TrialState.WAITING)

    def ask(
        self,
        number: int,
        params: Mapping[str, Label],
        values: Mapping[str, JsonValue],
        distributions: Mapping[str, BaseDistribution],
    ) -> None:
        """Write what a trial tries: first whole, in one piece, then as Optuna has it.

        Args:
            number: The trial.
            params: Parameter to what Optuna calls its value.
            values: Parameter to the value of the setting.
            distributions: Parameter to what it was drawn from.
        """
        whole: dict[str, JsonValue] = {
            name: {
                "label": label,
                "value": values[name],
                "distribution": json.loads(distribution_to_json(distributions[name])),
            }
            for name, label in params.items()
        }
        self.note(number, ASKED, whole)
        self.write_asked(self.trial(number))

    def write_asked(self, trial: FrozenTrial) -> None:
        """Write a trial's parameters as Optuna has them, as far as they are not there already."""
        with self._saying():
            for name, asked in trial.user_attrs[ASKED].items():
                if name not in trial.params:
                    distribution = json_to_distribution(json.dumps(asked["distribution"]))
                    internal = distribution.to_internal_repr(asked["label"])
                    self._storage.set_trial_param(trial._trial_id, name, internal, distribution)

    def report(self, number: int, step: int, value: float) -> None:
        """Write a value that a trial has come to on its way."""
        with self._saying():
            self._storage.set_trial_intermediate_value(self._id(number), step, value)

    def note(self, number: int, key: str, value: JsonValue) -> None:
        """Write an attribute of a trial."""
        with self._saying():
            self._storage.set_trial_user_attr(self._id(number), key, value)

    def tell(self, number: int, ending: Ending, value: float | None = None) -> None:
        """End a trial."""
        values = None if value is None else [value]
        with self._saying():
            self._storage.set_trial_state_values(self._id(number), _STATES[ending], values)

    def finisher(self, here: Mapping[str, str]) -> Mapping[str, str]:
        """Return who finishes the study when its trials have ended: who began it.

        Args:
            here: Who asks, and is taken where nobody was before.
        """
        with self._saying():
            found = self._storage.get_study_user_attrs(self._study).get(FINISHER)
            if found is None:
                self._storage.set_study_user_attr(self._study, FINISHER, dict(here))
        return here if found is None else dict(found)

    def delete(self) -> None:
        """Remove the study from the storage."""
        with self._saying():
            self._storage.delete_study(self._study)

    def close(self) -> None:
        """Give back this thread's connection."""
        self._storage.remove_session()

    def _id(self, number: int) -> int:
        return int(self._storage.get_trial_id_from_study_id_trial_number(self._study, number))

    @contextmanager
    def _saying(self) -> Iterator[None]:
        """Turn what Optuna's storages raise into an error for people."""
        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError) as error:
            hint = "Run the same command again: the study goes on."
            said = f"the study's storage can't be read or written: {_first_line(error)}"
            raise StorageError(said, hint=hint) from error


def labels(trial: FrozenTrial) -> dict[str, Label] | None:
    """What a trial tries, parameter to what Optuna calls its value; null: not asked yet."""
    whole = trial.user_attrs.get(ASKED)
    with _reading(None):
        return None if whole is None else {name: part["label"] for name, part in whole.items()}


def values(trial: FrozenTrial) -> dict[str, JsonValue]:
    """What a trial tries, setting to value."""
    whole = trial.user_attrs.get(ASKED, {})
    return {name: part["value"] for name, part in whole.items()}


def folds_done(trial: FrozenTrial) -> tuple[FoldResult, ...]:
    """The folds of a trial that are done, in order."""
    return tuple(FoldResult.model_validate(fold) for fold in trial.user_attrs.get(FOLDS, ()))


def failures(trial: FrozenTrial) -> tuple[Failure, ...]:
    """What failed in a trial, in order."""
    return tuple(Failure.model_validate(one) for one in trial.user_attrs.get(FAILURES, ()))


def result_of(trial: FrozenTrial) -> TrialResult:
    """A trial as `trials.json` tells it.

    Raises:
        StorageError: The storage holds something else.
    """
    with _reading(None):
        return TrialResult(
            number=trial.number,
            status=_WORDS[trial.state],
            params=values(trial),
            value=trial.value if trial.state == TrialState.COMPLETE else None,
            folds=folds_done(trial),
            failures=failures(trial),
            started=trial.datetime_start,
            finished=trial.datetime_complete,
        )


@contextmanager
def _reading(where: Path | None) -> Iterator[None]:
    """Turn what reading damaged trials ends in into an error for people."""
    try:
        yield
    except _DAMAGED as error:
        hint = "Restore the study's storage from a copy, or begin another study."
        said = f"the study's trials are damaged: {type(error).__name__} {_first_line(error)}"
        raise StorageError(said, where=where, hint=hint) from error


def _first_line(error: BaseException) -> str:
    said = str(error.__cause__ or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
