"""Which pairs belong together: the one meaning of ids that losses, samplers and recall share."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from tutelage.core.errors import DataError

log: Final = logging.getLogger(__name__)


def positive_mask(ids_a: Tensor, ids_b: Tensor) -> Tensor:
    """Return which of two sides' items belong together.

    Items are positives of one another where their ids are equal; ids with several labels an item,
    as zeros and ones, are positives where at least one label is common.

    Args:
        ids_a: (N,) integers, or (N, L) zeros and ones.
        ids_b: (M,), or (M, L), likewise.

    Returns:
        (N, M) booleans.

    Raises:
        DataError: The two are not of one form.
    """
    if ids_a.ndim != ids_b.ndim or ids_a.ndim not in (1, 2) or ids_a.shape[1:] != ids_b.shape[1:]:
        problem = f"ids of shapes {tuple(ids_a.shape)} and {tuple(ids_b.shape)} do not compare"
        raise DataError(problem, hint="Give (N,) and (M,) integers, or (N, L) and (M, L) labels.")
    if ids_a.ndim == 1:
        return ids_a[:, None] == ids_b
    return ids_a.float() @ ids_b.float().T > 0


def distinct_ids(ids: Tensor) -> int:
    """Return how many different ids there are among (N,) integers or (N, L) labels."""
    return len(torch.unique(ids, dim=0))


def check_ids(ids: Tensor, what: str = "ids") -> str | None:
    """Warn where ids teach nothing: all of them equal, or no two.

    Args:
        ids: (N,) integers or (N, L) labels, of a whole data set or of one batch.
        what: What they are called in the message.

    Returns:
        The warning that was logged, or None.
    """
    n = len(ids)
    if n < 2:
        return None
    distinct = distinct_ids(ids)
    if distinct == 1:
        message = f"all {n} {what} are equal: nothing is a negative of anything"
    elif distinct == n:
        message = f"no two of {n} {what} are equal: nothing but its own pair is a positive"
    else:
        return None
    log.warning("%s.", message)
    return message


@dataclass(frozen=True)
class Pairing:
    """Which of N items on side a and M on side b belong together.

    Args:
        n: N.
        m: M.
        ids_a: (N,) integers or (N, L) labels; None: item i belongs to item i.
        ids_b: (M,) or (M, L); as ``ids_a``.
        targets: (N, M) soft targets, not negative, in place of ids.
    """

    n: int
    m: int
    ids_a: Tensor | None = None
    ids_b: Tensor | None = None
    targets: Tensor | None = None

    @property
    def aligned(self) -> bool:
        """Whether item i of one side belongs to item i of the other, and to no other."""
        return self.ids_a is None and self.targets is None

    def mask(self, device: torch.device | None = None) -> Tensor:
        """Return the positives, (N, M) booleans."""
        if self.ids_a is None or self.ids_b is None:
            return torch.eye(self.n, self.m, dtype=torch.bool, device=device)
        return positive_mask(self.ids_a, self.ids_b)

    def ids_by_tower(self, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Return each side's ids; those of aligned pairs are their numbers."""
        if self.ids_a is None or self.ids_b is None:
            index = torch.arange(self.n, device=device)
            return index, index
        return self.ids_a, self.ids_b

    def view_ids(self, device: torch.device | None = None) -> Tensor:
        """Return the ids of all N + M embeddings, those of a first."""
        return torch.cat(self.ids_by_tower(device))

    def swapped(self) -> Pairing:
        """Return the same with its sides exchanged."""
        targets = None if self.targets is None else self.targets.T
        return Pairing(self.m, self.n, self.ids_b, self.ids_a, targets)

    def own_pairs(self) -> Tensor:
        """Return the number of each item's own pair, (N,).

        Raises:
            DataError: There are not as many items on either side.
        """
        if self.n != self.m:
            problem = f"{self.n} and {self.m} embeddings make no pairs"
            raise DataError(problem, hint="Give as many of b as of a, or same_id='positive'.")
        device = None if self.ids_a is None else self.ids_a.device
        return torch.arange(self.n, device=device)

    @staticmethod
    def of(
        a: Tensor, b: Tensor, ids: Tensor | None, ids_b: Tensor | None, targets: Tensor | None
    ) -> Pairing:
        """Check a batch's shapes and return what pairs its items.

        Raises:
            DataError: Shapes do not fit, or nothing says what belongs together.
        """
        _check_embeddings(a, b)
        n, m = len(a), len(b)
        if targets is not None:
            _check_targets(targets, n, m, ids)
            return Pairing(n, m, targets=targets.to(a.dtype))
        if ids is None:
            if ids_b is not None:
                raise DataError("ids_b is given without ids", hint="Give ids for side a as well.")
            if n != m:
                problem = f"{n} and {m} embeddings without ids: what belongs together?"
                raise DataError(problem, hint="Give ids and ids_b, or as many of b as of a.")
            return Pairing(n, m)
        other = ids if ids_b is None else ids_b
        if len(ids) != n or len(other) != m:
            problem = f"{len(ids)} and {len(other)} ids for {n} and {m} embeddings"
            raise DataError(problem, hint="Give one id an embedding: ids for a, ids_b for b.")
        return Pairing(n, m, ids, other)


def _check_embeddings(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        problem = f"embeddings of shapes {tuple(a.shape)} and {tuple(b.shape)} do not compare"
        raise DataError(problem, hint="Give (N, d) and (M, d), of one width d.")
    if len(a) == 0 or len(b) == 0:
        raise DataError("a batch without embeddings", hint="Leave empty batches out.")


def _check_targets(targets: Tensor, n: int, m: int, ids: Tensor | None) -> None:
    if ids is not None:
        raise DataError("both ids and soft targets are given", hint="Give one of them.")
    if targets.shape != (n, m):
        problem = f"soft targets of shape {tuple(targets.shape)} for {n} and {m} embeddings"
        raise DataError(problem, hint=f"Give ({n}, {m}).")
