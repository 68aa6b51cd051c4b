"""Stretches cover each frame once, keep history within its trial, and are dealt out once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sessions import image_arrays, movie_arrays, session_of

from tutelage.core.errors import ConfigError
from tutelage.tasks.neural.config import Split
from tutelage.tasks.neural.data.balance import session_weights
from tutelage.tasks.neural.data.chunks import (
    chunk_contrast,
    chunk_table,
    cut_chunk,
    frame_contrast,
)
from tutelage.tasks.neural.data.learning import learn
from tutelage.tasks.neural.data.sampling import ByDatasetBatchSampler
from tutelage.tasks.neural.data.split import TRAIN, split_sessions

SESSIONS = [session_of(movie_arrays(seed, trials=14 + 3 * seed)) for seed in range(3)]
PARTS = split_sessions(SESSIONS, Split())
CARDS = learn(SESSIONS, PARTS).sessions


@given(context=st.integers(0, 12), frames=st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_stretches_cover_each_frame_with_a_whole_history_once(context: int, frames: int) -> None:
    table = chunk_table(SESSIONS, PARTS, TRAIN, context, frames)
    for place, (session, part) in enumerate(zip(SESSIONS, PARTS, strict=True)):
        counted = np.zeros(len(session), np.int64)
        for at in np.flatnonzero(table.session == place):
            counted[table.start[at] : table.stop[at]] += 1
        inside = np.arange(len(session)) % 20  # frames since the trial began
        np.testing.assert_array_equal(counted, (part == TRAIN) & (inside >= context))


def test_a_stretch_holds_history_then_predicted_frames() -> None:
    table = chunk_table(SESSIONS, PARTS, TRAIN, context=5, frames=8)
    mine = torch.from_numpy(np.flatnonzero(table.session == 1))
    session = SESSIONS[1]
    chunk = cut_chunk(session, CARDS[session.id], table, mine)
    assert chunk.stimulus.shape == (len(mine), 1, 13, 8, 8)
    assert chunk.stimulus.dtype == torch.uint8
    assert chunk.context == 5
    assert chunk.past.shape == (len(mine), 5, 3)
    for row, at in enumerate(mine.tolist()):
        start, stop = table.start[at], table.stop[at]
        count = stop - start
        frames = chunk.stimulus[row, 0, : 5 + count].numpy()
        np.testing.assert_array_equal(frames, session.stimulus[start - 5 : stop, 0])
        np.testing.assert_array_equal(chunk.past[row], session.responses[start - 5 : start])
        np.testing.assert_array_equal(chunk.valid[row, :count], session.valid[start:stop])
        assert not chunk.valid[row, count:].any()
        assert not chunk.responses[row, count:].any()
        assert int(chunk.frames[row]) == start


def test_behaviour_is_standardised_with_what_training_rows_tell() -> None:
    session, card = SESSIONS[0], CARDS["ada_s0"]
    rows = np.flatnonzero(PARTS[0] == TRAIN)
    assert session.behaviour is not None
    scaled = card.standardised(session.behaviour[rows])
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-5)
    moved = session.behaviour.copy()
    moved[PARTS[0] != TRAIN] += 100  # nothing of what tests may change the scale
    other = type(session)(
        **{n: getattr(session, n) for n in session.__slots__} | {"behaviour": moved}
    )
    assert learn([other], PARTS[:1]).sessions["ada_s0"].behaviour_mean == card.behaviour_mean


def test_images_are_stretches_of_one_frame() -> None:
    session = session_of(image_arrays(0))
    part = split_sessions([session], Split())
    table = chunk_table([session], part, TRAIN, context=0, frames=128)
    assert len(table) == (part[0] == TRAIN).sum()
    card = learn([session], part).sessions[session.id]
    chunk = cut_chunk(session, card, table, torch.arange(4))
    assert chunk.stimulus.shape == (4, 1, 1, 8, 8)
    assert chunk.responses.shape == (4, 1, 3)
    assert chunk.past.shape == (4, 0, 3)


def test_contrast_is_the_deviation_of_the_pixels_over_the_median() -> None:
    table = chunk_table(SESSIONS, PARTS, TRAIN, context=0, frames=4)
    contrast = chunk_contrast(SESSIONS, table)
    assert float(np.median(contrast)) == pytest.approx(1, abs=1e-6)
    at = int(np.flatnonzero(table.session == 2)[3])
    frames = SESSIONS[2].stimulus[table.start[at] : table.stop[at], 0].astype(np.float64)
    ratio = frames.std(axis=(1, 2)).mean() / contrast[at]
    spread = frame_contrast(SESSIONS[0])
    assert spread == pytest.approx(SESSIONS[0].stimulus.std(axis=(1, 2, 3)))
    other = SESSIONS[0].stimulus[table.start[0] : table.stop[0], 0].std(axis=(1, 2)).mean()
    assert ratio == pytest.approx(other / contrast[0], rel=1e-5)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_each_batch_and_together_see_everything_once(world: int) -> None:
    table = chunk_table(SESSIONS, PARTS, TRAIN, context=4, frames=8)
    orders = [
        ByDatasetBatchSampler(table, 12 // world, 7, rank=rank, world_size=world)
        for rank in range(world)
    ]
    alone = ByDatasetBatchSampler(table, 12, 7)
    for epoch in range(2):
        shared = [order.batches(epoch) for order in orders]
        for mine, batch in zip(zip(*shared, strict=True), alone.batches(epoch), strict=True):
            for each in mine:
                torch.testing.assert_close(each, batch)  # the order knows no rank
            parts = [order.shard(batch) for order in orders]
            assert sorted(torch.cat(parts).tolist()) == sorted(batch.tolist())
            assert len({int(table.session[at]) for at in batch}) == 1
        seen = torch.cat(list(alone.batches(epoch)))
        assert sorted(seen.tolist()) == list(range(len(table)))


def test_order_is_a_function_of_seed_and_epoch_alone() -> None:
    table = chunk_table(SESSIONS, PARTS, TRAIN, context=4, frames=8)
    first, again = (ByDatasetBatchSampler(table, 4, 7) for _ in range(2))
    flat = [torch.cat(list(each.batches(3))).tolist() for each in (first, again)]
    assert flat[0] == flat[1]
    assert torch.cat(list(first.batches(4))).tolist() != flat[0]
    assert torch.cat(list(ByDatasetBatchSampler(table, 4, 8).batches(3))).tolist() != flat[0]
    assert len(first.batches(0)) == len(first)
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        ByDatasetBatchSampler(table, 4, 7, rank=2, world_size=2)


def test_weights_make_sessions_animals_or_units_count_alike() -> None:
    batches, sessions = [10, 10, 40], [("a", 5), ("a", 20), ("b", 5)]

    def shares(balance: str) -> list[float]:
        weights = session_weights(balance, batches, sessions)  # type: ignore[arg-type]
        total = [w * n for w, n in zip(weights, batches, strict=True)]
        assert sum(total) == pytest.approx(60)
        return [each / 60 for each in total]

    assert shares("none") == pytest.approx([1 / 6, 1 / 6, 4 / 6])
    assert shares("session") == pytest.approx([1 / 3] * 3)
    assert shares("animal") == pytest.approx([0.25, 0.25, 0.5])  # b's one session counts for b
    assert shares("unit") == pytest.approx([1 / 6, 4 / 6, 1 / 6])
