"""Graphs of windows against a plain Python computation of every feature, and their promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.errors import ConfigError, DataError
from tutelage.tasks.can.frames import ATTACK, BENIGN, UNLABELLED, Frames
from tutelage.tasks.can.graphs import (
    EDGE_FEATURES,
    NODE_FEATURES,
    PROFILE_FEATURES,
    Graphs,
    build_graphs,
)
from tutelage.tasks.can.profile import TrafficProfile


def capture(seed: int, n: int, ids: int = 9, wide: bool = False) -> Frames:
    """Random traffic with repeated, stepping-back times and a few slow ids."""
    rng = np.random.default_rng(seed)
    dlc = rng.integers(0, 9, n).astype(np.uint8)
    payload = rng.integers(0, 256, (n, 8)) * (rng.random((n, 8)) < 0.4)
    payload[np.arange(8) >= dlc[:, None]] = 0
    values = np.floor(ids * rng.random(n) ** 2).astype(np.uint32)
    return Frames(
        timestamp=1.5e9 + np.cumsum(rng.choice([0.0, 0.001, 0.02, -0.0003], n)),
        arbitration_id=values * np.uint32(0x1234567 if wide else 5),
        dlc=dlc,
        payload=payload.astype(np.uint8),
        label=(rng.random(n) < 0.02).astype(np.int8),
    )


def log_ratio(value: float) -> float:
    return 0.0 if value <= 0 else min(max(math.log2(value), -8.0), 8.0)


def naive_gap(frames: Frames, row: int) -> tuple[int | None, float | None]:
    for earlier in range(row - 1, -1, -1):
        if frames.arbitration_id[earlier] == frames.arbitration_id[row]:
            return earlier, max(frames.timestamp[row] - frames.timestamp[earlier], 1e-6)
    return None, None


def naive_node(
    frames: Frames, profile: TrafficProfile, rows: list[int], others: list[int], start: int, w: int
) -> dict[str, float]:
    """Every node feature of the id whose frames in the window are ``rows``."""
    place = int(profile.id_index(frames.arbitration_id[rows[:1]])[0]) - 1
    known = place >= 0
    gap_t = float(profile.median_gap[place]) if known else 0.0
    rate = profile.byte_change_rate[place]
    before = [naive_gap(frames, row) for row in rows]
    gaps = [gap for _, gap in before if gap is not None]
    two = [a[1] + b[1] for a, b in zip(before, before[1:], strict=False) if a[1] is not None]
    moved = [
        frames.payload[r] != frames.payload[p]
        for r, (p, _) in zip(rows, before, strict=True)
        if p is not None
    ]
    bits = [
        sum(
            int(a ^ b).bit_count()
            for a, b in zip(frames.payload[r], frames.payload[p], strict=True)
        )
        for r, (p, _) in zip(rows, before, strict=True)
        if p is not None
    ]
    surprise = [
        -sum(math.log(q if m else 1 - q) for m, q in zip(step, rate, strict=True)) for step in moved
    ]
    changed = sum(int(step.sum()) for step in moved)
    end = frames.timestamp[start + w - 1]
    duration = max(end - frames.timestamp[start], 1e-6)
    usable = known and gap_t > 0
    silence = max(end - frames.timestamp[rows[-1]], 0.0)
    same = frames.arbitration_id[: rows[0]] == frames.arbitration_id[rows[0]]
    node = {f"byte_mean_{k}": frames.payload[rows, k].mean() / 255 for k in range(8)}
    node |= {
        "count_minmax": (len(rows) - min(others)) / max(max(others) - min(others), 1),
        "last_position": (rows[-1] - start) / w,
        "span": (rows[-1] - rows[0]) / w,
        "dlc": frames.dlc[rows].mean() / 8,
        "known": float(known),
        "count_ratio": min(len(rows) / profile.max_count[place], 8.0) if known else 0.0,
        "mean_gap_ratio": log_ratio(sum(gaps) / len(gaps) / gap_t) if usable and gaps else 0.0,
        "min_gap_ratio": log_ratio(min(gaps) / gap_t) if usable and gaps else 0.0,
        "max_gap_ratio": log_ratio(max(gaps) / gap_t) if usable and gaps else 0.0,
        "min_two_gap_ratio": log_ratio(min(two) / 2 / gap_t) if usable and two else 0.0,
        "silence_ratio": min(math.log2(1 + silence / gap_t), 8.0) if usable else 0.0,
        "rate_ratio": log_ratio(len(rows) * gap_t / duration) if usable else 0.0,
        "gap_spread": min(profile.gap_spread[place], 8.0) if known else 0.0,
        "byte_change_excess": (changed - len(moved) * rate.sum()) / max(len(moved), 1) / 8
        if known
        else 0.0,
        "byte_change_surprise": math.log1p(max(surprise, default=0.0)) if known else 0.0,
        "max_hamming": max(bits, default=0) / 64,
        "mean_gap": log_ratio(sum(gaps) / len(gaps) / 0.01) if gaps else 0.0,
        "min_gap": log_ratio(min(gaps) / 0.01) if gaps else 0.0,
        "share_so_far": log_ratio(256 * (1 + sum(same)) / (rows[0] + 100)),
    }
    return node


def naive_edges(frames: Frames, number: dict[int, int], start: int, w: int) -> dict[Any, Any]:
    """Every edge of a window with all its features, by (source, target)."""
    found: dict[tuple[int, int], list[int]] = {}
    local = [number[int(frames.arbitration_id[start + k])] for k in range(w)]
    for k in range(w - 1):
        found.setdefault((local[k], local[k + 1]), []).append(k)
    degree = [0] * len(number)
    for source, target in found:
        degree[source] += 1
        degree[target] += 1
    time = frames.timestamp[start : start + w]
    delay = [max(time[k + 1] - time[k], 0.0) for k in range(w - 1)]
    unit = sum(delay) / (w - 1) or 1.0
    edges = {}
    for (source, target), places in sorted(found.items()):
        gaps = np.array([delay[k] / unit for k in places])
        mean, std = float(gaps.mean()), float(gaps.std())
        edges[source, target] = {
            "count": math.log2(len(places)),
            "relative_frequency": len(places) / (w - 1),
            "mean_gap": math.log1p(mean),
            "std_gap": math.log1p(std),
            "regularity": 1 - std / (mean + std) if mean + std else 1.0,
            "first_position": places[0] / w,
            "last_position": places[-1] / w,
            "spread": (places[-1] - places[0]) / w,
            "reverse": float((target, source) in found),
            "degree_product": math.log2(degree[source] * degree[target]),
            "degree_ratio": math.log2(degree[source] / degree[target]),
        }
    return edges


def check_window(graphs: Graphs, i: int, frames: Frames, profile: TrafficProfile) -> None:
    w, start = graphs.window, int(graphs.first_row[i])
    rows: dict[int, list[int]] = {}
    for row in range(start, start + w):
        rows.setdefault(int(frames.arbitration_id[row]), []).append(row)
    ids = sorted(rows)
    counts = [len(rows[a]) for a in ids]
    nodes = [naive_node(frames, profile, rows[a], counts, start, w) for a in ids]
    want = np.array([[node[name] for name in NODE_FEATURES] for node in nodes])
    span = slice(graphs.node_ptr[i], graphs.node_ptr[i + 1])
    np.testing.assert_allclose(graphs.x[span], want, rtol=1e-5, atol=1e-5)
    assert graphs.id_index[span].tolist() == profile.id_index(np.array(ids, np.uint32)).tolist()
    edges = naive_edges(frames, {a: k for k, a in enumerate(ids)}, start, w)
    span = slice(graphs.edge_ptr[i], graphs.edge_ptr[i + 1])
    assert [tuple(pair) for pair in graphs.edge_index[:, span].T.tolist()] == list(edges)
    want = np.array([[edge[name] for name in EDGE_FEATURES] for edge in edges.values()])
    np.testing.assert_allclose(graphs.edge_attr[span], want, rtol=1e-5, atol=1e-5)
    label = frames.label[start : start + w]
    assert graphs.y[i] == (-1 if (label == -1).any() else int((label == 1).any()))
    assert graphs.attack_frames[i] == (label == ATTACK).sum()
    assert graphs.start_time[i] == frames.timestamp[start]
    assert graphs.end_time[i] == frames.timestamp[start + w - 1]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    window=st.integers(2, 40),
    stride=st.integers(1, 50),
    known=st.integers(1, 12),
    wide=st.booleans(),
)
def test_every_feature_equals_its_plain_definition(
    seed: int, window: int, stride: int, known: int, wide: bool
) -> None:
    frames = capture(seed, 120, wide=wide)
    profile = TrafficProfile.fit([capture(seed + 1, 150, ids=known, wide=wide)], window)
    graphs = build_graphs(frames, profile, window, stride)
    assert len(graphs) == 1 + (120 - window) // stride
    assert graphs.first_row.tolist() == [k * stride for k in range(len(graphs))]
    for i in range(0, len(graphs), max(1, len(graphs) // 4)):
        check_window(graphs, i, frames, profile)


@pytest.mark.parametrize("window", [2, 128, 129, 257, 258, 1024])
def test_windows_of_every_key_width_agree_with_the_definition(window: int) -> None:
    frames, profile = capture(7, 1200, ids=600), TrafficProfile.fit([capture(8, 600)], window)
    check_window(build_graphs(frames, profile, window, window), 0, frames, profile)


def test_a_window_does_not_change_when_later_frames_arrive() -> None:
    frames, profile = capture(11, 1000), TrafficProfile.fit([capture(12, 500)], 50)
    whole = build_graphs(frames, profile, 50, 50)
    part = build_graphs(frames[:520], profile, 50, 50)
    nodes, edges, n = part.node_ptr[-1], part.edge_ptr[-1], len(part)
    np.testing.assert_array_equal(whole.x[:nodes], part.x)
    np.testing.assert_array_equal(whole.edge_attr[:edges], part.edge_attr)
    np.testing.assert_array_equal(whole.edge_index[:, :edges], part.edge_index)
    np.testing.assert_array_equal(whole.content[:n], part.content)


def test_blocks_of_windows_leave_no_seam() -> None:
    frames, profile = capture(13, 60_000), TrafficProfile.fit([capture(14, 500)], 100)
    graphs = build_graphs(frames, profile)
    check_window(graphs, 255, frames, profile)
    check_window(graphs, 256, frames, profile)
    late = build_graphs(frames[25_600:], profile)
    np.testing.assert_array_equal(graphs.edge_attr[graphs.edge_ptr[256] :], late.edge_attr)


def test_two_unknown_ids_are_two_nodes_that_share_a_token() -> None:
    frames, profile = capture(15, 100), TrafficProfile.fit([capture(16, 100)], 20)
    frames.arbitration_id[:20] = np.resize([0x700, 0x701, 0], 20)
    graphs = build_graphs(frames, profile, 20, 20)
    assert graphs.node_ptr[1] == 3
    assert graphs.id_index[:3].tolist() == [1, 0, 0]
    relative = [NODE_FEATURES.index(name) for name in PROFILE_FEATURES]
    assert not graphs.x[1:3, relative].any()


def test_without_a_baseline_only_the_features_of_the_profile_change() -> None:
    frames, other = capture(17, 300), capture(18, 300)
    other.arbitration_id[:] += 1
    known = build_graphs(frames, TrafficProfile.fit([frames], 20), 20, 20)
    unknown = build_graphs(frames, TrafficProfile.fit([other], 20), 20, 20)
    relative = np.isin(NODE_FEATURES, PROFILE_FEATURES)
    assert known.x[:, relative].any(axis=0).all() and not unknown.x[:, relative].any()
    np.testing.assert_array_equal(known.x[:, ~relative], unknown.x[:, ~relative])


def test_an_injected_frame_halves_the_two_gap_ratio() -> None:
    n = 400
    frames = Frames(
        timestamp=np.arange(n) * 0.01,
        arbitration_id=np.resize([1, 2], n).astype(np.uint32),
        dlc=np.full(n, 8, np.uint8),
        payload=np.zeros((n, 8), np.uint8),
        label=np.zeros(n, np.int8),
    )
    profile = TrafficProfile.fit([frames], 20)
    when = frames.timestamp.copy()
    ids = frames.arbitration_id.copy()
    ids[51], when[51] = 1, 0.51
    attacked = Frames(when, ids, frames.dlc, frames.payload, frames.label)
    graphs = build_graphs(attacked, profile, 20, 20)
    ratio = graphs.x[graphs.node_ptr[2], NODE_FEATURES.index("min_two_gap_ratio")]
    assert ratio == pytest.approx(-1.0, abs=1e-4)
    ratio = graphs.x[graphs.node_ptr[1], NODE_FEATURES.index("min_two_gap_ratio")]
    assert ratio == pytest.approx(0.0, abs=1e-4)


def test_a_window_with_an_unlabelled_frame_has_no_label() -> None:
    frames, profile = capture(17, 60), TrafficProfile.fit([capture(18, 100)], 20)
    frames.label[:] = BENIGN
    frames.label[25], frames.label[26], frames.label[41] = UNLABELLED, ATTACK, ATTACK
    assert build_graphs(frames, profile, 20, 20).y.tolist() == [0, -1, 1]


def test_equal_content_has_equal_digests_whatever_its_time_and_label() -> None:
    frames, profile = capture(19, 200), TrafficProfile.fit([capture(20, 100)], 20)
    moved = Frames(frames.timestamp + 5, *(getattr(frames, n).copy() for n in Frames.__slots__[1:]))
    moved.label[:] = 1 - moved.label
    first, second = build_graphs(frames, profile, 20, 20), build_graphs(moved, profile, 20, 20)
    assert first.content.tolist() == second.content.tolist()
    assert len(set(first.content.tolist())) == 10


@pytest.mark.parametrize("what", ["payload", "arbitration_id", "dlc", "order"])
def test_any_change_of_content_changes_the_digest(what: str) -> None:
    frames, profile = capture(21, 40), TrafficProfile.fit([capture(22, 100)], 20)
    before = build_graphs(frames, profile, 20, 20).content
    if what == "order":
        frames.payload[[22, 31]] = frames.payload[[31, 22]]
        frames.arbitration_id[[22, 31]] = frames.arbitration_id[[31, 22]]
    else:
        getattr(frames, what)[22] ^= 1
    after = build_graphs(frames, profile, 20, 20).content
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_hostile_times_and_ids_still_give_finite_features() -> None:
    rng = np.random.default_rng(23)
    n = 5000
    frames = Frames(
        timestamp=rng.choice([0.0, 1e-9, 1.0, 1e6, -1e6], n).cumsum(),
        arbitration_id=rng.integers(0, 2**29, n).astype(np.uint32),
        dlc=np.full(n, 8, np.uint8),
        payload=rng.integers(0, 256, (n, 8)).astype(np.uint8),
        label=np.zeros(n, np.int8),
    )
    frames.arbitration_id[::3] = 0x1FFFFFFF
    graphs = build_graphs(frames, TrafficProfile.fit([frames[:2000]], 100))
    for features in (graphs.x, graphs.edge_attr):
        assert features.dtype == np.float32
        assert np.isfinite(features).all()


def test_a_capture_shorter_than_a_window_is_refused() -> None:
    profile = TrafficProfile.fit([capture(24, 100)], 100)
    with pytest.raises(DataError, match="99 frames holds no window of 100"):
        build_graphs(capture(25, 99), profile)


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (1025, 100), (100, 0)])
def test_impossible_windows_are_refused(window: int, stride: int) -> None:
    profile = TrafficProfile.fit([capture(26, 100)], 100)
    with pytest.raises(ConfigError, match="can't be cut"):
        build_graphs(capture(27, 2000), profile, window, stride)


def test_a_profile_of_other_windows_is_refused() -> None:
    profile = TrafficProfile.fit([capture(30, 100)], 50)
    with pytest.raises(ConfigError, match="windows of 100 frames, but the profile .* of 50"):
        build_graphs(capture(31, 200), profile)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e15])
def test_times_that_are_not_seconds_are_refused(bad: float) -> None:
    frames, profile = capture(28, 200), TrafficProfile.fit([capture(29, 100)], 100)
    frames.timestamp[3] = bad
    with pytest.raises(DataError, match="timestamps span"):
        build_graphs(frames, profile)


@pytest.mark.parametrize("window", [257, 258, 1024])
def test_the_largest_payloads_of_a_lone_id_do_not_overflow_their_sums(window: int) -> None:
    frames = Frames(
        timestamp=np.arange(window) * 0.01,
        arbitration_id=np.full(window, 0x7FF, np.uint32),
        dlc=np.full(window, 8, np.uint8),
        payload=np.full((window, 8), 255, np.uint8),
        label=np.zeros(window, np.int8),
    )
    graphs = build_graphs(frames, TrafficProfile.fit([frames], window), window, window)
    np.testing.assert_allclose(graphs.x[:, :8], 1.0, rtol=1e-6)
    assert graphs.edge_index.tolist() == [[0], [0]]
    check_window(graphs, 0, frames, TrafficProfile.fit([frames], window))
