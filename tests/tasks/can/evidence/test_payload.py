"""The payload model: a frozen counter alarms, benign traffic doesn't, and pieces score alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.can.evidence import Feature, PayloadModel, alarm_level
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.rule_windows import capture_prefix
from tutelage.tasks.can.simulator import VEHICLES, simulate_capture

LEVEL = alarm_level(2000, 2.5)


def _drive(seed: int, seconds: float = 15.0, vehicle: str = "hatchback") -> Frames:
    return simulate_capture(vehicle, seed=seed, seconds=seconds).frames


def _frozen(frames: Frames, identifier: int, low: float, high: float) -> tuple[Frames, np.ndarray]:
    """Return frames in which an identifier repeats one payload, and which they are."""
    time = frames.timestamp - frames.timestamp[0]
    rows = np.flatnonzero((frames.arbitration_id == identifier) & (time >= low) & (time < high))
    payload = frames.payload.copy()
    payload[rows] = payload[rows[0]]
    label = frames.label.copy()
    label[rows] = ATTACK
    made = Frames(frames.timestamp, frames.arbitration_id, frames.dlc, payload, label)
    return made, rows


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_another_drive_of_the_vehicle_is_no_alarm(vehicle: str) -> None:
    model = PayloadModel.fit([_drive(1, vehicle=vehicle)])
    evidence, _ = model.score(_drive(2, vehicle=vehicle))
    assert len(model.patterns) > 10
    assert float(evidence.score.max()) == 0.0
    assert evidence.reason(0) == ""


def test_a_payload_that_freezes_alarms_from_its_third_frame_on() -> None:
    model = PayloadModel.fit([_drive(1)])
    frames, rows = _frozen(_drive(2), 0xA0, 5.0, 8.0)
    evidence, _ = model.score(frames)
    assert (evidence.score[rows[2:]] > LEVEL).all()
    other = np.delete(np.arange(len(frames)), rows)
    # The first genuine frame afterwards may break, too: no counter continues there.
    assert (evidence.score[other] > LEVEL).sum() <= 1
    assert evidence.feature[rows[5]] == Feature.COUNTER
    assert evidence.reason(int(rows[5])).startswith("0x0A0: counter at ")


def test_labels_are_unread_when_calibrating_on_a_prefix() -> None:
    frames = _drive(3)
    prefix = capture_prefix(frames, 8.0)
    claimed = np.full(len(prefix), ATTACK, np.int8)
    mislabelled = Frames(
        prefix.timestamp, prefix.arbitration_id, prefix.dlc, prefix.payload, claimed
    )
    assert PayloadModel.calibrated(mislabelled) == PayloadModel.calibrated(prefix)
    frozen, rows = _frozen(frames, 0xA0, 10.0, 12.0)
    evidence, _ = PayloadModel.calibrated(prefix).score(frozen)
    assert (evidence.score[rows[2:]] > LEVEL).all()


def test_frames_labelled_as_attacks_teach_nothing() -> None:
    frozen, _ = _frozen(_drive(1), 0xA0, 2.0, 14.0)
    found = {p.arbitration_id for p in PayloadModel.fit([frozen]).patterns if p.counters}
    assert 0xA0 in found
    everything = PayloadModel.calibrated(frozen)
    assert 0xA0 not in {p.arbitration_id for p in everything.patterns if p.counters}


def test_a_wrong_checksum_under_a_right_counter_names_the_checksum() -> None:
    model = PayloadModel.fit([_drive(1)])
    frames = _drive(2)
    rows = np.flatnonzero(frames.arbitration_id == 0xA0)[50:90]
    frames.payload[rows, 0] ^= 0x10
    evidence, _ = model.score(frames)
    assert (evidence.score[rows[2:]] > LEVEL).all()
    assert set(evidence.feature[rows].tolist()) == {Feature.CHECKSUM}
    assert "checksum wrong in 4" in evidence.reason(int(rows[10]))


def test_lost_frames_break_no_counter() -> None:
    model = PayloadModel.fit([_drive(1)])
    frames = _drive(2)
    chance = np.random.default_rng(0).random(len(frames)) >= 0.05
    kept = Frames(
        frames.timestamp[chance],
        frames.arbitration_id[chance],
        frames.dlc[chance],
        frames.payload[chance],
        frames.label[chance],
    )
    evidence, _ = model.score(kept)
    assert (evidence.score > LEVEL).sum() == 0


@pytest.mark.parametrize("size", [1, 7, 100, 3001])
def test_a_stream_in_pieces_gets_the_scores_of_the_whole(size: int) -> None:
    model = PayloadModel.fit([_drive(1)])
    frames, rows = _frozen(_drive(2, 4.0), 0xA0, 1.0, 3.0)
    frames = frames[1800 : 2600 if size < 7 else len(frames)]
    whole, _ = model.score(frames)
    state = model.start()
    for first in range(0, len(frames), size):
        piece, state = model.score(frames[first : first + size], state)
        rows_of = slice(first, first + size)
        assert (piece.score == whole.score[rows_of]).all()
        assert (piece.feature == whole.feature[rows_of]).all()
        assert (piece.measured == whole.measured[rows_of]).all()
        assert (piece.expected == whole.expected[rows_of]).all()
    assert whole.score.max() > 0


def test_a_model_comes_back_from_json_as_it_was() -> None:
    model = PayloadModel.fit([_drive(1, vehicle="estate")])
    assert PayloadModel.from_json(json.loads(json.dumps(model.to_json()))) == model


def test_traffic_without_structure_scores_nothing() -> None:
    frames = _drive(1, 1.0)
    frames.payload[:] = 0
    model = PayloadModel.fit([frames])
    assert model.patterns == ()
    evidence, _ = model.score(_drive(2, 1.0))
    assert evidence.score.max() == 0


def test_no_benign_frame_is_refused() -> None:
    with pytest.raises(DataError, match="no benign frames"):
        PayloadModel.fit([_drive(1, 1.0)[:0]])


def test_the_alarm_level_is_the_budgets_share_of_the_frames() -> None:
    assert alarm_level(1000, 3.6) == pytest.approx(6.0)
    with pytest.raises(DataError, match="positive"):
        alarm_level(0, 1)


def test_a_real_masquerade_is_found_from_other_drives_of_the_car(shared_data: Path) -> None:
    folder = shared_data / "can" / "can_train_and_test" / "set_04"
    drives = ("rpm-accessory-4", "untargeted_payload_fuzzing-3", "valid_systematic-3")
    captures = [
        read_frames(folder / f"train_02_with_attacks__{drive}.parquet")[0] for drive in drives
    ]
    test, _ = read_frames(folder / "test_06_masquerade__masquerade-untimed-4.parquet")
    evidence, _ = PayloadModel.fit(captures).score(test)
    whole = len(test) // 100 * 100
    alarm = (evidence.score[:whole] > LEVEL).reshape(-1, 100).any(axis=1)
    truth = (test.label[:whole] == ATTACK).reshape(-1, 100).any(axis=1)
    f1 = 2 * (alarm & truth).sum() / (alarm.sum() + truth.sum())
    assert f1 > 0.99
    assert not (alarm & ~truth).any()
