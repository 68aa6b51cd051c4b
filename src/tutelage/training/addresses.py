"""Which stage of a recipe a setting is for: all of them, or the one that its first word names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tutelage.core.errors import ConfigError, suggest
from tutelage.core.files import Json
from tutelage.core.grids import leaves, overlap
from tutelage.core.overrides import merge, parse_override
from tutelage.core.recipes import Recipe

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
        self.families = recipe.families
        self.shared = [name for name in sections if name not in (*_OWN, *_FIXED)]
        self.where = recipe.where
        for stage in self._names:
            if stage in (*sections, *_OWN):
                hint = "It is the name of a group of settings: choose another word."
                said = f"{stage!r} can't be the name of a stage"
                raise ConfigError(said, where=recipe.where, hint=hint)

    @property
    def _names(self) -> list[str]:
        """What a setting may begin with to be for some stages: theirs, or their family's name."""
        return [*self.stages, *self.families]

    def _leave_grids(self, path: Sequence[str], families: Iterable[str]) -> None:
        """Refuse a setting that a grid gives: all stages of the family would become the same.

        Raises:
            ConfigError: It is one.
        """
        for name in families:
            first, given = next(iter(self.families[name].items()))
            if (varied := overlap(path, given)) is not None:
                hint = f"Change the grid, or one of its stages: {first}.{varied}=…"
                said = f"the grid of {name!r} gives {varied!r}"
                raise ConfigError(said, where=".".join(path), hint=hint)

    def common(self, settings: Json) -> Json:
        """Return what is for every stage, checked."""
        for key in settings:
            self._check(key, self.shared, self.where)
        return settings

    def nested(self, settings: Json) -> dict[str, Json]:
        """Return the nested settings of each stage, its own over those for all."""
        for key, value in settings.items():
            self._check(key, [*self._names, *self.shared], None)
            if key in self._names and not isinstance(value, Mapping):
                raise _bare(key, value)
        shared = {key: value for key, value in settings.items() if key in self.shared}
        own = {key: value for key, value in settings.items() if key in self._names}
        for path in leaves(shared):
            self._leave_grids(path, self.families)
        found: dict[str, Json] = {stage: shared for stage in self.stages}
        for key in sorted(own, key=self.stages.__contains__):  # one stage's over its family's
            mine = own[key]
            assert isinstance(mine, Mapping)
            for path in leaves(mine):
                self._leave_grids(path, self.families.keys() & {key})
            for stage in self.families.get(key, [key]):
                found[stage] = merge(found[stage], mine)
        return found

    def typed(self, overrides: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, Json]]:
        """Return the overrides of each stage, its own after those for more; and its preset's."""
        shared: list[str] = []
        own: dict[str, list[str]] = {name: [] for name in self._names}
        named: dict[str, Json] = {}
        for text in overrides:
            (head, *rest), value = parse_override(text)
            self._check(head, [*self._names, *self.shared], None)
            if head in self.shared:
                self._leave_grids((head, *rest), self.families)
                shared.append(text)
                continue
            if not rest:
                raise _bare(head, value)
            self._leave_grids(rest, self.families.keys() & {head})
            if rest == ["preset"]:
                named[head] = {"preset": value}
            else:
                own[head].append(text.partition(".")[2])
        of = {stage: [n for n in self.families if stage in self.families[n]] for stage in own}
        texts = {s: [*shared, *(t for n in (*of[s], s) for t in own[n])] for s in self.stages}
        presets = {s: named.get(s) or named.get("".join(of[s])) or {} for s in self.stages}
        return texts, presets

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
