"""Small recordings made for tests: arrays, files and whole sessions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.neural.config import NeuralData
from tutelage.tasks.neural.sessions.recording import Recording, checked
from tutelage.tasks.neural.sessions.session import Session

Arrays = dict[str, NDArray[np.generic]]


def movie_arrays(seed: int = 0, trials: int = 12, frames: int = 20, units: int = 3) -> Arrays:
    """A movie of 8 × 8 pixels in trials, with behaviour."""
    random = np.random.default_rng(seed)
    rows = trials * frames
    return {
        "stimulus": random.integers(0, 256, (rows, 1, 8, 8), dtype=np.uint8),
        "responses": random.poisson(0.8, (rows, units)).astype(np.float32) + np.eye(rows, units),
        "valid": random.random((rows, units)) < 0.95,
        "trial": np.repeat(np.arange(trials), frames),
        "behaviour": random.normal(size=(rows, 2)).astype(np.float32),
        "behaviour_names": np.array(["pupil", "running"]),
        "unit_ids": np.array([f"n{unit}" for unit in range(units)]),
        "session": np.array(f"s{seed}"),
        "animal": np.array("ada" if seed % 2 == 0 else "bob"),
        "rate_hz": np.array(10.0),
    }


def image_arrays(seed: int = 0, images: int = 40, units: int = 3, repeats: int = 0) -> Arrays:
    """The static form of published image sets; the first images may be shown again at the end."""
    random = np.random.default_rng(seed)
    shown = random.integers(0, 256, (images, 8, 8), dtype=np.uint8)
    shown = np.concatenate([shown, shown[:repeats]])
    return {
        "images": shown,
        "responses": random.gamma(2.0, 1.0, (len(shown), units)).astype(np.float32),
        "monkey": np.array("WE"),
        "session": np.array(f"{seed:06d}"),
        "bin_ms": np.array(100),
    }


def write(folder: Path, name: str, arrays: Arrays) -> Path:
    """Write an NPZ file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def session_of(arrays: Arrays, data: NeuralData | None = None) -> Session:
    """Return the session that a file with these arrays holds."""
    from tutelage.tasks.neural.sessions.npz import recording_of

    recording: Recording = recording_of(dict(arrays), Path("made.npz"))
    return checked(recording, data or NeuralData())
