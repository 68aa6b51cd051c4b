"""`tune`: a study from Python; what a person can type, a caller can do."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.api.settings import configure
from tutelage.core.errors import RequestError
from tutelage.core.files import Json
from tutelage.core.installing import install_command
from tutelage.core.overrides import merge, read_config_file, setting_paths
from tutelage.core.store import RunStore
from tutelage.hpo.config import PREFIX, read_hpo_config, split_overrides

if TYPE_CHECKING:
    from tutelage.hpo.plan import StudyPlan
    from tutelage.hpo.results import StudyFolder
    from tutelage.hpo.search_space import SearchSpace


def tune(
    task: str,
    *overrides: str,
    space: SearchSpace | str | None = None,
    preset: str | None = None,
    config: Path | str | None = None,
    home: Path | str | None = None,
    **settings: object,
) -> StudyFolder:
    """Search settings in a study, refit the best ones, test them once; return the study.

    ``tutelage.tune("ner", "hpo.trials=12", "hpo.folds=3")`` is
    ``tutelage hpo ner hpo.trials=12 hpo.folds=3``. The same call again goes on with a study that
    was cut, or returns one that is finished.

    Args:
        task: Name of an installed task.
        overrides: Settings as typed, of the study (``"hpo.trials=12"``) and of its runs.
        space: What is searched: a `SearchSpace`, a file, or the name of one of the task's.
        preset: One of the task's presets.
        config: YAML or JSON file of settings; its section `hpo` too.
        home: Where studies and runs live; by default ``TUTELAGE_HOME``, or ``./runs``.
        settings: Sections as mappings, or names: ``hpo={"trials": 12}, model="transformer"``.

    Raises:
        RequestError: The request is wrong; nothing was made.
        RunFailedError: No trial came to a score, the refit failed, or the study was interrupted.
    """
    file = None if config is None else Path(config)
    store = RunStore.at(home)
    plan = plan_tuning(
        task, overrides, store, preset=preset, config=file, space=space, settings=settings
    )
    from tutelage.hpo.run import run_study

    return run_study(plan).study


def plan_tuning(
    task: str,
    overrides: Iterable[str],
    store: RunStore,
    *,
    preset: str | None = None,
    config: Path | None = None,
    space: SearchSpace | str | None = None,
    settings: Json | None = None,
) -> StudyPlan:
    """Return a study that was checked; nothing is written.

    Raises:
        RequestError: Something of it is wrong.
    """
    if find_spec("optuna") is None:
        hint = f"Install it: {install_command('hpo')}."
        raise RequestError("a study needs Optuna, which is not installed", hint=hint)
    from tutelage.hpo.plan import plan_study

    own, typed = split_overrides(overrides)
    if isinstance(space, str):
        own, space = (*own, f"{PREFIX}.space={space}"), None
    given = dict(settings or {})
    hpo = read_hpo_config(own, config, given.pop(PREFIX, None))
    content = {} if config is None else read_config_file(config)
    content.pop(PREFIX, None)
    found, base = configure(task, typed, preset=preset, settings=merge(content, given))
    fixed = (*typed, *(f"{path}=set" for path in setting_paths(given)))
    return plan_study(found, base, hpo, store, fixed, space)
