"""From what a person typed (preset, file, `section.field=value`) to a `RunConfig` or one error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, suggest
from tutelage.core.migrations import Json, migrate_config

C = TypeVar("C", bound=RunConfig)

NAMED_SECTIONS = ("model", "mode", "execution")
_KEY = re.compile(r"^[A-Za-z_][\w-]*(\.[\w-]+)*$")


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `1e-3` is a number, `on` and `no` are words, a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            line = node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} stands twice (line {line})", node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in pairs if not tag.endswith((":bool", ":float"))]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|false|True|False)$"), list("tfTF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf)$|^\.nan$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str) -> object:
    """Read one YAML document without running anything that it names.

    Raises:
        yaml.YAMLError: The text is not YAML, or a key stands twice.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def parse_override(text: str) -> tuple[tuple[str, ...], object]:
    """Split ``section.field=value`` into its path and its value (read as YAML).

    Raises:
        ConfigError: There is no ``=``, or the key or the value can't be read.
    """
    key, equals, value = text.partition("=")
    if not equals or not _KEY.match(key):
        raise ConfigError(
            f"{text!r} is not a setting",
            hint="Write section.field=value, as in training.max_epochs=5.",
        )
    try:
        parsed = parse_yaml(value) if value else None
    except yaml.YAMLError as error:
        hint = "Quote it: " + key + "='\"...\"'."
        raise ConfigError(f"the value {value!r} can't be read", where=key, hint=hint) from error
    return tuple(key.split(".")), parsed


def read_config_file(path: Path) -> Json:
    """Read a YAML or JSON file of settings, migrated to the present schema.

    Raises:
        ConfigError: The file is absent, unreadable or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else parse_yaml(text)
    except FileNotFoundError:
        raise ConfigError("no such file", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't be read: {error}", where=path) from error
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise ConfigError(f"is neither YAML nor JSON: {error}", where=path) from error
    if not isinstance(content, dict):
        raise ConfigError("holds no settings", where=path, hint="Write 'section:' and fields.")
    return migrate_config(content, path)


def merge(base: Mapping[str, object], over: Mapping[str, object]) -> Json:
    """Lay ``over`` on ``base``, mapping by mapping; neither is changed.

    A section whose ``name`` changes starts afresh: one model's settings mean nothing to another.
    """
    base, over = _named(base), _named(over)
    merged: Json = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            renamed = "name" in value and "name" in old and value["name"] != old["name"]
            merged[key] = dict(value) if renamed else merge(old, value)
        else:
            merged[key] = value
    return merged


def _named(settings: Mapping[str, object]) -> Json:
    """Write `model: gat` as `model: {name: gat}`."""
    return {
        key: {"name": value} if key in NAMED_SECTIONS and isinstance(value, str) else value
        for key, value in settings.items()
    }


def nest(path: tuple[str, ...], value: object) -> Json:
    """Return ``{a: {b: value}}`` for the path ``(a, b)``."""
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def build_config(
    config_type: type[C], layers: Iterable[Mapping[str, object]], overrides: Iterable[str] = ()
) -> C:
    """Lay settings on each other, the last on top, then the overrides, and validate the whole.

    Raises:
        ConfigError: A name is unknown or a value is of the wrong type or out of range; the message
            gives the full path, what was given, and the nearest valid names or the allowed values.
    """
    settings: Json = {}
    for layer in layers:
        settings = merge(settings, layer)
    typed = [parse_override(text) for text in overrides]
    for path, value in sorted(typed, key=lambda item: len(item[0])):
        settings = merge(settings, nest(path, value))
    try:
        return config_type.model_validate(settings)
    except ValidationError as error:
        raise explain(error, config_type) from None


def explain(error: ValidationError, config_type: type[BaseModel]) -> ConfigError:
    """Say a validation error as a person would: path, value, and what is allowed there."""
    lines: list[str] = []
    hints: list[str] = []
    for item in error.errors():
        path, section = _locate(item["loc"], config_type)
        dotted = ".".join(path)
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown setting {dotted!r}")
            prefix = ".".join(path[:-1])
            hints.append(
                (f"In {prefix}: " if prefix else "") + suggest(path[-1], section.model_fields)
            )
        elif item["type"] == "union_tag_invalid":
            names = [word.strip(" '") for word in item["ctx"]["expected_tags"].split(",")]
            lines.append(f"unknown {path[-1]} {item['ctx']['tag']!r}")
            hints.append(suggest(str(item["ctx"]["tag"]), names))
        elif item["type"] == "missing":
            lines.append(f"{dotted} is missing")
        else:
            said = item["msg"][0].lower() + item["msg"][1:]
            lines.append(f"{dotted}={item['input']!r}: {said}" if path else said)
    once = dict.fromkeys(lines)
    return ConfigError("; ".join(once), hint=" ".join(dict.fromkeys(hints)) or None)


def _locate(loc: tuple[int | str, ...], root: type[BaseModel]) -> tuple[list[str], type[BaseModel]]:
    """Turn pydantic's location into the path a person typed, and the section it ends in."""
    path: list[str] = []
    section, choices = root, [root]
    for step in map(str, loc):
        tagged = [c for c in choices if step in _tags(c)]
        if len(choices) > 1 and tagged and step not in section.model_fields:
            section, choices = tagged[0], tagged
            continue
        field = section.model_fields.get(step)
        if field is None and path and not choices:
            continue
        path.append(step)
        if field is not None:
            choices = _sections(Annotated[field.annotation, field.discriminator])
            section = choices[0] if len(choices) == 1 else section
    return path, section


def _tags(section: type[BaseModel]) -> tuple[str, ...]:
    field = section.model_fields.get("name")
    return tuple(map(str, get_args(field.annotation))) if field else ()


def _sections(annotation: object) -> list[type[BaseModel]]:
    """Every section type inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return [found for part in get_args(annotation) for found in _sections(part)]
    return []
