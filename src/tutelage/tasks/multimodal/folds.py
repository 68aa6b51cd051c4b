"""Pairs as what folds are dealt from: whole groups of pictures that belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.core.files import digest_json
from tutelage.core.folds import FoldUnits
from tutelage.tasks.multimodal.data.pairs import Pairs
from tutelage.tasks.multimodal.data.splits import Split


def pool_of(split: Split) -> NDArray[np.int64]:
    """Return the pictures that train or validate without folds, ascending."""
    return np.sort(np.concatenate([split.train, split.validation]))


def unit_names(pairs: Pairs, looks: NDArray[np.uint64]) -> list[str]:
    """Return (N,) a name for each picture: its own, with a digest of its looks and its captions.

    Args:
        pairs: The pictures.
        looks: (N,) their `thumbnail_digests`.
    """
    ends = np.cumsum(pairs.captions_of)
    starts = ends - pairs.captions_of
    spans = zip(pairs.names, looks.tolist(), starts.tolist(), ends.tolist(), strict=True)
    names, used = [], Counter[str]()
    for name, look, start, end in spans:
        content = digest_json([look, list(pairs.captions[start:end])])
        full = f"{name}@{content[:8]}"
        used[full] += 1
        names.append(full if used[full] == 1 else f"{full}~{used[full]}")
    return names


def fold_units(
    pairs: Pairs, ids: NDArray[np.int64], names: Sequence[str], rows: NDArray[np.int64]
) -> FoldUnits:
    """Return some pictures as units, with what belongs together, and their categories.

    Args:
        pairs: The pictures.
        ids: (N,) what each belongs together with.
        names: (N,) their `unit_names`.
        rows: (n,) the pictures of the pool.
    """
    _, first = np.unique(ids, return_index=True)
    categories = tuple(pairs.categories[row] for row in rows)
    return FoldUnits(
        ids=tuple(names[row] for row in rows),
        groups=tuple(names[first[ids[row]]] for row in rows),
        strata=categories if any(categories) else None,
    )
