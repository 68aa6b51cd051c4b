"""Diagnostic exchanges that only read are no evidence; whatever is not quite one is."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from made_cycles import bus, made, merged

from tutelage.tasks.can.evidence import Evidence, Monitors, MonitorStream, TimingModel
from tutelage.tasks.can.evidence.diagnostics import is_diagnostic, read_exchanges
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.simulator import simulate_capture

Said = tuple[float, int, str]
CODES: list[Said] = [  # a tester reads two units' trouble codes; the first answer takes four frames
    (0.000, 0x767, "0319020a00000000"),
    (0.020, 0x76F, "101b59022a009011"),
    (0.021, 0x767, "3000000000000000"),
    (0.040, 0x76F, "2128009012280090"),
    (0.050, 0x76F, "2213280090142800"),
    (0.060, 0x76F, "23c1642800d50028"),
    (0.100, 0x7C2, "0319020a00000000"),
    (0.111, 0x7CA, "0759020a00c16408"),
]
SPEED: list[Said] = [(0.0, 0x7DF, "02010d5555555555"), (0.01, 0x7E9, "03410d2a55555555")]
LONG_ADDRESS: list[Said] = [
    (0.0, 0x18DA10F1, "0322f190cccccccc"),
    (0.03, 0x18DAF110, "101462f190574241"),
    (0.031, 0x18DA10F1, "30000acccccccccc"),
    (0.05, 0x18DAF110, "2130303030303030"),
    (0.06, 0x18DAF110, "2230303030303030"),
]
REFUSED: list[Said] = [(0.0, 0x750, "0322f18700000000"), (0.04, 0x758, "037f223100000000")]


def spoken(said: list[Said], at: float = 5.0) -> Frames:
    """Frames from seconds, identifiers and payloads."""
    return merged(
        *(made(i, [at + t], int.from_bytes(bytes.fromhex(word), "little")) for t, i, word in said)
    )


@pytest.mark.parametrize("said", [CODES, SPEED, LONG_ADDRESS, REFUSED])
def test_every_frame_of_an_exchange_that_reads_belongs_to_it(said: list[Said]) -> None:
    assert read_exchanges(spoken(said)).all()
    among = merged(bus(10.0), spoken(said))
    assert read_exchanges(among).tolist() == is_diagnostic(among.arbitration_id).tolist()


def changed(said: list[Said], row: int, **change: object) -> list[Said]:
    """The same, with one frame at another time, on another identifier or with another payload."""
    names = ("time", "identifier", "word")
    frame = dict(zip(names, said[row], strict=True)) | change
    return [*said[:row], tuple(frame[name] for name in names), *said[row + 1 :]]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (SPEED[:1], 0),  # nobody answers
        (SPEED[1:], 0),  # nobody asked
        (changed(SPEED, 1, time=0.2), 0),  # too late
        (changed(SPEED, 1, identifier=0x7E7), 0),  # another's identifier
        (changed(SPEED, 1, word="03420d2a55555555"), 0),  # another service's answer
        (changed(SPEED, 0, word="02010d5555555455"), 0),  # padded unevenly
        (changed(SPEED, 0, word="0a010d5555555555"), 0),  # no length of a single frame
        (changed(REFUSED, 1, word="037f273100000000"), 0),  # refuses what was not asked
        (changed(CODES, 6, word="042e020a00000000"), 6),  # writes
        (changed(CODES, 6, word="0211010000000000"), 6),  # resets
        (changed(CODES, 6, word="0227010000000000"), 6),  # asks for access
        (changed(CODES, 4, word="2313280090142800"), 6),  # counts on wrongly: the rest is none
        (changed(CODES, 5, time=2.1), 7),  # goes on too late
        (changed(CODES, 2, word="3300000000000000"), 7),  # no status of flow control
    ],
)
def test_what_is_not_quite_an_exchange_is_left_as_odd_as_it_is(said: list[Said], left: int) -> None:
    assert int(read_exchanges(spoken(said)).sum()) == left


def test_frames_beyond_the_length_of_an_answer_are_none_of_it() -> None:
    more = [*CODES[:6], (0.07, 0x76F, "24ffffffffffffff")]
    assert read_exchanges(spoken(more)).tolist() == [True] * 6 + [False]


def test_random_frames_and_simulated_attacks_are_never_taken_for_one() -> None:
    random = np.random.default_rng(0)
    n = 200_000
    words = random.integers(0, 2**63, n, dtype=np.uint64)
    frames = made(0, np.arange(n) / 5000, words)
    frames.arbitration_id[:] = random.integers(0x700, 0x800, n)
    assert not read_exchanges(frames).any()
    for attack in ("dos", "fuzzing", "payload_fuzzing", "replay", "rpm_spoofing"):
        found = simulate_capture("estate", seed=1, seconds=12, attack=attack).frames
        assert not (read_exchanges(found) & (found.label == ATTACK)).any()


def test_a_tester_that_reads_is_no_evidence_and_one_that_writes_is() -> None:
    quiet = bus(60.0)
    for model in (TimingModel.fit([quiet]), Monitors.calibrated(quiet)):
        assert not model.evidence(merged(quiet, spoken(CODES, 30.0))).score.max() > 6.5
        writes = changed(CODES, 6, word="042e020a00000000")
        frames = merged(quiet, spoken(writes, 30.0))
        odd = model.evidence(frames).score > 6.5
        assert set(frames.arbitration_id[odd]) == {0x7C2, 0x7CA}


def test_a_tester_that_was_seen_before_may_read_other_values() -> None:
    quiet = merged(bus(60.0), spoken(SPEED, 10.0))
    other = changed(SPEED, 1, word="03410dff55555555")
    frames = merged(quiet, spoken(other, 30.0))
    assert not (TimingModel.fit([quiet]).evidence(frames).score > 6.5).any()
    lone = merged(quiet, spoken(changed(other, 1, word="ffffffffffffffff"), 30.0))
    assert (TimingModel.fit([quiet]).evidence(lone).score > 6.5).any()


def test_noise_on_the_timestamps_takes_nothing_away() -> None:
    frames = merged(bus(20.0), spoken(CODES, 10.0))
    noise = np.random.default_rng(1).normal(0, 1e-3, len(frames))
    columns = {each.name: getattr(frames, each.name) for each in fields(Frames)}
    noisy = Frames(**(columns | {"timestamp": frames.timestamp + noise}))
    assert read_exchanges(noisy).tolist() == read_exchanges(frames).tolist()


@pytest.mark.parametrize("step", [1, 7, 113])
def test_a_stream_says_the_same_of_an_exchange_as_the_whole_does(step: int) -> None:
    quiet = bus(12.0)
    monitors = Monitors.calibrated(quiet)
    slow = changed(CODES, 5, time=1.9)
    frames = merged(quiet, spoken(slow, 3.0), spoken(SPEED, 8.0), spoken(CODES[3:6], 9.5))
    frames = frames[3 * len(frames) // 16 :] if step == 1 else frames
    stream = MonitorStream(monitors)
    cuts = range(0, len(frames), 97 * step if step == 1 else step * 5)
    parts = [stream.push(frames[at : at + cuts.step]) for at in cuts]
    found, whole = Evidence.concatenate([*parts, stream.finish()]), monitors.evidence(frames)
    assert found.score.tolist() == whole.score.tolist()
    assert found.feature.tolist() == whole.feature.tolist()
    assert (whole.score > 6.5).sum() == 3  # those that nobody asked for
