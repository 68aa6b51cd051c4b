"""Removing runs, as a person and a Python caller ask for it: alone, or with all that descends."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tutelage.core.errors import HeldError, StoreError
from tutelage.core.files import storage_errors
from tutelage.core.locks import holding, is_held
from tutelage.core.records import RunRecord
from tutelage.core.removal import REMOVED
from tutelage.core.store import LOCK, Run, RunStore
from tutelage.hpo.results import STUDIES, STUDY, StudyFolder, StudyRecord

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Removal:
    """A run, and what is removed with it.

    Args:
        run: The run that was named.
        descendants: The runs that were made from it, and those of the studies, oldest first.
        studies: The studies that it has part in: as a trial, as a refit, or in their settings.
        reasons: Id of each run and study but the first, and what ties it to which.
    """

    run: Run
    descendants: tuple[Run, ...]
    studies: tuple[StudyFolder, ...]
    reasons: Mapping[str, str]

    @property
    def alone(self) -> bool:
        """Whether nothing descends from the run."""
        return not self.descendants and not self.studies

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every folder that goes."""
        others = (run.path for run in self.descendants), (study.path for study in self.studies)
        return (self.run.path, *others[0], *others[1])

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        return {
            "removed": self.run.id,
            "path": str(self.run.path),
            "descendants": [run.id for run in self.descendants],
            "studies": [study.id for study in self.studies],
        }


def plan_removal(run: Run | str, home: Path | str | None = None) -> Removal:
    """Find what descends from a run; nothing is removed.

    Raises:
        StoreError: There is no such run.
    """
    store = RunStore.at(home)
    first = store.find(run)
    readable, studies = store.readable(), list(_studies(store))
    reasons: dict[str, str] = {}
    waiting = [first.id]
    while waiting:
        name = waiting.pop()
        found = {**_made_from(name, readable), **_with_part_of(name, studies)}
        found |= _of_study(name, readable) if name in reasons else {}
        new = {key: why for key, why in found.items() if key not in reasons and key != first.id}
        reasons |= new
        waiting += new
    return Removal(
        run=first,
        descendants=tuple(run for run, _ in readable if run.id in reasons),
        studies=tuple(study for study, _ in studies if study.id in reasons),
        reasons=reasons,
    )


def remove(run: Run | str, *, cascade: bool = False, home: Path | str | None = None) -> Removal:
    """Delete a run; with ``cascade`` all that descends from it too.

    Args:
        run: The run.
        cascade: Whether runs and studies that descend from it are deleted with it.
        home: Where runs live; by default ``TUTELAGE_HOME``, or ``./runs``.

    Raises:
        StoreError: Something descends from it, and ``cascade`` is not asked for; or a process works
            on a run or a study; nothing was removed.
    """
    removal = plan_removal(run, home)
    carry_out(removal, cascade=cascade, home=home)
    return removal


def carry_out(removal: Removal, *, cascade: bool, home: Path | str | None = None) -> None:
    """Delete what was planned.

    Raises:
        StoreError: As `remove` does; or something new descends from what is removed.
    """
    if not (removal.alone or cascade):
        some = "; ".join(f"{name} ({why})" for name, why in removal.reasons.items())
        raise StoreError(
            f"can't be removed: others descend from it: {some}",
            where=removal.run.id,
            hint="Remove those first, or all of them at once: --cascade.",
        )
    store = RunStore.at(home)
    with ExitStack() as held:
        for study in removal.studies:
            held.enter_context(_holding(study))
        store.remove(*reversed(removal.descendants), removal.run)
        for study in removal.studies:
            gone = study.path.with_name(f"{REMOVED}{study.id}")
            with storage_errors(study.path):
                study.path.rename(gone)
                shutil.rmtree(gone)


def _holding(study: StudyFolder) -> ExitStack:
    """Hold a study that nobody works on."""
    busy = HeldError("another process works on this study", where=study.id, hint="Wait for it.")
    if any(is_held(lock, "study") for lock in study.path.glob(f"{LOCK}*")):
        raise busy
    stack = ExitStack()
    stack.enter_context(holding(study.path / LOCK, busy))
    return stack


def _studies(store: RunStore) -> Iterator[tuple[StudyFolder, StudyRecord]]:
    for path in sorted((store.home / STUDIES).glob(f"[!.]*/{STUDY}")):
        study = StudyFolder(path.parent)
        try:
            yield study, study.record
        except StoreError as error:
            log.warning("left out: %s", error)


def _made_from(name: str, runs: Iterable[tuple[Run, RunRecord]]) -> dict[str, str]:
    """The runs that were made from a run."""
    return {
        run.id: f"made from {name}: {parent.role}"
        for run, record in runs
        for parent in record.parents
        if parent.run == name
    }


def _of_study(name: str, runs: Iterable[tuple[Run, RunRecord]]) -> dict[str, str]:
    """The runs that a study made, and models shipped from it."""
    of = {run.id: record.tags.get("study") for run, record in runs}
    return {run: f"of study {name}" for run, study in of.items() if study == name}


def _with_part_of(name: str, studies: Iterable[tuple[StudyFolder, StudyRecord]]) -> dict[str, str]:
    """The studies that a run has part in."""
    found: dict[str, str] = {}
    for study, record in studies:
        trials = [t.number for t in study.trials if name in {fold.run for fold in t.folds}]
        if trials:
            found[study.id] = f"study with {name} in trial {trials[0]}"
        elif name in {refit.run for refit in record.refits}:
            found[study.id] = f"study with {name} as a refit"
        elif _names(record.base, name):
            found[study.id] = f"study whose settings name {name}"
    return found


def _names(settings: object, run: str) -> bool:
    """Whether settings name a run, at any depth."""
    if isinstance(settings, Mapping):
        return any(_names(value, run) for value in settings.values())
    if isinstance(settings, list | tuple):
        return any(_names(value, run) for value in settings)
    return settings == run
