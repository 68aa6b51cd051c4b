"""A tree of plain values and tensors as one safetensors file: exact, typed, plain data only."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from tutelage.core.errors import CheckpointError
from tutelage.training.tensorfile import Written, open_tensors, storable, write_tensors

_FORMAT = "tutelage-tree"
_VERSION = "1"
_SAFE_INT = 2**53
_KEYS = (str, int, float, bool, type(None), tuple)


@dataclass(frozen=True, slots=True)
class EncodedTree:
    """A nested value as tensors by name, and its structure as text."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]


def save_tree(path: Path, tree: object) -> Written:
    """Write a nested value to one safetensors file, replaced atomically; see `encode_tree`.

    Returns:
        Digest and size of the file.

    Raises:
        CheckpointError: A value that can't be stored; the message names its place in the tree.
        StorageError: The disk is full, or the folder can't be written.
    """
    encoded = encode_tree(path, tree)
    return write_tensors(path, encoded.tensors, encoded.metadata)


def encode_tree(path: Path, tree: object) -> EncodedTree:
    """Take a nested value apart: tensors as such, which are not copied, and structure as JSON.

    Kept with their exact types: dict (keys: str, int, float, bool, None, tuple), Counter, list,
    tuple, set, frozenset, None, bool, int, float (nan and inf too), str, bytes, torch.Size, NumPy
    arrays and scalars, tensors. An OrderedDict becomes a dict, a Parameter a tensor. A tensor that
    occurs twice is stored once and is one tensor again after loading.

    Args:
        path: The file that it is for.
        tree: The value.

    Raises:
        CheckpointError: A value of another kind; the message names its place in the tree.
    """
    encoder = _Encoder(path)
    text = json.dumps(encoder.encode(tree, ""), separators=(",", ":"), allow_nan=False)
    metadata = {"format": _FORMAT, "version": _VERSION, "tree": text}
    return EncodedTree(encoder.tensors, metadata)


def load_tree(path: Path, device: str = "cpu") -> object:
    """Read what `save_tree` wrote.

    Args:
        path: The file.
        device: Where the tensors go.

    Raises:
        CheckpointError: The file is missing, truncated, altered or foreign.
    """
    with open_tensors(path, device) as reader:
        metadata = reader.metadata() or {}
        if metadata.get("format") != _FORMAT:
            hint = "Weights alone are read by ModelManager.load_state_dict."
            problem = "a safetensors file, but not a checkpoint of Tutelage"
            raise CheckpointError(problem, where=path, hint=hint)
        if metadata.get("version") != _VERSION:
            problem = (
                f"written in version {metadata.get('version')} of the format; this is {_VERSION}"
            )
            raise CheckpointError(problem, where=path, hint="Read it with a newer Tutelage.")
        # Copies: a mapped file would lend the tensors its alignment, and its fate.
        tensors = {name: reader.get_tensor(name).clone() for name in sorted(reader.keys())}
    try:
        return _Decoder(tensors).decode(json.loads(metadata["tree"]))
    except (
        LookupError,
        ArithmeticError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
    ) as error:
        problem = f"its structure can't be read ({type(error).__name__}: {error})"
        raise CheckpointError(problem, where=path, hint="Use another copy.") from error


class _Encoder:
    """Turns values into JSON nodes and collects their tensors."""

    def __init__(self, path: Path) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._path = path
        self._names: dict[tuple[object, ...], str] = {}
        self._open: set[int] = set()
        self._encoders: dict[type, Callable[[object, str], object]] = {
            float: self._float,
            int: self._int,
            bytes: lambda v, _: {"b": base64.b64encode(v).decode()},  # type: ignore[arg-type]
            torch.Size: lambda v, _: {"z": [*v]},  # type: ignore[misc]
            list: self._list,
            tuple: lambda v, at: {"u": self._list(v, at)},
            set: lambda v, at: {"s": self._sorted(v, at)},
            frozenset: lambda v, at: {"fs": self._sorted(v, at)},
            dict: self._dict,
            OrderedDict: self._dict,
            Counter: lambda v, at: {"c": self._pairs(v, at)},
        }

    def encode(self, value: object, at: str) -> object:
        """Return the JSON node for ``value``; ``at`` is its place, such as ``callbacks.x[0]``."""
        if value is None or type(value) in (bool, str):
            return value
        if isinstance(value, Tensor):
            return {"t": self._tensor(value, at)}
        if isinstance(value, np.ndarray | np.generic):
            return self._numpy(value, at)
        encoder = self._encoders.get(type(value))
        if encoder is None:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            self._refuse(at, f"holds a {kind}")
        return encoder(value, at)

    def _refuse(self, at: str, problem: str) -> NoReturn:
        hint = "Store plain values: numbers, texts, lists, dicts, tensors (for an enum its .value)."
        place = at or "the value itself"
        raise CheckpointError(
            f"{place} {problem}, which can't be stored", where=self._path, hint=hint
        )

    def _float(self, value: object, _: str) -> object:
        assert isinstance(value, float)
        return value if math.isfinite(value) else {"f": repr(value)}

    def _int(self, value: object, _: str) -> object:
        assert isinstance(value, int)
        return value if -_SAFE_INT <= value <= _SAFE_INT else {"i": hex(value)}

    def _list(self, value: object, at: str) -> list[object]:
        assert isinstance(value, list | tuple)
        self._enter(value, at)
        nodes = [self.encode(item, f"{at}[{index}]") for index, item in enumerate(value)]
        self._open.discard(id(value))
        return nodes

    def _sorted(self, value: object, at: str) -> list[object]:
        assert isinstance(value, set | frozenset)
        nodes = [self._key(item, at) for item in value]
        return sorted(nodes, key=lambda node: json.dumps(node, sort_keys=True))

    def _dict(self, value: object, at: str) -> object:
        assert isinstance(value, dict)
        if all(type(key) is str for key in value):
            self._enter(value, at)
            nodes = {key: self.encode(item, _join(at, key)) for key, item in value.items()}
            self._open.discard(id(value))
            return {"o": nodes}
        return {"d": self._pairs(value, at)}

    def _pairs(self, value: object, at: str) -> list[object]:
        assert isinstance(value, dict)
        self._enter(value, at)
        pairs = [
            [self._key(key, at), self.encode(item, _join(at, key))] for key, item in value.items()
        ]
        self._open.discard(id(value))
        return list(pairs)

    def _key(self, key: object, at: str) -> object:
        if type(key) not in _KEYS:
            self._refuse(at, f"has a key or member of type {type(key).__qualname__}")
        if type(key) is tuple:
            return {"u": [self._key(item, at) for item in key]}
        return self.encode(key, at)

    def _enter(self, value: object, at: str) -> None:
        if id(value) in self._open:
            self._refuse(at, "contains itself")
        self._open.add(id(value))

    def _tensor(self, tensor: Tensor, at: str) -> str:
        if (problem := storable(tensor)) is not None:
            self._refuse(at, f"is {problem}")
        tensor = tensor.detach()
        view = (tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride())
        key = view if tensor.numel() else (id(tensor),)
        if key not in self._names:
            name = f"t{len(self.tensors)}"
            self.tensors[name] = tensor
            self._names[key] = name
        return self._names[key]

    def _numpy(self, value: np.ndarray | np.generic, at: str) -> object:
        array = np.asarray(value)
        if array.dtype.hasobject or array.dtype.fields is not None:
            self._refuse(at, f"is a NumPy array of dtype {array.dtype}")
        data = np.frombuffer(bytearray(array.tobytes()), dtype=np.uint8)
        node = {"a": self._tensor(torch.from_numpy(data), at), "dtype": array.dtype.str}
        return node | {"shape": [*array.shape], "scalar": isinstance(value, np.generic)}


class _Decoder:
    """Turns JSON nodes back into values."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors
        self._decoders: dict[str, Callable[[object], object]] = {
            "t": lambda v: self._tensors[str(v)],
            "f": lambda v: float(str(v)),
            "i": lambda v: int(str(v), 16),
            "b": lambda v: base64.b64decode(str(v), validate=True),
            "z": lambda v: torch.Size(_items(v)),  # type: ignore[arg-type]
            "u": lambda v: tuple(self._all(v)),
            "s": lambda v: set(self._all(v)),
            "fs": lambda v: frozenset(self._all(v)),
            "o": lambda v: {key: self.decode(item) for key, item in v.items()},  # type: ignore[attr-defined]
            "d": lambda v: dict(map(self._all, _items(v))),  # type: ignore[arg-type]
            "c": lambda v: Counter(dict(map(self._all, _items(v)))),  # type: ignore[arg-type]
        }

    def decode(self, node: object) -> object:
        """Return the value of a node."""
        if isinstance(node, list):
            return self._all(node)
        if not isinstance(node, dict):
            return node
        if "a" in node:
            return self._numpy(node)
        ((tag, value),) = node.items()
        return self._decoders[tag](value)

    def _all(self, nodes: object) -> list[object]:
        return [self.decode(node) for node in _items(nodes)]

    def _numpy(self, node: dict[str, object]) -> object:
        data = self._tensors[str(node["a"])].cpu().numpy().tobytes()
        flat = np.frombuffer(bytearray(data), dtype=np.dtype(str(node["dtype"])))
        array = flat.reshape([int(str(n)) for n in _items(node["shape"])])
        return array[()] if node["scalar"] else array


def _items(value: object) -> Iterable[object]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value


def _join(at: str, key: object) -> str:
    return f"{at}.{key}" if at else str(key)
