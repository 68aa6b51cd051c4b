"""Which column of a file holds which of our quantities, by its usual name or a person's mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.errors import DataError, suggest

USUAL: Mapping[str, tuple[str, ...]] = {
    "timestamp": ("timestamp",),
    "arbitration_id": ("arbitration_id", "id"),
    "data_field": ("data_field",),
    "label": ("attack", "label"),
    "dlc": (),
}
"""Our names, and the file's column names that need no mapping; `dlc` is read only when mapped."""


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The file's column names; an empty label or dlc means that there is none."""

    timestamp: str
    arbitration_id: str
    data_field: str
    label: str
    dlc: str
    existing: tuple[str, ...]


def resolve(existing: Sequence[str], columns: Mapping[str, str] | None, path: Path) -> ColumnNames:
    """Find each of our quantities among the columns of a file.

    Args:
        existing: The file's column names.
        columns: A person's mapping from our names to the file's.
        path: The file, for messages.

    Raises:
        DataError: A mapped column, or one that no capture can do without, is absent.
    """
    mapping = dict(columns or {})
    for ours in mapping:
        if ours not in USUAL:
            raise DataError(
                f"unknown column mapping data.columns.{ours}", hint=suggest(ours, USUAL)
            )
    found = {ours: _find(ours, existing, mapping, path) for ours in USUAL}
    return ColumnNames(**found, existing=tuple(existing))


def looked_for(columns: Mapping[str, str] | None) -> str:
    """The names under which a label column was looked for."""
    mapped = (columns or {}).get("label")
    return mapped if mapped else " or ".join(USUAL["label"])


def _find(ours: str, existing: Sequence[str], mapping: Mapping[str, str], path: Path) -> str:
    have = f"It has {', '.join(existing)}."
    if ours in mapping:
        if mapping[ours] not in existing:
            raise DataError(
                f"no column {mapping[ours]!r}, which data.columns.{ours} names",
                where=path,
                hint=have,
            )
        return mapping[ours]
    for name in USUAL[ours]:
        if name in existing:
            return name
    if ours in ("label", "dlc"):
        return ""
    raise DataError(
        f"no column for the {ours}; looked for {' or '.join(USUAL[ours])}",
        where=path,
        hint=f"{have} Map one with data.columns.{ours}=NAME.",
    )
