"""Rolling counters in payloads: found without labels, and told when they stop or jump."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TRUSTED = 0.98
"""Share of an identifier's steps that have to be +1 for a counter to be believed."""
_CYCLES = 2
"""Full turns of a counter before it is believed."""
_EXACT = 1e-3
"""Two fields whose shares of +1 steps differ by less are told apart by their width."""
_CARRIED = 0.75
"""Share of a field's beginnings at which its neighbour turns over, if it is a carry."""

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Counter:
    """A field that grows by one from frame to frame.

    Args:
        shift: Its lowest bit in the little-endian payload word.
        width: Its bits, all in one byte.
        modulus: Values before it begins again at 0.
    """

    shift: int
    width: int
    modulus: int

    @property
    def mask(self) -> int:
        """Its bits, moved down to bit 0."""
        return (1 << self.width) - 1


def find_counters(runs: list[Words]) -> list[Counter]:
    """Return the counters of one identifier, none overlapping another.

    A counter's lowest bit turns over at nearly each frame, so only bits that turn over often begin
    one; then width and modulus are those with the largest share of +1 steps, the widest of equals.

    Args:
        runs: Payload words of consecutive frames, one array a capture.
    """
    steps = [run[1:] ^ run[:-1] for run in runs if len(run) > 1]
    if not steps:
        return []
    turned = np.concatenate(steps)
    rate = _bits(turned).mean(axis=0)
    found: list[Counter] = []
    taken = 0
    for shift in np.flatnonzero(rate >= 0.5).tolist():
        if taken >> shift & 1:
            continue
        best = _best(runs, shift, rate, len(turned))
        if best is not None and not _carries(runs, best):
            found.append(best)
            taken |= best.mask << best.shift
    return found


def _best(runs: list[Words], shift: int, rate: NDArray[np.float64], steps: int) -> Counter | None:
    """Return the best counter whose lowest bit is ``shift``; null where none is trusted."""
    best, best_share = None, _TRUSTED - _EXACT
    for width in range(2, 9 - shift % 8):
        if not rate[shift + width - 1] > 0:
            break
        values = [
            (run >> np.uint64(shift) & np.uint64((1 << width) - 1)).astype(np.int64) for run in runs
        ]
        highest = max(int(v.max(initial=0)) for v in values)
        for modulus in {1 << width, highest + 1}:
            if modulus <= 1 << (width - 1) or steps < _CYCLES * modulus:
                continue
            good = sum(int(((v[1:] - v[:-1]) % modulus == 1).sum()) for v in values)
            if good / steps >= best_share + (0 if best and width > best.width else _EXACT):
                best, best_share = Counter(shift, width, modulus), good / steps
    return best


def _carries(runs: list[Words], counter: Counter) -> bool:
    """Whether a field is the low part of a longer value, which rises by chance at a steady pace.

    Then a bit next to it turns over when it begins again, and seldom otherwise: the next higher
    bit, or the lowest of the octet before or after its own.
    """
    octet, end = counter.shift // 8, counter.shift + counter.width
    nearby = [end] if end % 8 else [8 * (octet - 1), 8 * (octet + 1)]
    begins, turned = [], []
    for run in runs:
        value = (run >> np.uint64(counter.shift) & np.uint64(counter.mask)).astype(np.int64)
        begins.append(np.diff(value) < 0)
        turned.append(_bits(run[1:] ^ run[:-1]).astype(np.bool_))
    again, bits = np.concatenate(begins), np.concatenate(turned)
    if again.all() or not again.any():
        return False
    for bit in (bit for bit in nearby if 0 <= bit < 64):
        if bits[again, bit].mean() >= _CARRIED and bits[~again, bit].mean() < 1 - _CARRIED:
            return True
    return False


def _bits(words: Words) -> NDArray[np.uint8]:
    """Return (n, 64) bits of words, the lowest first."""
    octets = np.ascontiguousarray(words).astype("<u8").view(np.uint8).reshape(-1, 8)
    return np.unpackbits(octets, axis=1, bitorder="little")
