"""Evidence of a stream: that of the whole capture, however it is cut, from a bounded memory."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.tasks.can.evidence import Evidence, Monitors, MonitorStream
from tutelage.tasks.can.evidence.stream import SETTLED
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import capture_prefix
from tutelage.tasks.can.simulator import simulate_capture

ATTACKS = ("fuzzing", "rpm_spoofing", "suppression", "masquerade")


def attacked(attack: str) -> tuple[Monitors, Frames]:
    frames = simulate_capture("hatchback", seed=3, seconds=15, attack=attack).frames
    return Monitors.calibrated(capture_prefix(frames, 4.0)), frames


CASES = {attack: attacked(attack) for attack in ATTACKS}


def streamed(monitors: Monitors, frames: Frames, cuts: list[int]) -> Evidence:
    stream = MonitorStream(monitors)
    places = [0, *sorted(cuts), len(frames)]
    parts = [stream.push(frames[a:b]) for a, b in zip(places, places[1:], strict=False)]
    return Evidence.concatenate([*parts, stream.finish()])


def same(one: Evidence, other: Evidence) -> None:
    for field in fields(Evidence):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.mark.parametrize("attack", ATTACKS)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=12))
def test_however_a_stream_is_cut_it_says_what_is_said_of_the_whole(
    attack: str, cuts: list[int]
) -> None:
    monitors, frames = CASES[attack]
    whole = monitors.evidence(frames)
    assert whole.score.max() > monitors.level(10)
    same(streamed(monitors, frames, [min(cut, len(frames)) for cut in cuts]), whole)


def test_pieces_of_some_frames_say_the_same() -> None:
    monitors, frames = CASES["fuzzing"]
    short = frames[:8000]
    same(streamed(monitors, short, [*range(0, len(short), 97)]), monitors.evidence(short))


def test_evidence_comes_in_order_and_as_soon_as_nothing_can_change_it() -> None:
    monitors, frames = CASES["rpm_spoofing"]
    stream, given = MonitorStream(monitors), 0
    for start in range(0, 12_000, 500):
        piece = frames[start : start + 500]
        given += len(stream.push(piece))
        settled = frames.timestamp[: start + 500] <= piece.timestamp.max() - SETTLED
        assert given == int(settled.argmin())


def test_what_a_stream_keeps_does_not_grow_with_it() -> None:
    monitors, frames = CASES["fuzzing"]
    stream, kept = MonitorStream(monitors), []
    later = frames
    for _ in range(4):
        for start in range(0, len(later), 1000):
            stream.push(later[start : start + 1000])
        kept.append(stream.kept)
        later = replace(later, timestamp=later.timestamp + 15.0)
    assert kept[3] <= 1.2 * kept[1]
