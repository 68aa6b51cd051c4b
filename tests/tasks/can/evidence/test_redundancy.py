"""The redundancy model: a signal that lies alone is found though counter and checksum are right."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.can.evidence import Feature, PayloadModel, RedundancyModel, alarm_level
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.rule_windows import capture_prefix
from tutelage.tasks.can.simulator import VEHICLES, simulate_capture

LEVEL = alarm_level(2000, 2.5)


@cache
def _drive(seed: int, vehicle: str = "hatchback", seconds: float = 40.0) -> Frames:
    return simulate_capture(vehicle, seed=seed, seconds=seconds).frames


@cache
def _model(vehicle: str = "hatchback") -> RedundancyModel:
    return RedundancyModel.fit([_drive(1, vehicle), _drive(2, vehicle)])


@cache
def _masquerade(seed: int) -> Frames:
    return simulate_capture("hatchback", seed=seed, seconds=20, attack="masquerade").frames


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_another_drive_of_the_vehicle_is_no_alarm(vehicle: str) -> None:
    model = _model(vehicle)
    assert len(model.checks) > 5
    evidence, _ = model.score(_drive(3, vehicle))
    assert float(evidence.score.max()) <= LEVEL


def test_a_lie_that_keeps_counter_and_checksum_is_found_where_others_know_better() -> None:
    checked = {c.field.arbitration_id for c in _model().checks}
    found = []
    for seed in range(3, 9):
        frames = _masquerade(seed)
        lies = frames.label == ATTACK
        evidence, _ = _model().score(frames)
        payload, _ = PayloadModel.fit([_drive(1)]).score(frames)
        assert payload.score[lies].max() <= LEVEL
        alarm = evidence.score > LEVEL
        assert not alarm[~lies].any()
        if int(frames.arbitration_id[lies][0]) in checked:
            found.append(float(alarm[lies].mean()))
    assert found and max(found) > 0.98


def test_the_reason_names_the_signal_and_what_the_others_say() -> None:
    frames = next(f for f in map(_masquerade, range(3, 9)) if _found(f).any())
    evidence, _ = _model().score(frames)
    row = int(np.flatnonzero(_found(frames))[0])
    assert evidence.feature[row] == Feature.REDUNDANCY
    assert f"0x{frames.arbitration_id[row]:03X}: signal at " in evidence.reason(row)
    assert evidence.measured[row] != evidence.expected[row]


def _found(frames: Frames) -> np.ndarray:
    return _model().score(frames)[0].score > LEVEL


def test_three_frames_that_disagree_are_no_alarm_and_the_fourth_is() -> None:
    frames = _drive(3)
    check = _model().checks[0]
    rows = np.flatnonzero(frames.arbitration_id == check.field.arbitration_id)
    for count in (3, 4):
        payload = frames.payload.copy()
        lying = rows[500 : 500 + count]
        payload[lying, check.field.high] ^= 0x80
        made = Frames(frames.timestamp, frames.arbitration_id, frames.dlc, payload, frames.label)
        evidence, _ = _model().score(made)
        alarm = np.flatnonzero(evidence.score > LEVEL).tolist()
        assert alarm == ([int(lying[3])] if count == 4 else [])


@pytest.mark.parametrize("size", [7, 100, 3001])
def test_a_stream_in_pieces_gets_the_scores_of_the_whole(size: int) -> None:
    frames = next(f for f in map(_masquerade, range(3, 9)) if _found(f).any())
    begin = int(np.flatnonzero(frames.label == ATTACK)[0])
    frames = frames[begin - 1500 : begin + 1500]
    whole, _ = _model().score(frames)
    state = _model().start()
    for first in range(0, len(frames), size):
        piece, state = _model().score(frames[first : first + size], state)
        rows = slice(first, first + size)
        assert (piece.score == whole.score[rows]).all()
        assert (piece.measured == whole.measured[rows]).all()
        assert (piece.expected == whole.expected[rows]).all()
    assert whole.score.max() > LEVEL


def test_a_model_comes_back_from_json_as_it_was() -> None:
    model = _model()
    assert RedundancyModel.from_json(json.loads(json.dumps(model.to_json()))) == model


def test_traffic_without_redundant_signals_scores_nothing() -> None:
    frames = _drive(1)[:4000]
    still = Frames(
        frames.timestamp,
        frames.arbitration_id,
        frames.dlc,
        np.zeros_like(frames.payload),
        frames.label,
    )
    model = RedundancyModel.calibrated(still)
    assert model.checks == ()
    evidence, _ = model.score(frames)
    assert evidence.score.max() == 0


def test_no_benign_frame_is_refused() -> None:
    with pytest.raises(DataError, match="no benign frames"):
        RedundancyModel.fit([_drive(1)[:0]])


def _thrice(turns: float) -> Frames:
    """Return a minute in which three identifiers carry one signal that goes up and down."""
    time = np.arange(0.0, 60.0, 0.01)
    value = np.round(30000 + 20000 * np.cos(2 * np.pi * turns * time / 60.0)).astype("<u2")
    count = len(time)
    payload = np.zeros((3 * count, 8), np.uint8)
    payload[:, :2] = np.repeat(value, 3).view(np.uint8).reshape(-1, 2)
    return Frames(
        np.repeat(time, 3) + np.tile([0.0, 0.001, 0.002], count),
        np.tile(np.array([0x10, 0x20, 0x30], np.uint32), count),
        np.full(3 * count, 8, np.uint8),
        payload,
        np.zeros(3 * count, np.int8),
    )


def test_a_signal_is_only_known_once_it_went_up_and_down_twice() -> None:
    assert RedundancyModel.fit([_thrice(1.5)]).checks == ()
    known = RedundancyModel.fit([_thrice(2.2)]).checks
    assert {c.field.arbitration_id for c in known} == {0x10, 0x20, 0x30}
    joined = RedundancyModel.fit([_thrice(1.5), _thrice(1.5)]).checks
    assert {c.field.arbitration_id for c in joined} == {0x10, 0x20, 0x30}


def test_a_real_cars_pedal_is_checked_against_its_engine(shared_data: Path) -> None:
    folder = shared_data / "can" / "can_train_and_test" / "set_02"
    drive, _ = read_frames(folder / "train_02_with_attacks__untargeted_payload_fuzzing-1.parquet")
    parked, _ = read_frames(folder / "train_01_attack_free__accessory-1.parquet")
    assert RedundancyModel.calibrated(capture_prefix(drive)).checks == ()
    model = RedundancyModel.fit([drive])
    assert 0x1A1 in {c.field.arbitration_id for c in model.checks}
    evidence, _ = model.score(parked)
    assert float(evidence.score.max()) <= LEVEL
    rows = np.flatnonzero(parked.arbitration_id == 0x1A1)[200:600]
    driven = drive.payload[(drive.arbitration_id == 0x1A1) & (drive.label != ATTACK)]
    payload = parked.payload.copy()
    payload[rows] = driven[len(driven) // 3 :][: len(rows)]
    lying = Frames(parked.timestamp, parked.arbitration_id, parked.dlc, payload, parked.label)
    alarm = model.score(lying)[0].score > LEVEL
    assert alarm[rows].mean() > 0.5
    assert not np.delete(alarm, rows).any()
