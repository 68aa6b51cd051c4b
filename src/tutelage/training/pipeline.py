"""Pipelines: the stages of a recipe as runs through the one door, later ones made from earlier."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tutelage.core.config import RunConfig
from tutelage.core.errors import RunFailedError
from tutelage.core.recipes import Recipe
from tutelage.core.store import Run, RunStore
from tutelage.task import Task
from tutelage.training.launch import Launched, Origin, launch

if TYPE_CHECKING:
    from rich.console import Console

Launcher = Callable[[Task[RunConfig], RunConfig, RunStore, "Console | None"], Launched]
"""What makes a run, or finds it: `launch`, or one that has another process do it."""
_AGAIN: Final = "Run the same pipeline again: it goes on here, and finished stages are reused."


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that was checked.

    Args:
        name: Its name.
        config: Its configuration, in which a run that an earlier stage makes is named by the stage.
        uses: The earlier stages that it is made from.
        varied: The settings that a grid gave it.
    """

    name: str
    config: RunConfig
    uses: tuple[str, ...]
    varied: Mapping[str, object] = field(default_factory=dict)

    def ready(self, runs: Mapping[str, Run]) -> RunConfig:
        """Return the configuration with the runs of earlier stages named by their ids."""
        ids = {
            field: [runs[name].id if name in self.uses else name for name in names]
            for field, names in self.config.named_runs().items()
        }
        return self.config.with_runs(ids)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A recipe with settings, of which every stage was checked."""

    recipe: Recipe
    task: Task[RunConfig]
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class StageRun:
    """A finished stage.

    Args:
        run: Its run.
        origin: Whether the run was made now, found, or finished now.
        seconds: Wall-clock seconds that the stage took now.
    """

    run: Run
    origin: Origin
    seconds: float


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A finished pipeline.

    Args:
        recipe: The recipe's name.
        stages: Each stage by its name, in order.
    """

    recipe: str
    stages: Mapping[str, StageRun]

    @property
    def run(self) -> Run:
        """The last stage's run; its lineage leads back to all that it was made from."""
        return list(self.stages.values())[-1].run

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints: the last run's, and one for each stage."""
        stages = {
            name: {"origin": stage.origin, "elapsed": round(stage.seconds, 3)}
            | stage.run.record.summary(stage.run.path)
            for name, stage in self.stages.items()
        }
        whole = self.run.record.summary(self.run.path)
        return {"recipe": self.recipe} | whole | {"stages": stages}


def execute(
    pipeline: Pipeline,
    store: RunStore,
    console: Console | None = None,
    started: Callable[[Stage], None] = lambda stage: None,
    finished: Callable[[Stage, StageRun], None] = lambda stage, done: None,
    launcher: Launcher = launch,
) -> PipelineRun:
    """Return every stage's finished run: trained, found or gone on with, as `run.policy` says.

    Args:
        pipeline: The stages.
        store: Where runs live.
        console: Where progress is drawn.
        started: Called before each stage.
        finished: Called after each stage.
        launcher: Makes each stage's run.

    Raises:
        RequestError: A stage was refused, by its data or by what it was made from; the runs of
            earlier stages stay.
        RunFailedError: A stage failed or was interrupted.
    """
    done: dict[str, StageRun] = {}
    for stage in pipeline.stages:
        started(stage)
        begun = time.monotonic()
        config = stage.ready({name: earlier.run for name, earlier in done.items()})
        try:
            launched = launcher(pipeline.task, config, store, console)
        except RunFailedError as error:
            where = f"stage {stage.name}, {error.where}"
            raise RunFailedError(error.problem, where=where, hint=_hint(stage, error)) from error
        made = StageRun(launched.run, launched.origin, time.monotonic() - begun)
        done[stage.name] = made
        finished(stage, made)
    return PipelineRun(pipeline.recipe.name, done)


def _hint(stage: Stage, error: RunFailedError) -> str | None:
    """Say how to go on: here by the same command, unless the policy starts over."""
    if stage.config.run.policy != "resume_if_incomplete":
        return error.hint
    return _AGAIN if error.problem == "interrupted" else f"{error.hint} {_AGAIN}"
