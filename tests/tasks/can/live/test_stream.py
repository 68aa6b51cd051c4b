"""Windows from frames in pieces against `build_graphs` of the whole capture, bit for bit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.errors import ConfigError, DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graphs import Graphs, build_graphs, join_graphs
from tutelage.tasks.can.ingest import read_frames
from tutelage.tasks.can.live import history
from tutelage.tasks.can.live.lone import LoneWindow
from tutelage.tasks.can.live.stream import WindowStream
from tutelage.tasks.can.profile import TrafficProfile


def traffic(seed: int, n: int, ids: int, wide: bool) -> Frames:
    """Random traffic with times that stand still and step back, ids that are rare or new."""
    random = np.random.default_rng(seed)
    values = np.floor(ids * random.random(n) ** 2).astype(np.uint32)
    return Frames(
        timestamp=1.5e9 + np.cumsum(random.choice([0.0, 0.001, 0.02, -0.0003], n)),
        arbitration_id=values * np.uint32(0x1234567 if wide else 5),
        dlc=random.integers(0, 9, n).astype(np.uint8),
        payload=(random.integers(0, 256, (n, 8)) * (random.random((n, 8)) < 0.4)).astype(np.uint8),
        label=random.choice([0, 0, 0, 0, 1, -1], n).astype(np.int8),
    )


def in_pieces(frames: Frames, stream: WindowStream, sizes: list[int]) -> list[Graphs]:
    """What a stream gives for pieces of these sizes, again and again until the frames end."""
    parts, at, turn = [], 0, 0
    while at < len(frames):
        size = sizes[turn % len(sizes)]
        parts.append(stream.push(frames[at : at + size]))
        at, turn = at + size, turn + 1
    return parts


def assert_equal(parts: list[Graphs], whole: Graphs) -> None:
    joined = join_graphs(parts)
    for field in fields(Graphs):
        ours, theirs = getattr(joined, field.name), getattr(whole, field.name)
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype, field.name
            assert ours.tobytes() == theirs.tobytes(), field.name
        else:
            assert ours == theirs, field.name


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    ids=st.sampled_from([1, 9, 60, 400]),
    wide=st.booleans(),
    window=st.integers(2, 40),
    stride=st.integers(1, 60),
    sizes=st.lists(st.integers(1, 330), min_size=1, max_size=6),
)
def test_windows_are_the_same_whatever_the_pieces(
    seed: int, ids: int, wide: bool, window: int, stride: int, sizes: list[int]
) -> None:
    frames = traffic(seed, 700, ids, wide)
    profile = TrafficProfile.fit([frames[:300]], window)
    whole = build_graphs(frames, profile, window, stride)
    assert_equal(in_pieces(frames, WindowStream(profile, window, stride), sizes), whole)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    ids=st.sampled_from([1, 9, 60, 400]),
    wide=st.booleans(),
    window=st.sampled_from([2, 3, 20, 100, 300]),
    sizes=st.lists(st.integers(1, 120), min_size=1, max_size=6),
)
def test_windows_that_adjoin_are_the_same_one_by_one(
    seed: int, ids: int, wide: bool, window: int, sizes: list[int]
) -> None:
    frames = traffic(seed, 950, ids, wide)
    profile = TrafficProfile.fit([frames[:300]], window)
    whole = build_graphs(frames, profile, window, window)
    for lone in (None, LoneWindow):
        stream = WindowStream(profile, window, window, lone)
        assert_equal(in_pieces(frames, stream, sizes), whole)


@pytest.mark.parametrize("stride", [100, 37, 230])
def test_real_traffic_gives_the_same_windows_in_pieces(shared_data: Path, stride: int) -> None:
    capture = "test_01_known_vehicle_known_attack__fuzzing-kia.parquet"
    frames = read_frames(shared_data / "can/hcrl_sa" / capture)[0][:30_000]
    frames.dlc.flags.writeable = False
    profile = TrafficProfile.fit([frames[:15_000]], 100)
    whole = build_graphs(frames, profile, 100, stride)
    stream = WindowStream(profile, 100, stride, LoneWindow)
    assert_equal(in_pieces(frames, stream, [92, 8, 1, 99, 4000, 3]), whole)
    assert (stream.frames, stream.windows) == (len(frames), len(whole))


def test_no_frame_gives_no_window_and_changes_nothing() -> None:
    frames = traffic(3, 200, 9, wide=False)
    profile = TrafficProfile.fit([frames], 20)
    stream = WindowStream(profile, 20, 20)
    first = stream.push(frames[:0])
    assert len(first) == 0
    whole = build_graphs(frames, profile, 20, 20)
    assert_equal([first, stream.push(frames), stream.push(frames[:0])], whole)


def test_it_says_how_many_frames_the_next_window_lacks() -> None:
    frames = traffic(4, 200, 9, wide=False)
    stream = WindowStream(TrafficProfile.fit([frames], 20), 20, 50)
    lacking = [stream.missing]
    for at in range(0, 60, 15):
        assert len(stream.push(frames[at : at + 15])) == (lacking[-1] <= 15)
        lacking.append(stream.missing)
    assert lacking == [20, 5, 40, 25, 10]


def test_what_is_kept_does_not_grow_with_the_capture() -> None:
    frames = traffic(5, 20_000, 60, wide=True)
    stream = WindowStream(TrafficProfile.fit([frames[:5000]], 100), 100, 100)
    kept = set()
    for at in range(0, len(frames), 250):
        stream.push(frames[at : at + 250])
        kept.add(sum(map(len, stream._kept)))
    assert kept == {0, 50}
    assert len(stream.history.ids) <= 60


def test_of_a_flood_of_new_ids_those_unseen_for_longest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "REMEMBERED", 500)
    usual = traffic(6, 1000, 9, wide=False)
    profile = TrafficProfile.fit([usual], 100)
    stream = WindowStream(profile, 100, 100)
    stream.push(usual)
    flood = traffic(7, 3000, 1, wide=False)
    flood.arbitration_id[:] = 0x10000 + np.arange(3000)
    for at in range(0, 3000, 100):
        stream.push(flood[at : at + 100])
    assert stream.history.forgotten > 2000
    assert len(stream.history.ids) <= 500 + len(profile)
    assert set(profile.ids.tolist()) <= set(stream.history.ids.tolist())
    assert 0x10000 + 2999 in stream.history.ids


def test_windows_that_can_not_be_cut_are_refused() -> None:
    profile = TrafficProfile.fit([traffic(8, 300, 9, wide=False)], 20)
    with pytest.raises(ConfigError, match="every 0"):
        WindowStream(profile, 20, 0)
    with pytest.raises(ConfigError, match="counted in windows of 20"):
        WindowStream(profile, 21, 21)


def test_times_that_are_not_seconds_are_refused_when_they_show() -> None:
    frames = traffic(9, 100, 9, wide=False)
    stream = WindowStream(TrafficProfile.fit([frames], 20), 20, 20)
    stream.push(frames[:50])
    frames.timestamp[60] = 1.5e18
    with pytest.raises(DataError, match="timestamps span"):
        stream.push(frames[50:])
