"""Semantic groups and difficulty of pictures, from their categories and captions alone."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray

from tutelage.tasks.multimodal.data.groups import numbers
from tutelage.tasks.multimodal.data.pairs import Pairs, normalised

BUCKETS: Final = 256
CLUSTERS: Final = 24
ROUNDS: Final = 12
Floats = NDArray[np.float64]


def semantic_groups(pairs: Pairs, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n,) groups of pictures: their categories, or clusters of their captions' words.

    Args:
        pairs: All pictures.
        rows: (n,) the pictures to group.
    """
    named = [pairs.categories[row] for row in rows]
    if all(named) and len(set(named)) > 1:
        return numbers(named)
    return clustered(hashed_words(pairs, rows), min(CLUSTERS, max(1, len(rows) // 8)))


def hashed_words(pairs: Pairs, rows: NDArray[np.int64]) -> Floats:
    """Return (n, 256) unit vectors: each picture's words, rare ones counting more."""
    counts: Floats = np.zeros((len(rows), BUCKETS))
    for number, words in enumerate(words_of(pairs, rows)):
        for word in words:
            counts[number, xxhash.xxh3_64_intdigest(word.encode()) % BUCKETS] += 1
    weighted = np.sqrt(counts) * np.log(len(rows) / np.maximum((counts > 0).sum(0), 1))
    unit: Floats = weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-9)
    return unit


def words_of(pairs: Pairs, rows: NDArray[np.int64]) -> list[list[str]]:
    """Return the words of all captions of each of some pictures."""
    first, count = pairs.first_caption, pairs.captions_of
    return [
        [
            word.strip(".,;:!?\"'()")
            for caption in range(first[row], first[row] + count[row])
            for word in normalised(pairs.captions[caption]).split()
        ]
        for row in rows
    ]


def clustered(vectors: Floats, count: int) -> NDArray[np.int64]:
    """Return (n,) clusters of unit vectors by spherical k-means, begun with far-apart ones."""
    centres = vectors[:1]
    for _ in range(count - 1):
        nearest = (vectors @ centres.T).max(1)
        centres = np.vstack([centres, vectors[nearest.argmin()]])
    chosen = np.zeros(len(vectors), dtype=np.int64)
    for _ in range(ROUNDS):
        chosen = (vectors @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, chosen, vectors)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-9), centres)
    return chosen


def caption_lengths(pairs: Pairs, rows: NDArray[np.int64]) -> torch.Tensor:
    """Return (n,) how many words each picture's captions have, on average."""
    count = pairs.captions_of[rows]
    lengths = np.array([len(words) for words in words_of(pairs, rows)]) / np.maximum(count, 1)
    return torch.from_numpy(lengths)


def caption_rarity(pairs: Pairs, rows: NDArray[np.int64]) -> torch.Tensor:
    """Return (n,) the mean of minus the log share of each picture's words among all words."""
    words = words_of(pairs, rows)
    often = Counter(word for each in words for word in each)
    total = sum(often.values())
    means = [np.mean([-np.log(often[w] / total) for w in each]) if each else 0.0 for each in words]
    return torch.tensor(means, dtype=torch.float64)
