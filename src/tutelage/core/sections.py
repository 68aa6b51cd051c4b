"""`Section`: a group of settings, frozen and closed; `Part`, a piece of a record, alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, field_validator

_LONGEST_NAME: Final = 255
_LONGEST_PATH: Final = 4095
"""Bytes that a file's name, and its path, have at most."""


class Section(BaseModel):
    """A group of settings: immutable, and closed to names that it does not define."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
    )

    @field_validator("*")
    @classmethod
    def _can_name_a_file(cls, value: object) -> object:
        """Refuse a path that no file can have; asking the disk for it would end in an error."""
        if isinstance(value, Path) and (
            len(os.fsencode(value)) > _LONGEST_PATH
            or any(len(os.fsencode(part)) > _LONGEST_NAME for part in value.parts)
        ):
            raise ValueError("this path is too long for any file")
        return value

    def moved(self) -> set[str]:
        """Names of the settings whose value is not the default, however they were given."""
        return {
            name
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.get_default(call_default_factory=True)
        }


class Part(BaseModel):
    """A piece of a record."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


def as_word(value: object) -> object:
    """Return a whole number as text, where a word is wanted that may look like one: ``16``."""
    return str(value) if type(value) is int else value


def tag_or(default: str) -> Callable[[object], str]:
    """Return a discriminator that reads ``name`` and takes ``default`` where none is given."""

    def tag(value: object) -> str:
        name = value.get("name", default) if isinstance(value, dict) else getattr(value, "name", "")
        return str(name)

    return tag


def as_named(value: object) -> object:
    """Read a word where one of several sections is chosen as that section's name."""
    return {"name": value} if isinstance(value, str) else value


def naming_fields() -> frozenset[str]:
    """The fields that may name runs in any `NamingSection` that is known by now."""
    found: set[str] = set()
    kinds = [NamingSection]
    while kinds:
        kind = kinds.pop()
        found.update(kind.parents)
        kinds += kind.__subclasses__()
    return frozenset(found)


class NamingSection(Section):
    """A group of settings of which some may name finished runs."""

    parents: ClassVar[Mapping[str, str]] = {}
    """The fields that name finished runs, each with the role that its runs have in the lineage.

    A run is named by id, unique prefix, path or ``@last``; `config.json` holds the id.
    """

    def named_runs(self) -> dict[str, tuple[str, ...]]:
        """Field to the runs that it names, for every field of `parents` that is set."""
        values = {field: getattr(self, field) for field in self.parents}
        return {
            field: (value,) if isinstance(value, str) else tuple(value)
            for field, value in values.items()
            if value
        }

    def with_runs(self, ids: Mapping[str, Sequence[str]]) -> Self:
        """Return these settings with the runs of some fields named by their ids."""
        new = {
            field: ids[field][0] if isinstance(getattr(self, field), str) else tuple(ids[field])
            for field in ids
        }
        return self.model_copy(update=new)
