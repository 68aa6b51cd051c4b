"""What belongs together: pictures that share a caption, or look the same, get one id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from tutelage.tasks.multimodal.data.pairs import Pairs, normalised

COARSE, LEVELS = 16, 16
"""Side and levels of the thumbnails by which two pictures are the same."""


def group_ids(pairs: Pairs, looks: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return (N,) ids, equal for what shares a caption, a group or its looks, or is linked so.

    These ids say what is a positive of what in losses, samplers and recall, and no id is in two
    splits. Captions are compared in lower case with single spaces; pictures by thumbnails of 16×16
    pixels in 16 levels, so that exact and recompressed copies are found.

    Args:
        pairs: The pictures.
        looks: (N,) their `thumbnail_digests`.
    """
    captions = numbers([normalised(caption) for caption in pairs.captions])
    ids = np.arange(len(pairs))
    named = np.array([bool(group) for group in pairs.groups])
    groups = np.where(named, numbers(pairs.groups), len(pairs) + np.arange(len(pairs)))
    while True:
        before = ids
        for image, key in (
            (pairs.image_of, captions),
            (np.arange(len(pairs)), numbers(looks)),
            (np.arange(len(pairs)), groups),
        ):
            least = np.full(int(key.max(initial=0)) + 1, len(pairs))
            np.minimum.at(least, key, ids[image])
            joined = ids.copy()
            np.minimum.at(joined, image, least[key])
            ids = joined
        if np.array_equal(before, ids):
            return np.unique(ids, return_inverse=True)[1].astype(np.int64)


def numbers(keys: Sequence[str] | NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return a number for each key, the same for equal ones."""
    return np.unique(np.asarray(keys), return_inverse=True)[1].astype(np.int64)


def thumbnail_digests(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return (N,) digests, equal for pictures that look the same at 16×16 pixels in 16 levels."""
    digests = np.empty(len(images), dtype=np.uint64)
    for number, image in enumerate(images):
        digests[number] = xxhash.xxh3_64_intdigest(thumbnail(image).tobytes())
    return digests


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (16, 16, 3) means of a picture's blocks in 16 levels."""
    side = image.shape[0]
    block = max(1, side // COARSE)
    cut = image[: block * (side // block), : block * (side // block)]
    parts = cut.reshape(side // block, block, side // block, block, 3).mean(axis=(1, 3))
    levels: NDArray[np.uint8] = np.round(parts * ((LEVELS - 1) / 255)).astype(np.uint8)
    return levels
