"""The monitors say the strongest of what each detector says, within one budget."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
from made_cycles import made, merged

from tutelage.core.errors import DataError
from tutelage.tasks.can.evidence import Evidence, Feature, Monitors, alarm_level
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.rule_windows import capture_prefix
from tutelage.tasks.can.simulator import simulate_capture


@pytest.fixture(scope="module")
def drive() -> Frames:
    return simulate_capture("hatchback", seed=2, seconds=12).frames


@pytest.fixture(scope="module")
def monitors() -> Monitors:
    return Monitors.fit([simulate_capture("hatchback", seed=1, seconds=12).frames])


def evidence_of(score: list[float], feature: Feature) -> Evidence:
    n = len(score)
    values = np.array(score, np.float32)
    name = np.full(n, feature, np.uint8)
    return Evidence(values, name, np.full(n, feature, np.uint32), values + 1, values + 2)


def assert_equal(one: Evidence, other: Evidence) -> None:
    for column in fields(Evidence):
        assert np.array_equal(getattr(one, column.name), getattr(other, column.name))


def test_the_strongest_evidence_counts_with_its_own_reason_and_of_equal_ones_the_first() -> None:
    counter = evidence_of([1, 5, 0, 3], Feature.COUNTER)
    silence = evidence_of([2, 4, 0, 3], Feature.SILENCE)
    found = Evidence.strongest([counter, silence])
    assert found.score.tolist() == [2, 5, 0, 3]
    assert found.feature.tolist() == [3, 1, 1, 1]
    assert found.arbitration_id.tolist() == [3, 1, 1, 1]
    assert found.measured.tolist() == [3, 6, 1, 4]
    assert found.expected.tolist() == [4, 7, 2, 5]
    assert_equal(Evidence.strongest([silence]), silence)


def test_every_detector_is_heard(monitors: Monitors, drive: Frames) -> None:
    time, payload = drive.timestamp, drive.payload.copy()
    frozen = (drive.arbitration_id == 0xA0) & (time > 4) & (time < 5)
    payload[frozen] = payload[np.flatnonzero(frozen)[0]]
    silent = (drive.arbitration_id == 0xB0) & (time > 7) & (time < 8)
    columns = (time, drive.arbitration_id, drive.dlc, payload, drive.label)
    frames = Frames(*(column[~silent] for column in columns))
    slow = np.median(np.diff(time[drive.arbitration_id == 0xA0]))
    own = frames.timestamp[frames.arbitration_id == 0xA0]
    extra = own[np.searchsorted(own, 10.0)] + 0.4 * slow
    frames = merged(frames, made(0xA0, [extra], 0, ATTACK), made(0x7FF, [11.0], 0, ATTACK))
    evidence, level = monitors.evidence(frames), monitors.level(10)
    said = {(int(frames.timestamp[row]), Feature(int(evidence.feature[row])))
            for row in np.flatnonzero(evidence.score > level)}  # fmt: skip
    assert {(4, Feature.COUNTER), (7, Feature.SILENCE), (11, Feature.UNSEEN_ID)} <= said
    assert {when for when, _ in said} == {4, 5, 7, 8, 10, 11} - {
        when for when in (5, 8) if when not in {at for at, _ in said}
    }
    parts = [
        monitors.timing.evidence(frames),
        monitors.payload.score(frames)[0],
        monitors.absence.score(frames)[0],
        monitors.redundancy.score(frames)[0],
    ]
    assert_equal(evidence, Evidence.strongest(parts))
    assert monitors.timing.evidence(frames).feature[frames.label == ATTACK].all()


def test_the_detectors_share_a_budget_evenly(monitors: Monitors) -> None:
    assert monitors.level(10) == alarm_level(monitors.load, 10 / 4)
    assert monitors.level(1) == pytest.approx(monitors.level(10) + 1)


def test_the_load_is_that_of_the_drives(drive: Frames) -> None:
    seconds = float(np.ptp(drive.timestamp))
    assert Monitors.fit([drive]).load == pytest.approx(len(drive) / seconds)
    assert Monitors.fit([drive, drive]).load == pytest.approx(len(drive) / seconds)


def test_another_drive_of_the_vehicle_is_no_alarm(monitors: Monitors, drive: Frames) -> None:
    verdict = monitors.windows(drive, 100, 100, 10)
    assert not verdict.alarm.any() and len(verdict.score) == len(drive) // 100


def test_a_window_is_judged_by_its_most_surprising_frame(monitors: Monitors, drive: Frames) -> None:
    frames = merged(drive, made(0x7FF, [6.0], 0, ATTACK))
    (row,) = np.flatnonzero(frames.label == ATTACK)
    score = monitors.evidence(frames).score
    for window, stride in ((100, 100), (50, 20), (64, 200)):
        verdict = monitors.windows(frames, window, stride, 10)
        starts = np.arange(0, len(frames) - window + 1, stride)
        assert verdict.score.tolist() == [score[at : at + window].max() for at in starts]
        holds = (starts <= row) & (row < starts + window)
        assert verdict.alarm.tolist() == holds.tolist()


def test_a_smaller_budget_raises_no_more_alarms(monitors: Monitors, drive: Frames) -> None:
    frames = merged(drive, made(0x7FF, [6.0], 0, ATTACK))
    counts = [int(monitors.windows(frames, 100, 100, rate).alarm.sum())
              for rate in (1000.0, 10.0, 0.001)]  # fmt: skip
    assert counts[0] >= counts[1] == 1 and counts[2] == 0


def test_monitors_from_their_json_give_the_same_evidence(drive: Frames) -> None:
    frames = merged(drive, made(0x7FF, [6.0], 0, ATTACK), made(0xA0, [7.0001], 5, ATTACK))
    for made_from in (Monitors.fit([drive]), Monitors.calibrated(capture_prefix(drive))):
        again = Monitors.from_json(json.loads(json.dumps(made_from.to_json(), allow_nan=False)))
        assert_equal(again.evidence(frames), made_from.evidence(frames))
        assert again.level(3) == made_from.level(3)
        assert again.to_json() == made_from.to_json()


def test_labels_are_unread_by_calibration(drive: Frames) -> None:
    swapped = Frames(drive.timestamp, drive.arbitration_id, drive.dlc, drive.payload,
                     np.where(np.arange(len(drive)) % 3, ATTACK, -1).astype(np.int8))  # fmt: skip
    assert Monitors.calibrated(swapped).to_json() == Monitors.calibrated(drive).to_json()


def test_there_is_nothing_to_learn_without_frames(drive: Frames) -> None:
    with pytest.raises(DataError, match="no benign frames"):
        Monitors.calibrated(drive[:0])


def test_reasons_name_the_identifier_what_was_measured_and_what_is_usual() -> None:
    said = {
        feature: Evidence(
            np.ones(1, np.float32),
            np.array([feature], np.uint8),
            np.array([0x2B4], np.uint32),
            np.array([0.25], np.float32),
            np.array([0.5], np.float32),
        ).reason(0)
        for feature in Feature
    }
    assert said.pop(Feature.NONE) == ""
    assert all(text.startswith("0x2B4: ") for text in said.values())
    assert len(set(said.values())) == len(said)
    assert said[Feature.EXTRA_FRAME] == (
        "0x2B4: a frame too many, 0.2500 s from the next; one every 0.5000 s is usual"
    )
