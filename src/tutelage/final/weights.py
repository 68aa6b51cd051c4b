"""Compare two files of weights tensor by tensor, bit for bit, without torch."""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tutelage.core.documents import load_json
from tutelage.core.errors import CheckpointError

_FLOATS: Final = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class WeightsComparison:
    """How far two files of weights are apart.

    Args:
        tensors: Names in either.
        differing: Names of those that differ in a bit, a shape, a type or their presence.
        largest: The largest difference between two numbers of them; null where none can be told.
    """

    tensors: int
    differing: tuple[str, ...]
    largest: float | None = None

    @property
    def identical(self) -> bool:
        """Whether every bit is the same."""
        return not self.differing


def compare_weights(one: Path, other: Path) -> WeightsComparison:
    """Compare two safetensors files.

    Raises:
        CheckpointError: One can't be read.
    """
    mine, theirs = _read(one), _read(other)
    names = sorted({*mine, *theirs})
    differing = tuple(name for name in names if mine.get(name) != theirs.get(name))
    both = [name for name in differing if name in mine and name in theirs]
    apart = [_apart(mine[name], theirs[name]) for name in both]
    known = [value for value in apart if value is not None]
    return WeightsComparison(len(names), differing, max(known) if known else None)


@dataclass(frozen=True, slots=True)
class _Tensor:
    dtype: str
    shape: tuple[int, ...]
    content: bytes


def _read(path: Path) -> Mapping[str, _Tensor]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            start = _LENGTH + int.from_bytes(whole[:_LENGTH], "little")
            header = load_json(whole[_LENGTH:start])
            if not isinstance(header, dict):
                raise ValueError("its header is no object")
            return {
                name: _Tensor(
                    str(entry["dtype"]),
                    tuple(int(n) for n in entry["shape"]),
                    whole[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
                )
                for name, entry in header.items()
                if name != "__metadata__"
            }
    except OSError as error:
        raise CheckpointError(f"can't be read: {error.strerror or error}", where=path) from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError("is no file of weights", where=path) from error


def _apart(one: _Tensor, other: _Tensor) -> float | None:
    """The largest difference of two tensors of floats of one shape."""
    if (one.dtype, one.shape) != (other.dtype, other.shape) or one.dtype not in _FLOATS:
        return None
    size = math.prod(one.shape) * np.dtype(_FLOATS[one.dtype]).itemsize
    if not len(one.content) == len(other.content) == size:
        return None
    mine, theirs = (np.frombuffer(t.content, _FLOATS[t.dtype]) for t in (one, other))
    apart = np.abs(mine.astype(np.float64) - theirs.astype(np.float64))
    return float(np.nanmax(apart)) if np.isfinite(apart).any() else None
