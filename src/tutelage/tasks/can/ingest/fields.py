"""Numbers and hex out of raw bytes: all fields decoded at once by tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Mask = NDArray[np.bool_]

PAD = 64
"""Bytes that must lie before the first and after the last field, so that gathers stay inside."""

_ZERO = ord("0")


def _hex_table() -> NDArray[np.int16]:
    """A (65536,) table from two characters, as a native uint16, to their byte value or -1."""
    nibble = np.full(256, -1, np.int16)
    for value, text in enumerate("0123456789abcdef"):
        nibble[ord(text)] = nibble[ord(text.upper())] = value
    pair = np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    high, low = nibble[pair[:, 0]], nibble[pair[:, 1]]
    return np.where((high < 0) | (low < 0), -1, high * 16 + low).astype(np.int16)


_HEX = _hex_table()
_KEEP = (np.arange(8) < np.arange(9)[:, None]).astype(np.uint8) * np.uint8(255)
"""(9, 8): row k keeps the first k payload bytes."""
_ID_PREFIX = (np.arange(8) < 8 - np.arange(9)[:, None]).astype(np.uint8) * np.uint8(255)
"""(9, 8): row k marks the 8 - k characters before a right-aligned k-digit number."""


def padded(raw: bytes | memoryview) -> Bytes:
    """Copy ``raw`` into an array with `PAD` zero bytes on either side."""
    buffer = np.zeros(len(raw) + 2 * PAD, np.uint8)
    buffer[PAD:-PAD] = np.frombuffer(raw, np.uint8)
    return buffer


def gather(buffer: Bytes, at: Offsets, width: int) -> Bytes:
    """Return (n, width) the ``width`` bytes that start at each offset of ``at``."""
    words = np.ndarray((len(buffer) - width + 1,), f"S{width}", buffer, strides=(1,))
    rows: Bytes = words[at].view(np.uint8).reshape(len(at), width)
    return rows


def hex_payload(buffer: Bytes, starts: Offsets, n_bytes: Offsets) -> tuple[Bytes, Mask]:
    """Decode runs of hex digits into payloads.

    Args:
        buffer: Padded bytes.
        starts: (n,) offset of each first digit.
        n_bytes: (n,) bytes to decode, 0 to 8.

    Returns:
        (n, 8) payloads, zero beyond ``n_bytes``, and (n,) whether a character was not hex.
    """
    return _pairs(gather(buffer, starts, 16).view(np.uint16), n_bytes)


def hex_payload_separated(buffer: Bytes, starts: Offsets, n_bytes: Offsets) -> tuple[Bytes, Mask]:
    """Decode byte values of two hex digits that one separator apiece keeps apart (``05,21,6f``)."""
    text = gather(buffer, starts, 24).reshape(-1, 8, 3)
    return _pairs(np.ascontiguousarray(text[:, :, :2]).view(np.uint16)[:, :, 0], n_bytes)


def _pairs(pairs: NDArray[np.uint16], n_bytes: Offsets) -> tuple[Bytes, Mask]:
    values = _HEX[pairs]
    payload = values.astype(np.uint8)
    if len(n_bytes) and int(n_bytes.min()) == 8:
        bad: Mask = values.min(axis=1) < 0 if values.min() < 0 else np.zeros(len(pairs), np.bool_)
        return payload, bad
    keep = _KEEP[n_bytes]
    if values.size and values.min() < 0:
        bad = ((values < 0) & (keep != 0)).any(axis=1)
    else:
        bad = np.zeros(len(pairs), np.bool_)
    np.bitwise_and(payload, keep, out=payload)
    return payload, bad


def hex_number(buffer: Bytes, starts: Offsets, ends: Offsets) -> tuple[NDArray[np.uint32], Mask]:
    """Decode hex numbers of one to eight digits, with or without ``0x`` before them.

    Returns:
        (n,) values and (n,) whether a field is empty, too long or not hex.
    """
    marked = (buffer[starts] == _ZERO) & ((buffer[starts + 1] | 32) == ord("x"))
    length = ends - starts - 2 * marked
    bad = (length < 1) | (length > 8)
    text = gather(buffer, ends - 8, 8)
    prefix = _ID_PREFIX[np.clip(length, 0, 8)]
    text = (text & ~prefix) | (prefix & np.uint8(_ZERO))
    values = _HEX[text.view(np.uint16)]
    if values.size and values.min() < 0:
        bad |= (values < 0).any(axis=1)
    number = values.astype(np.uint8).view(">u4")[:, 0].astype(np.uint32)
    return number, bad


def decimal(buffer: Bytes, starts: Offsets, ends: Offsets) -> tuple[NDArray[np.float64], Mask]:
    """Parse decimal numbers, correctly rounded, with Arrow's parser and without a copy.

    The fields and the gaps between them form one Arrow string array over ``buffer`` in which
    the gaps are null.

    Returns:
        (n,) values and (n,) whether a field is no number.
    """
    count = len(starts)
    bounds = np.empty(2 * count + 1, np.int32)
    bounds[0:-1:2], bounds[1::2], bounds[-1] = starts, ends, len(buffer)
    valid = np.full((2 * count + 7) // 8, 0b01010101, np.uint8)
    text = pa.Array.from_buffers(
        pa.string(), 2 * count, [pa.py_buffer(valid), pa.py_buffer(bounds), pa.py_buffer(buffer)]
    )
    try:
        parsed = text.cast(pa.float64())
    except pa.ArrowInvalid:
        return _decimal_one_by_one(buffer, starts, ends)
    values = np.frombuffer(parsed.buffers()[1], np.float64, 2 * count)[::2].copy()
    return values, np.zeros(count, np.bool_)


def _decimal_one_by_one(
    buffer: Bytes, starts: Offsets, ends: Offsets
) -> tuple[NDArray[np.float64], Mask]:
    """Parse the fields of a block that holds at least one that is no number."""
    values, bad = np.zeros(len(starts)), np.zeros(len(starts), np.bool_)
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        text = buffer[start:end].tobytes()
        try:
            values[row] = float(text.decode("ascii"))
        except ValueError:
            bad[row] = True
        bad[row] |= b"_" in text
    return values, bad


def raw_payload(buffer: Bytes, starts: Offsets, n_bytes: Offsets) -> Bytes:
    """(n, 8) payloads from raw bytes, zero beyond ``n_bytes``."""
    return gather(buffer, starts, 8) & _KEEP[n_bytes]
