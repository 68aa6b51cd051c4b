"""Any value that describes a run as JSON that every reader accepts, the same each time."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from pathlib import PurePath

import numpy as np
import torch
from pydantic import BaseModel, JsonValue
from torch import Tensor

from tutelage.core.errors import CheckpointError


def sanitize_for_json(value: object) -> JsonValue:
    """Return ``value`` as plain JSON.

    Tensors and arrays become nested lists (a single number when they have no dimensions), sets
    sorted lists, paths POSIX texts, enums their values, dates ISO 8601, bytes hex digits, models
    and dataclasses dicts, keys texts. JSON has no nan or infinity: they become ``"NaN"``,
    ``"Infinity"`` and ``"-Infinity"``, which pydantic reads back as floats.

    Raises:
        CheckpointError: A value of another kind; the message names its place.
    """
    return _sanitize(value, "")


def _sanitize(value: object, at: str) -> JsonValue:
    if value is None or isinstance(value, bool):
        return value
    for kinds, convert in _CONVERTERS:
        if isinstance(value, kinds):
            return convert(value, at)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value, at)
    problem = f"{at or 'the value'} is a {type(value).__module__}.{type(value).__qualname__}"
    raise CheckpointError(f"{problem}, which has no form in JSON")


def _float(value: object, _: str) -> JsonValue:
    number = float(value)  # type: ignore[arg-type]
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _mapping(value: object, at: str) -> JsonValue:
    assert isinstance(value, Mapping)
    result: dict[str, JsonValue] = {}
    for key, item in value.items():
        name = _key(key, at)
        if name in result:
            raise CheckpointError(f"{at or 'the value'} has two keys that read {name!r} in JSON")
        result[name] = _sanitize(item, f"{at}.{name}" if at else name)
    return result


def _key(key: object, at: str) -> str:
    plain = _sanitize(key, f"a key of {at or 'the value'}")
    return plain if isinstance(plain, str) else json.dumps(plain)


def _list(value: object, at: str) -> JsonValue:
    assert isinstance(value, list | tuple)
    return [_sanitize(item, f"{at}[{index}]") for index, item in enumerate(value)]


def _set(value: object, at: str) -> JsonValue:
    assert isinstance(value, set | frozenset)
    items = [_sanitize(item, at) for item in value]
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def _tensor(value: object, at: str) -> JsonValue:
    assert isinstance(value, Tensor)
    return _sanitize(value.detach().cpu().tolist(), at)


def _fields(value: object, at: str) -> JsonValue:
    names = [field.name for field in dataclasses.fields(value)]  # type: ignore[arg-type]
    return _mapping({name: getattr(value, name) for name in names}, at)


def _model(value: object, at: str) -> JsonValue:
    assert isinstance(value, BaseModel)
    return _mapping({name: getattr(value, name) for name in type(value).model_fields}, at)


_CONVERTERS: tuple[tuple[tuple[type, ...], Callable[..., JsonValue]], ...] = (
    ((Enum,), lambda value, at: _sanitize(value.value, at)),
    ((np.ndarray, np.generic), lambda value, at: _sanitize(value.tolist(), at)),
    ((Tensor,), _tensor),
    ((int,), lambda value, _: int(value)),
    ((float,), _float),
    ((str,), lambda value, _: str(value)),
    ((PurePath,), lambda value, _: value.as_posix()),
    ((date,), lambda value, _: value.isoformat()),
    ((bytes, bytearray), lambda value, _: value.hex()),
    ((torch.dtype, torch.device), lambda value, _: str(value).removeprefix("torch.")),
    ((BaseModel,), _model),
    ((Mapping,), _mapping),
    ((set, frozenset), _set),
    ((list, tuple), _list),
)
