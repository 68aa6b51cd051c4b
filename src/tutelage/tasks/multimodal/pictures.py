"""Pictures for the report: what lies closest to captions, and to pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

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


Similar = Callable[[int], Tensor]
"""Of a query's number, its similarities to all candidates."""


def cosines(e: Embedded) -> tuple[Similar, Similar]:
    """Similarities of a caption to pictures, and of a picture to captions."""
    return lambda query: e.images @ e.texts[query], lambda query: e.texts @ e.images[query]


def gallery(
    embedded: Embedded, pairs: Pairs, count: int, similar: tuple[Similar, Similar]
) -> tuple[tuple[Table, ...], dict[str, bytes]]:
    """Return tables of evenly chosen queries with what is closest, and the files that they name.

    Args:
        embedded: Test pictures and captions.
        pairs: All pictures and captions.
        count: Queries of each direction.
        similar: How similar a caption is to pictures, and a picture to captions.

    Returns:
        The tables, whose cells name PNG files, and the files.
    """
    if not count:
        return (), {}
    files: dict[str, bytes] = {}
    rows = []
    shown = _for_captions(embedded, pairs, count, similar[0])
    for number, (caption, strip, rank) in enumerate(shown, 1):
        files[name := f"closest-to-caption-{number:02}.png"] = strip
        rows.append((caption, name, f"{rank} of {len(embedded.images)}"))
    to_image = Table(
        title="Pictures closest to a caption",
        columns=("caption", "the closest first; green: right", "first right at"),
        rows=tuple(rows),
    )
    named = []
    found = _for_pictures(embedded, pairs, count, similar[1])
    for number, (picture, captions) in enumerate(found, 1):
        files[name := f"closest-to-picture-{number:02}.png"] = picture
        named.append((name, captions))
    to_text = Table(
        title="Captions closest to a picture",
        columns=("picture", "the closest first; ✓: right"),
        rows=tuple(named),
    )
    return (to_image, to_text), files


def _for_captions(
    e: Embedded, pairs: Pairs, count: int, similar: Similar
) -> Iterator[tuple[str, bytes, int]]:
    """Captions, their closest pictures, and the place of the first right one among all."""
    for query in _chosen(len(e.texts), count):
        scores, right = similar(query), e.image_ids == e.text_ids[query]
        best = scores.topk(min(CLOSEST, len(e.images))).indices
        images = pairs.images[e.rows[best.numpy()]]
        rank = int((scores > scores[right].max()).sum()) + 1
        yield pairs.captions[e.caption_rows[query]], strip(images, right[best].tolist()), rank


def _for_pictures(
    e: Embedded, pairs: Pairs, count: int, similar: Similar
) -> Iterator[tuple[bytes, str]]:
    for query in _chosen(len(e.images), count):
        best = similar(query).topk(min(CLOSEST, len(e.texts))).indices
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
