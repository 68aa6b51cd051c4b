"""`IngestReport`: what reading one capture found, in a form that goes to JSON."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class IngestReport:
    """What a reader found in one capture.

    Args:
        n_frames: Frames that were kept.
        format: Name of the format, such as ``"parquet"`` or ``"candump"``.
        backward_steps: How often time ran backwards by at most 10 ms.
        largest_backward: The largest of those steps, in seconds (0 when there is none).
        skipped: Lines or messages left out, counted by kind (``"remote"``, ``"error"``).
        labelled: Whether every frame carries a label.
    """

    n_frames: int
    format: str
    backward_steps: int = 0
    largest_backward: float = 0.0
    skipped: dict[str, int] = field(default_factory=dict)
    labelled: bool = False
