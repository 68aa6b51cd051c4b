"""Parquet captures: typed columns through Arrow, hex decoded from the raw string buffers."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.core.files import require_expandable
from tutelage.tasks.can.frames import UNLABELLED, Frames
from tutelage.tasks.can.ingest import delimited, explain
from tutelage.tasks.can.ingest.assemble import Piece, Reading, unlabelled
from tutelage.tasks.can.ingest.fields import (
    PAD,
    Bytes,
    Mask,
    Offsets,
    hex_number,
    hex_payload,
    padded,
    raw_payload,
)
from tutelage.tasks.can.ingest.names import ColumnNames, resolve

_BATCH = 1 << 16
_FRAME_BYTES = 22
"""Bytes of a frame in memory."""
_SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def open_parquet(path: Path, columns: Mapping[str, str] | None) -> Reading:
    """Open a Parquet capture.

    Args:
        path: A file with a float timestamp in seconds (or an Arrow timestamp), an id (integer or
            hex text), a payload (hex text, binary or list of bytes) and perhaps a label.
        columns: A mapping from our column names to the file's.

    Raises:
        DataError: The file is damaged, or has other columns.
    """
    with _damage(path):
        file = pq.ParquetFile(path, pre_buffer=False)  # or what was read is kept to the end
        require_expandable(path, file.metadata.num_rows * _FRAME_BYTES)
        names = resolve(file.schema_arrow.names, columns, path)
    return Reading("parquet", _pieces(file, names, path), unit="row", suspect=names.suspect)


def _pieces(file: pq.ParquetFile, names: ColumnNames, path: Path) -> Generator[Piece, None, None]:
    wanted = [n for n in (names.timestamp, names.arbitration_id, names.data_field) if n]
    wanted += [n for n in (names.label, names.dlc) if n]
    row = 1
    with _damage(path):
        for batch in file.iter_batches(_BATCH, columns=wanted, use_threads=False):
            yield _piece(batch, names, row, path)
            row += len(batch)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Say that a file can't be read where Arrow fails to."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"can't be read as Parquet: {error}",
            where=path,
            hint="Copy the file again; it is truncated or damaged.",
        ) from error


def column_names(path: Path) -> tuple[str, ...]:
    """The names of a Parquet file's columns."""
    return tuple(pq.read_schema(path).names)


def _piece(batch: pa.RecordBatch, names: ColumnNames, row: int, path: Path) -> Piece:
    column = {name: batch.column(name) for name in set(batch.schema.names)}
    time, bad = _timestamps(column[names.timestamp], names.timestamp, path)
    number, wrong = _ids(column[names.arbitration_id], names.arbitration_id, path)
    bad |= wrong
    payload, dlc, wrong = _payloads(column[names.data_field], names.data_field, path)
    bad |= wrong
    label = unlabelled(len(batch))
    if names.label:
        label, wrong = _labels(column[names.label], names.label, path)
        bad |= wrong
    if names.dlc:
        said = column[names.dlc].cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        bad |= (said < 0) | (said > dlc)
        dlc = np.clip(said, 0, dlc)
        payload = payload * (np.arange(8) < dlc[:, None])
    frames = Frames(time, number, dlc.astype(np.uint8), payload, label)
    numbers = np.arange(row, row + len(batch))
    return Piece(frames, numbers, bad, lambda at: _explain(batch.slice(at, 1), names))


def _wrong_type(name: str, array: pa.Array, wanted: str, path: Path) -> DataError:
    return DataError(
        f"the column {name!r} has the type {array.type}, not {wanted}",
        where=path,
        hint="Write it in that type, or map another column with data.columns.<ours>=NAME.",
    )


def _null(array: pa.Array) -> Mask:
    if not array.null_count:
        return np.zeros(len(array), np.bool_)
    nulls: Mask = array.is_null().to_numpy(zero_copy_only=False)
    return nulls.copy()


def _timestamps(
    array: pa.Array, name: str, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scale = 1.0
    bad = _null(array)
    if pa.types.is_timestamp(array.type):
        scale, array = _SECONDS[array.type.unit], array.cast(pa.int64())
    elif not pa.types.is_floating(array.type):
        raise _wrong_type(name, array, "floating-point seconds", path)
    array = array.fill_null(0) if array.null_count else array
    time = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return (time if scale == 1.0 else time / scale), bad


def _ids(array: pa.Array, name: str, path: Path) -> tuple[NDArray[np.uint32], Mask]:
    bad = _null(array)
    if pa.types.is_integer(array.type):
        values = array.fill_null(0) if bad.any() else array
        values = values.to_numpy(zero_copy_only=False)
        if values.dtype != np.uint32:
            bad |= (values < 0) | (values > 0xFFFFFFFF)
        return values.astype(np.uint32, copy=False), bad
    if not _is_text(array.type):
        raise _wrong_type(name, array, "an integer or hex text", path)
    buffer, starts, ends = _text(array)
    number, wrong = hex_number(buffer, starts, ends)
    return number, bad | wrong


def _payloads(array: pa.Array, name: str, path: Path) -> tuple[Bytes, Offsets, Mask]:
    bad = _null(array)
    if _is_text(array.type):
        buffer, starts, ends = _text(array)
        width = ends - starts
        dlc = np.clip(width >> 1, 0, 8)
        payload, wrong = hex_payload(buffer, starts, dlc)
        return payload, dlc, bad | wrong | (width > 16) | (width & 1 != 0)
    if pa.types.is_fixed_size_binary(array.type):
        array = array.cast(pa.binary())
    elif pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    if pa.types.is_list(array.type) and array.type.value_type == pa.uint8():
        bounds = _bounds(array)
        absent = np.concatenate([[0], np.cumsum(_null(array.values))])
        bad |= absent[bounds[1:]] > absent[bounds[:-1]]
        raw, bounds = array.values.buffers()[1], bounds + array.values.offset
    elif pa.types.is_binary(array.type):
        raw, bounds = array.buffers()[2], _bounds(array)
    else:
        raise _wrong_type(name, array, "hex text, binary or a list of uint8", path)
    width = np.diff(bounds)
    dlc = np.clip(width, 0, 8)
    payload = raw_payload(padded(raw or b""), bounds[:-1] + PAD, dlc)
    return payload, dlc, bad | (width > 8)


def _labels(array: pa.Array, name: str, path: Path) -> tuple[NDArray[np.int8], Mask]:
    bad = _null(array)
    if _is_text(array.type):
        label, wrong = delimited.labels(*_text(array))
        return label, bad | wrong
    kind = array.type
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)):
        raise _wrong_type(name, array, "0 and 1", path)
    array = array.cast(pa.uint8()) if pa.types.is_boolean(kind) else array
    values = (array.fill_null(0) if bad.any() else array).to_numpy(zero_copy_only=False)
    bad |= (values != 0) & (values != 1)
    return np.where(bad, UNLABELLED, values).astype(np.int8), bad


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _bounds(array: pa.Array) -> Offsets:
    buffer = array.buffers()[1]
    bounds = np.frombuffer(buffer, np.int32, len(array) + 1, offset=4 * array.offset)
    return bounds.astype(np.int64)


def _text(array: pa.Array) -> tuple[Bytes, Offsets, Offsets]:
    """The padded bytes of a text column and where each value starts and ends."""
    if array.type != pa.string():
        array = array.cast(pa.string())
    bounds = _bounds(array)
    raw = array.buffers()[2]
    low, high = int(bounds[0]), int(bounds[-1])
    buffer = padded(memoryview(raw)[low:high] if raw is not None else b"")
    bounds += PAD - low
    return buffer, bounds[:-1], bounds[1:]


def _value(cell: pa.Scalar) -> object:
    """A cell as Python has it; where Python can't, as Arrow shows it."""
    try:
        return cell.as_py()
    except (ValueError, OverflowError):
        return str(cell.type)


def _hex(payload: object) -> str:
    """A payload of bytes, or of a list of them, as hex digits; an absent byte is shown as none."""
    parts = payload if isinstance(payload, bytes | list) else ()
    return "".join("--" if part is None else f"{part:02x}" for part in parts)


def _explain(row: pa.RecordBatch, names: ColumnNames) -> str:
    value = {name: _value(row.column(name)[0]) for name in set(row.schema.names)}
    missing = next((n for n, v in value.items() if v is None), None)
    if missing is not None:
        return f"the column {missing!r} holds no value"
    number, payload = value[names.arbitration_id], value[names.data_field]
    problem = explain.first(
        explain.arbitration_id(number) if isinstance(number, str) else None,
        explain.payload(payload if isinstance(payload, str) else _hex(payload)),
        explain.label(str(value[names.label])) if names.label else None,
    )
    return problem or f"values out of range: {explain.shown(str(value), 200)}"
