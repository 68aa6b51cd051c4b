"""The training-free rules: equal to a naive reading of their definition, and fit to be beaten."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.rules import (
    RuleVerdict,
    TwoGapRule,
    UnseenIdCountRule,
    capture_prefix,
)
from tutelage.tasks.can.simulator import VEHICLES, simulate_capture

WINDOW = 100


def _drive(vehicle: str, seed: int, seconds: float = 20.0, attack: str | None = None) -> Frames:
    return simulate_capture(vehicle, seed=seed, seconds=seconds, attack=attack).frames


def _truth(frames: Frames, stride: int = WINDOW) -> np.ndarray:
    starts = range(0, len(frames) - WINDOW + 1, stride)
    return np.array([bool((frames.label[k : k + WINDOW] == 1).any()) for k in starts])


def _f1(truth: np.ndarray, verdict: RuleVerdict) -> float:
    return 2 * int((truth & verdict.alarm).sum()) / max(1, truth.sum() + verdict.alarm.sum())


def _naive_two_gap(rule: TwoGapRule, frames: Frames) -> set[int]:
    """Return flagged rows, one identifier and one frame at a time."""
    flagged: set[int] = set()
    words = frames.payload.view("<u8").ravel().tolist()
    for k, identifier in enumerate(rule.ids):
        rows = np.flatnonzero(frames.arbitration_id == identifier).tolist()
        rows.sort(key=lambda row: frames.timestamp[row])
        if rule.regular[k]:
            tie = 4.0 * min(1.0 - rule.lowest[k], 0.12)
            flagged |= _naive_removal(rows, frames.timestamp, words, 2 * rule.period[k], tie)
        elif rule.step[k] >= 0:
            for before, row, after in zip(rows, rows[1:], rows[2:], strict=False):
                hops = [(words[row] ^ words[other]).bit_count() for other in (before, after)]
                if min(hops) > rule.step[k]:
                    flagged.add(row)
    return flagged


def _naive_removal(
    rows: list[int], times: np.ndarray, words: list[int], two_periods: float, tie: float
) -> set[int]:
    removed: set[int] = set()
    while True:
        misfit = [np.inf] * len(rows)
        for j in range(1, len(rows) - 1):
            r = (times[rows[j + 1]] - times[rows[j - 1]]) / two_periods
            if r < 0.75:
                a, b, c = words[rows[j - 1]], words[rows[j]], words[rows[j + 1]]
                flips = (a ^ b).bit_count() + (b ^ c).bit_count() - (a ^ c).bit_count()
                misfit[j] = abs(2 * r - 1) - tie * min(max(flips / 16, -1), 1)
        chosen = [
            j
            for j, cost in enumerate(misfit)
            if cost < np.inf
            and all(cost < other for other in misfit[max(0, j - 2) : j])
            and all(cost <= other for other in misfit[j + 1 : j + 3])
        ]
        if not chosen:
            return removed
        removed |= {rows[j] for j in chosen}
        rows = [row for j, row in enumerate(rows) if j not in chosen]


@pytest.mark.parametrize("attack", ["fuzzing", "payload_fuzzing"])
@pytest.mark.parametrize("stride", [100, 37])
def test_the_count_rule_equals_counting_each_window_in_turn(stride: int, attack: str) -> None:
    benign, attacked = _drive("estate", 1), _drive("estate", 2, attack=attack)
    verdict = UnseenIdCountRule.fit([benign], WINDOW).windows(attacked, WINDOW, stride)
    most: Counter[int] = Counter()
    for k in range(0, len(benign) - WINDOW + 1, WINDOW):
        most |= Counter(benign.arbitration_id[k : k + WINDOW].tolist())
    expected = [
        any(n > most[i] for i, n in Counter(attacked.arbitration_id[k : k + WINDOW]).items())
        for k in range(0, len(attacked) - WINDOW + 1, stride)
    ]
    assert verdict.alarm.tolist() == expected
    assert ((verdict.score >= 1.0) == verdict.alarm).all()
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("attack", ["payload_fuzzing", "rpm_spoofing", "replay"])
@pytest.mark.parametrize("vehicle", VEHICLES)
def test_the_two_gap_rule_equals_its_definition_frame_by_frame(vehicle: str, attack: str) -> None:
    rule = TwoGapRule.fit([_drive(vehicle, 1)])
    frames = _drive(vehicle, 2, seconds=6.0, attack=attack)
    score, flagged = rule.frame_scores(frames)
    assert set(np.flatnonzero(flagged).tolist()) == _naive_two_gap(rule, frames)
    assert ((score > 0.25) == flagged).all()
    verdict = rule.windows(frames, WINDOW, 50)
    starts = range(0, len(frames) - WINDOW + 1, 50)
    assert verdict.alarm.tolist() == [bool(flagged[k : k + WINDOW].any()) for k in starts]
    assert verdict.score.tolist() == [float(score[k : k + WINDOW].max()) for k in starts]


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_the_count_rule_finds_floods_and_unseen_ids_from_the_captures_own_prefix(
    vehicle: str,
) -> None:
    for attack in ("dos", "fuzzing"):
        frames = _drive(vehicle, 3, attack=attack)
        rule = UnseenIdCountRule.calibrated(capture_prefix(frames), WINDOW)
        rest = frames[len(capture_prefix(frames)) :]
        assert _f1(_truth(rest), rule.windows(rest, WINDOW, WINDOW)) > 0.98


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_the_two_gap_rule_finds_injected_frames_that_counting_misses(vehicle: str) -> None:
    benign = [_drive(vehicle, seed) for seed in (1, 2)]
    counting, gaps = UnseenIdCountRule.fit(benign, WINDOW), TwoGapRule.fit(benign)
    for attack in ("speed_spoofing", "payload_fuzzing"):
        frames = _drive(vehicle, 3, attack=attack)
        truth = _truth(frames)
        assert _f1(truth, gaps.windows(frames, WINDOW, WINDOW)) > 0.95
        assert _f1(truth, counting.windows(frames, WINDOW, WINDOW)) < 0.9


def test_neither_rule_sees_a_masquerade_which_adds_no_frame() -> None:
    benign = [_drive("estate", seed) for seed in (1, 2)]
    frames = _drive("estate", 3, attack="masquerade")
    truth = _truth(frames)
    for rule in (UnseenIdCountRule.fit(benign, WINDOW), TwoGapRule.fit(benign)):
        assert _f1(truth, rule.windows(frames, WINDOW, WINDOW)) < 0.1


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_another_benign_drive_raises_alarms_in_under_two_windows_of_a_hundred(
    vehicle: str,
) -> None:
    benign = [_drive(vehicle, seed) for seed in (1, 2, 3)]
    other = _drive(vehicle, 4)
    for rule in (UnseenIdCountRule.fit(benign, WINDOW), TwoGapRule.fit(benign)):
        assert rule.windows(other, WINDOW, WINDOW).alarm.mean() < 0.02


def test_only_frames_labelled_benign_are_learned_from() -> None:
    frames = _drive("pickup", 5, attack="fuzzing")
    genuine = frames.label == 0
    columns = (frames.timestamp, frames.arbitration_id, frames.dlc, frames.payload, frames.label)
    without = Frames(*(column[genuine] for column in columns))
    assert UnseenIdCountRule.fit([frames], WINDOW) == UnseenIdCountRule.fit([without], WINDOW)
    assert TwoGapRule.fit([frames]) == TwoGapRule.fit([without])
    unlabelled = Frames(*columns[:4], np.full(len(frames), -1, np.int8))
    with pytest.raises(DataError, match="benign"):
        TwoGapRule.fit([unlabelled])
    with pytest.raises(DataError, match="benign"):
        UnseenIdCountRule.fit([unlabelled], WINDOW)


def test_calibration_on_a_prefix_never_reads_labels() -> None:
    frames = _drive("hatchback", 5, attack="speed_spoofing")
    columns = (frames.timestamp, frames.arbitration_id, frames.dlc, frames.payload)
    unlabelled = Frames(*columns, np.full(len(frames), -1, np.int8))
    assert TwoGapRule.calibrated(frames) == TwoGapRule.calibrated(unlabelled)
    first = UnseenIdCountRule.calibrated(frames, WINDOW)
    assert first == UnseenIdCountRule.calibrated(unlabelled, WINDOW)


def test_a_prefix_with_a_few_injected_frames_still_calibrates_the_two_gap_rule() -> None:
    frames = _drive("hatchback", 6, seconds=24.0, attack="speed_spoofing")
    begin = int((frames.label == 1).argmax())
    inside = frames[begin : begin + 20_000]
    rule = TwoGapRule.calibrated(capture_prefix(inside))
    assert _f1(_truth(inside), rule.windows(inside, WINDOW, WINDOW)) > 0.95


def test_time_order_and_not_file_order_decides() -> None:
    benign, frames = _drive("estate", 1), _drive("estate", 2, attack="gear_spoofing")
    rule = TwoGapRule.fit([benign])
    shuffled = np.random.default_rng(0).permutation(len(frames))
    columns = (frames.timestamp, frames.arbitration_id, frames.dlc, frames.payload, frames.label)
    moved = Frames(*(column[shuffled] for column in columns))
    _, flagged = rule.frame_scores(frames)
    assert (rule.frame_scores(moved)[1] == flagged[shuffled]).all()


def test_rules_survive_json_unchanged() -> None:
    benign = [_drive("pickup", 1, seconds=5.0)]
    counting, gaps = UnseenIdCountRule.fit(benign, WINDOW), TwoGapRule.fit(benign)
    text = json.dumps([counting.to_json(), gaps.to_json()], allow_nan=False)
    counted, gapped = json.loads(text)
    assert UnseenIdCountRule.from_json(counted) == counting
    assert TwoGapRule.from_json(gapped) == gaps


def test_short_captures_have_no_windows_and_other_lengths_are_refused() -> None:
    benign = _drive("hatchback", 1, seconds=5.0)
    counting, gaps = UnseenIdCountRule.fit([benign], WINDOW), TwoGapRule.fit([benign])
    for few in (benign[:99], benign[:2], benign[:0]):
        assert len(counting.windows(few, WINDOW, WINDOW).alarm) == 0
        assert len(gaps.windows(few, WINDOW, WINDOW).alarm) == 0
    assert len(gaps.windows(benign[:250], WINDOW, WINDOW).alarm) == 2
    with pytest.raises(DataError, match="windows of 100"):
        counting.windows(benign, 50, 50)
    with pytest.raises(DataError, match="no capture holds a window"):
        UnseenIdCountRule.fit([benign[:99]], WINDOW)
    with pytest.raises(DataError, match="empty capture"):
        capture_prefix(benign[:0])


def test_the_two_gap_rule_solves_a_real_capture_from_its_own_prefix(shared_data: Path) -> None:
    name = "test_03_known_vehicle_unknown_attack__rpm-accessory-2.parquet"
    path = shared_data / "can" / "can_train_and_test" / "set_03" / name
    if not path.is_file():
        pytest.skip("this capture is not on this machine")
    frames, _ = read_frames(path)
    start = capture_prefix(frames)
    rest = frames[len(start) :]
    truth = _truth(rest)
    assert _f1(truth, TwoGapRule.calibrated(start).windows(rest, WINDOW, WINDOW)) > 0.97
    counting = UnseenIdCountRule.calibrated(start, WINDOW)
    assert _f1(truth, counting.windows(rest, WINDOW, WINDOW)) < 0.2
