"""Which rows train, validate and test: by stimulus content, trial or stretch, with an embargo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.tasks.neural.config import Split
from tutelage.tasks.neural.sessions.session import Ints, Session

TRAIN, VALIDATION, TEST, LEFT_OUT = 0, 1, 2, -1
PARTS = (TRAIN, VALIDATION, TEST)


def split_sessions(
    sessions: Sequence[Session], split: Split, train_rows: int | None = None
) -> list[Ints]:
    """Give every row of every session to a part: `TRAIN`, `VALIDATION`, `TEST` or `LEFT_OUT`.

    Rows that show the same stimulus (repeated images, repeated movies) are of one part, also in
    different sessions. It is a pure function of the sessions and of ``split``: each session in its
    turn fills up its shares with those of its stimuli that no earlier one showed.

    Args:
        sessions: In a fixed order.
        split: Shares, unit, embargo and seed.
        train_rows: Most stimuli that train, of each session; null for all.

    Returns:
        (T,) int64 for each session.

    Raises:
        DataError: A session is too short to have all three parts.
    """
    names = ("train", "validate", "test")
    dealt = deal(sessions, split)
    parts = [
        finished(session, one, one.part, split, train_rows)
        for session, one in zip(sessions, dealt, strict=True)
    ]
    for session, part in zip(sessions, parts, strict=True):
        missing = [name for at, name in enumerate(names) if at not in part]
        if missing:
            raise DataError(
                f"session {session.id}: nothing is left to {' or '.join(missing)}",
                hint="Give longer recordings, a shorter data.split.block_seconds, or other shares.",
            )
    return parts


@dataclass(frozen=True, slots=True)
class Dealt:
    """How the rows of a session were given to parts, before any were left out.

    Args:
        groups: (T,) number of what each row stays together with.
        content: Digest that names each group: of what it shows, or of where it lies.
        order: Groups in a random order.
        part: (T,) `TRAIN`, `VALIDATION` or `TEST`.
    """

    groups: Ints
    content: Sequence[int]
    order: Sequence[int]
    part: Ints


def deal(sessions: Sequence[Session], split: Split) -> list[Dealt]:
    """Give every row of every session to a part, whole groups of them."""
    known: dict[int, int] = {}
    dealt = []
    for session in sessions:
        groups, content = _groups(session, split)
        order = _random_order(content, split.seed)
        if session.part is not None:
            part = np.array(session.part)
        else:
            part = _assign(content, order, split, known)[groups]
        dealt.append(Dealt(groups, content, order, part))
    return dealt


def finished(
    session: Session, dealt: Dealt, part: Ints, split: Split, train_rows: int | None
) -> Ints:
    """Return (T,) parts, without training rows beyond ``train_rows`` and those near a border.

    Args:
        session: The recording.
        dealt: How it was dealt.
        part: (T,) the part of each row.
        split: Says how near is too near.
        train_rows: Most stimuli that train; null for all.
    """
    if train_rows is not None:
        part = _fewer(part, dealt.groups, dealt.order, train_rows)
    return _embargo(part, session.trial, _rows(split.embargo_seconds, session))


def _fewer(part: Ints, groups: Ints, order: Sequence[int], most: int) -> Ints:
    """Leave out all training rows but those of the first ``most`` stimuli in a random order."""
    trains = np.zeros(len(order), np.bool_)
    trains[groups[part == TRAIN]] = True
    kept = np.zeros(len(order), np.bool_)
    kept[[group for group in order if trains[group]][:most]] = True
    return np.where((part == TRAIN) & ~kept[groups], LEFT_OUT, part)


def stimulus_digests(session: Session) -> list[int]:
    """Return a 64-bit digest of what each trial showed, in the trials' order."""
    return _digests(session, session.trial)


def _digests(session: Session, stretches: Ints) -> list[int]:
    """Return a 64-bit digest of what each stretch of rows with one number showed, in order."""
    first = np.flatnonzero(np.diff(stretches, prepend=stretches[0] - 1))
    bounds = [*first.tolist(), len(session)]
    stimulus = session.stimulus
    return [
        xxhash.xxh3_64_intdigest(np.ascontiguousarray(stimulus[a:b]).data)
        for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def _groups(session: Session, split: Split) -> tuple[Ints, list[int]]:
    """Return what stays together: (T,) numbers of groups, and a digest that names each."""
    trials = int(session.trial[-1]) + 1
    by_stretch = split.by == "block" or (split.by == "auto" and trials == 1)
    if by_stretch:
        length = split.block_frames or max(1, _rows(split.block_seconds, session))
        trial = np.zeros_like(session.trial) if session.static else session.trial
        stretch = _place_in_trial(trial) // length
        border = (np.diff(stretch, prepend=-1) != 0) | (np.diff(trial, prepend=-1) != 0)
        groups = np.cumsum(border) - 1
        return groups, _names(_digests(session, groups))
    digests, groups = np.unique(np.array(stimulus_digests(session), np.uint64), return_inverse=True)
    return groups[session.trial], [int(digest) for digest in digests]


def _names(digests: Sequence[int]) -> list[int]:
    """Name each stretch by what it shows, and by how often the session has shown that before."""
    before: Counter[int] = Counter()
    names = []
    for digest in digests:
        names.append(_hash(f"{digest}/{before[digest]}"))
        before[digest] += 1
    return names


def _place_in_trial(trial: Ints) -> Ints:
    rows = np.arange(len(trial))
    starts: Ints = np.flatnonzero(np.diff(trial, prepend=trial[0] - 1))
    place: Ints = rows - starts[trial - trial[0]]
    return place


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())


def _random_order(content: Sequence[int], seed: int) -> list[int]:
    keys = [_hash(f"{seed}:{digest}") for digest in content]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _assign(
    content: Sequence[int], order: Sequence[int], split: Split, known: dict[int, int]
) -> Ints:
    """Return the part of each group; ``known`` takes up those that are new."""
    count = len(content)
    held = [max(1, round(share * count)) for share in (split.validation, _test_share(split))]
    wanted = np.array([count - sum(held), *held])
    have = np.bincount([known[c] for c in content if c in known], minlength=3)
    new = [group for group in order if content[group] not in known]
    parts = np.repeat(PARTS, np.maximum(wanted - have, 0))[: len(new)]
    parts = np.concatenate([parts, np.full(len(new) - len(parts), TRAIN)])
    known |= {content[group]: int(part) for group, part in zip(new, parts, strict=True)}
    return np.array([known[each] for each in content], np.int64)


def _test_share(split: Split) -> float:
    return 1 - split.train - split.validation


def _embargo(part: Ints, trial: Ints, rows: int) -> Ints:
    """Leave out training and validation rows near a border with another part in their trial."""
    if not rows or len(part) < 2:
        return part
    border = np.flatnonzero((np.diff(part) != 0) & (np.diff(trial) == 0)) + 1
    tests = (part[border] == TEST) | (part[border - 1] == TEST)
    kept = part.copy()
    kept[_near(border[tests], rows, len(part)) & (part != TEST)] = LEFT_OUT
    kept[_near(border[~tests], rows, len(part)) & (part == TRAIN)] = LEFT_OUT
    return kept


def _near(borders: Ints, rows: int, length: int) -> NDArray[np.bool_]:
    change = np.zeros(length + 1, np.int64)
    np.add.at(change, np.maximum(borders - rows, 0), 1)
    np.add.at(change, np.minimum(borders + rows, length), -1)
    return np.cumsum(change)[:-1] > 0


def _rows(seconds: float, session: Session) -> int:
    """Return how many rows of a movie so many seconds are; 0 for images."""
    if session.static:
        return 0
    return round(seconds * (session.rate_hz or 1.0))
