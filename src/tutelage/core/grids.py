"""`expand`: a stage with a `grid` becomes a family of stages, one for each choice of its values."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tutelage.core.errors import ConfigError
from tutelage.core.files import Json
from tutelage.core.overrides import merge, nest

_KEY: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LARGEST: Final = 1000
_EXAMPLE: Final = "Write a setting and its values, as in 'model.hidden: [16, 32]'."


def expand(name: str, settings: Json, where: str) -> dict[str, tuple[Json, Json]]:
    """Return the stages that a stage with a grid stands for, ``NAME-1`` and so on.

    The last setting of the grid changes from each stage to the next, the first one slowest.

    Args:
        name: The stage's name, which is the family's.
        settings: Its settings; ``grid`` among them holds settings (``model.hidden``) and the list
            of values of each.
        where: The recipe, for messages.

    Returns:
        Name of each stage to its settings, and to those that the grid gave it.

    Raises:
        ConfigError: The grid holds no lists of values, a value twice, a setting that the stage
            gives as well, or too many combinations.
    """
    place = f"{where}, stage {name}, grid"
    grid = settings["grid"]
    if not isinstance(grid, Mapping) or not grid:
        raise ConfigError("it holds no settings", where=place, hint=_EXAMPLE)
    own = {key: value for key, value in settings.items() if key != "grid"}
    choices = [
        [(key, value) for value in _values(key, grid[key], place)]
        for key in _keys(grid, own, place)
    ]
    if (size := math.prod(map(len, choices))) > _LARGEST:
        hint = f"Take fewer values; a family has {_LARGEST} stages at most."
        raise ConfigError(f"it stands for {size} stages", where=place, hint=hint)
    family: dict[str, tuple[Json, Json]] = {}
    for number, chosen in enumerate(itertools.product(*choices), 1):
        varied = dict(chosen)
        whole = dict(own)
        for key in sorted(varied, key=lambda key: key.count(".")):
            whole = merge(whole, nest(tuple(key.split(".")), varied[key]))
        family[f"{name}-{number}"] = (whole, varied)
    return family


def overlap(path: Iterable[str], varied: Iterable[str]) -> str | None:
    """Return the setting among ``varied`` that a path is, lies in or holds; none if there isn't."""
    words = tuple(path)
    for key in varied:
        other = tuple(key.split("."))
        shorter = min(len(words), len(other))
        if words[:shorter] == other[:shorter]:
            return key
    return None


def leaves(settings: Json, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each value of nested settings."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*before, key))
        else:
            yield (*before, key)


def _keys(grid: Mapping[object, object], own: Json, place: str) -> list[str]:
    keys: list[str] = []
    for key in grid:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ConfigError(f"{key!r} is no setting", where=place, hint=_EXAMPLE)
        if (other := overlap(key.split("."), keys)) is not None:
            said = f"{key!r} and {other!r} vary the same setting"
            raise ConfigError(said, where=place, hint="Leave one of them out.")
        if _holds(own, key.split(".")):
            hint = "Leave it out of one of them."
            raise ConfigError(f"the stage gives {key!r} as well", where=place, hint=hint)
        keys.append(key)
    return keys


def _values(key: str, values: object, place: str) -> list[object]:
    if not isinstance(values, list) or not values:
        hint = f"Write a list, as in '{key}: [{values if values != [] else 1}, …]'."
        raise ConfigError(f"{key}={values!r} is no list of values", where=place, hint=hint)
    for number, value in enumerate(values):
        if value in values[:number]:
            hint = "Each value makes a stage; name each one once."
            raise ConfigError(f"{key} has the value {value!r} twice", where=place, hint=hint)
    return values


def _holds(settings: object, path: list[str]) -> bool:
    for word in path:
        if not isinstance(settings, Mapping) or word not in settings:
            return False
        settings = settings[word]
    return True
