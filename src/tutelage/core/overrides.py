"""From what a person typed (preset, file, `section.field=value`) to a `RunConfig` or one error."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tutelage.core.documents import (
    DEEPEST,
    TOO_DEEP,
    Pairs,
    load_json,
    read_limited,
    require_whole_text,
)
from tutelage.core.errors import ConfigError
from tutelage.core.explain import explain, tags_of
from tutelage.core.files import Json, JsonDict, exists
from tutelage.core.migrations import migrate_config

C = TypeVar("C", bound=BaseModel)

# A value that YAML would take for a comment or an anchor, where a person typed a word.
_PLAIN = re.compile(r"^[#&*%@`]|^[^'\"\[{]*\s#")
# A run in a list that has no quotes, such as `[@last, one]`, which YAML refuses.
_RUN = re.compile(r"@\w+(?=\s*[,\]])")
NAMED_SECTIONS = ("model", "mode", "execution", "tracking")
_KEY = re.compile(r"^[A-Za-z_][\w-]*(\.[\w-]+)*$")


MOST_VALUES: Final = 50_000
"""Values of a file of settings, each alias written out."""
LARGEST_SETTINGS: Final = 1 << 20
"""Bytes of a file of settings."""
_TOO_MANY: Final = f"it holds more than {MOST_VALUES} values, aliases written out"
_STANDARD: Final = "tag:yaml.org,2002:"
_TAGS: Final = ("null", "bool", "int", "float", "str", "seq", "map")


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `1e-3` is a number; `no`, `2024-05-01`, `1:30` and `=` are words."""

    _values = _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a value, unless it is one too many or too deep."""
        self._values, self._depth = self._values + 1, self._depth + 1
        if self._values > MOST_VALUES:
            raise yaml.YAMLError(_TOO_MANY)
        if self._depth > DEEPEST:
            raise yaml.YAMLError(TOO_DEEP)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        counts = Counter(key for key in keys if isinstance(key, Hashable))
        twice = sorted(str(key) for key, count in counts.items() if count > 1)
        if twice:
            line = node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} stands twice (line {line})", node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in pairs if tag.endswith((":null", ":merge"))]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_STANDARD) in _TAGS
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|false|True|False)$"), list("tfTF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?((\d+\.\d*|\.\d+)([eE][-+]?\d+)?|\d+[eE][-+]?\d+)$|^[-+]?\.(inf|Inf)$|^\.nan$"
    ),
    list("-+.0123456789"),
)


def parse_yaml(text: str) -> object:
    """Read one YAML document without running anything that it names.

    Raises:
        ValueError: The text is not YAML, a key stands twice, or there are too many values, aliases
            written out, or too many one in the other.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count_values(loader, node, {}, set())
        value: object = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(_said(error)) from error
    require_whole_text(value)
    return value


def _said(error: yaml.YAMLError) -> str:
    """What is wrong with a document and where, in one line."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    mark, begun = error.problem_mark, error.context_mark
    context = f"{error.context} of line {begun.line + 1}" if begun else error.context
    said = ", ".join(filter(None, (context, error.problem)))
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}"


def _count_values(loader: _Loader, node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """Count the values of a document as if each alias were written out.

    Raises:
        yaml.YAMLError: There are too many of them, one holds itself, or one is not what its tag
            says.
    """
    if isinstance(node, yaml.ScalarNode) and node.tag != f"{_STANDARD}str":
        meant = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        if node.tag.startswith(_STANDARD) and node.tag != meant:
            raise yaml.YAMLError(f"{node.value[:40]!r} is no {node.tag.removeprefix(_STANDARD)}")
    if id(node) in above:
        raise yaml.YAMLError("an alias stands within what it names")
    if id(node) not in known:
        above.add(id(node))
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        flat = (part for item in parts for part in (item if isinstance(item, tuple) else (item,)))
        known[id(node)] = 1 + sum(_count_values(loader, part, known, above) for part in flat)
        above.remove(id(node))
    if known[id(node)] > MOST_VALUES:
        raise yaml.YAMLError(_TOO_MANY)
    return known[id(node)]


def parse_json(text: str) -> object:
    """Read one JSON document in which no key stands twice.

    Raises:
        ValueError: The text is not JSON, or a key stands twice.
    """

    def once(pairs: Pairs) -> JsonDict:
        counts = Counter(key for key, _ in pairs)
        twice = sorted(key for key, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"the key {twice[0]!r} stands twice")
        return dict(pairs)

    return load_json(text, once)


def parse_override(text: str) -> tuple[tuple[str, ...], object]:
    """Split ``section.field=value`` into its path and its value (read as YAML).

    Raises:
        ConfigError: There is no ``=``, nothing behind it, or the key or the value can't be read.
    """
    key, equals, value = text.partition("=")
    if not equals or not _KEY.match(key):
        hint = "Write section.field=value without blanks, as in training.max_epochs=5."
        if exists(Path(text)):
            hint = f"For data of your own write data.root={text}."
        raise ConfigError(f"{text!r} is not a setting", hint=hint)
    if not value.strip():
        raise ConfigError(f"{text!r} has no value", hint=f"Write {key}=null for nothing.")
    try:
        parsed = value if _PLAIN.search(value) else parse_yaml(_quoted(value))
    except ValueError as error:
        hint = "Quote it: " + key + "='\"...\"'."
        raise ConfigError(f"the value {value!r} can't be read", where=key, hint=hint) from error
    return tuple(key.split(".")), parsed


def _quoted(value: str) -> str:
    """Quote the runs in a list that are named by ``@``."""
    return value if re.search(r"['\"]", value) else _RUN.sub(r'"\g<0>"', value)


def read_settings(path: Path) -> JsonDict:
    """Read a YAML or JSON file that holds a mapping.

    Raises:
        ConfigError: The file is absent, unreadable or no mapping.
    """
    try:
        text = read_limited(path, LARGEST_SETTINGS).decode("utf-8-sig")
        content = parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    except FileNotFoundError:
        raise ConfigError("no such file", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't be read: {error}", where=path) from error
    except ValueError as error:
        raise ConfigError(f"can't be read as YAML or JSON: {error}", where=path) from error
    if not isinstance(content, dict):
        raise ConfigError("holds no settings", where=path, hint="Write 'section:' and fields.")
    return content


def read_config_file(path: Path) -> JsonDict:
    """Read a YAML or JSON file of a run's settings, migrated to the present schema.

    Raises:
        ConfigError: The file is absent, unreadable or no mapping.
    """
    return migrate_config(read_settings(path), path)


def merge(base: Json, over: Json) -> JsonDict:
    """Lay ``over`` on ``base``, mapping by mapping; neither is changed.

    A section whose ``name`` changes starts afresh: one model's settings mean nothing to another.
    A word beneath settings, or upon them, is the name that they belong to.
    """
    base, over = _named(base), _named(over)
    merged: JsonDict = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, str) and isinstance(value, Mapping) and "name" not in value:
            old = {"name": old}
        if isinstance(value, str) and isinstance(old, Mapping) and "name" in old:
            value = {"name": value}
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            renamed = "name" in value and "name" in old and value["name"] != old["name"]
            merged[key] = dict(value) if renamed else merge(old, value)
        else:
            merged[key] = value
    return merged


def _named(settings: Json) -> JsonDict:
    """Write `model: gat` as `model: {name: gat}`."""
    return {
        key: {"name": value} if key in NAMED_SECTIONS and isinstance(value, str) else value
        for key, value in settings.items()
    }


def nest(path: tuple[str, ...], value: object) -> JsonDict:
    """Return ``{a: {b: value}}`` for the path ``(a, b)``."""
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def lay(layers: Iterable[Json], overrides: Iterable[str] = ()) -> JsonDict:
    """Lay settings on each other, the last on top, then what was typed.

    Raises:
        ConfigError: What was typed can't be read.
    """
    settings: JsonDict = {}
    for layer in layers:
        settings = merge(settings, layer)
    typed = [parse_override(text) for text in overrides]
    for path, value in sorted(typed, key=lambda item: len(item[0])):
        settings = merge(settings, nest(path, value))
    return settings


def setting_paths(settings: Json, above: str = "") -> list[str]:
    """Return the path of each setting in nested ones: ``["training.seed", "model"]``."""
    paths: list[str] = []
    for key, value in settings.items():
        inner = setting_paths(value, f"{above}{key}.") if isinstance(value, Mapping) else []
        paths += inner or [f"{above}{key}"]
    return paths


def build_config(
    config_type: type[C],
    layers: Iterable[Json],
    overrides: Iterable[str] = (),
    where: Path | None = None,
) -> C:
    """Lay settings on each other, the last on top, then the overrides, and validate the whole.

    Args:
        config_type: What to build.
        layers: Nested settings.
        overrides: Settings as typed: ``section.field=value``.
        where: The file that all of the settings stand in, for the message where one is wrong.

    Raises:
        ConfigError: A name is unknown or a value is of the wrong type or out of range; the message
            gives the full path, what was given, and the nearest valid names or the allowed values.
    """
    settings = lay(layers, overrides)
    task, own = settings.get("task"), tags_of(config_type, "task")
    if task and own and task not in own:
        raise ConfigError(
            f"the settings are of task={task}, not {own[0]}",
            where=where,
            hint=f"Type the command with that task, as in: tutelage train {task} …",
        )
    try:
        return config_type.model_validate(settings)
    except ValidationError as error:
        wrong = explain(error, config_type)
        raise ConfigError(wrong.problem, where=where, hint=wrong.hint) from None
