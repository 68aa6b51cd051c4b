"""Which column of a file holds which of our quantities, by its usual name or a person's mapping."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.errors import DataError, suggest
from tutelage.tasks.can.ingest.detect import ForeignFileError

USUAL: Mapping[str, tuple[str, ...]] = {
    "timestamp": ("timestamp",),
    "arbitration_id": ("arbitration_id", "id"),
    "data_field": ("data_field",),
    "label": ("attack", "label"),
    "dlc": (),
}
"""Our names, and the file's column names that need no mapping; `dlc` is read only when mapped."""
NEEDED = ("timestamp", "arbitration_id", "data_field")
LIKELY: Mapping[str, tuple[str, ...]] = {
    "timestamp": ("time", "t", "ts", "seconds"),
    "arbitration_id": ("can_id", "canid", "identifier", "msg_id"),
    "data_field": ("data", "payload", "bytes"),
    "label": ("is_attack", "class", "flag"),
    "dlc": ("length", "len"),
}
"""Names that other files use, to ask whether they are meant; none is read without a mapping."""


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The file's column names; an empty label or dlc means that there is none."""

    timestamp: str
    arbitration_id: str
    data_field: str
    label: str
    dlc: str
    existing: tuple[str, ...]

    @property
    def suspect(self) -> str:
        """Which columns were taken for what, for a file that makes no sense that way."""
        taken = ((ours, getattr(self, ours)) for ours in USUAL)
        pairs = ", ".join(f"{ours}={name!r}" for ours, name in taken if name)
        return (
            f"suspect the columns, {pairs}, of {', '.join(self.existing)}. "
            "Map others with data.columns.timestamp=NAME, and so on."
        )


def resolve(existing: Sequence[str], columns: Mapping[str, str] | None, path: Path) -> ColumnNames:
    """Find each of our quantities among the columns of a file.

    A file that lacks the mapped label, and has no column that may be meant by it, has no labels.

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
    if "label" in mapping and not nearest([mapping["label"]], existing) + like("label", existing):
        del mapping["label"]
    absent = [ours for ours, name in mapping.items() if name not in existing]
    if absent:
        problem = ", ".join(
            f"{mapping[ours]!r}, which data.columns.{ours} names" for ours in absent
        )
        meant = _map_hint({ours: nearest([mapping[ours]], existing) for ours in absent})
        raise ForeignFileError(f"no column {problem}", where=path, hint=f"{have(existing)} {meant}")
    found = {ours: mapping.get(ours) or _usual(ours, existing) for ours in USUAL}
    missing = [ours for ours in USUAL if ours in NEEDED and not found[ours]]
    if missing:
        looked = "; ".join(f"{ours} (looked for {' or '.join(USUAL[ours])})" for ours in missing)
        near = {ours: like(ours, existing) for ours in missing}
        if not found["label"] and (label := like("label", existing)):
            near["label"] = label
        meant = _map_hint(near)
        raise ForeignFileError(
            f"no column for the {looked}", where=path, hint=f"{have(existing)} {meant}"
        )
    return ColumnNames(**found, existing=tuple(existing))


def have(existing: Sequence[str]) -> str:
    """The columns that a file has, as a sentence."""
    return f"It has {', '.join(existing)}."


def looked_for(columns: Mapping[str, str] | None) -> str:
    """The names under which a label column was looked for."""
    mapped = (columns or {}).get("label")
    return mapped if mapped else " or ".join(USUAL["label"])


def like(ours: str, existing: Sequence[str]) -> str:
    """The existing column that most likely holds one of our quantities, or nothing."""
    return nearest([*USUAL[ours], ours, *LIKELY[ours]], existing)


def nearest(names: Sequence[str], existing: Sequence[str]) -> str:
    """The existing column whose name is nearest to one of ``names`` in any case, or nothing."""
    folded = {re.sub(r"[\W_]+", "_", column.lower()).strip("_"): column for column in existing}
    near = (difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.75) for name in names)
    return next((folded[found[0]] for found in near if found), "")


def _usual(ours: str, existing: Sequence[str]) -> str:
    return next((name for name in USUAL[ours] if name in existing), "")


def _map_hint(near: Mapping[str, str]) -> str:
    given = (f"data.columns.{ours}={name or 'NAME'}" for ours, name in near.items())
    settings = " ".join(shlex.quote(setting) for setting in given)
    return f"Did you mean {settings}?" if all(near.values()) else f"Map it with {settings}."
