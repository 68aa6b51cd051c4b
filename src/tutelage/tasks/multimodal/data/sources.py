"""From what `data.*` names to `Pairs`: embedded sets, folders with captions, shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tutelage.core.errors import DataError
from tutelage.core.files import digest_file, digest_json, require_inside
from tutelage.tasks.multimodal.data.decode import Decoded, decode_all
from tutelage.tasks.multimodal.data.embedded import (
    Described,
    embedded_digest,
    embedded_images,
    embedded_texts,
)
from tutelage.tasks.multimodal.data.entries import (
    Entry,
    bare_pictures,
    find_sources,
    read_entries,
)
from tutelage.tasks.multimodal.data.pairs import Pairs, ReadReport
from tutelage.tasks.multimodal.data.store import cached_images

if TYPE_CHECKING:
    from tutelage.tasks.multimodal.config import MultimodalData

DECODER = 1
"""Version of what decoding makes of a file; part of the cache's keys."""


def pairs_fingerprint(data: MultimodalData) -> str:
    """Digest the content of the pictures and captions that ``data`` names.

    Raises:
        DataError: They are missing or unreadable.
    """
    if data.root is None:
        return embedded_digest(data.embedded)
    sources = find_sources(data.root)
    parts = [_digest_source(path) for path in sources]
    if sources[0].suffix != ".tar":
        entries = read_entries(sources, data.columns.given(), data.links)
        parts += [_digest_entry(entry) for entry in entries]
    return digest_json(parts)


def _digest_source(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", where=path) from error


def _digest_entry(entry: Entry) -> str:
    """Digest a picture's file; one that can't be read is part of the content too."""
    try:
        return digest_file(entry.path)
    except OSError:
        return ""


def _content(data: MultimodalData, entries: Sequence[Entry | Described]) -> str:
    """Digest what pictures are decoded from."""
    if data.root is not None and (bare := bare_pictures(data.root)):
        return digest_json([_digest_entry(entry) for entry in bare])
    return pairs_fingerprint(data)


def load_pairs(data: MultimodalData, cache: Path) -> Pairs:
    """Read captions, decode pictures (once), and leave out what is bad, by name.

    A folder of pictures alone, which can't train, is read without captions.

    Raises:
        DataError: The data are missing or malformed, or more than `data.bad_share` is bad.
    """
    entries = _entries(data)
    names = [entry.name for entry in entries]
    key = digest_json([DECODER, _content(data, entries), names, data.size, data.fit])
    decoded = (
        _embedded(data) if data.root is None else decode_all(_own(entries), data.size, data.fit)
    )
    images, unreadable = cached_images(cache / "images", key, names, data.size, decoded)
    reasons = dict(unreadable)
    kept = [entry for number, entry in enumerate(entries) if number not in reasons]
    empty = sum(not text.strip() for entry in entries for text, _ in entry.captions)
    told = [[(t.strip(), lang) for t, lang in entry.captions if t.strip()] for entry in kept]
    with_text = np.array([bool(captions) for captions in told], dtype=bool)
    if not any(entry.captions for entry in entries):
        with_text[:] = True  # pictures alone, to be embedded
    bad = [(names[number], reason) for number, reason in unreadable]
    bad += [(e.name, "has no caption") for e, some in zip(kept, with_text, strict=True) if not some]
    report = ReadReport(len(entries), tuple(bad), empty)
    _check_share(report, data)
    rows = [row for row, some in zip(range(len(kept)), with_text, strict=True) if some]
    chosen = [kept[row] for row in rows]
    flat = [(number, *one) for number, row in enumerate(rows) for one in told[row]]
    return Pairs(
        images=images if with_text.all() else images[with_text],
        names=[entry.name for entry in chosen],
        captions=[text for _, text, _ in flat],
        image_of=np.array([number for number, _, _ in flat], dtype=np.int64),
        languages=[language for _, _, language in flat],
        categories=[entry.category for entry in chosen],
        groups=[entry.group for entry in chosen],
        splits=[entry.split if isinstance(entry, Entry) else "" for entry in chosen],
        report=report,
    )


def _entries(data: MultimodalData) -> Sequence[Entry | Described]:
    if data.root is None:
        return embedded_texts(data.embedded, data.languages)
    if bare := bare_pictures(data.root):
        if data.links == "inside":
            require_inside(data.root, (entry.path for entry in bare))
        return bare
    entries = read_entries(find_sources(data.root), data.columns.given(), data.links)
    if not data.languages:
        return entries
    return [entry.speaking(data.languages) for entry in entries]


def _own(entries: Sequence[Entry | Described]) -> list[Entry]:
    return [entry for entry in entries if isinstance(entry, Entry)]


def _embedded(data: MultimodalData) -> Iterator[Decoded]:
    yield from embedded_images(data.embedded, data.size, data.fit)


def _check_share(report: ReadReport, data: MultimodalData) -> None:
    """Refuse data of which too much is bad, or all.

    Raises:
        DataError: More than `data.bad_share` of the pictures is left out, or nothing is left.
    """
    share = len(report.bad) / max(report.asked, 1)
    if share <= data.bad_share and len(report.bad) < report.asked:
        return
    shown = "; ".join(f"{name} {reason}" for name, reason in report.bad[:5])
    more = f" and {len(report.bad) - 5} more" if len(report.bad) > 5 else ""
    raise DataError(
        f"{len(report.bad)} of {report.asked} pictures can't be used: {shown}{more}",
        where=data.root,
        hint="Mend or remove them; data.bad_share is the share that may be bad "
        f"(now {data.bad_share:g}).",
    )
