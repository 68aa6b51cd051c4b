"""What a traffic profile learns from benign traffic, and what it must not learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import ATTACK, BENIGN, UNLABELLED, Frames
from tutelage.tasks.can.profile import TrafficProfile


def capture(seed: int, n: int, ids: int = 5, attacks: float = 0.0) -> Frames:
    rng = np.random.default_rng(seed)
    label = np.where(rng.random(n) < attacks, ATTACK, BENIGN).astype(np.int8)
    return Frames(
        timestamp=1.5e9 + np.cumsum(rng.exponential(0.01, n)),
        arbitration_id=(rng.integers(0, ids, n) * 7 + 3).astype(np.uint32),
        dlc=np.full(n, 8, np.uint8),
        payload=rng.integers(0, 3, (n, 8)).astype(np.uint8),
        label=label,
    )


def naive_gaps(captures: list[Frames], arbitration_id: int) -> list[float]:
    gaps = []
    for frames in captures:
        mine = frames.timestamp[frames.arbitration_id == arbitration_id]
        gaps += np.maximum(np.diff(mine), 0).tolist()
    return gaps


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(2, 12))
def test_baselines_equal_a_plain_computation_id_by_id(seed: int, parts: int, window: int) -> None:
    captures = [capture(seed + k, 40) for k in range(parts)]
    profile = TrafficProfile.fit(captures, window)
    for i, arbitration_id in enumerate(profile.ids):
        gaps = naive_gaps(captures, arbitration_id)
        most, changes, steps = 0, np.zeros(8), 0
        for frames in captures:
            mine = frames.arbitration_id == arbitration_id
            counts = [int(mine[k : k + window].sum()) for k in range(len(mine))]
            most = max(most, *counts)
            moved = np.diff(frames.payload[mine].astype(int), axis=0) != 0
            changes, steps = changes + moved.sum(axis=0), steps + len(moved)
        median = float(np.median(gaps)) if gaps else 0.0
        assert profile.median_gap[i] == pytest.approx(median, rel=1e-6)
        if median:
            low, high = np.quantile(gaps, [0.25, 0.75])
            assert profile.gap_spread[i] == pytest.approx((high - low) / 1.349 / median, rel=1e-4)
        assert profile.max_count[i] == most
        np.testing.assert_allclose(profile.byte_change_rate[i], (changes + 0.5) / (steps + 1))


def test_attack_frames_change_nothing_that_is_learned() -> None:
    frames = capture(1, 400, attacks=0.3)
    frames.arbitration_id[frames.label == ATTACK] = 0x7FF
    benign = frames.label == BENIGN
    kept = Frames(*(getattr(frames, name)[benign] for name in Frames.__slots__))
    with_attacks, without = TrafficProfile.fit([frames], 20), TrafficProfile.fit([kept], 20)
    assert 0x7FF not in with_attacks.ids
    assert with_attacks.to_json() == without.to_json()


def test_gaps_never_reach_across_two_captures() -> None:
    frames = capture(2, 30, ids=1)
    later = Frames(frames.timestamp + 1e6, *(getattr(frames, n) for n in Frames.__slots__[1:]))
    profile = TrafficProfile.fit([frames, later], 10)
    assert profile.median_gap[0] == pytest.approx(np.median(np.diff(frames.timestamp)), rel=1e-4)


def test_unknown_ids_share_token_zero_and_known_ones_count_from_one() -> None:
    profile = TrafficProfile.fit([capture(3, 100)], 10)
    tokens = profile.id_index(np.array([3, 10, 31, 4, 0, 0x1FFFFFFF], np.uint32))
    assert tokens.tolist() == [1, 2, 5, 0, 0, 0]
    assert tokens.dtype == np.int32


def test_json_gives_back_the_same_profile_to_the_last_bit() -> None:
    profile = TrafficProfile.fit([capture(4, 200)], 25)
    again = TrafficProfile.from_json(json.loads(json.dumps(profile.to_json())))
    for name in ("ids", "median_gap", "gap_spread", "max_count", "byte_change_rate"):
        np.testing.assert_array_equal(getattr(again, name), getattr(profile, name))
        assert getattr(again, name).dtype == getattr(profile, name).dtype
    assert again.window == 25


@pytest.mark.parametrize("label", [ATTACK, UNLABELLED])
def test_captures_without_a_benign_frame_are_refused(label: int) -> None:
    frames = capture(5, 20)
    frames.label[:] = label
    with pytest.raises(DataError, match="no benign frame in 1 captures"):
        TrafficProfile.fit([frames], 10)


@pytest.mark.parametrize(
    ("field", "value"),
    [("ids", None), ("ids", [5, 4, 3, 2, 1]), ("median_gap", [1.0]), ("byte_change_rate", [[1.0]])],
)
def test_a_malformed_profile_is_refused(field: str, value: object) -> None:
    card = {**TrafficProfile.fit([capture(6, 100)], 10).to_json(), field: value}
    with pytest.raises(DataError, match="malformed"):
        TrafficProfile.from_json(card)


def test_real_periodic_ids_have_a_tight_gap(shared_data: Path) -> None:
    ingest = pytest.importorskip("tutelage.tasks.can.ingest")
    name = "train_01_attack_free__attack-free-sonata.parquet"
    path = shared_data / "can" / "hcrl_sa" / name
    if not path.is_file():
        pytest.skip("this capture is not on this machine")
    frames, _ = ingest.read_frames(path)
    profile = TrafficProfile.fit([frames], 100)
    assert len(profile) == len(np.unique(frames.arbitration_id))
    assert np.median(profile.gap_spread) < 0.1
