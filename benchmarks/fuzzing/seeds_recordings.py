"""Real seeds of neural recordings."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.seeds_shared import written


def _movie() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "stimulus": random.integers(0, 256, (6, 1, 3, 3), dtype=np.uint8),
        "responses": random.poisson(0.8, (6, 2)).astype(np.float32) + 1,
        "valid": np.ones((6, 2), bool),
        "trial": np.repeat([0, 1], 3),
        "rate_hz": np.array(10.0),
        "behaviour": random.normal(size=(6, 1)).astype(np.float32),
        "unit_ids": np.array(["a", "b"]),
        "behaviour_names": np.array(["pupil"]),
        "session": np.array("s"),
        "animal": np.array("ada"),
        "part": np.array(["train"] * 4 + ["test"] * 2),
        "block": np.arange(6) // 3,
    }


def _images() -> dict[str, Any]:
    movie = _movie()
    return {
        "images": movie["stimulus"][:, 0],
        "responses": movie["responses"],
        "monkey": np.array("WE"),
        "session": np.array("1"),
        "bin_ms": np.array(100),
    }


def npz(folder: Path) -> list[bytes]:
    found = []
    for save, arrays in ((np.savez, _movie()), (np.savez_compressed, _images())):
        out = io.BytesIO()
        save(out, **arrays)
        found.append(out.getvalue())
    return found


def hdf5(folder: Path) -> list[bytes]:
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, array in _movie().items():
            if array.dtype.kind == "U":
                file.create_dataset(name, data=np.char.encode(array) if array.shape else str(array))
            elif array.shape:
                file.create_dataset(name, data=array, chunks=True, compression="gzip")
            else:
                file.attrs[name] = array
    return [out.getvalue()]


def nwb(folder: Path) -> list[bytes]:
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.file import Subject
    from pynwb.image import ImageSeries

    file = NWBFile("a test", "test", datetime(2026, 1, 1, tzinfo=UTC), session_id="day1")
    file.subject = Subject(subject_id="eve", species="Macaca mulatta", sex="U", age="P4Y")
    frames = np.zeros((6, 3, 3), np.uint8)
    file.add_stimulus(
        ImageSeries(name="movie", data=frames, unit="n.a.", rate=10.0, starting_time=1.0)
    )
    for unit in range(2):
        file.add_unit(
            id=unit, spike_times=np.array([1.05, 1.3]), obs_intervals=np.array([[0.0, 9.0]])
        )
    file.add_trial(start_time=1.0, stop_time=1.3)
    module = file.create_processing_module("behavior", "what it did")
    module.add(
        TimeSeries(name="speed", data=np.arange(9.0), unit="cm/s", timestamps=np.arange(9) / 5)
    )

    def write(path: Path) -> None:
        with NWBHDF5IO(path, "w") as out:
            out.write(file, cache_spec=False)

    return [written(folder, "x.nwb", write)]


def session_yaml(folder: Path) -> list[bytes]:
    np.savez(folder / "one.npz", **_images())
    movie = _movie() | {
        "times": np.arange(6) / 10,
        "u1": np.array([0.05, 0.33]),
        "stim": _movie()["stimulus"],
    }
    np.savez(folder / "two.npz", **movie)
    (folder / "more").mkdir(exist_ok=True)
    (folder / "more" / "a.yaml").write_text("file: ../one.npz\n")
    two = "id: two\nanimal: bob\nfile: two.npz\narrays: {stimulus: stim}\nframe_times: times\n"
    two += "spike_times:\n  a: u1\ncut_to_shortest: true\nrate_hz: 10\ntarget_rate_hz: 10\n"
    return [
        b"file: one.npz\nunits: [u000]\n",
        two.encode(),
        b"sessions: more\nrate_hz: 20\n",
        b"sessions: [more/a.yaml]\n",
    ]
