"""`Recording`: a session as a file holds it; `checked` makes a `Session` of it or says why not."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError, suggest
from tutelage.tasks.neural.config import NeuralData
from tutelage.tasks.neural.sessions.session import Bools, Bytes, Floats, Ints, Session

_log = logging.getLogger(__name__)

ROWS = (
    "stimulus", "images", "responses", "valid", "behaviour", "eye_position", "trial", "block",
    "part", "stimulus_type",
)  # fmt: skip
"""Arrays with a row for each frame."""
FACTS = ("unit_ids", "behaviour_names", "animal", "monkey", "session", "rate_hz", "bin_ms")
"""What else a file may tell."""
PARTS = ("train", "validation", "test")
EYE = ("eye_y", "eye_x")
Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Recording:
    """What a reader found, unchecked.

    Args:
        path: The file.
        id: The session's name.
        arrays: Arrays by the names of `ROWS` and `FACTS`.
        animal: Whose brain it was.
        rate_hz: Frames a second, where known.
        notes: What the reader left out, in words.
    """

    path: Path
    id: str
    arrays: Mapping[str, Array]
    animal: str
    rate_hz: float | None = None
    notes: tuple[str, ...] = field(default=())

    def refuse(self, name: str, problem: str, hint: str | None = None) -> NoReturn:
        """Say what is wrong with one field.

        Raises:
            DataError: Always.
        """
        raise DataError(f"session {self.id}: {name}: {problem}", where=self.path, hint=hint)


def known_names(names: Iterable[str], path: Path) -> list[str]:
    """Return the names that mean something here; the log tells the others.

    Raises:
        DataError: A name is nearly one of ours.
    """
    valid = (*ROWS, *FACTS)
    kept = []
    for name in names:
        if name in valid:
            kept.append(name)
        elif difflib.get_close_matches(name, valid, n=1, cutoff=0.8):
            raise DataError(
                f"unknown array {name!r}", where=path, hint=f"Rename it. {suggest(name, valid)}"
            )
        else:
            _log.info("%s: the array %r is not read", path.name, name)
    return kept


def checked(recording: Recording, data: NeuralData) -> Session:
    """Return the recording as a session.

    Raises:
        DataError: A field is missing, malformed or contradicts another; the message names the
            session and the field.
    """
    stimulus, static = _stimulus(recording)
    responses, valid = _responses(recording, len(stimulus), data)
    behaviour, names = _behaviour(recording, len(stimulus))
    kind, kinds = _kinds(recording, len(stimulus))
    unit_ids = _unit_ids(recording, responses.shape[1])
    session = Session(
        id=recording.id,
        animal=recording.animal,
        stimulus=stimulus,
        responses=responses,
        valid=valid,
        unit_ids=unit_ids,
        static=static,
        rate_hz=recording.rate_hz,
        trial=_trials(recording, len(stimulus), static),
        block=_labels(recording, "block", len(stimulus)),
        part=_parts(recording, len(stimulus)),
        behaviour=behaviour,
        behaviour_names=names,
        stimulus_type=kind,
        stimulus_types=kinds,
    )
    return _without_silent(recording, session, data)


def _stimulus(recording: Recording) -> tuple[Bytes, bool]:
    given = [name for name in ("stimulus", "images") if name in recording.arrays]
    if len(given) != 1:
        both = "both stand in the file" if given else "neither is in the file"
        hint = (
            "Give `images` (n, H, W), each shown on its own, or `stimulus` (T, 1, H, W), a movie."
        )
        recording.refuse("stimulus or images", both, hint)
    name = given[0]
    frames = recording.arrays[name]
    if frames.ndim == 3:
        frames = frames[:, None]
    if frames.ndim != 4 or frames.shape[1] != 1 or not frames.size:
        recording.refuse(
            name, f"shape {recording.arrays[name].shape}", "Give (T, H, W) or (T, 1, H, W), grey."
        )
    return _as_bytes(recording, name, frames), name == "images"


def _as_bytes(recording: Recording, name: str, frames: Array) -> Bytes:
    """Return frames as uint8: whole numbers as they are, fractions of 1 times 255."""
    if frames.dtype == np.uint8:
        return frames.astype(np.uint8, copy=False)
    if frames.dtype.kind not in "iufb":
        recording.refuse(name, f"holds {frames.dtype}, not numbers")
    values = frames.astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=(1, 2, 3)))[0])
        recording.refuse(name, f"not a number in frame {row}", "Repair or leave out such frames.")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255:
        recording.refuse(
            name, f"values from {low:g} to {high:g}", "Scale them to 0 … 255 or 0 … 1."
        )
    fractions = frames.dtype.kind == "f" and high <= 1
    return np.rint(values * (255 if fractions else 1)).astype(np.uint8)


def _matrix(recording: Recording, name: str, rows: int) -> Array:
    array = recording.arrays[name]
    if array.ndim != 2:
        recording.refuse(name, f"shape {array.shape}", "Give one row for each frame.")
    if len(array) != rows:
        recording.refuse(
            name,
            f"{len(array)} rows, but the stimulus has {rows} frames",
            "Give one row for each frame; cut what has no partner.",
        )
    return array


def _responses(recording: Recording, rows: int, data: NeuralData) -> tuple[Floats, Bools]:
    if "responses" not in recording.arrays:  # what was shown alone: it can be predicted for
        return np.zeros((rows, 0), np.float32), np.zeros((rows, 0), np.bool_)
    array = _matrix(recording, "responses", rows)
    if array.dtype.kind not in "iufb" or not array.shape[1]:
        recording.refuse("responses", f"{array.shape[1]} units of {array.dtype}")
    responses = array.astype(np.float32)
    valid = np.isfinite(responses)
    if "valid" in recording.arrays:
        given = _matrix(recording, "valid", rows)
        if given.shape != responses.shape or given.dtype.kind not in "biu":
            recording.refuse(
                "valid",
                f"shape {given.shape} of {given.dtype}, but responses have {responses.shape}",
                "Give one true or false for each response.",
            )
        valid &= given.astype(np.bool_)
    responses = np.where(valid, responses, np.float32(0))
    if data.responses == "spikes" and (responses < 0).any():
        row, unit = (int(place[0]) for place in np.nonzero(responses < 0))
        recording.refuse(
            "responses",
            f"negative count {responses[row, unit]:g} in row {row}, unit {unit}",
            "Spike counts can't be negative; for fluorescence set data.responses=calcium.",
        )
    return responses, valid


def _unit_ids(recording: Recording, units: int) -> tuple[str, ...]:
    array = recording.arrays.get("unit_ids")
    if array is None or "responses" not in recording.arrays:
        return tuple(f"u{unit:03d}" for unit in range(units))
    names = tuple(str(name) for name in array.ravel())
    if len(names) != units:
        recording.refuse("unit_ids", f"{len(names)} names for {units} units of responses")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        recording.refuse(
            "unit_ids", f"{repeated[0]!r} stands twice", "Give every unit a name of its own."
        )
    return names


def _behaviour(recording: Recording, rows: int) -> tuple[Floats | None, tuple[str, ...]]:
    parts, names = [], list[str]()
    for name in ("behaviour", "eye_position"):
        if name not in recording.arrays:
            continue
        given = _matrix(recording, name, rows)
        if given.dtype.kind not in "iufb":
            recording.refuse(name, f"holds {given.dtype}, not numbers")
        values = given.astype(np.float32)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            recording.refuse(name, f"not a number in row {row}", "Fill such gaps, or cut them.")
        parts.append(values)
        names += EYE if name == "eye_position" else _behaviour_names(recording, values.shape[1])
    if len(names) != sum(part.shape[1] for part in parts) or len(set(names)) != len(names):
        recording.refuse("behaviour_names", f"{names} for the columns of behaviour")
    return (np.concatenate(parts, axis=1), tuple(names)) if parts else (None, ())


def _behaviour_names(recording: Recording, columns: int) -> list[str]:
    given = recording.arrays.get("behaviour_names")
    if given is None:
        return [f"behaviour_{column}" for column in range(columns)]
    return [str(name) for name in given.ravel()]


def _labels(recording: Recording, name: str, rows: int) -> Ints | None:
    array = recording.arrays.get(name)
    if array is None:
        return None
    if array.shape != (rows,):
        recording.refuse(name, f"shape {array.shape}, but the stimulus has {rows} frames")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _trials(recording: Recording, rows: int, static: bool) -> Ints:
    """Return the stretch that each frame belongs to, numbered in order."""
    if static:
        return np.arange(rows, dtype=np.int64)
    labels = _labels(recording, "trial", rows)
    if labels is None:
        return np.zeros(rows, np.int64)
    trial = np.concatenate([[0], np.cumsum(np.diff(labels) != 0)]).astype(np.int64)
    if int(trial[-1]) + 1 != len(np.unique(labels)):
        recording.refuse("trial", "the rows of a trial do not lie together", "Sort them.")
    return trial


def _parts(recording: Recording, rows: int) -> Ints | None:
    """Return the part of the split that a file gives each row to, where it does."""
    if _labels(recording, "part", rows) is None:
        return None
    names = recording.arrays["part"].astype(str)
    unknown = sorted(set(np.unique(names).tolist()) - set(PARTS))
    if unknown:
        recording.refuse("part", f"unknown part {unknown[0]!r}", suggest(unknown[0], PARTS))
    return np.select([names == name for name in PARTS], range(len(PARTS))).astype(np.int64)


def _kinds(recording: Recording, rows: int) -> tuple[Ints | None, tuple[str, ...]]:
    labels = _labels(recording, "stimulus_type", rows)
    if labels is None:
        return None, ()
    return labels, tuple(str(name) for name in np.unique(recording.arrays["stimulus_type"]))


def _without_silent(recording: Recording, session: Session, data: NeuralData) -> Session:
    silent = ~(session.responses != 0).any(axis=0)
    if not silent.any():
        return session
    names = [session.unit_ids[unit] for unit in np.flatnonzero(silent)]
    told = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    if data.silent_units == "refuse" or silent.all():
        recording.refuse(
            "responses",
            f"no spike of unit {told}",
            "Leave such units out, or set data.silent_units=drop.",
        )
    _log.info("session %s: left out %s, which never answer", session.id, told)
    return session.columns(np.flatnonzero(~silent))
