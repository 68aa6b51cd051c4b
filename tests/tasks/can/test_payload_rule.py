"""The payload rule: equal to a naive reading of its definition, blind where it must be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.can.baseline import Baseline, fit_rules, rules_from_json
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.rules import PayloadRule, UnseenIdCountRule, capture_prefix
from tutelage.tasks.can.simulator import VEHICLES, simulate_capture

WINDOW = 100


def _drive(vehicle: str, seed: int, seconds: float = 20.0, attack: str | None = None) -> Frames:
    return simulate_capture(vehicle, seed=seed, seconds=seconds, attack=attack).frames


def _frames(ids: list[int], words: list[int], label: list[int] | None = None) -> Frames:
    n = len(ids)
    return Frames(
        np.arange(n) * 0.01,
        np.array(ids, np.uint32),
        np.full(n, 8, np.uint8),
        np.array(words, np.uint64).view(np.uint8).reshape(n, 8),
        np.zeros(n, np.int8) if label is None else np.array(label, np.int8),
    )


def _moved(frames: Frames, rows: np.ndarray) -> Frames:
    columns = (frames.timestamp, frames.arbitration_id, frames.dlc, frames.payload, frames.label)
    return Frames(*(column[rows] for column in columns))


def _naive(benign: Frames, frames: Frames) -> list[bool]:
    """Judge one frame at a time, bit by bit."""
    said: dict[int, list[int]] = {}
    for identifier, word in zip(benign.arbitration_id, benign.payload.view("<u8"), strict=True):
        said.setdefault(int(identifier), []).append(int(word[0]))
    bits = {i: [{w >> bit & 1 for w in words} for bit in range(64)] for i, words in said.items()}
    hops = {
        i: max(((a ^ b).bit_count() for a, b in zip(words, words[1:], strict=False)), default=64)
        for i, words in said.items()
    }
    bits = {i: [{w >> bit & 1 for w in words} for bit in range(64)] for i, words in said.items()}
    hops = {
        i: max(((a ^ b).bit_count() for a, b in zip(words, words[1:], strict=False)), default=64)
        for i, words in said.items()
    }
    last: dict[int, int] = {}
    flagged = []
    for identifier, row in zip(frames.arbitration_id, frames.payload.view("<u8"), strict=True):
        key, word = int(identifier), int(row[0])
        before = last.get(key, word)
        last[key] = word
        if len(said.get(key, [])) < 2:
            flagged.append(False)
            continue
        wrong = any(len(b) == 1 and word >> k & 1 not in b for k, b in enumerate(bits[key]))
        flagged.append(wrong or (word ^ before).bit_count() > hops[key])
    return flagged


@pytest.mark.parametrize("attack", ["payload_fuzzing", "masquerade"])
def test_it_equals_its_definition_frame_by_frame(attack: str) -> None:
    benign = _drive("estate", 1, seconds=5.0)
    frames = _drive("estate", 2, seconds=6.0, attack=attack)
    rule = PayloadRule.fit([benign])
    score, flagged = rule.frame_scores(frames)
    assert flagged.tolist() == _naive(benign, frames)
    assert 0 < flagged.sum() < len(flagged)
    for stride in (100, 37):
        verdict = rule.windows(frames, WINDOW, stride)
        starts = range(0, len(frames) - WINDOW + 1, stride)
        assert verdict.alarm.tolist() == [bool(flagged[k : k + WINDOW].any()) for k in starts]
        assert verdict.score.tolist() == [float(score[k : k + WINDOW].max()) for k in starts]


def test_a_fixed_bit_or_a_jump_too_far_is_flagged_and_nothing_less() -> None:
    rule = PayloadRule.fit([_frames([5, 5, 5], [0x100, 0x103, 0x101])])
    assert (rule.fixed[0], rule.value[0], rule.largest) == (2**64 - 4, 0x100, (2,))
    score, flagged = rule.frame_scores(_frames([5] * 4, [0x100, 0x103, 0x100, 0x8000000000000000]))
    assert flagged.tolist() == [False, False, False, True]
    assert score.tolist() == pytest.approx([0, 2 / 3, 2 / 3, 2])
    wide = PayloadRule.fit([_frames([5] * 5, [0b000, 0b001, 0b011, 0b111, 0b110])])
    assert wide.frame_scores(_frames([5, 5], [0b000, 0b111]))[1].tolist() == [False, True]


def test_ids_that_were_never_seen_or_only_once_are_left_to_the_count_rule() -> None:
    rule = PayloadRule.fit([_frames([5, 5, 6], [1, 2, 3])])
    assert not rule.frame_scores(_frames([6, 6, 7, 7], [3, 2**64 - 1, 0, 2**64 - 1]))[1].any()


def test_the_distance_never_reaches_from_one_capture_into_another() -> None:
    calm = _frames([5, 5], [0, 1])
    rule = PayloadRule.fit([calm, _frames([5, 5], [0xFF, 0xFE])])
    assert rule.largest == (1,)
    assert rule.fixed == (2**64 - 256,)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_it_finds_fuzzed_payloads_that_counting_misses(vehicle: str) -> None:
    benign = [_drive(vehicle, seed) for seed in (1, 2)]
    frames = _drive(vehicle, 3, attack="payload_fuzzing")
    injected = frames.label == 1
    score, flagged = PayloadRule.fit(benign).frame_scores(frames)
    assert flagged[injected].mean() > 0.95
    assert ((score >= 1) == flagged).all()
    counted = UnseenIdCountRule.fit(benign, WINDOW).windows(frames, WINDOW, WINDOW).alarm
    seen = PayloadRule.fit(benign).windows(frames, WINDOW, WINDOW).alarm
    starts = range(0, len(frames) - WINDOW + 1, WINDOW)
    truth = np.array([bool(injected[k : k + WINDOW].any()) for k in starts])
    assert seen[truth].mean() > max(0.95, counted[truth].mean())


def test_time_order_and_not_file_order_decides() -> None:
    rule, frames = PayloadRule.fit([_drive("estate", 1)]), _drive("estate", 2, attack="replay")
    shuffled = np.random.default_rng(0).permutation(len(frames))
    score = rule.frame_scores(frames)[0]
    assert (rule.frame_scores(_moved(frames, shuffled))[0] == score[shuffled]).all()


def test_fitting_reads_benign_frames_alone_and_calibration_no_labels() -> None:
    frames = _drive("pickup", 5, attack="payload_fuzzing")
    without = _moved(frames, np.flatnonzero(frames.label == 0))
    assert PayloadRule.fit([frames]) == PayloadRule.fit([without])
    columns = (frames.timestamp, frames.arbitration_id, frames.dlc, frames.payload)
    unlabelled = Frames(*columns, np.full(len(frames), -1, np.int8))
    assert PayloadRule.calibrated(frames) == PayloadRule.calibrated(unlabelled)
    assert PayloadRule.calibrated(frames) != PayloadRule.fit([frames])
    with pytest.raises(DataError, match="benign"):
        PayloadRule.fit([unlabelled])
    with pytest.raises(DataError, match="benign"):
        PayloadRule.calibrated(frames[:0])


def test_short_captures_have_no_windows() -> None:
    benign = _drive("hatchback", 1, seconds=5.0)
    rule = PayloadRule.fit([benign])
    for few in (benign[:99], benign[:2], benign[:0]):
        assert len(rule.windows(few, WINDOW, WINDOW).alarm) == 0
    assert len(rule.windows(benign[:250], WINDOW, WINDOW).alarm) == 2


def test_it_stands_among_the_rules_and_survives_json() -> None:
    benign = _drive("pickup", 1, seconds=5.0)
    rules = fit_rules([benign], WINDOW)
    assert list(rules) == ["unseen_id_count", "two_gap", "payload"]
    assert rules["payload"] == PayloadRule.fit([benign])
    assert list(Baseline.calibrated(benign, WINDOW).rules) == list(rules)
    card = json.loads(json.dumps({n: r.to_json() for n, r in rules.items()}, allow_nan=False))
    assert rules_from_json(card) == rules
    del card["payload"]
    assert list(rules_from_json(card)) == ["unseen_id_count", "two_gap"]


@pytest.mark.parametrize("capture", ["valid_systematic-3", "untargeted_payload_fuzzing-3"])
def test_it_finds_real_fuzzing_from_the_captures_own_beginning_amid_false_alarms(
    shared_data: Path, capture: str
) -> None:
    found = sorted((shared_data / "can" / "can_train_and_test").rglob(f"*{capture}.parquet"))
    if not found:
        pytest.skip("this capture is not on this machine")
    frames, _ = read_frames(found[0])
    start = capture_prefix(frames)
    rest = frames[len(start) :]
    injected = rest.label == 1
    _, flagged = PayloadRule.calibrated(start).frame_scores(rest)
    assert flagged[injected].mean() > 0.9
    assert injected[flagged].mean() < 0.5
