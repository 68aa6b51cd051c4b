"""Every setting of a configuration as a person types it: path, default, allowed values, meaning."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from tutelage.core.config import DataConfig, RunConfig
from tutelage.core.explain import FIXED, sections
from tutelage.core.records import Table
from tutelage.report.settings import as_text

WORDS: Mapping[object, str] = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true | false",
    Path: "path",
    NoneType: "null",
}
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    Args:
        path: What stands before ``=``, such as ``training.early_stopping.patience``.
        default: Its value where nothing is said, as JSON.
        required: Whether there is no default.
        values: Type or allowed values, in words.
        help: What it does.
        when: The choice under which it exists, such as ``model=gat``; empty when always.
    """

    path: str
    default: object
    required: bool
    values: str
    help: str
    when: str = ""

    @property
    def section(self) -> str:
        """The first part of the path, and the choice it hangs on."""
        head = self.path.partition(".")[0] if "." in self.path else ""
        return f"{head} ({self.when})" if self.when else head

    def row(self) -> tuple[str, str, str, str]:
        """Path, default, values, meaning."""
        default = "required" if self.required else as_text(self.default)
        return self.path, default, self.values, self.help

    def as_json(self) -> dict[str, object]:
        """The values that ``--json`` prints."""
        return {
            "path": self.path,
            "default": self.default,
            "required": self.required,
            "values": self.values,
            "when": self.when,
            "help": self.help,
        }


def options(config_type: type[BaseModel]) -> list[Option]:
    """Every setting of ``config_type``, sections opened, each variant of a choice in turn.

    What several variants have alike, such as the choices inside a choice, stands there once.
    """
    found: list[Option] = []
    for option in _walk(config_type, (), ""):
        if option.path not in FIXED and option not in found:
            found.append(option)
    return found


def as_tables(listed: Sequence[Option]) -> list[Table]:
    """A table a section."""
    grouped: dict[str, list[Option]] = {}
    for option in listed:
        grouped.setdefault(option.section, []).append(option)
    columns = ("setting", "default", "values", "")
    return [
        Table(title=title or "choices", columns=columns, rows=tuple(o.row() for o in group))
        for title, group in sorted(grouped.items(), key=lambda item: item[0] != "")
    ]


def mode_summaries() -> dict[str, str]:
    """Every training mode and what it does."""
    field = RunConfig.model_fields["mode"]
    return {_name_of(section): _summary(section) for section in sections(field)}


def data_formats(config_type: type[RunConfig]) -> Mapping[str, str]:
    """The formats that a task's data may have, and what is read of each."""
    found: dict[str, str] = {}
    for section in sections(config_type.model_fields["data"]):
        assert issubclass(section, DataConfig)
        found |= section.formats
    return found


def data_layout(config_type: type[RunConfig]) -> str:
    """How a task's files lie in a folder, in words."""
    layouts = (getattr(s, "layout", "") for s in sections(config_type.model_fields["data"]))
    return "\n\n".join(dict.fromkeys(filter(None, layouts)))


def _walk(section: type[BaseModel], above: tuple[str, ...], when: str) -> Iterator[Option]:
    for name, field in section.model_fields.items():
        path = (*above, name)
        variants = sections(field)
        if len(variants) > 1 or (variants and _is_choice(variants[0])):
            choice, names = ".".join(path), [_name_of(variant) for variant in variants]
            chosen = getattr(field.get_default(call_default_factory=True), "name", None)
            values = " | ".join(names)
            yield Option(choice, chosen, chosen is None, values, field.description or "", when)
            for variant in variants:
                inside = _walk(variant, path, f"{choice}={_name_of(variant)}")
                yield from (o for o in inside if o.path != f"{choice}.name")
        elif variants:
            yield from _walk(variants[0], path, when)
        else:
            yield _option(".".join(path), field, when)


def _option(path: str, field: FieldInfo, when: str) -> Option:
    required = field.default is PydanticUndefined and field.default_factory is None
    default = None if required else field.get_default(call_default_factory=True)
    words = _words(field.annotation, _bounds(field.metadata))
    return Option(path, to_jsonable_python(default), required, words, field.description or "", when)


def _bounds(constraints: Iterable[object]) -> str:
    """Say the bounds of a number, also where a field's own stand inside an annotation."""
    said = []
    for constraint in constraints:
        if isinstance(constraint, FieldInfo):
            said.append(_bounds(constraint.metadata))
        found = ((sign, getattr(constraint, name, None)) for name, sign in SIGNS.items())
        said += [f"{sign} {bound}" for sign, bound in found if bound is not None]
    return ", ".join(filter(None, said))


def _words(annotation: object, bounds: str) -> str:
    """Say a type in words, with its bounds beside the number."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(as_text, inside))
    if origin in (Union, UnionType):
        return " | ".join(_words(part, bounds) for part in inside)
    if origin is Annotated:
        return _words(inside[0], _bounds(inside[1:]))
    if origin is tuple or origin is list:
        return f"list of {_words(inside[0], bounds)}"
    if origin is Mapping:
        return f"{{{': '.join(_words(part, bounds) for part in inside)}}}"
    words = WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))
    return f"{words} {bounds}" if bounds and annotation in (int, float) else words


def _is_choice(section: type[BaseModel]) -> bool:
    """Whether a section is one of several by its literal `name` (there may be only one so far)."""
    field = section.model_fields.get("name")
    return field is not None and len(get_args(field.annotation)) == 1


def _name_of(section: type[BaseModel]) -> str:
    return str(section.model_fields["name"].default)


def _summary(section: type[BaseModel]) -> str:
    return (inspect.getdoc(section) or "").partition("\n\n")[0].replace("\n", " ")
