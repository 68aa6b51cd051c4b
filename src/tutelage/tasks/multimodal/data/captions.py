"""Caption files: CSV, TSV, JSON lines and Parquet, with the columns under their many names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tutelage.core.csv_rows import csv_rows
from tutelage.core.documents import load_json
from tutelage.core.errors import DataError, suggest
from tutelage.core.files import require_expandable

SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".parquet")
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("image", "file_name", "filename", "filepath", "file", "path", "image_path"),
    "caption": ("caption", "captions", "text", "title", "sentence", "label"),
    "category": ("category", "class", "class_name"),
    "group": ("group", "id", "image_id"),
    "split": ("split",),
    "language": ("language", "lang"),
}
"""What each column may be called, the first name first."""
_ROW_BYTES: Final = 500
"""Bytes of a row in memory, at least."""
NEEDED: Final = ("image", "caption")
SPLITS: Final[Mapping[str, str]] = {
    "": "", "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CaptionRow:
    """A line of a caption file: a picture and one caption or more."""

    image: str
    captions: tuple[str, ...]
    category: str = ""
    group: str = ""
    split: str = ""
    language: str = ""


def read_captions(path: Path, given: Mapping[str, str]) -> list[CaptionRow]:
    """Read a caption file.

    Args:
        path: A file with one of `SUFFIXES`.
        given: Names of columns that are not among `COLUMNS`.

    Raises:
        DataError: The file is unreadable, empty, or lacks a column.
    """
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    try:
        records = list(readers[path.suffix.lower()](path))
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", where=path) from error
    except UnicodeDecodeError as error:
        hint = "Save it as UTF-8."
        raise DataError(f"is not UTF-8 text: {error}", where=path, hint=hint) from error
    if not records:
        raise DataError("holds no captions", where=path, hint="Give a line for each picture.")
    columns = _columns(path, list(dict.fromkeys(key for row in records for key in row)), given)
    return [_row(path, at, record, columns) for at, record in enumerate(records, 1)]


def _csv(path: Path) -> Iterator[Mapping[str, object]]:
    yield from (row for _, row in csv_rows(path))


def _jsonl(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = load_json(line)
            except ValueError as error:
                raise DataError(f"line {number} is no JSON: {error}", where=path) from error
            if not isinstance(value, dict):
                hint = 'Write one object a line: {"image": "a.png", "caption": "a red car"}.'
                raise DataError(f"line {number} is no JSON object", where=path, hint=hint)
            yield value


def _parquet(path: Path) -> Iterator[Mapping[str, object]]:
    import pyarrow
    from pyarrow import parquet

    try:
        rows = parquet.read_metadata(path).num_rows
        require_expandable(path, rows * _ROW_BYTES)
        yield from parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise DataError(f"is no readable Parquet file: {error}", where=path) from error


def _columns(path: Path, found: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Which of the file's columns stands for what.

    Raises:
        DataError: One that is needed, or named by a setting, is not there.
    """
    columns = {}
    for role, name in given.items():
        if name not in found:
            said = f"has no column {name!r}, which data.columns.{role} names"
            raise DataError(said, where=path, hint=suggest(name, found))
        columns[role] = name
    lower = {name.lower(): name for name in reversed(found)}
    for role, names in COLUMNS.items():
        at = next((lower[name] for name in names if name in lower), None)
        if role not in columns and at is not None and at not in columns.values():
            columns[role] = at
    if absent := [role for role in NEEDED if role not in columns]:
        kinds = " and none of ".join(f"{role}s" for role in absent)
        named = " ".join(f"data.columns.{role}=NAME" for role in absent)
        raise DataError(
            f"has no column of {kinds}: it has {', '.join(map(repr, found)) or 'none'}",
            where=path,
            hint=f"Name {'it' if len(absent) == 1 else 'them'}: {named}.",
        )
    return columns


def _row(
    path: Path, number: int, record: Mapping[str, object], columns: Mapping[str, str]
) -> CaptionRow:
    """Read one line; ``number`` counts from 1, the header left out."""
    said = {role: record.get(name) for role, name in columns.items()}
    captions = said.pop("caption")
    words = captions if isinstance(captions, list) else [captions]
    texts = {role: "" if value is None else str(value).strip() for role, value in said.items()}
    split = texts.get("split", "").lower()
    if split not in SPLITS:
        hint = "Splits are train, validation and test; an empty cell leaves the choice to us."
        raise DataError(f"row {number}: unknown split {split!r}", where=path, hint=hint)
    if not texts["image"]:
        raise DataError(f"row {number} names no image", where=path)
    texts["split"] = SPLITS[split]
    return CaptionRow(captions=tuple("" if w is None else str(w) for w in words), **texts)
