"""Which stage of a recipe a setting is for: all of them, or the one that its first word names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tutelage.core.errors import ConfigError, suggest
from tutelage.core.overrides import merge, parse_override
from tutelage.core.recipes import Json, Recipe

_OWN: Final = ("mode", "model", "preset")
"""Settings that belong to one stage."""
_FIXED: Final = ("task", "schema_version")


class Addresses:
    """Sorts settings by the stages that they are for.

    Args:
        recipe: The stages.
        sections: The sections of the task's settings.

    Raises:
        ConfigError: A stage has the name of a section.
    """

    def __init__(self, recipe: Recipe, sections: tuple[str, ...]) -> None:
        self.stages = tuple(recipe.stages)
        self.shared = [name for name in sections if name not in (*_OWN, *_FIXED)]
        self.where = recipe.where
        for stage in self.stages:
            if stage in (*sections, *_OWN):
                hint = "It is the name of a group of settings: choose another word."
                said = f"{stage!r} can't be the name of a stage"
                raise ConfigError(said, where=recipe.where, hint=hint)

    def common(self, settings: Json) -> Json:
        """Return what is for every stage, checked."""
        for key in settings:
            self._check(key, self.shared, self.where)
        return settings

    def nested(self, settings: Json) -> dict[str, Json]:
        """Return the nested settings of each stage, its own over those for all."""
        for key, value in settings.items():
            self._check(key, [*self.stages, *self.shared], None)
            if key in self.stages and not isinstance(value, Mapping):
                raise _bare(key, value)
        shared = {key: value for key, value in settings.items() if key in self.shared}
        own = {key: value for key, value in settings.items() if key in self.stages}
        found: dict[str, Json] = {}
        for stage in self.stages:
            mine = own.get(stage, {})
            assert isinstance(mine, Mapping)
            found[stage] = merge(shared, mine)
        return found

    def typed(self, overrides: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, Json]]:
        """Return the overrides of each stage, its own after those for all; and its preset's."""
        shared: list[str] = []
        own: dict[str, list[str]] = {stage: [] for stage in self.stages}
        presets: dict[str, Json] = {stage: {} for stage in self.stages}
        for text in overrides:
            (head, *rest), value = parse_override(text)
            self._check(head, [*self.stages, *self.shared], None)
            if head in self.shared:
                shared.append(text)
            elif not rest:
                raise _bare(head, value)
            elif rest == ["preset"]:
                presets[head] = {"preset": value}
            else:
                own[head].append(text.partition(".")[2])
        return {stage: [*shared, *own[stage]] for stage in self.stages}, presets

    def _check(self, key: str, known: Iterable[str], where: str | None) -> None:
        if key in known:
            return
        if key in _OWN:
            hint = f"Say of which stage it is, as in {self.stages[0]}.{key}."
            raise ConfigError(f"{key!r} belongs to one stage", where=where, hint=hint)
        hint = suggest(str(key), known)  # YAML has keys that are no words
        raise ConfigError(
            f"no stage and no group of settings is called {key!r}", where=where, hint=hint
        )


def _bare(stage: str, value: object) -> ConfigError:
    hint = f"Write one of its settings, as in {stage}.training.max_epochs=5."
    return ConfigError(f"{stage}={value!r}: this is a stage", hint=hint)
