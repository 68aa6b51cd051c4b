"""Drives are grouped by vehicle, and a stretch is known by the identifiers on its bus."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from made_captures import capture

from tutelage.core.errors import DataError
from tutelage.tasks.can.baseline import Baseline, KnownDrives, recognises, vehicles
from tutelage.tasks.can.frames import ATTACK, UNLABELLED, Frames
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.rule_windows import capture_prefix
from tutelage.tasks.can.simulator import VEHICLES, simulate_capture


def drive(vehicle: str, seed: int, attack: str | None = None, seconds: float = 6) -> Frames:
    return simulate_capture(vehicle, seed=seed, seconds=seconds, attack=attack).frames


@pytest.fixture(scope="module")
def known() -> tuple[Baseline, ...]:
    """Three drives each of two vehicles, out of order."""
    stretches = [
        drive("hatchback", 1, "fuzzing"),
        drive("estate", 2),
        drive("hatchback", 3),
        drive("estate", 4, "dos"),
        drive("hatchback", 5),
        drive("estate", 6, "rpm_spoofing"),
    ]
    return vehicles(stretches, 100)


def test_drives_are_grouped_by_vehicle(known: tuple[Baseline, ...]) -> None:
    assert len(known) == 2
    loads = {len(baseline.profile): baseline.monitors.load for baseline in known}
    estate, hatchback = (np.unique(drive(v, 9).arbitration_id) for v in ("estate", "hatchback"))
    assert set(loads) == {len(estate), len(hatchback)}
    for baseline, ids in zip(known, (estate, hatchback), strict=True):
        assert np.array_equal(baseline.profile.ids, ids)
        assert set(baseline.rules) == {"unseen_id_count", "two_gap", "payload"}


def test_a_stretch_is_recognised_by_its_own_vehicle_alone(known: tuple[Baseline, ...]) -> None:
    for number, vehicle in enumerate(("estate", "hatchback")):
        for attack in (None, "fuzzing"):
            prefix = capture_prefix(drive(vehicle, 11, attack), 3.0)
            assert [recognises(b.profile, prefix) for b in known] == [number == 0, number == 1]
    assert not any(recognises(b.profile, drive("pickup", 11)) for b in known)


def test_half_of_a_bus_or_half_of_another_is_not_recognised(known: tuple[Baseline, ...]) -> None:
    frames = drive("estate", 12)
    ids = np.unique(frames.arbitration_id)
    fewer = np.isin(frames.arbitration_id, ids[::2])
    columns = (getattr(frames, name) for name in Frames.__slots__)
    assert not recognises(known[0].profile, Frames(*(column[fewer] for column in columns)))
    foreign = frames.arbitration_id.copy()
    foreign[::2] += np.uint32(0x10000)
    assert not recognises(known[0].profile, replace(frames, arbitration_id=foreign))
    assert not recognises(known[0].profile, frames[:0])


def test_stretches_with_too_few_benign_frames_teach_no_vehicle() -> None:
    frames = drive("pickup", 1)
    attacked = replace(frames, label=np.full(len(frames), ATTACK, np.int8))
    assert vehicles([attacked, frames[:99]], 100) == ()
    assert len(vehicles([attacked, frames], 100)) == 1


def test_the_vehicle_of_a_stretch_is_found_among_those_known_also_from_json() -> None:
    stretches = [drive("hatchback", 1), drive("estate", 2)]
    learned = Preprocessing.fit(stretches, 100, {}, 0.2)
    again = Preprocessing.from_json(json.loads(json.dumps(learned.to_json())))
    for each in (learned, again):
        found = each.vehicle_of(drive("estate", 5))
        assert found is not None and np.array_equal(found.profile.ids, np.unique(
            stretches[1].arbitration_id))  # fmt: skip
        assert each.vehicle_of(drive("pickup", 5)) is None
    assert again.to_json() == learned.to_json()


def test_other_drives_of_the_vehicle_are_learned_from_and_labels_of_none_are_needed() -> None:
    judged = capture("test", "judged", drive("estate", 20, "fuzzing"))
    prefix = capture_prefix(judged.frames, 3.0)
    own, attacked = drive("estate", 21), drive("estate", 22, "dos")
    others = [drive("hatchback", 23), own, attacked, own[:99]]
    drives = [capture("", str(at), frames) for at, frames in enumerate(others)]
    found = KnownDrives(drives, 100).of(judged, prefix)
    assert found is not None
    assert found.to_json() == Baseline.fit([own, attacked], 100).to_json()
    blank = replace(own, label=np.full(len(own), UNLABELLED, np.int8))
    unlabelled = KnownDrives([capture("", "blank", blank)], 100).of(judged, prefix)
    assert unlabelled is not None
    assert unlabelled.to_json() == Baseline.fit([own], 100).to_json()
    assert KnownDrives(drives[:1], 100).of(judged, prefix) is None
    assert KnownDrives([], 100).of(judged, prefix) is None


def test_a_drive_that_shares_traffic_with_the_judged_one_is_left_out() -> None:
    frames, other = drive("estate", 20, "fuzzing"), drive("estate", 21)
    judged = capture("test", "judged", frames)
    later = replace(frames[len(frames) // 2 :], timestamp=frames.timestamp[len(frames) // 2 :] + 99)
    twin, apart = capture("", "twin", later), capture("", "apart", other)
    prefix = capture_prefix(frames, 3.0)
    assert KnownDrives([twin], 100).of(judged, prefix) is None
    found = KnownDrives([twin, apart], 100).of(judged, prefix)
    assert found is not None and found.to_json() == Baseline.fit([other], 100).to_json()


def test_a_calibrated_baseline_reads_no_label() -> None:
    prefix = drive(VEHICLES[0], 3, "fuzzing")
    random = np.random.default_rng(0).integers(-1, 2, len(prefix)).astype(np.int8)
    blind = Baseline.calibrated(replace(prefix, label=random), 100)
    assert blind.to_json() == Baseline.calibrated(prefix, 100).to_json()


def test_injected_frames_are_kept_out_of_a_calibrated_profile() -> None:
    clean, seconds = drive("hatchback", 3, seconds=8), 8
    assert len(Baseline.calibrated(clean, 100).profile) == len(np.unique(clean.arbitration_id))
    own = clean.timestamp[clean.arbitration_id == 0xA0]
    place = np.arange(5, len(own) - 5, 20)
    times = own[place] + 0.4 * np.median(np.diff(own))
    rows = np.searchsorted(clean.timestamp, times)
    columns = {
        "timestamp": times,
        "arbitration_id": 0xA0,
        "dlc": 8,
        "payload": np.uint8(0xA5),
        "label": 0,
    }
    attacked = Frames(*(np.insert(getattr(clean, n), rows, v, axis=0) for n, v in columns.items()))
    code = int(np.searchsorted(np.unique(clean.arbitration_id), 0xA0))
    one, other = (Baseline.calibrated(f, 100).profile for f in (clean, attacked))
    assert len(attacked) > len(clean) + 2 * seconds
    assert other.gap_spread[code] == pytest.approx(one.gap_spread[code], rel=0.2)
    assert other.byte_change_rate[code] == pytest.approx(one.byte_change_rate[code], abs=0.02)


def test_a_stretch_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(DataError, match="window of 100"):
        Baseline.calibrated(drive("estate", 1)[:60], 100)


def test_a_stretch_of_which_injected_frames_leave_no_window_is_refused() -> None:
    time = np.sort(np.concatenate([np.arange(115) * 0.01, np.arange(10, 90, 4) * 0.01 + 0.004]))
    n = len(time)
    frames = Frames(time, np.full(n, 0x100, np.uint32), np.full(n, 8, np.uint8),
                    np.zeros((n, 8), np.uint8), np.zeros(n, np.int8))  # fmt: skip
    with pytest.raises(DataError, match="of 135 frames to calibrate on 20 look injected"):
        Baseline.calibrated(frames, 120)
    assert len(Baseline.calibrated(frames, 110).profile) == 1
