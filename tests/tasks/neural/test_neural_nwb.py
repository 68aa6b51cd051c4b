"""An NWB file gives frames, spike counts, observed intervals, trials and behaviour."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.file import Subject
from pynwb.image import ImageSeries

from tutelage.core.errors import DataError
from tutelage.tasks.neural.config import NeuralData
from tutelage.tasks.neural.sessions.read import read_sessions

FRAMES = np.random.default_rng(0).integers(0, 256, (40, 6, 5), dtype=np.uint8)


def _file() -> NWBFile:
    file = NWBFile("a test", "test", datetime(2026, 1, 1, tzinfo=UTC), session_id="day1")
    file.subject = Subject(subject_id="eve", species="Macaca mulatta", sex="U", age="P4Y")
    shown = ImageSeries(name="movie", data=FRAMES, unit="n.a.", rate=10.0, starting_time=1.0)
    file.add_stimulus(shown)
    spikes = ([1.05, 1.06, 2.0, 4.99, 5.5], [1.15, 3.0])
    observed = ([[0.0, 9.0]], [[1.1, 9.0]])
    for unit, (times, intervals) in enumerate(zip(spikes, observed, strict=True)):
        file.add_unit(id=unit + 7, spike_times=np.array(times), obs_intervals=np.array(intervals))
    file.add_trial(start_time=1.0, stop_time=3.0)
    file.add_trial(start_time=3.0, stop_time=5.0)
    module = file.create_processing_module("behavior", "what it did")
    speed = TimeSeries(
        name="speed", data=np.arange(60.0), unit="cm/s", timestamps=np.arange(60) / 10
    )
    module.add(speed)
    return file


def _write(file: NWBFile, path: Path) -> Path:
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def test_an_nwb_file_is_read(tmp_path: Path) -> None:
    path = _write(_file(), tmp_path / "one.nwb")
    session = read_sessions(NeuralData(root=path), tmp_path / "cache")[0]
    assert (session.id, session.animal, session.unit_ids) == ("day1", "eve", ("7", "8"))
    assert session.rate_hz == pytest.approx(10)
    np.testing.assert_array_equal(session.stimulus[:, 0], FRAMES)
    expected = np.zeros((40, 2))
    expected[[0, 10, 39], 0] = [2, 1, 1]  # a spike after the last frame counts nowhere
    expected[[1, 20], 1] = 1
    np.testing.assert_array_equal(session.responses, expected)
    assert session.valid[:, 0].all()
    np.testing.assert_array_equal(np.flatnonzero(~session.valid[:, 1]), [0])
    np.testing.assert_array_equal(session.trial, np.repeat([0, 1], 20))
    assert session.behaviour_names == ("speed",)
    assert session.behaviour is not None
    np.testing.assert_allclose(session.behaviour[:, 0], 10 + np.arange(40), atol=1e-4)


def test_several_stimuli_must_be_told_apart_by_name(tmp_path: Path) -> None:
    file = _file()
    other = ImageSeries(name="other", data=FRAMES[::-1], unit="n.a.", rate=10.0, starting_time=1.0)
    file.add_stimulus(other)
    path = _write(file, tmp_path / "one.nwb")
    with pytest.raises(DataError, match=r"stimulus: 2 image series are presented \(movie, other\)"):
        read_sessions(NeuralData(root=path), tmp_path / "cache")
    (tmp_path / "one.yaml").write_text("file: one.nwb\nseries: other\n")
    session = read_sessions(NeuralData(root=tmp_path / "one.yaml"), tmp_path / "cache")[0]
    np.testing.assert_array_equal(session.stimulus[:, 0], FRAMES[::-1])


def test_an_nwb_file_without_units_or_damaged_is_refused(tmp_path: Path) -> None:
    file = NWBFile("a test", "test", datetime(2026, 1, 1, tzinfo=UTC))
    file.add_stimulus(ImageSeries(name="movie", data=FRAMES, unit="n.a.", rate=10.0))
    path = _write(file, tmp_path / "one.nwb")
    with pytest.raises(DataError, match="units: no table of units"):
        read_sessions(NeuralData(root=path), tmp_path / "cache")
    path.write_bytes(b"not HDF5")
    with pytest.raises(DataError, match="can't be read as NWB"):
        read_sessions(NeuralData(root=path), tmp_path / "cache")
