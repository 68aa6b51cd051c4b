"""Checksums in payloads: sums, XORs and CRC-8s of any polynomial, recognised without labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

_TRUSTED = 0.999
"""Share of an identifier's frames that have to obey a checksum for it to be believed."""
_LIKELY = 0.9
"""Share of the probes that a candidate has to obey to be tried on all frames."""
_PROBES = 32
"""Distinct payload changes on which the many CRC candidates are tried first."""
_DISTINCT = 32
"""Distinct payloads, or changes of them, below which a checksum can't be told from chance."""
_MOVING = 3
"""Octets or nibbles that have to move, lest two that mirror each other pass for a checksum."""

Words = NDArray[np.uint64]
Octets = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ParityChecksum:
    """A checksum linear over GF(2): each mask's bits have a fixed parity.

    Args:
        masks: One mask of the little-endian payload word for each of its bits.
        parity: The parity of each, 0 or 1.
    """

    masks: tuple[int, ...]
    parity: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SumChecksum:
    """A checksum by addition: a weighted sum of the payload's nibbles is constant.

    Args:
        weights: (16,) weight of each nibble, the low one of an octet first.
        modulus: 16 or 256.
        residue: The sum.
    """

    weights: tuple[int, ...]
    modulus: int
    residue: int


def find_parity_checksum(words: Words, length: int) -> ParityChecksum | None:
    """Return the XOR or CRC-8 that an identifier's payloads carry in their first or last octet.

    Args:
        words: (n,) payload words.
        length: Octets of its payload.
    """
    change = np.unique(words ^ np.roll(words, len(words) // 2))
    change = change[change != 0]
    if length < _MOVING or len(change) < _DISTINCT:
        return None
    probes = _octets(change[np.linspace(0, len(change) - 1, _PROBES).astype(np.int64)])
    for place in (length - 1, 0):
        moved = probes[:, place] != 0
        others = [o for o in range(length) if o != place]
        if moved.mean() < 0.5 or (probes[:, others] != 0).any(axis=0).sum() < _MOVING - 1:
            continue
        for masks in _candidates(probes, place, others):
            found = _parities(words, masks)
            if found is not None:
                return found
    return None


def _candidates(probes: Octets, place: int, others: list[int]) -> list[tuple[int, ...]]:
    """Return the masks of the XOR and of each CRC-8 that most ``probes`` (P, 8) obey."""
    tables, kept = _crc_tables(), []
    if (np.bitwise_xor.reduce(probes[:, others], axis=1) == probes[:, place]).mean() >= _LIKELY:
        kept.append(tuple(sum(1 << 8 * o + bit for o in (*others, place)) for bit in range(8)))
    for reflected in range(2):
        table = tables[reflected]
        state = np.zeros((256, len(probes)), np.uint8)
        for octet in others:
            state = table[np.arange(256)[:, None], state ^ probes[None, :, octet]]
        share = (state == probes[None, :, place]).mean(axis=1)
        unit = 1 if reflected == 0 else 0x80
        for polynomial in np.flatnonzero(share >= _LIKELY).tolist():
            if polynomial & unit:
                kept.append(_crc_masks(table[polynomial], place, others))
    return kept


def _crc_masks(table: Octets, place: int, others: list[int]) -> tuple[int, ...]:
    """Return, for each bit of a CRC at ``place``, the payload bits whose parity is constant."""
    masks = [1 << 8 * place + bit for bit in range(8)]
    for number, octet in enumerate(others):
        for bit in range(8):
            state = int(table[1 << bit])
            for _ in others[number + 1 :]:
                state = int(table[state])
            for check in range(8):
                masks[check] |= (state >> check & 1) << 8 * octet + bit
    return tuple(masks)


def _parities(words: Words, masks: tuple[int, ...]) -> ParityChecksum | None:
    """Return the checksum with the parities that most ``words`` have; null where few share them."""
    odd = np.bitwise_count(words[:, None] & np.array(masks, np.uint64)) % 2 == 1
    usual = odd.mean(axis=0) >= 0.5
    if (odd == usual).all(axis=1).mean() < _TRUSTED:
        return None
    return ParityChecksum(masks, tuple(usual.astype(int).tolist()))


@cache
def _crc_tables() -> Octets:
    """Return (2, 256, 256): plain and reflected CRC-8 of an octet under each polynomial."""
    start = np.broadcast_to(np.arange(256), (256, 256))
    polynomial = np.arange(256)[:, None]
    plain, reflected = start, start
    for _ in range(8):
        plain = np.where(plain & 0x80, plain << 1 ^ polynomial, plain << 1) & 0xFF
        reflected = np.where(reflected & 1, reflected >> 1 ^ polynomial, reflected >> 1)
    return np.stack([plain, reflected]).astype(np.uint8)


def find_sum_checksum(words: Words, length: int) -> SumChecksum | None:
    """Return the sum of octets or nibbles that an identifier's payloads keep constant.

    Tried are the plain sum of all, and each octet or nibble as the sum of the others.
    """
    if len(np.unique(words)) < _DISTINCT:
        return None
    ever = np.bitwise_or.reduce(words ^ words[0], keepdims=True)
    moved = _nibbles(ever)[0] != 0
    for size, modulus in ((2, 256), (1, 16)):
        parts = moved.reshape(-1, size).any(axis=1)
        if parts.sum() < _MOVING:
            continue
        unit = np.array([1, 16][:size])
        for place in (-1, *np.flatnonzero(parts[: 2 * length // size]).tolist()):
            sign = np.ones(len(parts), np.int64)
            sign[place] = sign[place] if place < 0 else -1
            weights = np.repeat(sign, size) * np.tile(unit, len(parts))
            found = _residue(words, weights % modulus, modulus)
            if found is not None:
                return found
    return None


def _residue(words: Words, weights: NDArray[np.int64], modulus: int) -> SumChecksum | None:
    """Return the checksum with the sum that most ``words`` have; null where few share it."""
    total = _nibbles(words).astype(np.int64) @ weights % modulus
    count = np.bincount(total, minlength=modulus)
    if count.max() < _TRUSTED * len(words):
        return None
    return SumChecksum(tuple(weights.tolist()), modulus, int(count.argmax()))


def _octets(words: Words) -> Octets:
    """Return (n, 8) octets of little-endian words."""
    return np.ascontiguousarray(words).astype("<u8").view(np.uint8).reshape(-1, 8)


def _nibbles(words: Words) -> Octets:
    """Return (n, 16) nibbles of words, the low one of an octet first."""
    octets = _octets(words)
    return np.stack([octets & 15, octets >> 4], axis=-1).reshape(-1, 16)


nibbles = _nibbles
