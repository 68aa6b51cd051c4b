"""From pydantic's validation error to what a person typed, what is wrong with it and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tutelage.core.errors import ConfigError, suggest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_NO_SECTION = ("model_type", "model_attributes_type")
_WHOLE = ("extra_forbidden", "union_tag_invalid", "missing", *_NO_SECTION)
"""Kinds of error whose line says everything."""
FIXED = frozenset({"schema_version", "task"})
"""What a configuration says of itself, and nobody sets."""
_PLAINER = {
    "too_short": "give {min_length} or more, not {actual_length}",
    "tuple_type": "input should be a list, as in [a, b]",
    "path_type": "input should be a path",
    "int_parsing": "input should be a whole number, as in 5",
    "float_parsing": "input should be a number, as in 0.001",
    "string_pattern_mismatch": "use letters a to z, digits, '.', '_' and '-', 48 at most, "
    "with a letter or digit first",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a setting is wrong.

    Args:
        path: The path as a person types it.
        section: The section that holds it.
        choices: The section's alternatives, where it is one of several.
        inside: The section that stands at the path itself, if one does.
    """

    path: tuple[str, ...]
    section: type[BaseModel]
    choices: tuple[type[BaseModel], ...]
    inside: type[BaseModel] | None

    @property
    def dotted(self) -> str:
        """The path as one word."""
        return ".".join(self.path)


def explain(error: ValidationError, config_type: type[BaseModel]) -> ConfigError:
    """Say a validation error as a person would: path, value, and what is allowed there."""
    said: dict[str, list[str]] = {}
    hints: list[str] = []
    for item in error.errors():
        line, hint = _say(item, _locate(item["loc"], config_type))
        reasons = said.setdefault(line, [])
        if item["type"] not in _WHOLE:
            plain = _PLAINER.get(item["type"], "").format(**item.get("ctx", {}))
            reason = plain or item["msg"].removeprefix("Value error, ")
            reasons.append(reason[:1].lower() + reason[1:])
        hints.append(hint)
    lines = [f"{line}: {', or '.join(why)}" if why else line for line, why in said.items()]
    return ConfigError("; ".join(lines), hint=" ".join(filter(None, dict.fromkeys(hints))) or None)


def _say(item: ErrorDetails, place: _Place) -> tuple[str, str]:
    """The line that names what is wrong, and what to do."""
    kind, given, dotted = item["type"], item["input"], place.dotted
    if kind == "extra_forbidden":
        return f"unknown setting {dotted!r}", _hint_unknown(place)
    if kind == "union_tag_invalid":
        names = [word.strip(" '") for word in item["ctx"]["expected_tags"].split(",")]
        asked = str(item["ctx"]["tag"] or given)
        return f"unknown {place.path[-1]} {asked!r}", suggest(asked, names)
    if kind == "missing":
        field = place.section.model_fields.get(place.path[-1])
        return f"{dotted} is missing", (field and field.description) or ""
    if kind in _NO_SECTION and place.inside is not None:
        fields = place.inside.model_fields
        example = "name" if "name" in fields else next(iter(fields))
        hint = f"Set its fields, as in {dotted}.{example}=VALUE."
        return f"{dotted}={given!r}: this is a group of settings", hint
    if not dotted or isinstance(given, (Mapping, BaseModel)):
        return dotted or "the settings", ""
    return f"{dotted}={given!r}", ""


def _hint_unknown(place: _Place) -> str:
    """Offer the nearest names, or the alternative that has a setting of this very name."""
    *above, name = place.path
    prefix = ".".join(above)
    owners = [tags_of(choice)[0] for choice in place.choices if name in choice.model_fields]
    if owners:
        return f"It belongs to {' and '.join(f'{prefix}={owner}' for owner in owners)}."
    fields = place.section.model_fields.items()
    deeper = {
        ".".join((*above, part, name))
        for part, field in fields
        if any(name in inner.model_fields for inner in sections(field))
    }
    if deeper:
        return f"Did you mean {' or '.join(sorted(deeper))}?"
    return (f"In {prefix}: " if prefix else "") + suggest(
        name, place.section.model_fields.keys() - FIXED
    )


def _locate(loc: tuple[int | str, ...], root: type[BaseModel]) -> _Place:
    """Turn pydantic's location into the path a person typed, and the section it ends in."""
    path: list[str] = []
    section: type[BaseModel] = root
    inside: list[type[BaseModel]] = [root]
    choices: list[type[BaseModel]] = []
    for step in map(str, loc):
        if len(inside) > 1 and (tagged := [c for c in inside if step in tags_of(c)]):
            choices, inside = inside, tagged[:1]
            continue
        if not inside:
            break
        if section is not inside[0] and inside[0] not in choices:
            choices = []
        section = inside[0]
        path.append(step)
        field = section.model_fields.get(step)
        inside = sections(field) if field else []
    return _Place(tuple(path), section, tuple(choices), inside[0] if len(inside) == 1 else None)


def tags_of(section: type[BaseModel], key: str = "name") -> tuple[str, ...]:
    """The values of its key that choose a section among its alternatives."""
    field = section.model_fields.get(key)
    return tuple(map(str, get_args(field.annotation))) if field else ()


def sections(field: FieldInfo) -> list[type[BaseModel]]:
    """Every section type that a field may hold."""
    return list(_inside(field.annotation))


def _inside(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _inside(part)
    elif get_origin(annotation) is Annotated:
        yield from _inside(get_args(annotation)[0])
