"""Pictures decoded once: a memory-mapped array of bytes in the cache, with a list beside it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from tutelage.core.files import fsync_folder, storage_errors, write_json
from tutelage.tasks.multimodal.data.decode import Decoded

_log = logging.getLogger(__name__)
Bad = tuple[tuple[int, str], ...]
"""Number of each entry without a picture, with the reason."""


def cached_images(
    folder: Path, key: str, names: Sequence[str], size: int, decoded: Iterator[Decoded]
) -> tuple[NDArray[np.uint8], Bad]:
    """Return the pictures under ``key``, decoding them where the cache has none.

    Args:
        folder: Of the cache.
        key: Digest of everything that the pictures depend on.
        names: Of all entries, readable or not.
        size: Side of a picture.
        decoded: Yields the picture of each entry, or a reason; read only when it is needed.

    Returns:
        The readable pictures in order, (N, size, size, 3), mapped; and the entries without.
    """
    array, listing = folder / f"{key}.npy", folder / f"{key}.json"
    if listing.exists():
        try:
            return _opened(array, listing, len(names), size)
        except (ValueError, OSError, KeyError) as error:
            _log.warning("rebuilt a damaged cache file: %s", error)
            listing.unlink()
    with storage_errors(array):
        folder.mkdir(parents=True, exist_ok=True)
        bad = _write(array, len(names), size, decoded)
    write_json(listing, {"bad": bad, "images": len(names) - len(bad)})  # last: it makes it whole
    return _opened(array, listing, len(names), size)


def _write(path: Path, count: int, size: int, decoded: Iterator[Decoded]) -> list[tuple[int, str]]:
    """Write the pictures, readable ones first and without gaps; return what has none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    bad: list[tuple[int, str]] = []
    try:
        images = open_memmap(temporary, "w+", np.uint8, (count, size, size, 3))
        for number, image in enumerate(decoded):
            if isinstance(image, str):
                bad.append((number, image))
            else:
                images[number - len(bad)] = image
        images.flush()
        temporary.replace(path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return bad


def _opened(array: Path, listing: Path, count: int, size: int) -> tuple[NDArray[np.uint8], Bad]:
    """Map what was written.

    Raises:
        ValueError: The files do not fit one another.
    """
    said = json.loads(listing.read_text(encoding="utf-8"))
    bad = tuple((int(number), str(reason)) for number, reason in said["bad"])
    images = np.load(array, mmap_mode="r")
    if images.shape != (count, size, size, 3) or images.dtype != np.uint8:
        raise ValueError(f"{array.name} has the shape {images.shape}")
    if said["images"] != count - len(bad):
        raise ValueError(f"{listing.name} tells another number of pictures")
    return images[: count - len(bad)], bad
