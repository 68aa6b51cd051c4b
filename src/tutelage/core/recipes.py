"""`Recipe`: a pipeline as a plain YAML file of stages, read and checked before any work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tutelage.core.errors import ConfigError, suggest
from tutelage.core.files import Json
from tutelage.core.grids import expand
from tutelage.core.overrides import read_settings

STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,47}")
"""What a stage may be called; ids of runs begin with a digit, so that the two can't be confused."""
_KEYS: Final = ("task", "summary", "common", "stages")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The stages of a pipeline, in order.

    Args:
        name: What it is called.
        where: What an error message names: the file, or the recipe.
        task: The task that all stages train for.
        summary: What it makes, in one sentence.
        common: Settings of every stage.
        stages: Name of each stage to its settings over the common ones; ``preset`` names a preset
            of the task that lies beneath them.
        families: Name of each stage that had a grid to the stages that it became, each with the
            settings that the grid gave it (``model.hidden``).
    """

    name: str
    where: str
    task: str
    summary: str
    common: Json
    stages: Mapping[str, Json]
    families: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


def read_recipe(path: Path) -> Recipe:
    """Read a person's own recipe.

    Raises:
        ConfigError: The file is absent or unreadable, or no recipe.
    """
    return parse_recipe(path.stem, read_settings(path), str(path))


def parse_recipe(name: str, content: Json, where: str) -> Recipe:
    """Return the recipe that the content of a file describes.

    Raises:
        ConfigError: A key is unknown, missing or of a wrong type, or a stage's name can't be one.
    """
    for key in content:
        if key not in _KEYS:
            hint = suggest(str(key), _KEYS)
            raise ConfigError(f"unknown key {key!r} in a recipe", where=where, hint=hint)
    task, summary = content.get("task"), content.get("summary", "")
    if not isinstance(task, str):
        hint = "Write, for instance, 'task: can'."
        raise ConfigError("the recipe names no task", where=where, hint=hint)
    if not isinstance(summary, str):
        hint = "Write a sentence, or leave it out."
        raise ConfigError(f"summary={summary!r} is no text", where=where, hint=hint)
    common = _settings("common", content.get("common"), where)
    stages = content.get("stages")
    if not isinstance(stages, Mapping) or not stages:
        hint = "Write 'stages:' and, beneath it, 'NAME:' and its settings."
        raise ConfigError("the recipe has no stages", where=where, hint=hint)
    named = {_stage_name(key, where): _settings(str(key), stages[key], where) for key in stages}
    return Recipe(name, where, task, summary, common, *_expanded(named, where))


def _expanded(
    stages: Mapping[str, Json], where: str
) -> tuple[dict[str, Json], dict[str, dict[str, Json]]]:
    """Return all stages, those with a grid as the families that they stand for; and the families.

    Raises:
        ConfigError: A grid is wrong, or a stage of a family can't have its name.
    """
    whole: dict[str, Json] = {}
    families: dict[str, dict[str, Json]] = {}
    for name, settings in stages.items():
        if "grid" not in settings:
            whole[name] = settings
            continue
        family = expand(name, settings, where)
        for member in family:
            if member in stages:
                said = f"{member!r} is a stage, and one of the grid of {name!r}"
                raise ConfigError(said, where=where, hint="Choose another name for one of them.")
            _stage_name(member, where)
        whole |= {member: settings for member, (settings, _) in family.items()}
        families[name] = {member: varied for member, (_, varied) in family.items()}
    return whole, families


def _stage_name(key: object, where: str) -> str:
    if isinstance(key, str) and STAGE_NAME.fullmatch(key):
        return key
    hint = "Use a to z, digits, '_' and '-', 48 at most, with a letter first."
    raise ConfigError(f"{key!r} can't be the name of a stage", where=where, hint=hint)


def _settings(key: str, value: object, where: str) -> Json:
    if not isinstance(value, Mapping | None):
        hint = "Write settings beneath it, as in 'training: {max_epochs: 5}'."
        raise ConfigError(f"{key}={value!r}: this holds settings", where=where, hint=hint)
    return value or {}
