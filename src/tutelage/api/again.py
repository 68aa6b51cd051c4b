"""What a person and a Python caller ask of finished runs: are they what they were, and again so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.api.dispatch import Dispatch
from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError
from tutelage.core.execution import ExecutionConfig
from tutelage.core.overrides import build_config, parse_override
from tutelage.core.store import Run, RunStore
from tutelage.final import reproduction, verification
from tutelage.final.data_checks import read_config
from tutelage.task import Task, load_task

if TYPE_CHECKING:
    from rich.console import Console

    from tutelage.final.reproduction import Difference, Reproduction
    from tutelage.final.verification import Verification


def verify(run: Run | str, home: Path | str | None = None) -> Verification:
    """Rehash all that a run and its ancestors name: files, data, folds, parents.

    Args:
        run: The run.
        home: Where runs live; by default ``TUTELAGE_HOME``, or ``./runs``.

    Raises:
        StoreError: There is no such run.
    """
    found, store = _found(run, home)
    return verification.verify(found, store)


def reproduce(
    run: Run | str,
    *overrides: str,
    home: Path | str | None = None,
    tell: Callable[[Sequence[Difference]], None] | None = None,
    console: Console | None = None,
) -> Reproduction:
    """Make a finished run again from its own configuration, and compare weights and scores.

    Args:
        run: The run.
        overrides: ``execution…`` settings: where to make it; by default in this process.
        home: Where runs live.
        tell: Told, before any work, what is otherwise than when the run was made.
        console: Where to draw progress.

    Raises:
        StoreError: There is no such run, it isn't finished, or a parent of it is gone.
        TutelageError: It can't be made again, for instance since its data are gone.
    """
    found, store = _found(run, home)

    def train(task: Task[RunConfig], config: RunConfig) -> Run:
        with Dispatch() as launcher:
            return launcher(task, config, store, console).run

    execution = _execution(found, overrides)
    heard = tell or (lambda differences: None)
    return reproduction.reproduce(found, train, heard, execution)


def _found(run: Run | str, home: Path | str | None) -> tuple[Run, RunStore]:
    """The run, and the store that it and its parents lie in."""
    found = RunStore.at(home).find(run)
    return found, RunStore(found.path.absolute().parent)


def _execution(run: Run, overrides: Sequence[str]) -> ExecutionConfig:
    """Where to make a run, as typed.

    Raises:
        ConfigError: Something else is set too.
    """
    for text in overrides:
        if parse_override(text)[0][0] != "execution":
            hint = "Only execution settings may be given: it is to be the same run."
            raise ConfigError(f"{text!r} would make another run", hint=hint)
    task = load_task(run.record.task)
    plain = read_config(run, task).model_copy(update={"execution": reproduction.IN_PROCESS})
    return build_config(task.config_type, [plain.model_dump(mode="json")], overrides).execution
