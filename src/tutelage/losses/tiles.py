"""How a matrix of logits is cut into tiles, and which of its entries count for nothing."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tutelage.losses.positives import Pairing, positive_mask

_SMALL = 2**20
"""Logits that are held whole, with the graph that autograd makes of them."""

_SIDES = {"cpu": 512}
"""A tile's side by device: on a CPU a tile stays in the cache; elsewhere it fills the device."""
_SIDE = 4096


def tile_side(a: Tensor, b: Tensor, chunk_size: int | None) -> int | None:
    """Return the side of a tile of the logits a bᵀ, or None where they are held whole.

    Args:
        a: (N, d).
        b: (M, d).
        chunk_size: The side that is asked for; None: chosen by size and device.
    """
    if chunk_size is not None:
        return chunk_size
    if len(a) * len(b) <= _SMALL:
        return None
    return _SIDES.get(a.device.type, _SIDE)


@dataclass(frozen=True)
class Exclusion:
    """Logits (i, j) that count for nothing: those of one group, unless they are one's own.

    Args:
        group_a: (N,) integers or (N, L) labels, by row.
        group_b: (M,) or (M, L), by column.
        own_a: (N,) integers; rows and columns of one number are kept. None: nothing is.
        own_b: (M,).
    """

    group_a: Tensor
    group_b: Tensor
    own_a: Tensor | None = None
    own_b: Tensor | None = None

    def block(self, rows: slice, columns: slice) -> Tensor:
        """Return the exclusions of a block of logits, as booleans."""
        excluded = positive_mask(self.group_a[rows], self.group_b[columns])
        if self.own_a is not None and self.own_b is not None:
            excluded &= self.own_a[rows, None] != self.own_b[columns]
        return excluded


def own_pairs_only(pairing: Pairing) -> tuple[Pairing, Exclusion | None]:
    """Return the pairing of item i with item i alone, and the others of its id as exclusions.

    Raises:
        DataError: There are not as many items on either side.
    """
    own = pairing.own_pairs()
    if pairing.ids_a is None or pairing.ids_b is None:
        return pairing, None
    exclusion = Exclusion(pairing.ids_a, pairing.ids_b, own, own)
    return Pairing(pairing.n, pairing.m), exclusion
