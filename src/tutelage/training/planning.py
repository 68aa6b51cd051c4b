"""From a recipe and settings to a `Pipeline`: everything that can be wrong is said before work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, RequestError, UnknownNameError, suggest
from tutelage.core.extras import require_extra
from tutelage.core.files import Json
from tutelage.core.overrides import build_config, lay, merge
from tutelage.core.recipes import STAGE_NAME, Recipe, read_recipe
from tutelage.core.sections import naming_fields
from tutelage.core.store import RunStore
from tutelage.task import ModelEntry, Task, load_task, task_names
from tutelage.training.addresses import Addresses
from tutelage.training.parents import find_parent
from tutelage.training.pipeline import Pipeline, Stage

_ABLE: Final[Mapping[str, Callable[[ModelEntry], bool]]] = {
    "guide": lambda entry: entry.guides,
    "teacher": lambda entry: "distillation" in entry.modes,
}
"""What the model of a run in that role has to be."""


def recipes() -> list[Recipe]:
    """The recipes of all installed tasks."""
    return [recipe for name in task_names() for recipe in load_task(name).recipes()]


def find_recipe(name: str | Path) -> Recipe:
    """Return the recipe of that name, or a person's own, named by its path.

    Raises:
        UnknownNameError: No installed task has it.
        ConfigError: The file is absent or no recipe, or two tasks have one of that name.
    """
    path = Path(name)
    if path is name or path.suffix in (".yaml", ".yml", ".json") or len(path.parts) > 1:
        return read_recipe(path)
    known = recipes()
    found = [recipe for recipe in known if recipe.name == name]
    if len(found) > 1:
        tasks = " and ".join(recipe.task for recipe in found)
        raise ConfigError(f"{tasks} both have a recipe {name!r}", hint="Name a file by its path.")
    if not found:
        raise UnknownNameError("recipe", str(name), [recipe.name for recipe in known])
    return found[0]


def plan(
    recipe: Recipe, store: RunStore, overrides: Iterable[str] = (), settings: Json | None = None
) -> Pipeline:
    """Check every stage of a recipe before any work.

    Args:
        recipe: The stages.
        store: Where runs that the recipe names by id are found.
        overrides: Settings as typed, for every stage (``data.root=captures``) or, led by the name
            of one, for that alone (``student.model.hidden=16``).
        settings: The same as nested values, beneath the overrides.

    Raises:
        RequestError: A stage's settings are unknown or wrong, or it is made from a stage that there
            isn't, that comes later or that can't be what it is meant to be, or from a run that
            can't be found or isn't finished.
    """
    with _said_of(recipe.where):
        task = load_task(recipe.task)
    require_extra(task.name)
    addresses = Addresses(recipe, tuple(task.config_type.model_fields))
    common = addresses.common(recipe.common)
    given = addresses.nested(settings or {})
    typed, presets = addresses.typed(overrides)
    stages: dict[str, Stage] = {}
    varied = {name: given for family in recipe.families.values() for name, given in family.items()}
    for name in recipe.stages:
        with _said_of(f"{recipe.where}, stage {name}"):
            own = merge(merge(recipe.stages[name], given[name]), presets[name])
            preset = own.pop("preset", None)
            beneath = [task.preset(str(preset))] if preset is not None else []
            first = {"run": {"policy": "resume_if_incomplete", "name": name}}
            layers = [first, common, *beneath, own]
            settings = _with_families(lay(layers, typed[name]), recipe)
            config = build_config(task.config_type, [settings])
            task.check(config)
            uses = _uses(name, config, recipe, stages, store)
            _check_roles(task, config, {used: stages[used].config for used in uses})
        stages[name] = Stage(name, config, uses, varied.get(name, {}))
    return Pipeline(recipe, task, tuple(stages.values()))


def _with_families(settings: Json, recipe: Recipe) -> Json:
    """Return settings in which a list of runs names each stage of a family that it names."""
    sections = {}
    for part in ("mode", "model"):
        section = settings.get(part)
        if not isinstance(section, Mapping):
            continue
        sections[part] = dict(section)
        for key in naming_fields() & section.keys():
            if isinstance(section[key], list):
                sections[part][key] = [
                    name for one in section[key] for name in recipe.families.get(str(one), [one])
                ]
    return {**settings, **sections}


@contextmanager
def _said_of(place: str) -> Iterator[None]:
    """Let an error name the recipe, and the stage, that it is about."""
    try:
        yield
    except RequestError as error:
        problem = f"{error.where}: {error.problem}" if error.where else error.problem
        raise ConfigError(problem, where=place, hint=error.hint) from error


def _uses(
    stage: str, config: RunConfig, recipe: Recipe, earlier: Mapping[str, Stage], store: RunStore
) -> tuple[str, ...]:
    """Return the earlier stages that a stage is made from; what else it names has to be a run.

    Raises:
        RequestError: There is no such stage before it, or no such finished run.
    """
    found: dict[str, None] = {}
    for field, names in config.named_runs().items():
        for name in names:
            where = f"{field}={name}"
            if name in earlier:
                found[name] = None
            elif name in recipe.families:
                hint = f"Name one of them: {', '.join(recipe.families[name])}."
                raise ConfigError("this takes one run, not a family", where=where, hint=hint)
            elif name in recipe.stages:
                own = "it can't be made from itself" if name == stage else "that stage comes later"
                raise ConfigError(own, where=where, hint=f"Before it: {_or_none(earlier)}.")
            elif STAGE_NAME.fullmatch(name):
                hint = suggest(name, earlier)
                raise ConfigError("there is no such stage before it", where=where, hint=hint)
            elif name == "@last":
                hint = "Name a stage, or a run by its id."
                raise ConfigError(
                    "in a pipeline this changes with each run", where=where, hint=hint
                )
            else:
                find_parent(name, field, config.task, store)
    return tuple(found)


def _or_none(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _check_roles(task: Task[RunConfig], config: RunConfig, used: Mapping[str, RunConfig]) -> None:
    """Refuse what its mode would refuse once the earlier stages were trained.

    Raises:
        ConfigError: An earlier stage can't be what it is named for.
    """
    for field, names in config.named_runs().items():
        role = config.roles[field]
        for name in names:
            where = f"{field}={name}"
            if names.count(name) > 1:
                raise ConfigError("it is named twice", where=where, hint="Name each one once.")
            if (parent := used.get(name)) is None:
                continue
            fits = _ABLE.get(role)
            able = [n for n, entry in task.models.items() if fits is None or fits(entry)]
            if parent.model.name not in able:
                said = f"a model {parent.model.name!r} can't be a {role}"
                raise ConfigError(said, where=where, hint=f"These can: {', '.join(able)}.")
            if role == "expert":
                _check_expert(config, parent, where)


def _check_expert(config: RunConfig, parent: RunConfig, where: str) -> None:
    if parent.mode.name == config.mode.name:
        hint = "Name the stages that it was made from, and others beside them."
        raise ConfigError("this stage is itself a fusion", where=where, hint=hint)
    there, here = (one.data.model_dump(exclude={"root"}) for one in (parent, config))
    if there != here:
        hint = "Give both the same data settings; `common:` in the recipe is for all stages."
        raise ConfigError("this stage has other settings of data", where=where, hint=hint)
