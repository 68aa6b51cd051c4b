"""How a matrix of logits is cut into tiles, and which of its entries count for nothing."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tutelage.losses.positives import Pairing, positive_mask

SMALL = 2**20
"""Logits that are held whole, with the graph that autograd makes of them."""


def is_small(n: int, m: int) -> bool:
    """Return whether (n, m) logits are few enough to be held whole."""
    return n * m <= SMALL


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
