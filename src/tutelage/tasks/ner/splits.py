"""Who trains, who is held out, who tests: alike texts and groups never straddle a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import Integers
from tutelage.tasks.ner.near_duplicates import Pairs


def families(documents: Sequence[Document], pairs: Pairs) -> Integers:
    """Return (n,) a family number for each text: alike texts, and those of one group, share it."""
    parent = list(range(len(documents)))

    def root(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    def join(a: int, b: int) -> None:
        one, other = sorted((root(a), root(b)))
        parent[other] = one

    for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        join(a, b)
    first_of: dict[str, int] = {}
    for n, document in enumerate(documents):
        if document.group is not None:
            join(first_of.setdefault(document.group, n), n)
    return np.array([root(n) for n in range(len(documents))], np.int64)


def hold_out(family: Integers, share: float, seed: int) -> Integers:
    """Return the numbers of texts to hold out, ascending: whole families, about ``share`` of all.

    Families come in an order drawn from ``seed``; one that is larger than what is still wanted
    stays. At least one family is held out where there are two.

    Args:
        family: (n,) family of each text.
        share: Share of the texts to hold out.
        seed: Seed of the order.
    """
    names, sizes = np.unique(family, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    wanted = max(1, round(share * len(family)))
    chosen: list[int] = []
    for place in order.tolist():
        if sizes[place] <= wanted:
            chosen.append(int(names[place]))
            wanted -= int(sizes[place])
    if not chosen and len(names) > 1:
        chosen.append(int(names[sizes.argmin()]))
    return np.flatnonzero(np.isin(family, chosen))


@dataclass(frozen=True, slots=True, eq=False)
class Straddling:
    """Texts of one part that are of a family with texts of another part.

    Args:
        texts: (n,) numbers of the texts of the part that gives way, ascending.
        likes: (n,) for each the number of a text of the other part that is of its family.
        same: How many of them are the very same text as one of the other part, case apart.
    """

    texts: Integers
    likes: Integers
    same: int


def straddling(
    family: Integers, original: Integers, gives_way: Integers, stays: Integers
) -> Straddling:
    """Find the texts of ``gives_way`` that are of a family with one of ``stays``.

    Args:
        family: (n,) as `families` says.
        original: (n,) the first text that is the same as each.
        gives_way: Numbers of texts.
        stays: Numbers of texts.
    """
    theirs, at = np.unique(family[stays], return_index=True)
    texts = gives_way[np.isin(family[gives_way], theirs)]
    likes = stays[at[np.searchsorted(theirs, family[texts])]]
    same = np.isin(original[texts], original[stays]).sum()
    return Straddling(texts, likes, int(same))
