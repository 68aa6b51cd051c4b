"""Consecutive windows as blocks: they share attacks and driving, so they are drawn together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tutelage.core.blocks import Blocks, blocks_of
from tutelage.tasks.can.verdicts import Verdicts

BLOCK: Final = 50
"""Windows of a block."""


def numbered(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Return the block of each window of captures that have so many; no block is of two."""
    first, found = 0, [np.zeros(0, np.int64)]
    for length in lengths:
        found.append(first + np.arange(length) // BLOCK)
        first += -(-length // BLOCK)
    return np.concatenate(found)


def f1_blocks(split: str, captures: Sequence[str], parts: Sequence[Verdicts]) -> tuple[Blocks, ...]:
    """Cut the F1 of a split into blocks; none where it has no attack.

    Args:
        split: Its name.
        captures: Their names.
        parts: What the model said of each.
    """
    whole = Verdicts.join(parts)
    if not whole.truth.any():
        return ()
    block = numbered([len(part.truth) for part in parts])
    hits = np.bincount(block, whole.alarm & whole.truth)
    counted = np.bincount(block, whole.alarm) + np.bincount(block, whole.truth)
    items = [*(name.encode() for name in captures), whole.truth.tobytes(), whole.seconds.tobytes()]
    return blocks_of(f"{split}/f1", f"blocks of {BLOCK} windows", 2 * hits, counted, items)
