"""A simulated capture is repeatable, decodes by its DBC, and labels what an attacker sent."""

from __future__ import annotations

from functools import reduce
from operator import xor
from pathlib import Path

import numpy as np
import pytest
from cantools.database.can import Database

from tutelage.core.errors import ConfigError, UnknownNameError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.simulator import (
    ATTACKS,
    VEHICLES,
    SimulatedCapture,
    simulate_capture,
    simulated_dataset,
    write_candump,
    write_csv,
)
from tutelage.tasks.can.simulator.database import read_dbc, vehicle_messages

INJECTED = tuple(a for a in ATTACKS if a not in ("suppression", "masquerade"))
QUEUE_SECONDS = 0.05


def _crc8(data: list[int]) -> int:
    """Return CRC-8 SAE J1850, bit by bit."""
    register = 0xFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ 0x1D if register & 0x80 else register << 1) & 0xFF
    return register ^ 0xFF


CHECKSUMS = {
    "crc8": _crc8,
    "xor": lambda data: reduce(xor, data),
    "sum": lambda data: sum(data) % 256,
}


def _bytes(frames: Frames) -> bytes:
    columns = (frames.timestamp, frames.arbitration_id, frames.dlc, frames.payload, frames.label)
    return b"".join(c.tobytes() for c in columns)


def _rows(frames: Frames, arbitration_id: int) -> np.ndarray:
    return np.flatnonzero(frames.arbitration_id == arbitration_id)


def _decoded(database: Database, frames: Frames, row: int) -> dict[str, int]:
    data = frames.payload[row, : frames.dlc[row]].tobytes()
    identifier = int(frames.arbitration_id[row])
    return database.decode_message(identifier, data, decode_choices=False, scaling=False)


@pytest.fixture(scope="module", params=ATTACKS)
def attacked(request: pytest.FixtureRequest) -> SimulatedCapture:
    return simulate_capture("hatchback", seed=5, seconds=24.0, attack=request.param)


@pytest.mark.parametrize("attack", [None, *ATTACKS])
def test_the_same_arguments_give_the_same_bytes(attack: str | None) -> None:
    np.random.seed(0)  # noqa: NPY002 - the global generator must not matter
    first = simulate_capture("estate", seed=4, seconds=3.0, attack=attack)
    np.random.seed(1)  # noqa: NPY002
    again = simulate_capture("estate", seed=4, seconds=3.0, attack=attack)
    assert _bytes(first.frames) == _bytes(again.frames)
    assert first.intervals == again.intervals
    other = simulate_capture("estate", seed=5, seconds=3.0, attack=attack)
    assert _bytes(first.frames) != _bytes(other.frames)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_cantools_decodes_every_benign_frame_and_encodes_it_back(vehicle: str) -> None:
    database = read_dbc(vehicle)
    frames = simulate_capture(vehicle, seed=2, seconds=1.5).frames
    assert len(frames) > 2000
    for row in range(len(frames)):
        values = _decoded(database, frames, row)
        identifier = int(frames.arbitration_id[row])
        data = database.encode_message(identifier, values, scaling=False, strict=False)
        assert data == frames.payload[row, : frames.dlc[row]].tobytes()


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_alive_counters_count_and_checksums_hold_when_nothing_is_attacked(vehicle: str) -> None:
    database = read_dbc(vehicle)
    frames = simulate_capture(vehicle, seed=2, seconds=2.0).frames
    counted = summed = 0
    for message in vehicle_messages(vehicle):
        rows = _rows(frames, message.arbitration_id)
        for signal in message.signals:
            if signal.source == "counter" and len(rows):
                column = np.array([_decoded(database, frames, r)[signal.name] for r in rows])
                assert (np.diff(column) % (1 << signal.length) == 1).all(), message.name
                counted += 1
            if signal.source.startswith("checksum_"):
                at, kind = signal.start // 8, signal.source.removeprefix("checksum_")
                for payload in frames.payload[rows].tolist():
                    others = payload[:at] + payload[at + 1 : message.dlc]
                    assert payload[at] == CHECKSUMS[kind](others), message.name
                summed += 1
    assert counted > 10
    assert summed > 5


def test_physical_signals_agree_with_each_other() -> None:
    database = read_dbc("hatchback")
    frames = simulate_capture("hatchback", seed=9, seconds=30.0).frames
    speeds = [
        database.decode_message(0x0B4, frames.payload[r].tobytes())["Speed"]
        for r in _rows(frames, 0x0B4)[::50]
    ]
    wheels = [
        database.decode_message(0x0B2, frames.payload[r].tobytes())["WheelRl"]
        for r in _rows(frames, 0x0B2)[::50]
    ]
    n = min(len(speeds), len(wheels))
    assert np.ptp(speeds) > 5.0
    assert np.corrcoef(speeds[:n], wheels[:n])[0, 1] > 0.99


def test_the_first_seconds_are_benign_and_attacks_keep_to_their_intervals(
    attacked: SimulatedCapture,
) -> None:
    frames = attacked.frames
    assert attacked.intervals[0][0] >= 10.0
    assert all(2.0 < high - low < 10.0 for low, high in attacked.intervals)
    stamps = frames.timestamp[frames.label == 1]
    inside = [
        (stamps >= low) & (stamps <= high + QUEUE_SECONDS) for low, high in attacked.intervals
    ]
    assert np.any(inside, axis=0).all()
    assert set(np.unique(frames.label)) <= {0, 1}


@pytest.mark.parametrize("attack", INJECTED)
@pytest.mark.parametrize("vehicle", VEHICLES)
def test_label_one_marks_what_was_injected_and_nothing_else(vehicle: str, attack: str) -> None:
    seconds = 24.0
    frames = simulate_capture(vehicle, seed=6, seconds=seconds, attack=attack).frames
    assert (frames.label == 1).any()
    genuine = frames.arbitration_id[frames.label == 0]
    for message in vehicle_messages(vehicle):
        if message.trigger == "Cyclic":
            count = int((genuine == message.arbitration_id).sum())
            assert abs(count - seconds / message.period) <= 2, message.name
    known = {m.arbitration_id for m in vehicle_messages(vehicle)}
    assert set(genuine.tolist()) <= known


@pytest.mark.parametrize(
    ("attack", "message", "signal", "low", "high"),
    [
        ("rpm_spoofing", 0x0A0, "Rpm", 4500, 6500),
        ("speed_spoofing", 0x0B4, "Speed", 140, 190),
        ("gear_spoofing", 0x0E4, "Gear", 7, 12),
    ],
)
def test_spoofed_frames_claim_one_value_under_a_valid_checksum(
    attack: str, message: int, signal: str, low: float, high: float
) -> None:
    database = read_dbc("hatchback")
    frames = simulate_capture("hatchback", seed=8, seconds=12.0, attack=attack).frames
    rows = np.flatnonzero(frames.label == 1)
    assert set(frames.arbitration_id[rows].tolist()) == {message}
    values = {database.decode_message(message, frames.payload[r].tobytes())[signal] for r in rows}
    assert len(values) == 1
    assert low <= values.pop() <= high


def test_replayed_frames_repeat_payloads_from_earlier_in_the_capture() -> None:
    frames = simulate_capture("estate", seed=8, seconds=12.0, attack="replay").frames
    rows = np.flatnonzero(frames.label == 1)
    earlier = {
        (int(i), p.tobytes())
        for i, p in zip(frames.arbitration_id[: rows[0]], frames.payload[: rows[0]], strict=True)
    }
    again = {(int(frames.arbitration_id[r]), frames.payload[r].tobytes()) for r in rows}
    assert len(again) > 100
    assert again <= earlier


def test_suppression_leaves_a_gap_and_no_label() -> None:
    capture = simulate_capture("pickup", seed=3, seconds=12.0, attack="suppression")
    frames = capture.frames
    assert not frames.label.any()
    (low, high) = capture.intervals[0]
    inside = frames.arbitration_id[
        (frames.timestamp > low + QUEUE_SECONDS) & (frames.timestamp < high)
    ]
    fast = {m.arbitration_id for m in vehicle_messages("pickup") if 0 < m.period <= 0.025}
    silent = fast - set(inside.tolist())
    assert len(silent) == 1
    assert len(_rows(frames, silent.pop())) > 100


def test_a_masquerade_keeps_time_and_counter_but_not_the_truth() -> None:
    capture = simulate_capture("pickup", seed=3, seconds=12.0, attack="masquerade")
    frames, database = capture.frames, read_dbc("pickup")
    (target,) = set(frames.arbitration_id[frames.label == 1].tolist())
    message = next(m for m in vehicle_messages("pickup") if m.arbitration_id == target)
    rows = _rows(frames, target)
    assert abs(len(rows) - 12.0 / message.period) <= 2
    inside = (frames.timestamp[rows] > capture.intervals[0][0] + QUEUE_SECONDS) & (
        frames.timestamp[rows] < capture.intervals[0][1]
    )
    assert (frames.label[rows][inside] == 1).all()
    counter = next(s for s in message.signals if s.source == "counter")
    column = np.array([_decoded(database, frames, r)[counter.name] for r in rows])
    assert (np.diff(column) % (1 << counter.length) == 1).all()


def test_unknown_names_and_lengths_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="masquerade"):
        simulate_capture("estate", seed=0, seconds=2.0, attack="maskerade")
    with pytest.raises(UnknownNameError, match="estate"):
        simulate_capture("state", seed=0, seconds=2.0)
    for seconds in (0.5, float("nan")):
        with pytest.raises(ConfigError, match="at least 1 second"):
            simulate_capture("estate", seed=0, seconds=seconds)


def test_the_dataset_keeps_unknown_vehicles_and_attacks_out_of_training() -> None:
    dataset = simulated_dataset(seed=0, seconds=12.0)
    train = [c for s in dataset if s.startswith("train") for c in dataset[s]]
    vehicles, attacks = {c.vehicle for c in train}, {c.attack for c in train}
    for split, captures in dataset.items():
        if split.startswith("test"):
            assert all((c.vehicle in vehicles) != ("unknown_vehicle" in split) for c in captures)
            assert all((c.attack in attacks) != ("unknown_attack" in split) for c in captures)
            assert all((c.frames.label == 1).any() for c in captures)
    digests = {_bytes(c.frames) for captures in dataset.values() for c in captures}
    assert len(digests) == sum(map(len, dataset.values()))
    names = [c.name for c in dataset["train_02_with_attacks"]]
    assert len(set(names)) == len(names)


def test_the_default_dataset_has_enough_windows() -> None:
    dataset = simulated_dataset()
    windows = {s: sum(len(c.frames) // 100 for c in cs) for s, cs in dataset.items()}
    assert windows["train_01_attack_free"] + windows["train_02_with_attacks"] >= 3000
    assert all(count >= 300 for count in windows.values())


def test_written_logs_read_back_as_the_same_frames(tmp_path: Path) -> None:
    frames = simulate_capture("estate", seed=1, seconds=2.0, attack="fuzzing").frames
    write_csv(frames, tmp_path / "capture.csv")
    write_candump(frames, tmp_path / "capture.log")
    back, _ = read_frames(tmp_path / "capture.csv")
    assert _bytes(back) == _bytes(frames)
    unlabelled, _ = read_frames(tmp_path / "capture.log")
    assert (unlabelled.payload == frames.payload).all()
    assert (unlabelled.arbitration_id == frames.arbitration_id).all()
    assert (unlabelled.label == -1).all()
