"""What is computed of a capture in pieces has the bits of what is computed of the whole."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.tasks.can import overlap
from tutelage.tasks.can.capture_index import CaptureIndex
from tutelage.tasks.can.evidence.extra_frames import deficit
from tutelage.tasks.can.evidence.sample import of_other_ids, sampled
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import build_graphs
from tutelage.tasks.can.id_sequences import IdSequences, median_gaps, median_of_each
from tutelage.tasks.can.models.nodes import Moments
from tutelage.tasks.can.payload_rule import PayloadRule
from tutelage.tasks.can.profile import TrafficProfile
from tutelage.tasks.can.simulator import simulate_capture
from tutelage.tasks.can.two_gap import TwoGapRule

IDS = np.array([2, 5, 9], np.uint32)
ATTACKS = ("dos", "fuzzing", "rpm_spoofing", "replay")
SIZES = [16, 333, 5000]


def drive(attack: str | None, seed: int = 1, seconds: float = 12) -> Frames:
    return simulate_capture("hatchback", seed=seed, seconds=seconds, attack=attack).frames


@pytest.fixture(scope="module")
def attacked() -> list[Frames]:
    return [drive(attack, seed) for seed, attack in enumerate(ATTACKS)]


def unsteady(times: list[int], seed: int) -> Frames:
    """Frames of four ids whose clock steps back as it likes, and stands still."""
    random = np.random.default_rng(seed)
    count = len(times)
    return Frames(
        np.array(times, np.float64),
        random.choice(np.array([2, 5, 7, 9], np.uint32), count),
        np.full(count, 8, np.uint8),
        random.integers(0, 3, (count, 8)).astype(np.uint8),
        np.zeros(count, np.int8),
    )


def same(one: object, other: object) -> bool:
    """Whether two dataclasses of arrays are equal bit for bit."""
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)]  # type: ignore[arg-type]
    return all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes()
        for a, b in pairs
        if isinstance(a, np.ndarray)
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=40), min_size=1, max_size=3),
    st.integers(1, 12),
)
def test_frames_group_the_same_in_blocks(captures: list[list[int]], rows: int) -> None:
    made = [unsteady(times, seed) for seed, times in enumerate(captures)]
    whole, found = IdSequences.group(made, IDS), IdSequences.group(made, IDS, rows)
    assert same(whole, found)
    assert np.array_equal(median_gaps(whole, 3), median_gaps(found, 3, rows))


def test_clocks_that_step_back_are_put_in_order_block_by_block() -> None:
    random = np.random.default_rng(0)
    time = np.sort(random.random(20_000)) + random.normal(0, 1e-3, 20_000)
    made = replace(unsteady([0] * 20_000, 0), timestamp=time)
    found = IdSequences.group([made], IDS, 700)
    assert (np.diff(found.time)[np.diff(found.key) == 0] >= 0).all()
    assert same(found, IdSequences.group([made], IDS))


@pytest.mark.parametrize("rows", SIZES)
def test_medians_are_the_same_in_blocks(rows: int) -> None:
    random = np.random.default_rng(0)
    values, code = random.normal(size=9000), random.integers(0, 7, 9000)
    whole, found = median_of_each(values, code, 9), median_of_each(values, code, 9, rows)
    assert whole.tobytes() == found.tobytes()


@pytest.mark.parametrize("rows", SIZES)
def test_what_is_said_of_each_frame_and_its_neighbours_is_the_same_in_pieces(
    attacked: list[Frames], rows: int
) -> None:
    ids = attacked[0].ids
    sequences = IdSequences.group(attacked, ids)
    period = median_gaps(sequences, len(ids))
    whole = deficit(sequences, period)
    found = sequences.each(lambda s: deficit(s, period), np.float64, reach=5, rows=rows)
    assert whole.any() and whole.tobytes() == found.tobytes()


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("kind", [TwoGapRule, PayloadRule])
def test_rules_learn_and_judge_the_same_in_pieces(
    attacked: list[Frames], kind: type[TwoGapRule] | type[PayloadRule], rows: int
) -> None:
    whole = kind.fit(attacked)
    assert kind.fit(attacked, rows) == whole
    assert kind.fit([replace(f, label=f.label * 0) for f in attacked], rows) == kind.fit(
        [replace(f, label=f.label * 0) for f in attacked]
    )
    flags = 0
    for frames in attacked:
        score, flagged = whole.frame_scores(frames)
        again, marked = whole.frame_scores(frames, rows)
        assert score.tobytes() == again.tobytes() and np.array_equal(flagged, marked)
        flags += int(flagged.sum())
    assert flags > 100


@pytest.mark.parametrize("rows", [*SIZES, 1])
def test_a_profile_is_the_same_from_blocks(attacked: list[Frames], rows: int) -> None:
    short = [frames[:700] for frames in attacked] if rows == 1 else attacked
    whole, found = TrafficProfile.fit(short, 50), TrafficProfile.fit(short, 50, rows)
    assert same(whole, found)
    assert (whole.median_gap > 0).any() and (whole.max_count > 1).any()


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("shift", [0, 0x18DA0000])
def test_a_capture_is_indexed_the_same_in_blocks(
    attacked: list[Frames], rows: int, shift: int
) -> None:
    frames = attacked[1]
    frames = replace(frames, arbitration_id=frames.arbitration_id + np.uint32(shift))
    profile = TrafficProfile.fit([frames], 50)
    whole, found = CaptureIndex.of(frames, profile), CaptureIndex.of(frames, profile, rows)
    assert same(whole, found)
    assert (whole.previous[-100:] >= 0).any()


@pytest.mark.parametrize("rows", SIZES)
def test_sequences_hash_the_same_in_blocks(attacked: list[Frames], rows: int) -> None:
    whole = overlap._hashes(attacked[0])
    assert np.array_equal(overlap._hashes(attacked[0], rows), whole)
    twice = np.concatenate([whole, whole[:99]])
    assert np.array_equal(overlap._distinct(twice, rows), np.unique(whole))


def test_the_share_in_common_is_that_of_a_set() -> None:
    one, other = np.arange(0, 90, 3).astype(np.uint64), np.arange(0, 90, 2).astype(np.uint64)
    assert overlap.common_share(one, other) == 0.5
    assert overlap.common_share(one, other[:0]) == 0.0
    assert overlap.common_share(one[:0], other) == 0.0


def test_a_scaler_fitted_in_parts_is_that_of_the_whole() -> None:
    values = torch.randn(20_000, 6, generator=torch.Generator().manual_seed(0)) * 3 + 7
    values[:, 5] = 2.5
    whole, found = Moments(), Moments()
    whole.add(values)
    for part in [*values[:-1].split(3000), values[-1:]]:
        found.add(part)
    std, mean = torch.std_mean(values.double(), dim=0)
    assert torch.equal(whole.mean, mean) and torch.equal(whole.std, std)
    assert torch.equal(found.mean.float(), mean.float())
    assert torch.equal(found.std.float(), std.float())


def test_features_of_some_graphs_are_those_of_their_batch(attacked: list[Frames]) -> None:
    profile = TrafficProfile.fit(attacked, 50)
    store = GraphStore.from_graphs([build_graphs(attacked[0], profile, 50, 50)])
    for chosen in (torch.arange(3, 40), torch.tensor([7, 2, 2, 90])):
        x, edge_attr = store.features(chosen)
        batch = store.batch(chosen)
        assert torch.equal(x, batch.x) and torch.equal(edge_attr, batch.edge_attr)


def test_a_sample_lies_evenly_and_no_identifier_is_lost() -> None:
    frames = [drive(None, seed, 20) for seed in (1, 2)]
    rare = frames[1].arbitration_id.copy()
    rare[-3] = 0x7FE
    frames[1] = replace(frames[1], arbitration_id=rare)
    total = sum(map(len, frames))
    assert sampled(frames, total) is frames
    assert [*of_other_ids(frames, frames)] == []
    sample = sampled(frames, total // 4)
    assert total // 5 < sum(map(len, sample)) <= total // 4
    starts = [float(part.timestamp[0]) for part in sample]
    assert max(starts) > 15 and len(sample) >= 16
    others = [*of_other_ids(sample[:-1], frames)]
    known = np.unique(np.concatenate([part.ids for part in (*sample[:-1], *others)]))
    assert np.array_equal(known, np.union1d(frames[0].ids, frames[1].ids))
    assert 0x7FE in others[-1].ids
