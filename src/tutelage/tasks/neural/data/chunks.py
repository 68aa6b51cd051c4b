"""`ChunkTable`: the contiguous stretches that are predicted at once, and how one is cut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from tutelage.tasks.neural.batch import SessionChunk
from tutelage.tasks.neural.preprocessing import SessionCard
from tutelage.tasks.neural.sessions.session import Ints, Session


@dataclass(frozen=True, slots=True)
class ChunkTable:
    """Stretches of some sessions' frames.

    Args:
        session: (n,) int64, place of the session.
        start: (n,) int64, the first frame that is predicted.
        stop: (n,) int64, one past the last frame that counts.
        low: (n,) int64, first frame of the trial, before which there is no history.
        high: (n,) int64, one past the trial's last frame.
        frames: Frames a stretch, L, of each session.
        context: Frames of history before each stretch, C.
        shown: (n,) int64, numbers of what is shown, history included; see `with_shown`.
    """

    session: Ints
    start: Ints
    stop: Ints
    low: Ints
    high: Ints
    frames: tuple[int, ...]
    context: int
    shown: Ints | None = None

    def __len__(self) -> int:
        return len(self.start)

    @property
    def sessions(self) -> int:
        """How many sessions there are, with or without stretches here."""
        return len(self.frames)


def chunk_table(
    sessions: Sequence[Session], parts: Sequence[Ints], part: int, context: int, frames: int
) -> ChunkTable:
    """Cut the frames of one part into stretches.

    A frame without the whole history in its trial is not predicted. The last stretch of a run is
    cut short by what counts (``stop``), not in its shape.

    Args:
        sessions: The recordings.
        parts: (T,) part of each frame, a session each.
        part: The one to cut.
        context: C, frames of history that a prediction takes.
        frames: Most frames a stretch.
    """
    runs = [_runs(s, p, part, context) for s, p in zip(sessions, parts, strict=True)]
    sizes = tuple(max(1, min(frames, int((run[1] - run[0]).max(initial=1)))) for run in runs)
    columns = [
        np.concatenate([np.full((1, cut.shape[1]), place), cut])
        for place, (run, size) in enumerate(zip(runs, sizes, strict=True))
        for cut in (_cut(run, size),)
    ]
    place, start, stop, low, high = np.concatenate(columns, axis=1)
    return ChunkTable(place, start, stop, low, high, sizes, context)


def _runs(session: Session, parts: NDArray[np.int64], part: int, context: int) -> NDArray[np.int64]:
    """Return (4, r): first and past-last predicted frame of each run, and its trial's bounds."""
    trial = session.trial
    border = np.flatnonzero((np.diff(parts) != 0) | (np.diff(trial) != 0)) + 1
    start = np.concatenate([[0], border])
    stop = np.concatenate([border, [len(trial)]])
    edge = np.flatnonzero(np.diff(trial) != 0) + 1
    first, last = np.concatenate([[0], edge]), np.concatenate([edge, [len(trial)]])
    which = np.searchsorted(first, start, side="right") - 1
    low, high = first[which], last[which]
    start = np.maximum(start, low + context)
    kept = (parts[stop - 1] == part) & (start < stop)
    return np.stack([start, stop, low, high])[:, kept].astype(np.int64)


def _cut(runs: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return (4, n): runs cut into stretches of ``size``."""
    start, stop, low, high = runs
    pieces = -(-(stop - start) // size)
    run = np.repeat(np.arange(len(start)), pieces)
    piece = np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begin = start[run] + piece * size
    return np.stack([begin, np.minimum(begin + size, stop[run]), low[run], high[run]])


def cut_chunk(
    session: Session, card: SessionCard, table: ChunkTable, places: Tensor, weight: float = 1.0
) -> SessionChunk:
    """Return some stretches of one session; no loop over frames.

    Args:
        session: The recording.
        card: How its behaviour is scaled.
        table: The stretches.
        places: (B,) int64, which, all of this session.
        weight: Of the session's loss.
    """
    chosen = places.numpy()
    size = table.frames[int(table.session[chosen[0]])]
    start = table.start[chosen]
    frames, rows = _frames_and_rows(table, chosen, size)
    predicted = rows[:, table.context :]
    counts = frames[:, table.context :] < table.stop[chosen, None]
    valid = session.valid[predicted] & counts[..., None]
    behaviour = None
    if session.behaviour is not None:
        behaviour = torch.from_numpy(card.standardised(session.behaviour[rows]))
    return SessionChunk(
        session=session.id,
        stimulus=torch.from_numpy(session.stimulus[rows][:, :, 0])[:, None],
        responses=torch.from_numpy(np.where(valid, session.responses[predicted], np.float32(0))),
        valid=torch.from_numpy(valid),
        behaviour=behaviour,
        past=torch.from_numpy(session.responses[rows[:, : table.context]]),
        frames=torch.from_numpy(start),
        weight=weight,
        shown=None if table.shown is None else torch.from_numpy(table.shown[chosen]),
    )


def _frames_and_rows(table: ChunkTable, chosen: Ints, size: int) -> tuple[Ints, Ints]:
    """Return (B, C + size) frames of stretches, and the rows of their trial that are read."""
    frames = table.start[chosen, None] + np.arange(-table.context, size)
    return frames, np.clip(frames, table.low[chosen, None], table.high[chosen, None] - 1)


def with_shown(sessions: Sequence[Session], table: ChunkTable) -> ChunkTable:
    """Return the table with numbers of what its stretches show: equal where the bytes are.

    Args:
        sessions: The recordings.
        table: Their stretches.
    """
    digests = []
    for place, session in enumerate(sessions):
        kind = repr(session.stimulus.shape[1:]).encode()
        for stretch in np.flatnonzero(table.session == place)[:, None]:
            _, rows = _frames_and_rows(table, stretch, table.frames[place])
            digest = xxhash.xxh3_64(kind)
            digest.update(np.ascontiguousarray(session.stimulus[rows[0]]).data)
            digests.append(digest.intdigest())
    _, shown = np.unique(np.array(digests, np.uint64), return_inverse=True)
    return replace(table, shown=shown)


def chunk_contrast(sessions: Sequence[Session], table: ChunkTable) -> NDArray[np.float32]:
    """Return (n,) mean pixel standard deviation of each stretch's frames over the median of all."""
    contrast = np.zeros(len(table), np.float64)
    for place, session in enumerate(sessions):
        mine = np.flatnonzero(table.session == place)
        if not len(mine):
            continue
        spread = frame_contrast(session)
        total = np.concatenate([[0], np.cumsum(spread)])
        start, stop = table.start[mine], table.stop[mine]
        contrast[mine] = (total[stop] - total[start]) / (stop - start)
    scaled: NDArray[np.float32] = (contrast / max(float(np.median(contrast)), 1e-9)).astype(
        np.float32
    )
    return scaled


def frame_contrast(session: Session, block: int = 4096) -> NDArray[np.float64]:
    """Return (T,) standard deviation of each frame's pixels, a block of frames at a time."""
    flat = session.stimulus.reshape(len(session), -1)
    parts = [flat[at : at + block].std(axis=1) for at in range(0, len(flat), block)]
    spread: NDArray[np.float64] = np.concatenate(parts)
    return spread
