"""Which texts are the same or nearly so: exact hashes, MinHash for candidates, Jaccard to be sure.

Broder 1997, "On the resemblance and containment of documents"; banding as in Leskovec, Rajaraman
and Ullman, "Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import Integers

Hashes = NDArray[np.uint64]
RUN: Final = 3
"""Words in a run."""
BANDS: Final = 24
ROWS: Final = 3
"""A pair of Jaccard similarity s is compared with probability 1 - (1 - s^3)^24: .99 at s = .56,
more than .9999999 at .8."""
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_CHUNK: Final = 1 << 18
_CROWD: Final = 64
"""Texts that agree in a band beyond which each is compared with the first of them alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of texts that are the same or nearly so.

    Args:
        first: (n,) number of a text.
        second: (n,) number of a later one that is like it.
        similarity: (n,) Jaccard similarity of their runs of words; 1 where they are the same.
        original: (texts,) for each text the number of the first that is the same, case apart.
    """

    first: Integers
    second: Integers
    similarity: NDArray[np.float64]
    original: Integers


def find_pairs(documents: Sequence[Document], threshold: float) -> Pairs:
    """Find texts that share at least ``threshold`` of their runs of three words, case apart.

    Of texts that are the same, each is paired with the first alone; of texts shorter than a run,
    only the same are found.

    Args:
        documents: The texts.
        threshold: Smallest Jaccard similarity of a pair.
    """
    words = _word_hashes(documents)
    whole = _whole(words)
    _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    original = first[group]
    copies = np.flatnonzero(original != np.arange(len(documents)))
    runs = {int(n): _runs(words[n]) for n in np.sort(first) if len(words[n]) >= RUN}
    found = _near(runs, threshold)
    return Pairs(
        np.array([*original[copies], *(a for a, _, _ in found)], np.int64),
        np.array([*copies, *(b for _, b, _ in found)], np.int64),
        np.array([*np.ones(len(copies)), *(similarity for _, _, similarity in found)]),
        original.astype(np.int64),
    )


def text_hashes(documents: Sequence[Document]) -> Hashes:
    """Return (n,) a number for each text, the same for those that are the same, case apart."""
    return _whole(_word_hashes(documents))


def _whole(words: Sequence[Hashes]) -> Hashes:
    return np.array([xxhash.xxh3_64_intdigest(each.tobytes()) for each in words], np.uint64)


def _word_hashes(documents: Sequence[Document]) -> list[Hashes]:
    known: dict[str, int] = {}

    def digest(word: str) -> int:
        found = known.get(word)
        if found is None:
            found = known[word] = xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass"))
        return found

    texts = (document.text.casefold().split() for document in documents)
    return [np.array([digest(word) for word in text], np.uint64) for text in texts]


def _runs(words: Hashes) -> Hashes:
    """Return the distinct hashes of the runs of three words of a text, ascending."""
    n = len(words) - RUN + 1
    mixed = words[:n].copy()
    for k in range(1, RUN):
        mixed = _scramble(mixed * _MIX + words[k : k + n])
    return np.unique(mixed)


def _scramble(x: Hashes) -> Hashes:
    """Mix the bits of each number (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _near(runs: dict[int, Hashes], threshold: float) -> list[tuple[int, int, float]]:
    """Return the pairs of texts that share enough runs, and how much they share, ascending."""
    if not runs:
        return []
    numbers, found = list(runs), []
    for a, b in sorted(_candidates(_signatures(list(runs.values())))):
        similarity = _jaccard(runs[numbers[a]], runs[numbers[b]])
        if similarity >= threshold:
            found.append((numbers[a], numbers[b], similarity))
    return found


def _candidates(signatures: Hashes) -> set[tuple[int, int]]:
    """Return the pairs of rows that agree in a band."""
    candidates: set[tuple[int, int]] = set()
    for band in range(BANDS):
        key = signatures[:, band * ROWS]
        for row in range(1, ROWS):
            key = _scramble(key * _MIX + signatures[:, band * ROWS + row])
        order = np.argsort(key, kind="stable")
        cuts = np.flatnonzero(np.diff(key[order])) + 1
        for same in np.split(order, cuts):
            rest = same.tolist()
            if len(rest) <= _CROWD:
                candidates.update((a, b) for i, a in enumerate(rest) for b in rest[i + 1 :])
            else:
                candidates.update((min(rest[0], b), max(rest[0], b)) for b in rest[1:])
    return candidates


def _signatures(runs: Sequence[Hashes]) -> Hashes:
    """Return (texts, bands x rows): the smallest of each text's runs under each of the hashes."""
    counts = np.array([len(run) for run in runs])
    seeds = _scramble(np.arange(1, BANDS * ROWS + 1, dtype=np.uint64) * _MIX)
    out = np.empty((len(runs), len(seeds)), np.uint64)
    begin = 0
    while begin < len(runs):
        end = begin + max(1, int(np.searchsorted(np.cumsum(counts[begin:]), _CHUNK, "right")))
        flat = np.concatenate(runs[begin:end])
        starts = np.cumsum(counts[begin:end]) - counts[begin:end]
        for k, seed in enumerate(seeds):
            out[begin:end, k] = np.minimum.reduceat(_scramble(flat ^ seed), starts)
        begin = end
    return out


def _jaccard(a: Hashes, b: Hashes) -> float:
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)
