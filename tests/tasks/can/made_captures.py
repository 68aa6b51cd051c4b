"""Small captures and settings for tests of the CAN task."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tutelage.core.overrides import build_config
from tutelage.tasks.can.captures import Capture
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.simulator import simulate_capture, write_csv

SMALL = ("model.layers=1", "model.hidden=4", "model.heads=2", "training.batch_size=16")


def can_config(*overrides: str) -> CANConfig:
    """The CAN task's configuration, small, with some settings."""
    return build_config(CANConfig, [], (*SMALL, *overrides))


def noise(
    seconds: float, seed: int = 0, rate: float = 500.0, attacked: slice | None = None
) -> Frames:
    """Frames of random ids and payloads; those of a slice are labelled attacks."""
    random = np.random.default_rng(seed)
    count = int(seconds * rate)
    label = np.zeros(count, np.int8)
    if attacked is not None:
        label[attacked] = 1
    return Frames(
        timestamp=np.arange(count) / rate,
        arbitration_id=random.integers(0x100, 0x110, count).astype(np.uint32),
        dlc=np.full(count, 8, np.uint8),
        payload=random.integers(0, 256, (count, 8)).astype(np.uint8),
        label=label,
    )


def capture(split: str, name: str, frames: Frames, digest: str | None = None) -> Capture:
    """A capture that no file holds; its name is its attack."""
    return Capture(split, name, name, "", digest or f"{split}/{name}", frames)


def write_drive(
    path: Path,
    seed: int,
    attack: str | None = "dos",
    vehicle: str = "hatchback",
    seconds: float = 8,
) -> Frames:
    """Write simulated traffic as a labelled CSV file and return its frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = simulate_capture(vehicle, seed=seed, seconds=seconds, attack=attack).frames
    write_csv(frames, path)
    return frames
