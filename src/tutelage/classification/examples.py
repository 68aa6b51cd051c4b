"""`Examples`: arrays and their classes, checked, and which of them belong together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.core.files import digest_bytes, digest_json, open_regular

Ints = NDArray[np.int64]
_NUMBERS: Final = "Write numbers alone, separated by commas, without a header."


@dataclass(frozen=True, eq=False)
class Examples:
    """n arrays of one shape, and the class of each.

    Args:
        x: (n, ...) numbers; axis 1 is columns or channels.
        y: (n,) number of each one's class, from 0; null where no class is known.
        classes: (k,) names of the classes.
        groups: (n,) a number for what belongs together, such as one person's; never on two sides
            of a split. What is the same to the last number always belongs together. Null: nothing
            else does.

    Raises:
        DataError: They are empty or ragged, hold what is no number, or name no class.
    """

    x: NDArray[Any]
    y: NDArray[Any] | None
    classes: Sequence[str]
    groups: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        x = np.ascontiguousarray(self.x, np.float32) + np.float32(0)  # of two zeros, one
        if x.ndim < 2 or not x.size:
            raise DataError(f"examples of shape {x.shape}: need (n, ...) with n of at least 1")
        if not (finite := np.isfinite(x.reshape(len(x), -1)).all(1)).all():
            first = int(finite.argmin()) + 1
            said = f"example {first} of {len(x)} holds a value that is no finite number"
            raise DataError(said, hint="Mend it or leave it out.")
        names = tuple(self.classes)
        if len(names) < 2 or len(set(names)) < len(names) or any("/" in name for name in names):
            raise DataError(f"classes {list(names)}: need two or more names, each once, without /")
        for field, value in (("x", x), ("classes", names)):
            object.__setattr__(self, field, value)
        if self.y is not None:
            object.__setattr__(self, "y", self._labels(self.y))
        if self.groups is not None:
            object.__setattr__(self, "groups", self._column(self.groups, "groups"))

    def _column(self, values: NDArray[Any], name: str) -> Ints:
        column = np.asarray(values)
        whole: Ints = column.astype(np.int64)
        if whole.shape != (len(self),) or not np.array_equal(whole, column):
            said = f"{name} of shape {column.shape} for {len(self)} examples"
            raise DataError(f"{said}: need a whole number each")
        return whole

    def _labels(self, values: NDArray[Any]) -> Ints:
        y = self._column(values, "labels y")
        if wrong := sorted({*y.tolist()} - {*range(len(self.classes))})[:1]:
            first = int((y == wrong[0]).argmax()) + 1
            said = f"example {first} is of class {wrong[0]}"
            known = f"classes are 0 to {len(self.classes) - 1}"
            raise DataError(f"{said}, but {known}", hint="Mend it, or name one class more.")
        return y

    def __len__(self) -> int:
        return len(self.x)

    @property
    def labels(self) -> Ints:
        """(n,) the classes.

        Raises:
            DataError: None is known.
        """
        if self.y is None:
            hint = "Name data with classes, or use `tutelage predict`."
            raise DataError("the classes of these examples are not known", hint=hint)
        return self.y

    @cached_property
    def digest(self) -> str:
        """Digest of the content."""
        columns = [None if c is None else c.tolist() for c in (self.y, self.groups)]
        parts = [digest_bytes(self.x.tobytes()), list(self.x.shape), *columns]
        return digest_json([*parts, list(self.classes)])

    @cached_property
    def same(self) -> Ints:
        """(n,) a number for each array, equal for equal ones."""
        flat = self.x.reshape(len(self), -1)
        rows = flat.view(np.dtype((np.void, flat.itemsize * flat.shape[1]))).ravel()
        return np.unique(rows, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def together(self) -> Ints:
        """(n,) the first example that each belongs together with: by content, group, or links."""
        keys = [self.same]
        if self.groups is not None:
            keys.append(np.unique(self.groups, return_inverse=True)[1].astype(np.int64))
        first = np.arange(len(self))
        while True:
            before = first
            for key in keys:
                least = np.full(len(self), len(self))
                np.minimum.at(least, key, first)
                first = least[key]
            if np.array_equal(before, first):
                return first

    def units(self, rows: Ints) -> list[str]:
        """Return the name of each row's unit, the digest of what its first example holds."""
        firsts, place = np.unique(self.together[rows], return_inverse=True)
        names = [digest_bytes(self.x[row].tobytes())[:16] for row in firsts]
        return [names[at] for at in place.tolist()]


def read_numbers(path: Path, columns: Collection[int]) -> NDArray[np.float64]:
    """Read a CSV file of numbers without a header, such as those of the UCI repository.

    Args:
        path: The file.
        columns: How many columns it may have.

    Returns:
        (rows, columns).

    Raises:
        DataError: It is missing, is no such file, or has another number of columns.
    """
    try:
        with open_regular(path) as file:
            lines = file.read().decode().splitlines()
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", where=path) from error
    except UnicodeDecodeError as error:
        raise DataError("is no text", where=path, hint=_NUMBERS) from error
    try:
        some = any(map(str.strip, lines))
        table = (
            np.loadtxt(lines, delimiter=",", comments=None, ndmin=2) if some else np.empty((0, 0))
        )
    except ValueError as error:
        wrong = _first_wrong(lines) or str(error)
        raise DataError(wrong, where=path, hint=_NUMBERS) from error
    if table.shape[1] not in columns:
        wanted = " or ".join(map(str, sorted(columns)))
        raise DataError(f"has {table.shape[1]} columns, not {wanted}", where=path, hint=_NUMBERS)
    return table


def _first_wrong(lines: Sequence[str]) -> str | None:
    """Say what is wrong with the first line that is no row of numbers like the others."""
    width = None
    for number, line in enumerate(lines, 1):
        cells = line.split(",")
        if not line.strip():
            continue
        width = width or len(cells)
        if len(cells) != width:
            return f"line {number} has {len(cells)} columns, the lines above have {width}"
        for cell in cells:
            try:
                float(cell)
            except ValueError:
                return f"line {number}: {cell.strip()!r} is no number"
    return None
