"""Arrow folders that Hugging Face ``datasets`` saved, and its Parquet files, read batch by batch.

The library itself is not needed: the files are Arrow streams, and ``state.json`` and the schema's
``huggingface`` metadata say the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tutelage.core.documents import load_json, read_object
from tutelage.core.errors import DataError
from tutelage.core.files import inside, require_expandable
from tutelage.tasks.ner.config import Columns
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.jsonl import NO_TEXT, TAG_FIELDS, read_value
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.readers.shapes import ShapeError

_ROW_BYTES: Final = 500
"""Bytes of a text in memory, at least."""
_DAMAGED: Final = "Save it again, with `save_to_disk`."


def read_arrow(path: Path, label: str, columns: Columns, problems: Problems) -> Iterator[Document]:
    """Yield the texts of a folder that ``Dataset.save_to_disk`` wrote.

    Args:
        path: The folder, with its ``state.json``.
        label: What it is called in messages.
        columns: Fields that were named.
        problems: Takes what is wrong.

    Raises:
        DataError: A file is missing or damaged, or no column holds text or tokens.
    """
    state = _json(path / "state.json")
    files, indices = (
        _files(path, state.get(key)) for key in ("_data_files", "_indices_data_files")
    )
    if not files:
        raise DataError("its state names no data", where=path / "state.json", hint=_DAMAGED)
    with _damage(path, _DAMAGED):
        table = pa.concat_tables([_memory_table(file) for file in files])
        if indices:
            table = table.take(pa.concat_tables([_memory_table(file) for file in indices])[0])
    info = path / "dataset_info.json"
    features = _features(table.schema, path)
    if features is None and info.is_file():
        features = _mapping(_json(info).get("features"))
    yield from _texts(table.to_batches(1024), features or {}, label, columns, problems, path)


def _files(path: Path, entries: object) -> list[Path]:
    """Return the files that a folder's state names, all of them in the folder.

    Raises:
        DataError: It names something else.
    """
    where, found = path / "state.json", []
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            raise DataError("names a file of data by no name", where=where, hint=_DAMAGED)
        if not inside(path, path / name):
            raise DataError(
                f"names a file outside its folder: {name!r}", where=where, hint=_DAMAGED
            )
        found.append(path / name)
    return found


@contextmanager
def _damage(path: Path, hint: str) -> Iterator[None]:
    """Say that a file can't be read where Arrow fails to."""
    try:
        yield
    except (OSError, pa.ArrowException, IndexError, UnicodeDecodeError) as error:
        raise DataError(f"can't be read: {error}", where=path, hint=hint) from error


def read_parquet(
    path: Path, label: str, columns: Columns, problems: Problems
) -> Iterator[Document]:
    """Yield the texts of a Parquet file, as the Hugging Face hub has them.

    Raises:
        DataError: The file is damaged, or no column holds text or tokens.
    """
    with _damage(path, "Copy it again."):
        file = pq.ParquetFile(path, pre_buffer=False)  # or what was read is kept to the end
        require_expandable(path, file.metadata.num_rows * _ROW_BYTES)
        features = _features(file.schema_arrow, path) or {}
        yield from _texts(file.iter_batches(1024), features, label, columns, problems, path)


def _memory_table(path: Path) -> pa.Table:
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        raise DataError(f"can't be read: {error}", where=path, hint=_DAMAGED) from error


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def _features(schema: Any, path: Path) -> Mapping[str, Any] | None:
    """The types of columns as ``datasets`` wrote them into the schema."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    try:
        info = (_mapping(load_json(metadata)) or {}).get("info")
    except ValueError as error:
        said = f"its schema's metadata can't be read: {error}"
        raise DataError(said, where=path, hint=_DAMAGED) from error
    return _mapping((_mapping(info) or {}).get("features"))


def _class_names(feature: Any) -> list[str] | None:
    """The names behind the numbers of a column of classes, at whatever depth they stand."""
    if isinstance(feature, list):
        return _class_names(feature[0]) if feature else None
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel":
        names = feature.get("names")
        return [str(name) for name in names] if isinstance(names, list) else None
    return _class_names(feature.get("feature"))


def _texts(
    batches: Any,
    features: Mapping[str, Any],
    label: str,
    columns: Columns,
    problems: Problems,
    path: Path,
) -> Iterator[Document]:
    names = {name: found for name in features if (found := _class_names(features[name]))}
    number = 0
    for batch in batches:
        for record in _records(batch, path):
            number += 1
            where = f"{label}[{number}]"
            try:
                yield from read_value(_named(record, names, columns), where, columns, problems)
            except ShapeError as error:
                problems.seen["text"] += 1
                problems.add("text", NO_TEXT, where, str(error))


def _records(batch: Any, path: Path) -> list[dict[str, Any]]:
    """Return the rows of a batch.

    Raises:
        DataError: One holds what Python has no value for, such as a date of the year 3,000,000.
    """
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, OverflowError) as error:
        raise DataError(f"a row can't be read: {error}", where=path, hint=_DAMAGED) from error
    return rows


def _named(
    record: dict[str, Any], names: Mapping[str, list[str]], columns: Columns
) -> dict[str, Any]:
    """Replace the numbers of a record's tags by their names.

    Raises:
        ShapeError: A number has no name.
    """
    wanted = (columns.tags,) if columns.tags else TAG_FIELDS
    column = next((name for name in wanted if name in record), None)
    if column is None or column not in names or record[column] is None:
        return record
    try:
        numbers = np.array(record[column], np.int64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        raise ShapeError(f"{column!r} holds something that is no number") from None
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(names[column]):
        raise ShapeError(f"{column!r} holds a number without a name")
    return record | {column: [names[column][number] for number in numbers.tolist()]}
