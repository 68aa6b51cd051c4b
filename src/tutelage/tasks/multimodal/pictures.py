"""Pictures for the report: what lies closest to captions, and to pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tutelage.core.records import Table
from tutelage.tasks.multimodal.data.pairs import Pairs
from tutelage.training.samplers import permutation

if TYPE_CHECKING:
    from tutelage.tasks.multimodal.evaluation import Embedded

SIDE: Final = 64
"""Side of a picture in the report."""
BORDER: Final = 4
RIGHT, WRONG = (35, 140, 60), (215, 215, 215)
CLOSEST: Final = 5


def gallery(
    embedded: Embedded, pairs: Pairs, count: int
) -> tuple[tuple[Table, ...], dict[str, bytes]]:
    """Return tables of evenly chosen queries with what is closest, and the files that they name.

    Args:
        embedded: Test pictures and captions.
        pairs: All pictures and captions.
        count: Queries of each direction.

    Returns:
        The tables, whose cells name PNG files, and the files.
    """
    if not count:
        return (), {}
    files: dict[str, bytes] = {}
    rows = []
    for number, (caption, strip) in enumerate(_for_captions(embedded, pairs, count), 1):
        files[name := f"closest-to-caption-{number:02}.png"] = strip
        rows.append((caption, name))
    to_image = Table(
        title="Pictures closest to a caption",
        columns=("caption", "the closest first; green: right"),
        rows=tuple(rows),
    )
    rows = []
    for number, (picture, captions) in enumerate(_for_pictures(embedded, pairs, count), 1):
        files[name := f"closest-to-picture-{number:02}.png"] = picture
        rows.append((name, captions))
    to_text = Table(
        title="Captions closest to a picture",
        columns=("picture", "the closest first; ✓: right"),
        rows=tuple(rows),
    )
    return (to_image, to_text), files


def _for_captions(e: Embedded, pairs: Pairs, count: int) -> Iterator[tuple[str, bytes]]:
    for query in _chosen(len(e.texts), count):
        best = (e.images @ e.texts[query]).topk(min(CLOSEST, len(e.images))).indices
        right = (e.image_ids[best] == e.text_ids[query]).tolist()
        images = pairs.images[e.rows[best.numpy()]]
        yield pairs.captions[e.caption_rows[query]], strip(images, right)


def _for_pictures(e: Embedded, pairs: Pairs, count: int) -> Iterator[tuple[bytes, str]]:
    for query in _chosen(len(e.images), count):
        best = (e.texts @ e.images[query]).topk(min(CLOSEST, len(e.texts))).indices
        right = (e.text_ids[best] == e.image_ids[query]).tolist()
        captions = [pairs.captions[e.caption_rows[row]] for row in best.tolist()]
        marked = [f"✓ {c}" if yes else c for c, yes in zip(captions, right, strict=True)]
        yield strip(pairs.images[e.rows[[query]]], [False]), " · ".join(marked)


def _chosen(total: int, count: int) -> list[int]:
    """Numbers of the queries that are shown: the same for the same data."""
    chosen: list[int] = torch.sort(permutation(0, 0, total)[:count]).values.tolist()
    return chosen


def strip(images: NDArray[np.uint8], right: Sequence[bool]) -> bytes:
    """Return (n, S, S, 3) pictures side by side as a PNG file, the right ones framed in green."""
    step = SIDE + 2 * BORDER
    sheet = Image.new("RGB", (step * len(images), step), "white")
    for place, (image, yes) in enumerate(zip(images, right, strict=True)):
        frame = Image.new("RGB", (step - 2, step - 2), RIGHT if yes else WRONG)
        small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        frame.paste(small, (BORDER - 1, BORDER - 1))
        sheet.paste(frame, (place * step + 1, 1))
    buffer = io.BytesIO()
    sheet.save(buffer, "png", optimize=True)
    return buffer.getvalue()
