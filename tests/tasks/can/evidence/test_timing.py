"""The timing model finds injected frames at any phase and lets events and restarts be."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_cycles import LEVEL, alarms, bus, cycle, injected, made, merged, without

from tutelage.core.errors import DataError
from tutelage.tasks.can.evidence import Evidence, Feature, TimingModel
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.rule_windows import capture_prefix

FOREIGN = 0x0F0F_F0F0_0F0F_F0F0
PHASES = [0.03, 0.2, 0.5, 0.8, 0.97]


@pytest.fixture(scope="module")
def drive() -> Frames:
    return bus(12, seed=2)


@pytest.fixture(scope="module")
def model() -> TimingModel:
    return TimingModel.calibrated(bus(12, seed=1))


def into(frames: Frames, identifier: int, place: int, phase: float, word: int) -> Frames:
    """Inject a frame after the identifier's frame number ``place``."""
    own = frames.timestamp[frames.arbitration_id == identifier]
    time = own[place] + phase * (own[place + 1] - own[place])
    return merged(frames, made(identifier, [time], word, ATTACK))


def test_another_drive_is_no_alarm(model: TimingModel, drive: Frames) -> None:
    assert model.steady.sum() == 10  # those of 200 ms were seen less than a hundred times
    assert not alarms(model, drive).size
    assert model.evidence(drive).reason(5) == ""


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("identifier", [0x101, 0x104, 0x108])
def test_an_injected_frame_is_found_and_told_from_its_neighbours_at_any_phase(
    model: TimingModel, drive: Frames, identifier: int, phase: float
) -> None:
    for place in (20, 50, 80):
        frames = into(drive, identifier, place, phase, FOREIGN)
        assert alarms(model, frames).tolist() == injected(frames).tolist()
        evidence, (row,) = model.evidence(frames), injected(frames)
        assert evidence.feature[row] == Feature.EXTRA_FRAME
        assert evidence.reason(int(row)).startswith(f"0x{identifier:03X}: a frame too many, 0.0")
        period = {0x101: 0.01, 0x104: 0.02, 0x108: 0.1}[identifier]
        assert evidence.expected[row] == pytest.approx(period, rel=0.01)
        nearest = min(phase, 1 - phase) * period
        assert evidence.measured[row] == pytest.approx(nearest, abs=0.1 * period)


@pytest.mark.parametrize("phase", PHASES)
def test_a_replayed_payload_is_found_too(model: TimingModel, drive: Frames, phase: float) -> None:
    rows = np.flatnonzero(drive.arbitration_id == 0x101)
    word = int(drive.payload[rows[40]].copy().view("<u8")[0])
    frames = into(drive, 0x101, 40, phase, word)
    (row,), (found,) = injected(frames), alarms(model, frames)
    assert abs(frames.timestamp[found] - frames.timestamp[row]) < 0.01
    assert frames.arbitration_id[found] == 0x101


@pytest.mark.parametrize("phase", PHASES)
def test_jitter_of_a_tenth_of_the_period_hides_no_injected_frame(phase: float) -> None:
    jittery = TimingModel.calibrated(bus(12, jitter=0.001, seed=1))
    drive = bus(12, jitter=0.001, seed=2)
    assert not alarms(jittery, drive).size
    for place in range(100, 1000, 100):
        frames = into(drive, 0x101, place, phase, FOREIGN)
        (row,), (found,) = injected(frames), alarms(jittery, frames)
        assert abs(frames.timestamp[found] - frames.timestamp[row]) < 0.01


def test_a_sender_that_starts_its_cycle_anew_is_no_alarm(model: TimingModel, drive: Frames) -> None:
    """Restarts sooner than the fastest cycle on the bus are left out: they look like a flood."""
    for identifier, period, phases in (
        (0x101, 0.01, (0.8,)),
        (0x104, 0.02, (0.5, 0.8)),
        (0x108, 0.1, (0.2, 0.3, 0.5, 0.8)),
    ):
        for phase in phases:
            late = drive.timestamp.copy()
            moved = (drive.arbitration_id == identifier) & (late > 6)
            late[moved] -= (1 - phase) * period
            frames = merged(
                Frames(late, drive.arbitration_id, drive.dlc, drive.payload, drive.label)
            )
            assert not alarms(model, frames).size, (identifier, phase)


def events(period: float, pace: float) -> Frames:
    """A sender that adds frames to its cycle while its state changes, bit by bit, for 20 frames."""
    random = np.random.default_rng(3)
    usual = np.arange(0, 6, period)
    burst = 6 + np.cumsum(random.uniform(pace, pace * 4 / 3, 20))
    later = burst[-1] + np.arange(1, 30) * period
    steps = np.cumsum(random.integers(1, 3, 20)).astype(np.uint64)
    words = np.concatenate([np.zeros(len(usual), np.uint64), steps, np.full(29, steps[-1])])
    return made(0x300, np.concatenate([usual, burst, later]), words)


def test_a_burst_of_event_frames_whose_payload_goes_on_is_no_alarm() -> None:
    usual = cycle(0x300, 0.2, 30)
    usual.payload[:] = 0
    model = TimingModel.calibrated(merged(bus(30, seed=1), usual))
    assert model.steady.all()
    frames = merged(bus(12, seed=2), events(0.2, 0.03))
    assert not alarms(model, frames).size


def eventful(seconds: float, word: int) -> Frames:
    """A sender at 200 ms that adds a frame to its cycle every five seconds."""
    usual = made(0x300, np.arange(0, seconds, 0.2), 0x0303)
    return merged(usual, made(0x300, np.arange(1.08, seconds, 5.0), word))


def test_of_a_sender_that_answers_events_only_foreign_frames_too_many_are_alarms() -> None:
    model = TimingModel.fit([merged(bus(30, seed=1), eventful(30, 0x0301))])
    assert not model.steady[-1] and model.steady[:10].all()
    drive = bus(12, seed=2)
    assert not alarms(model, merged(drive, eventful(12, 0x0301))).size
    assert alarms(model, merged(drive, eventful(12, FOREIGN))).size == 3


def test_a_flood_faster_than_the_fastest_cycle_is_an_alarm(
    model: TimingModel, drive: Frames
) -> None:
    assert model.fastest == pytest.approx(0.01, rel=0.01)
    rows = np.flatnonzero(drive.arbitration_id == 0x108)
    word = int(drive.payload[rows[50]].copy().view("<u8")[0])
    start = drive.timestamp[rows[50]]
    flood = made(0x108, start + 0.001 * np.arange(1, 300), word, ATTACK)
    frames = merged(drive, flood)
    evidence = model.evidence(frames)
    found = np.flatnonzero(evidence.score > LEVEL)
    assert set(frames.arbitration_id[found].tolist()) == {0x108}
    time = frames.timestamp[found]
    assert len(found) > 50 and time.min() < start + 0.1 and time.max() > start + 0.2


def test_a_contaminated_beginning_calibrates_as_a_clean_one_does() -> None:
    frames, random = bus(20, seed=4), np.random.default_rng(5)
    own = frames.timestamp[frames.arbitration_id == 0x101]
    places = np.sort(random.choice(np.arange(5, 1990), 126, replace=False))  # 6 % of its frames
    times = own[places] + random.uniform(0.001, 0.009, len(places))
    words = random.integers(0, 2**63, len(places)).astype(np.uint64)
    attacked = merged(frames, made(0x101, times, words, ATTACK))
    dirty = TimingModel.calibrated(capture_prefix(attacked))
    clean = TimingModel.calibrated(capture_prefix(frames))
    assert dirty.rhythm.period == pytest.approx(clean.rhythm.period, rel=0.01)
    assert (dirty.steady == clean.steady).all()
    after = attacked.timestamp > attacked.timestamp[0] + 10
    found = np.zeros(len(attacked), bool)
    found[alarms(dirty, attacked)] = True
    truth = attacked.label == ATTACK
    assert (found & truth & after).sum() >= 0.95 * (truth & after).sum()
    assert (found & ~truth & after).sum() <= 3  # a neighbour in the stead of the injected one


def test_more_injected_frames_than_may_be_set_aside_are_taken_for_the_sender() -> None:
    frames = bus(10, seed=4)
    own = frames.timestamp[frames.arbitration_id == 0x101]
    for share, steady in ((10, True), (3.5, False)):
        places = np.arange(0, len(own) - 1, share).astype(np.int64)
        many = made(0x101, own[places] + 0.005, FOREIGN, ATTACK)
        model = TimingModel.calibrated(merged(frames, many))
        assert model.steady[:3].tolist() == [True, steady, True]


def test_labels_teach_a_fit_and_are_unread_by_calibration() -> None:
    frames = bus(10, seed=6)
    own = frames.timestamp[frames.arbitration_id == 0x102]
    attacked = merged(frames, made(0x102, own[::2] + 0.005, FOREIGN, ATTACK))
    benign = Frames(
        attacked.timestamp,
        attacked.arbitration_id,
        attacked.dlc,
        attacked.payload,
        np.zeros_like(attacked.label),
    )
    assert TimingModel.fit([attacked]).to_json() == TimingModel.fit([frames]).to_json()
    assert TimingModel.fit([benign]).to_json() != TimingModel.fit([frames]).to_json()
    blind = TimingModel.calibrated(benign).to_json()
    assert TimingModel.calibrated(attacked).to_json() == blind


def test_a_cycle_left_in_a_drive_that_is_labelled_benign_is_not_believed_to_be_kept() -> None:
    frames = bus(12, seed=1)
    restarted = frames.timestamp.copy()
    moved = (frames.arbitration_id == 0x101) & (restarted > 6)
    restarted[moved] -= 0.006
    other = merged(Frames(restarted, frames.arbitration_id, frames.dlc, frames.payload,
                          frames.label))  # fmt: skip
    assert TimingModel.fit([frames]).steady[1] and not TimingModel.fit([other]).steady[1]
    assert TimingModel.calibrated(other).steady[1]  # one in a thousand may be injected


def test_an_identifier_that_was_never_seen_is_an_alarm(model: TimingModel, drive: Frames) -> None:
    frames = merged(drive, made(0x7A1, [5.0, 5.5], 0, ATTACK), made(0x18DAF110, [6.0], 0, ATTACK))
    evidence, rows = model.evidence(frames), injected(frames)
    assert alarms(model, frames).tolist() == rows.tolist()
    assert (evidence.feature[rows] == Feature.UNSEEN_ID).all()
    assert evidence.reason(int(rows[0])) == "0x7A1: never seen before"


def test_of_a_seldom_seen_identifier_only_a_foreign_payload_is_an_alarm(drive: Frames) -> None:
    known = merged(bus(12, seed=1), made(0x600, [1.0, 4.0, 9.0], [0x11, 0x12, 0x13]))
    model = TimingModel.calibrated(known)
    for word in (0x11, 0x13, 0x17, 0x1E):  # as seen, or four bits off at most
        assert not alarms(model, merged(drive, made(0x600, [5.0], word))).size
    frames = merged(drive, made(0x600, [5.0, 5.1], [FOREIGN, 0x12], ATTACK))
    (row,) = alarms(model, frames)
    assert row == injected(frames)[0]
    evidence = model.evidence(frames)
    assert evidence.feature[row] == Feature.UNSEEN_PAYLOAD
    assert evidence.reason(int(row)) == "0x600: seldom seen, and never with such a payload"


def test_a_model_from_its_json_gives_the_same_evidence(drive: Frames) -> None:
    known = merged(bus(12, seed=1), made(0x600, [1.0, 4.0], [2**64 - 1, 0]))
    for model in (TimingModel.calibrated(known), TimingModel.fit([known, without(known, 0x103)])):
        again = TimingModel.from_json(json.loads(json.dumps(model.to_json(), allow_nan=False)))
        frames = merged(into(drive, 0x101, 30, 0.4, FOREIGN), made(0x600, [3.0, 3.1], FOREIGN))
        one, other = model.evidence(frames), again.evidence(frames)
        assert one.score.max() > LEVEL
        for column in Evidence.__slots__:
            assert np.array_equal(getattr(one, column), getattr(other, column))
        assert again.to_json() == model.to_json()


def test_there_is_nothing_to_learn_without_frames(drive: Frames) -> None:
    with pytest.raises(DataError, match="no benign frames"):
        TimingModel.calibrated(drive[:0])
    attack = Frames(drive.timestamp, drive.arbitration_id, drive.dlc, drive.payload,
                    np.full(len(drive), ATTACK, np.int8))  # fmt: skip
    with pytest.raises(DataError, match="no benign frames"):
        TimingModel.fit([attack])


def odd_captures() -> dict[str, Frames]:
    usual, random = bus(6, seed=9), np.random.default_rng(0)
    n = len(usual)

    def other(**columns: np.ndarray) -> Frames:
        return Frames(*(columns.get(name, getattr(usual, name)) for name in Frames.__slots__))

    jump = usual.timestamp.copy()
    jump[n // 2 : n // 2 + 200] -= 3.0
    late = usual.timestamp.copy()
    late[50:] += 5.0
    return {
        "one identifier": cycle(0x100, 0.005, 6),
        "no cycle": other(arbitration_id=random.integers(0, 40, n).astype(np.uint32)),
        "time runs backwards": other(timestamp=usual.timestamp[::-1].copy()),
        "time jumps back": other(timestamp=jump),
        "silent for seconds": other(timestamp=late),
        "equal times": other(timestamp=np.round(usual.timestamp, 1)),
        "one time": other(timestamp=np.zeros(n)),
        "seconds since 1970": other(timestamp=usual.timestamp + 1.5e9),
        "extended identifiers": other(arbitration_id=usual.arbitration_id + np.uint32(0x18DA0000)),
        "every identifier": other(arbitration_id=(np.arange(n) % 2048).astype(np.uint32)),
        "equal payloads": other(payload=np.zeros((n, 8), np.uint8)),
        "no payload": other(payload=np.zeros((n, 8), np.uint8), dlc=np.zeros(n, np.uint8)),
        "attacks alone": other(label=np.ones(n, np.int8)),
        "a slow cycle": merged(usual, made(0x500, [0.5, 5.5], 7)),
        "few frames": usual[:3],
        "one frame": usual[:1],
    }


@pytest.mark.parametrize("name", odd_captures())
def test_odd_captures_are_judged_in_finite_numbers(name: str, drive: Frames) -> None:
    frames = odd_captures()[name]
    model = TimingModel.calibrated(capture_prefix(frames, 3.0))
    json.dumps(model.to_json(), allow_nan=False)
    for judged in (frames, frames[:1], frames[:0], drive):
        evidence = model.evidence(judged)
        for column in (evidence.score, evidence.measured, evidence.expected):
            assert len(column) == len(judged) and np.isfinite(column).all()
