"""Captures written as text logs: candump lines, and the CSV form of can-train-and-test."""

from __future__ import annotations

from pathlib import Path

from tutelage.core.files import atomic_file
from tutelage.tasks.can.frames import Frames

_STANDARD_MAX = 0x7FF


def write_candump(frames: Frames, path: Path) -> None:
    """Write ``(seconds) can0 ID#DATA`` lines, as ``candump -l`` does; labels are not kept.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    lines = (
        f"({stamp:.6f}) can0 {_identifier(arbitration_id)}#{data.upper()}\n"
        for stamp, arbitration_id, data in _rows(frames)
    )
    with atomic_file(path) as file:
        file.writelines(line.encode() for line in lines)


def write_csv(frames: Frames, path: Path) -> None:
    """Write ``timestamp,arbitration_id,data_field,attack`` with hexadecimal id and data.

    Unlabelled frames leave the last column empty.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    labels = ("" if label < 0 else str(label) for label in frames.label.tolist())
    lines = (
        f"{stamp:.6f},{_identifier(arbitration_id)},{data.upper()},{label}\n"
        for (stamp, arbitration_id, data), label in zip(_rows(frames), labels, strict=True)
    )
    with atomic_file(path) as file:
        file.write(b"timestamp,arbitration_id,data_field,attack\n")
        file.writelines(line.encode() for line in lines)


def _identifier(arbitration_id: int) -> str:
    return f"{arbitration_id:03X}" if arbitration_id <= _STANDARD_MAX else f"{arbitration_id:08X}"


def _rows(frames: Frames) -> zip[tuple[float, int, str]]:
    text = frames.payload.tobytes().hex()
    lengths = frames.dlc.tolist()
    data = [text[16 * k : 16 * k + 2 * length] for k, length in enumerate(lengths)]
    return zip(frames.timestamp.tolist(), frames.arbitration_id.tolist(), data, strict=True)
