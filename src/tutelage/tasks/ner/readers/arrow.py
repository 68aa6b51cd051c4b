"""Arrow folders that Hugging Face ``datasets`` saved, and its Parquet files, read batch by batch.

The library itself is not needed: the files are Arrow streams, and ``state.json`` and the schema's
``huggingface`` metadata say the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tutelage.core.errors import DataError
from tutelage.tasks.ner.config import Columns
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.jsonl import NO_TEXT, read_value
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.readers.shapes import ShapeError

_TAGS: Final = ("ner_tags", "tags", "labels")
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
    files = [path / entry["filename"] for entry in state.get("_data_files", ())]
    indices = state.get("_indices_data_files") or ()
    try:
        tables = [_memory_table(file) for file in files]
        rows = _rows(path, indices)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"can't be read: {error}", where=path, hint=_DAMAGED) from error
    if not tables:
        raise DataError("its state names no data", where=path / "state.json", hint=_DAMAGED)
    table = pa.concat_tables(tables)
    if rows is not None:
        table = table.take(rows)
    info = path / "dataset_info.json"
    features = _features(table.schema) or (_json(info).get("features") if info.is_file() else None)
    yield from _texts(table.to_batches(1024), features or {}, label, columns, problems)


def read_parquet(
    path: Path, label: str, columns: Columns, problems: Problems
) -> Iterator[Document]:
    """Yield the texts of a Parquet file, as the Hugging Face hub has them.

    Raises:
        DataError: The file is damaged, or no column holds text or tokens.
    """
    try:
        file = pq.ParquetFile(path)
        features = _features(file.schema_arrow) or {}
        yield from _texts(file.iter_batches(1024), features, label, columns, problems)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"can't be read: {error}", where=path, hint="Copy it again.") from error


def _memory_table(path: Path) -> pa.Table:
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


def _rows(path: Path, indices: Any) -> Any:
    """The rows of a data set that was filtered or shuffled before it was saved; null for all."""
    if not indices:
        return None
    return pa.concat_tables([_memory_table(path / entry["filename"]) for entry in indices])[0]


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"can't be read: {error}", where=path, hint=_DAMAGED) from error
    if not isinstance(value, dict):
        raise DataError("no JSON object", where=path, hint=_DAMAGED)
    return value


def _features(schema: Any) -> Mapping[str, Any] | None:
    """The types of columns as ``datasets`` wrote them into the schema."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    found = json.loads(metadata).get("info", {}).get("features")
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else None


def _class_names(feature: Any) -> list[str] | None:
    """The names behind the numbers of a column of classes, at whatever depth they stand."""
    if isinstance(feature, list):
        return _class_names(feature[0]) if feature else None
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel":
        return list(feature.get("names", ()))
    return _class_names(feature.get("feature"))


def _texts(
    batches: Any, features: Mapping[str, Any], label: str, columns: Columns, problems: Problems
) -> Iterator[Document]:
    names = {name: found for name in features if (found := _class_names(features[name]))}
    number = 0
    for batch in batches:
        for record in batch.to_pylist():
            number += 1
            where = f"{label}[{number}]"
            try:
                yield from read_value(_named(record, names, columns), where, columns, problems)
            except ShapeError as error:
                problems.seen["text"] += 1
                problems.add("text", NO_TEXT, where, str(error))


def _named(
    record: dict[str, Any], names: Mapping[str, list[str]], columns: Columns
) -> dict[str, Any]:
    """Replace the numbers of a record's tags by their names.

    Raises:
        ShapeError: A number has no name.
    """
    wanted = (columns.tags,) if columns.tags else _TAGS
    column = next((name for name in wanted if name in record), None)
    if column is None or column not in names or record[column] is None:
        return record
    numbers = np.array(record[column], np.int64).reshape(-1)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(names[column]):
        raise ShapeError(f"{column!r} holds a number without a name")
    return record | {column: [names[column][number] for number in numbers.tolist()]}
