"""`tutelage audit multimodal`: bad pictures, repeats, near repeats across splits, odd captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.core.records import AuditStamp, Table
from tutelage.task import Audit
from tutelage.tasks.multimodal.config import MultimodalConfig
from tutelage.tasks.multimodal.data.groups import group_ids, thumbnail, thumbnail_digests
from tutelage.tasks.multimodal.data.pairs import Pairs, normalised
from tutelage.tasks.multimodal.data.sources import load_pairs
from tutelage.tasks.multimodal.data.splits import SPLITS, Split, split_pairs
from tutelage.tasks.multimodal.datamodule import SPLIT_SEED

LARGE_GROUP = 0.2
"""Share of all pictures above which one group is worth a warning."""
NEAR = 0.5
"""Root of the mean squared difference of thumbnails, in levels, below which they are near."""
PLAIN = 0.25
"""A difference counts as small below this share of a picture's own deviation, too: pictures that
are nearly white all over are near to each other in nothing else."""
SHOWN = 20
_CHUNK = 256


def audit(config: MultimodalConfig, cache: Path) -> Audit:
    """Look at the pictures, their captions, and the split that training would make.

    Raises:
        DataError: The data are missing, malformed, too few, or too much of them is bad.
    """
    pairs = load_pairs(config.data, cache)
    ids = group_ids(pairs, thumbnail_digests(pairs.images))
    data = config.data
    split = split_pairs(pairs, ids, data.validation_fraction, data.test_fraction, SPLIT_SEED)
    findings = [*_findings(pairs, ids), *split.findings]
    near = near_repeats(pairs, split)
    if near:
        findings.append(
            f"{len(near)} test pictures nearly look like a training picture, under other captions"
        )
    stamp = AuditStamp(verdict="warnings" if findings else "clean", findings=tuple(findings))
    tables = (_inventory(pairs, ids, split), _bad(pairs), _near_table(pairs, near))
    return Audit(stamp, tuple(table for table in tables if table.rows))


def _findings(pairs: Pairs, ids: NDArray[np.int64]) -> Iterator[str]:
    report = pairs.report
    if report.bad:
        yield f"{len(report.bad)} of {report.asked} pictures can't be used"
    if report.empty_captions:
        yield f"{report.empty_captions} captions are empty"
    sizes = np.bincount(ids)
    if sizes.max() > LARGE_GROUP * len(pairs):
        caption, count = Counter(map(normalised, pairs.captions)).most_common(1)[0]
        yield (
            f"{int(sizes.max())} of {len(pairs)} pictures belong together by shared captions or "
            f"looks; the commonest caption, {caption!r}, has {count}"
        )


def near_repeats(pairs: Pairs, split: Split) -> list[tuple[int, int]]:
    """Return each test picture that nearly looks like a training picture, with that one."""
    small = np.stack([thumbnail(image) for image in pairs.images]).astype(np.float32)
    flat = small.reshape(len(small), -1)
    train = flat[split.train]
    squares = (train**2).sum(1)
    found: list[tuple[int, int]] = []
    for rows in np.array_split(split.test, max(1, len(split.test) // _CHUNK)):
        distance = (flat[rows] ** 2).sum(1)[:, None] - 2 * flat[rows] @ train.T + squares
        nearest = distance.argmin(1)
        limit = np.minimum(NEAR, PLAIN * flat[rows].std(1)) ** 2 * flat.shape[1]
        close = distance[np.arange(len(rows)), nearest] < limit
        found += zip(rows[close].tolist(), split.train[nearest[close]].tolist(), strict=True)
    return found


def _inventory(pairs: Pairs, ids: NDArray[np.int64], split: Split) -> Table:
    parts = (split.train, split.validation, split.test)
    rows = tuple(
        (
            name,
            len(part),
            int(pairs.captions_of[part].sum()),
            len(np.unique(ids[part])),
            int(np.bincount(ids[part]).max()),
        )
        for name, part in zip(SPLITS, parts, strict=True)
    )
    columns = ("split", "pictures", "captions", "groups", "largest group")
    return Table(title="Pictures", columns=columns, rows=rows)


def _bad(pairs: Pairs) -> Table:
    bad = pairs.report.bad
    note = f"The first {SHOWN} of {len(bad)}." if len(bad) > SHOWN else ""
    return Table(
        title="Pictures left out", columns=("picture", "reason"), rows=bad[:SHOWN], note=note
    )


def _near_table(pairs: Pairs, near: list[tuple[int, int]]) -> Table:
    rows = tuple((pairs.names[a], pairs.names[b]) for a, b in near[:SHOWN])
    note = f"The first {SHOWN} of {len(near)}." if len(near) > SHOWN else ""
    columns = ("test picture", "training picture")
    return Table(title="Nearly alike across the split", columns=columns, rows=rows, note=note)
