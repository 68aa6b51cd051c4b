"""The absence monitor: silence alarms soon, changed rates and pauses don't go on alarming."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.can.evidence import (
    AbsenceMonitor,
    Feature,
    alarm_level,
    derive_silences,
    silent_windows,
)
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.rule_windows import capture_prefix
from tutelage.tasks.can.simulator import VEHICLES, simulate_capture

LEVEL = alarm_level(2000, 2.5)


def _drive(seed: int, seconds: float = 15.0, vehicle: str = "hatchback") -> Frames:
    return simulate_capture(vehicle, seed=seed, seconds=seconds).frames


def _select(frames: Frames, keep: np.ndarray) -> Frames:
    return Frames(
        frames.timestamp[keep],
        frames.arbitration_id[keep],
        frames.dlc[keep],
        frames.payload[keep],
        frames.label[keep],
    )


def _thinned(frames: Frames, identifier: int, every: int, after: float) -> Frames:
    """Return frames in which an identifier sends one frame in ``every`` from ``after`` on."""
    keep = np.ones(len(frames), np.bool_)
    rows = np.flatnonzero((frames.arbitration_id == identifier) & (frames.timestamp > after))
    keep[rows[np.arange(len(rows)) % every != 0]] = False
    return _select(frames, keep)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_a_silenced_identifier_alarms_within_five_periods_and_until_it_is_back(
    vehicle: str,
) -> None:
    monitor = AbsenceMonitor.fit([_drive(1, vehicle=vehicle)])
    made = simulate_capture(vehicle, seed=4, seconds=30, attack="suppression")
    evidence, _ = monitor.score(made.frames)
    alarm = evidence.score > LEVEL
    time = made.frames.timestamp
    for low, high in made.intervals:
        inside = np.flatnonzero(alarm & (time >= low) & (time <= high + 0.1))
        assert time[inside[0]] - low < 5 * 0.025
        assert np.diff(inside).max() == 1
        assert evidence.feature[inside[0]] == Feature.SILENCE
        assert "silent for" in evidence.reason(int(inside[0]))
    edges = np.array([(low, high + 0.1) for low, high in made.intervals]).ravel()
    outside = np.searchsorted(edges, time) % 2 == 0
    assert not alarm[outside].any()


def test_another_drive_of_the_vehicle_is_no_alarm() -> None:
    monitor = AbsenceMonitor.fit([_drive(1)])
    evidence, _ = monitor.score(_drive(2, 30.0))
    assert float(evidence.score.max()) <= LEVEL


def test_a_rate_that_changes_for_good_alarms_once() -> None:
    monitor = AbsenceMonitor.fit([_drive(1)])
    slowed = _thinned(_drive(2), 0xA0, 10, after=5.0)
    evidence, _ = monitor.score(slowed)
    alarm = evidence.score > LEVEL
    assert 1 <= int((np.diff(alarm.astype(int)) == 1).sum()) <= 2
    assert not alarm[slowed.timestamp > 5.5].any()


def test_a_pause_of_the_whole_bus_is_nobodys_silence() -> None:
    monitor = AbsenceMonitor.fit([_drive(1)])
    frames = _drive(2)
    frames.timestamp[len(frames) // 2 :] += 3.0
    evidence, _ = monitor.score(frames)
    assert float(evidence.score.max()) <= LEVEL


def test_an_identifier_that_was_not_seen_yet_is_not_expected() -> None:
    monitor = AbsenceMonitor.fit([_drive(1)])
    frames = _drive(2)
    evidence, _ = monitor.score(_select(frames, frames.arbitration_id != 0xA0))
    assert 0xA0 not in evidence.arbitration_id[evidence.score > LEVEL]


def test_a_silence_becomes_normal_after_ten_seconds() -> None:
    monitor = AbsenceMonitor.fit([_drive(1)])
    frames = _drive(2, 20.0)
    gone = _select(frames, (frames.arbitration_id != 0xA0) | (frames.timestamp < 5.0))
    evidence, _ = monitor.score(gone)
    times = gone.timestamp[evidence.score > LEVEL]
    assert times[0] < 5.1
    assert 14.9 < times[-1] < 15.1


def test_a_rare_silence_in_the_prefix_does_not_make_the_monitor_deaf() -> None:
    frames = _drive(1, 14.0)
    time = frames.timestamp
    silent = (frames.arbitration_id == 0xA0) & (
        ((time > 2.0) & (time < 6.0)) | ((time > 11.0) & (time < 12.0))
    )
    frames = _select(frames, ~silent)
    evidence, _ = AbsenceMonitor.calibrated(capture_prefix(frames)).score(frames)
    alarm = (evidence.score > LEVEL) & (frames.timestamp > 10.0)
    assert frames.timestamp[alarm][0] == pytest.approx(11.03, abs=0.05)
    # Of benign frames every gap is believed.
    evidence, _ = AbsenceMonitor.fit([capture_prefix(frames)]).score(frames)
    assert not (evidence.score > LEVEL).any()


@pytest.mark.parametrize("size", [1, 7, 100, 3001])
def test_a_stream_in_pieces_gets_the_scores_of_the_whole(size: int) -> None:
    monitor = AbsenceMonitor.fit([_drive(1)])
    frames = _thinned(_thinned(_drive(2, 4.0), 0xA0, 60, 0.2), 0xB0, 9, 0.5)
    frames.timestamp[1000:] -= 0.0002
    frames = frames[: 1400 if size < 7 else len(frames)]
    whole, _ = monitor.score(frames)
    state = monitor.start()
    for first in range(0, len(frames), size):
        piece, state = monitor.score(frames[first : first + size], state)
        rows = slice(first, first + size)
        assert (piece.score == whole.score[rows]).all()
        assert (piece.arbitration_id == whole.arbitration_id[rows]).all()
        assert (piece.measured == whole.measured[rows]).all()
        assert (piece.expected == whole.expected[rows]).all()
    assert whole.score.max() > LEVEL


def test_a_monitor_comes_back_from_json_as_it_was() -> None:
    monitor = AbsenceMonitor.fit([_drive(1, 5.0, "estate")])
    assert AbsenceMonitor.from_json(json.loads(json.dumps(monitor.to_json()))) == monitor


def test_no_benign_frame_is_refused() -> None:
    with pytest.raises(DataError, match="no benign frames"):
        AbsenceMonitor.fit([_drive(1, 1.0)[:0]])


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_silences_are_derived_where_an_identifier_was_suppressed_and_nowhere_else(
    vehicle: str,
) -> None:
    made = simulate_capture(vehicle, seed=4, seconds=30, attack="suppression")
    silences = derive_silences(made.frames)
    assert len({s.arbitration_id for s in silences}) == 1
    found = np.array([(s.start, s.end) for s in silences])
    assert found == pytest.approx(np.array(made.intervals), abs=0.06)
    assert derive_silences(_drive(1, vehicle=vehicle)) == []
    assert derive_silences(made.frames[:0]) == []


def test_windows_that_overlap_a_silence_are_derived_as_positive() -> None:
    made = simulate_capture("hatchback", seed=4, seconds=20, attack="suppression")
    silences = derive_silences(made.frames)
    silent = silent_windows(made.frames, silences, 100, 100)
    time = made.frames.timestamp[: len(silent) * 100].reshape(-1, 100)
    naive = [any(w[0] < s.end and w[-1] >= s.start for s in silences) for w in time]
    assert silent.tolist() == naive
    assert 0 < silent.sum() < len(silent)


def test_a_real_suppression_is_found_within_fifty_milliseconds(shared_data: Path) -> None:
    folder = shared_data / "can" / "can_train_and_test" / "set_04"
    drive, _ = read_frames(folder / "train_01_attack_free__attack-free-4.parquet")
    test, _ = read_frames(folder / "test_05_suppress__suppress-2.parquet")
    (silence,) = derive_silences(test)
    assert silence.end - silence.start == pytest.approx(6.14, abs=0.01)
    evidence, _ = AbsenceMonitor.fit([drive]).score(test)
    times = test.timestamp[evidence.score > LEVEL]
    assert 0 < times[0] - silence.start < 0.05
    assert silence.end - 0.01 < times[-1] <= silence.end


@pytest.mark.parametrize("name", ["attack-free-kia", "attack-free-sonata"])
def test_a_real_attack_free_drive_raises_no_alarm_after_its_prefix(
    shared_data: Path, name: str
) -> None:
    path = shared_data / "can" / "hcrl_sa" / f"train_01_attack_free__{name}.parquet"
    frames, _ = read_frames(path)
    evidence, _ = AbsenceMonitor.calibrated(capture_prefix(frames)).score(frames)
    assert float(evidence.score.max()) <= LEVEL
    assert derive_silences(frames) == []
