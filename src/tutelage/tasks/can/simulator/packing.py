"""Payloads packed by DBC layout with alive counters and checksums, whole columns at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.simulator.database import Message, Signal

_CHECKSUM = "checksum_"


class Sampler(Protocol):
    """Anything that answers what a physical channel was at given times."""

    def sample(self, source: str, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the channel's values, one per time, in the channel's unit."""
        ...


def encode(
    message: Message,
    times: NDArray[np.float64],
    counter: NDArray[np.int64],
    sampler: Sampler,
) -> NDArray[np.uint8]:
    """Return the payloads that the message's sender transmits.

    Args:
        message: What to send.
        times: (n,) seconds at which its signals are read.
        counter: (n,) running number of each transmission, which alive counters hold modulo 2**bits.
        sampler: Where physical values come from.

    Returns:
        (n, 8) bytes, zero beyond the message's length.
    """
    raw = [_raw(signal, times, counter, sampler) for signal in message.signals]
    payload = pack(message.signals, raw)
    for signal in message.signals:
        if signal.source.startswith(_CHECKSUM):
            at = signal.start // 8
            kind = signal.source.removeprefix(_CHECKSUM)
            payload[:, at] = checksum(kind, np.delete(payload[:, : message.dlc], at, axis=1))
    return payload


def _raw(
    signal: Signal, times: NDArray[np.float64], counter: NDArray[np.int64], sampler: Sampler
) -> NDArray[np.int64]:
    if signal.source.startswith(_CHECKSUM):
        return np.zeros(len(times), np.int64)
    if signal.source == "constant":
        return np.full(len(times), signal.initial, np.int64)
    if signal.source == "counter":
        return counter % (1 << signal.length)
    low = -(1 << (signal.length - 1)) if signal.signed else 0
    high = low + (1 << signal.length) - 1
    value = (sampler.sample(signal.source, times) - signal.offset) / signal.scale
    return np.clip(np.rint(value), low, high).astype(np.int64)


def pack(signals: Sequence[Signal], raw: Sequence[NDArray[np.int64]]) -> NDArray[np.uint8]:
    """Return (n, 8) payload bytes from one raw column (n,) per signal; the same bits as `cantools`.

    A little-endian signal is a shift in the payload read as a little-endian 64-bit word, a
    big-endian one a shift in the payload read as a big-endian word.
    """
    n = len(raw[0])
    little, big = np.zeros(n, "<u8"), np.zeros(n, ">u8")
    for signal, column in zip(signals, raw, strict=True):
        bits = column.astype(np.uint64) & np.uint64((1 << signal.length) - 1)
        if signal.big_endian:
            top = (7 - signal.start // 8) * 8 + signal.start % 8
            big |= bits << np.uint64(top - signal.length + 1)
        else:
            little |= bits << np.uint64(signal.start)
    return little.view(np.uint8).reshape(n, 8) | big.view(np.uint8).reshape(n, 8)


def checksum(kind: str, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the checksum byte (n,) of the other payload bytes (n, m).

    Args:
        kind: ``crc8`` (SAE J1850: polynomial 0x1D, start 0xFF, inverted), ``xor`` or ``sum``.
        data: The payload without the checksum's own byte.
    """
    if kind == "xor":
        folded: NDArray[np.uint8] = np.bitwise_xor.reduce(data, axis=1)
        return folded
    if kind == "sum":
        total: NDArray[np.uint8] = data.sum(axis=1, dtype=np.uint8)
        return total
    crc = np.full(len(data), 0xFF, np.uint8)
    for column in data.T:
        crc = _CRC8[crc ^ column]
    return ~crc


def _crc8_table() -> NDArray[np.uint8]:
    table: NDArray[np.int64] = np.arange(256)
    for _ in range(8):
        table = np.where(table & 0x80, (table << 1) ^ 0x1D, table << 1) & 0xFF
    return table.astype(np.uint8)


_CRC8 = _crc8_table()
