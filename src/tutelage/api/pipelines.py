"""`pipeline`: the stages of a recipe, each made from earlier ones."""

from __future__ import annotations

from pathlib import Path

from tutelage.api.dispatch import Dispatch
from tutelage.core.store import RunStore
from tutelage.training.pipeline import PipelineRun, execute
from tutelage.training.planning import find_recipe, plan


def pipeline(
    recipe: str | Path, *overrides: str, home: Path | str | None = None, **settings: object
) -> PipelineRun:
    """Run the stages of a recipe, each made from earlier ones; reuse those that nothing changed.

    ``tutelage.pipeline("can-full", data={"root": "captures"}, student={"model": {"hidden": 16}})``
    is ``tutelage pipeline can-full data.root=captures student.model.hidden=16``.

    Args:
        recipe: Name of a recipe of an installed task, or the path of your own.
        overrides: Settings as typed, for every stage or, led by a stage's name, for that.
        home: Where runs live; by default ``TUTELAGE_HOME``, or ``./runs``.
        settings: Sections for every stage, and stages with sections of their own, as mappings.

    Raises:
        RequestError: The recipe or a setting is wrong, or a stage can't use its data.
        RunFailedError: A stage failed; run the same again to go on.
    """
    store = RunStore.at(home)
    with Dispatch() as go:
        return execute(plan(find_recipe(recipe), store, overrides, settings), store, launcher=go)
