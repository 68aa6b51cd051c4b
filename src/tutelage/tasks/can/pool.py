"""The pool that folds are dealt from: what trains and validates, cut into pieces of time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.core.files import digest_json, write_json
from tutelage.core.fingerprint import source_digest
from tutelage.tasks.can.captures import ATTACK_FREE, Capture, captures_fingerprint
from tutelage.tasks.can.config import CANData
from tutelage.tasks.can.division import Division, divide_pool
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.ingest import vehicle_of
from tutelage.tasks.can.overlap import LIMIT, common_share, sequence_hashes
from tutelage.tasks.can.splits import CaptureSplit, Mask, window_times

PIECES = 10
"""Most pieces that a capture's time is cut into."""
EMBARGOES = 10
"""Length of a short capture's pieces, in embargoes, so that what is left out costs little."""
FOLDER = "pools"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a capture's time, which trains or is held out as one.

    Args:
        id: Label of its capture, its number there, and a digest of what is in it.
        capture: Label of its capture.
        group: What it belongs together with.
        stratum: Its vehicle, if names tell, else its set; and the attack in it, if there is one.
        runs: First window of each of its runs of windows, and the one after the last.
    """

    id: str
    capture: str
    group: str
    stratum: str
    runs: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Its windows."""
        return sum(stop - start for start, stop in self.runs)

    def mask(self, count: int) -> Mask:
        """Return which of a capture's windows (count,) are its own."""
        own = np.zeros(count, bool)
        for start, stop in self.runs:
            own[start:stop] = True
        return own


@dataclass(frozen=True, slots=True)
class Pool:
    """Every piece of the training captures; each window of the pool is in one of them.

    Args:
        pieces: The pieces, by capture and time.
        kept: Share of each capture's time, at its end, that tests and is in no piece.
        findings: What was left out, in words.
    """

    pieces: tuple[Piece, ...]
    kept: float
    findings: tuple[str, ...]

    @classmethod
    def of(cls, division: Division, data: CANData) -> Self:
        """Cut what trains into pieces of time, those of the same traffic in a group."""
        cut = [
            (piece, split.capture)
            for split in division.splits
            if split.train.any()
            for piece in _cut(split, data, division.kept)
        ]
        groups = _groups(cut, data)
        pieces = tuple(
            replace(piece, group=group) for (piece, _), group in zip(cut, groups, strict=True)
        )
        return cls(pieces, division.kept, division.findings)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what `dataclasses.asdict` made JSON of."""
        pieces = (
            Piece(**piece | {"runs": tuple((first, stop) for first, stop in piece["runs"])})
            for piece in value["pieces"]
        )
        return cls(tuple(pieces), value["kept"], tuple(value["findings"]))


def read_pool(data: CANData, cache: Path) -> Pool:
    """Return the pool of the captures that ``data`` names, as it was first cut.

    To cut it, training captures are compared with test captures, so that what stands in both is in
    no fold; labels of test captures are not read. Once it is in the cache, none of them is opened.

    Raises:
        DataError: The data are missing or malformed, or nothing trains.
    """
    rules = data.model_dump(mode="json", exclude={"root", "split_file", "fold"})
    key = digest_json([captures_fingerprint(data), rules, source_digest()])
    path = cache / FOLDER / f"{key}.json"
    if path.exists():
        return Pool.from_json(json.loads(path.read_text(encoding="utf-8")))
    pool = Pool.of(divide_pool(data, cache), data)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(pool))
    return pool


def _cut(split: CaptureSplit, data: CANData, kept: float) -> Iterator[Piece]:
    """Cut the pool's windows of a capture into pieces of equal time, by when each begins.

    Where the cuts are, and so the pieces' names, does not depend on the windows: a study may search
    for their length.
    """
    capture = split.capture
    times = capture.frames.timestamp
    first, last = float(times.min()), float(times.max())
    length = (1 - kept) * (last - first)
    count = PIECES
    if data.embargo_seconds:
        count = int(np.clip(round(length / (EMBARGOES * data.embargo_seconds)), 1, PIECES))
    start, _ = window_times(capture.frames, data.window, data.stride)
    number = np.clip((start - first) * (count / max(length, 1e-9)), 0, count - 1).astype(np.int64)
    attacked = _attacked(capture.frames, data)
    vehicle = _vehicle(capture)
    for piece in range(count):
        mask = split.train & (number == piece)
        if mask.any():
            kind = capture.attack if attacked[mask].any() else ATTACK_FREE
            stratum = " ".join(word for word in (vehicle, kind) if word)
            content = digest_json([capture.digest, piece, count, kept])
            name = f"{capture.label}#{piece + 1}@{content[:8]}"
            yield Piece(name, capture.label, name, stratum, _runs(mask))


def _attacked(frames: Frames, data: CANData) -> Mask:
    """Return which windows (W,) hold a frame of an attack."""
    before = np.concatenate([[0], np.cumsum(frames.label == ATTACK)])
    first = np.arange(0, len(frames) - data.window + 1, data.stride)
    found: Mask = before[first + data.window] > before[first]
    return found


def _runs(mask: Mask) -> tuple[tuple[int, int], ...]:
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(np.int8), 1)))
    return tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))


def _groups(cut: Sequence[tuple[Piece, Capture]], data: CANData) -> list[str]:
    """Return a group for each piece, named after its first one.

    Together are those that `data.fold_by` says, and those of different captures that share traffic:
    captures that share much are not both in the pool, but a piece may still stand in another one.

    Raises:
        DataError: They are to be dealt by vehicle, and a name tells none.
    """
    keys = [_together(piece, capture, data) for piece, capture in cut]
    group = [keys.index(key) for key in keys]
    hashes = [_hashes(piece, capture, data) for piece, capture in cut]
    for one in _shared_elsewhere(cut, hashes):
        for other in range(len(cut)):
            apart = cut[one][0].capture != cut[other][0].capture
            if apart and group[one] != group[other]:
                pair = sorted((hashes[one], hashes[other]), key=len)
                if common_share(*pair) > LIMIT:
                    low, high = sorted((group[one], group[other]))
                    group = [low if g == high else g for g in group]
    return [cut[first][0].id for first in group]


def _together(piece: Piece, capture: Capture, data: CANData) -> str:
    """What a piece belongs to by `data.fold_by`."""
    if data.fold_by == "time":
        return piece.id
    if data.fold_by == "capture":
        return capture.label
    if not (vehicle := _vehicle(capture)):
        raise DataError(
            f"the name of {capture.label} tells no vehicle",
            where=data.root,
            hint="Name captures after their vehicle (DoS-kia), put those of each in a set "
            "(set_01/…), or set data.fold_by=capture.",
        )
    return vehicle


def _vehicle(capture: Capture) -> str:
    """Its vehicle as names tell it, else its set."""
    return vehicle_of(capture.name) or capture.group


def _hashes(piece: Piece, capture: Capture, data: CANData) -> NDArray[np.uint64]:
    """The sorted distinct hashes of a piece's sequences of frames."""
    stride, window, frames = data.stride, data.window, capture.frames
    runs = (frames[first * stride : (stop - 1) * stride + window] for first, stop in piece.runs)
    found = [sequence_hashes(run) for run in runs]
    return np.unique(np.concatenate(found))


def _shared_elsewhere(
    cut: Sequence[tuple[Piece, Capture]], hashes: Sequence[NDArray[np.uint64]]
) -> list[int]:
    """Numbers of pieces of which enough stands in other captures to be worth a closer look."""
    labels = sorted({piece.capture for piece, _ in cut})
    number = np.array([labels.index(piece.capture) for piece, _ in cut])
    every = np.concatenate(hashes)
    owner = np.repeat(number, [len(one) for one in hashes])
    order = np.lexsort((owner, every))
    every, owner = every[order], owner[order]
    several = (every[1:] == every[:-1]) & (owner[1:] != owner[:-1])
    common = np.unique(every[1:][several])
    least = LIMIT * min(len(one) for one in hashes)
    return [at for at, one in enumerate(hashes) if np.isin(one, common).sum() > least]
