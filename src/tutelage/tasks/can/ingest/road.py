"""ROAD's labels: the attack intervals of `capture_metadata.json` beside its candump logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tutelage.core.documents import read_object
from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import ATTACK, BENIGN, Frames
from tutelage.tasks.can.scratch import blocks, zeros

METADATA = "capture_metadata.json"
_ANY_ID = "XXX"


class Injection(BaseModel):
    """What was injected into one capture.

    Args:
        injection_interval: Start and end, in seconds since the capture's first frame.
        injection_id: The injected identifier in hex, or ``XXX`` for any.
        injection_data_str: The injected payload in hex, ``X`` for any digit.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    injection_interval: tuple[float, float] | None = None
    injection_id: str | None = None
    injection_data_str: str | None = Field(default=None, max_length=16)


def metadata_beside(path: Path) -> Path | None:
    """The metadata file beside a capture, when there is one."""
    beside = path.with_name(METADATA)
    return beside if beside.is_file() else None


def label_from_metadata(frames: Frames, path: Path) -> Frames:
    """Label a capture from the metadata beside it; unchanged where those say nothing.

    A frame is an attack when it lies in the interval and has the injected id and payload, else
    benign (Verma et al., ROAD, 2022). A capture in a folder ``ambient`` whose entry names no
    injection is benign. An attack without an interval (ROAD's accelerator captures) stays
    unlabelled: its metadata do not say which frames are the attack.

    Raises:
        DataError: The metadata are no JSON of that form.
    """
    beside = metadata_beside(path)
    if beside is None:
        return frames
    try:
        entry = read_object(beside).get(path.stem)
        injection = Injection.model_validate(entry) if entry is not None else None
        label = _injected(frames, injection) if injection else None
    except (OSError, ValueError) as error:
        raise DataError(
            f"not the metadata of ROAD for {path.stem!r}: {error}",
            where=beside,
            hint="Expected {name: {injection_interval: [start, end], injection_id: '0x0D0', "
            "injection_data_str: 'XX…'}}; repair it, or move it away to read without labels.",
        ) from error
    if label is not None:
        return replace(frames, label=label)
    if isinstance(entry, dict) and path.parent.name == "ambient" and not _names_injection(entry):
        return replace(frames, label=zeros(len(frames), np.int8))
    return frames


def _names_injection(entry: dict[str, object]) -> bool:
    return any(entry.get(key) is not None for key in Injection.model_fields)


def _injected(frames: Frames, injection: Injection) -> NDArray[np.int8] | None:
    if injection.injection_interval is None:
        return None
    label: NDArray[np.int8] = zeros(len(frames), np.int8)
    begin, interval = frames.timestamp[0], injection.injection_interval
    for rows in blocks(len(frames)):
        attack = _matches(frames[rows], begin, injection, interval)
        label[rows] = np.where(attack, ATTACK, BENIGN)
    return label


def _matches(
    frames: Frames, begin: np.float64, injection: Injection, interval: tuple[float, float]
) -> NDArray[np.bool_]:
    """Return (n,) which frames of a capture that began so are injected."""
    start, end = interval
    elapsed = np.round(frames.timestamp - begin, 6)
    attack: NDArray[np.bool_] = (elapsed >= start) & (elapsed <= end)
    if injection.injection_id is not None and injection.injection_id.upper() != _ANY_ID:
        attack &= frames.arbitration_id == int(injection.injection_id, 16)
    pattern = (injection.injection_data_str or "").upper().ljust(16, "X")
    digits = np.stack([frames.payload >> 4, frames.payload & 15], axis=2).reshape(-1, 16)
    for at, digit in enumerate(pattern):
        if digit != "X":
            attack &= (digits[:, at] == int(digit, 16)) & (frames.dlc > at // 2)
    return attack
