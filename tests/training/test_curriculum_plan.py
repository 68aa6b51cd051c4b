"""What a curriculum draws is a plan: its ratio, its difficulty, its memory, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.config import CurriculumMode
from tutelage.training.curriculum import Curriculum, CurriculumOrder, Stage, plan

EPOCHS = 8


def curriculum(
    stages: tuple[Stage, ...], positives: int = 6, normals: int = 40, replay: float = 0.0
) -> Curriculum:
    """Normal samples stand at 100 and beyond, the easiest first."""
    where = torch.arange(positives), torch.arange(100, 100 + normals)
    return Curriculum(stages, EPOCHS, *where, seed=3, buffer=8, replay=replay)


def as_drawn(places: torch.Tensor, size: int, *_: object) -> Sequence[torch.Tensor]:
    return torch.split(places, size)


# ---- the plan


def ratios(**options: object) -> list[float]:
    """The ratio of each of eight epochs."""
    stages = plan(CurriculumMode(**options), EPOCHS)  # type: ignore[arg-type]
    where = curriculum(stages)
    found = [stages[where.stage_of(epoch)].ratio for epoch in range(EPOCHS)]
    return [round(ratio, 3) for ratio in found if ratio is not None]


def test_the_ratio_climbs_in_stages_and_stays_at_its_end() -> None:
    assert ratios() == [1, 1, 4, 4, 7, 7, 10, 10]
    assert ratios(shape="geometric") == [1, 1, 2.154, 2.154, 4.642, 4.642, 10, 10]
    assert ratios(start_ratio=2, end_ratio=5, stages=2) == [2, 2, 2, 2, 2, 2, 5, 5]
    assert ratios(ramp_fraction=0.25, stages=3) == [1, 5.5, 10, 10, 10, 10, 10, 10]
    assert ratios(ramp_fraction=1, stages=2) == [1, 1, 1, 1, 1, 1, 1, 10]


@given(
    epochs=st.integers(2, 40),
    stages=st.integers(2, 12),
    ramp=st.floats(0.01, 1),
    guide=st.sampled_from([None, "run"]),
)
@settings(deadline=None)
def test_every_plan_begins_at_the_start_and_reaches_the_end(
    epochs: int, stages: int, ramp: float, guide: str | None
) -> None:
    mode = CurriculumMode(stages=stages, ramp_fraction=ramp, guide=guide)
    found = plan(mode, epochs)
    first, last = found[0], found[-1]
    assert (first.first_epoch, first.ratio, last.ratio) == (0, 1, 10)
    assert len(found) <= min(stages, epochs)
    starts = [stage.first_epoch for stage in found]
    assert starts == sorted(set(starts)) and starts[-1] < epochs
    if guide:
        assert (first.easiest, first.hardest) == (0, 0.5)
        assert (last.easiest, last.hardest) == (0.5, 1)


def test_samples_of_one_kind_have_no_ratio() -> None:
    stages = plan(CurriculumMode(measure="length"), EPOCHS, two_kinds=False)
    assert {stage.ratio for stage in stages} == {None}
    assert [stage.progress for stage in stages] == [0, 1 / 3, 2 / 3, 1]
    drawn = curriculum(stages, positives=0).draw(0, 60)
    assert set(drawn.tolist()) == set(range(100, 120))  # the easier half, each three times


# ---- what is drawn


def test_drawn_by_weight_the_hard_samples_are_rare_at_first_and_as_frequent_as_any_at_last() -> (
    None
):
    stages = plan(CurriculumMode(measure="length", draw="weighted"), EPOCHS, two_kinds=False)
    drawing = curriculum(stages, positives=0, normals=4)
    shares = [drawing.draw(e, 40_000).bincount(minlength=104)[100:] / 40_000 for e in (0, 2, 4, 7)]
    expected = [(0.4, 0.3, 0.2, 0.1), (0.35, 0.2833, 0.2167, 0.15), (0.3, 0.2667, 0.2333, 0.2)]
    for share, row in zip(shares, (*expected, (0.25,) * 4), strict=True):
        assert torch.allclose(share, torch.tensor(row), atol=0.01)


@given(
    epoch=st.integers(0, EPOCHS - 1),
    count=st.integers(2, 300),
    positives=st.integers(1, 60),
    normals=st.integers(1, 60),
    replay=st.sampled_from([0.0, 0.3]),
)
@settings(max_examples=150, deadline=None)
def test_an_epoch_has_its_stages_ratio_and_repeats_nothing_before_all_have_come(
    epoch: int, count: int, positives: int, normals: int, replay: float
) -> None:
    stages = (Stage(0, 1.0, 0.0, 0.5), Stage(3, 4.0, 0.25, 0.75), Stage(5, 9.0, 0.5, 1.0))
    drawing = curriculum(stages, positives, normals, replay)
    places = drawing.draw(epoch, count)
    torch.rand(3)
    assert torch.equal(places, drawing.draw(epoch, count))  # a pure function
    stage = drawing.stage_of(epoch)
    rare, common = places[places < 100], places[places >= 100]
    assert len(rare) == min(max(1, round(count / (1 + stages[stage].ratio))), count - 1)
    assert len(rare) + len(common) == count
    assert (
        rare.bincount(minlength=positives).aminmax().max - rare.bincount(minlength=positives).min()
        <= 1
    )
    if not (replay and stage):
        counts = common.bincount(minlength=100 + normals)[drawing.pool(stage)]
        assert int(counts.sum()) == len(common)
        assert int(counts.max() - counts.min()) <= 1


def test_epochs_and_seeds_draw_differently() -> None:
    drawing = curriculum((Stage(0, 1.0),))
    other = Curriculum(drawing.stages, EPOCHS, drawing.positives, drawing.normals, seed=4)
    drawn = {tuple(one.draw(epoch, 12).tolist()) for one in (drawing, other) for epoch in (0, 1)}
    assert len(drawn) == 4


def test_the_pool_moves_from_the_easiest_to_the_hardest() -> None:
    stages = plan(CurriculumMode(guide="run", stages=3), EPOCHS)
    pools = [curriculum(stages).pool(stage) for stage in range(3)]
    assert [(int(pool[0]), int(pool[-1])) for pool in pools] == [(100, 119), (110, 129), (120, 139)]
    narrow = plan(CurriculumMode(guide="run", easiest_share=0.1, hardest_share=0.2), EPOCHS)
    pools = [curriculum(narrow).pool(stage) for stage in (0, -1)]
    assert [(int(pool[0]), int(pool[-1])) for pool in pools] == [(100, 103), (132, 139)]


def test_the_buffer_holds_as_many_samples_that_each_earlier_stage_drew() -> None:
    stages = (Stage(0, 1.0, 0.0, 0.25), Stage(3, 4.0, 0.25, 0.5), Stage(5, 9.0, 0.75, 1.0))
    drawing = curriculum(stages, replay=0.5)
    held = drawing.remembered(2)
    assert len(held) == 8
    easy, middle = held[held < 110], held[held >= 110]
    assert len(easy) == len(middle) == 4
    assert set(easy.tolist()) <= set(drawing.draw(2, 40).tolist())
    assert set(middle.tolist()) <= set(drawing.draw(4, 40).tolist())
    again = drawing.draw(6, 100)
    replayed = again[torch.isin(again, held)]
    assert len(replayed) == 45  # half of the 90 normal ones
    assert not torch.isin(curriculum(stages).draw(6, 100), held).any()


def test_the_whole_run_draws_as_many_samples_as_passes_over_the_data_would() -> None:
    drawing = curriculum((Stage(0, 1.0), Stage(4, 4.0)))
    assert CurriculumOrder(drawing, (500, 8), as_drawn).sizes == (drawing.size, 8)
    for sizes in ((8, 8), (4, 16)):
        order = CurriculumOrder(drawing, sizes, as_drawn)
        batches = [order.batches(epoch) for epoch in range(EPOCHS)]
        assert {len(epoch) for epoch in batches} == {len(order)}
        assert [len(epoch[0]) for epoch in batches] == [sizes[0]] * 4 + [sizes[1]] * 4
        drawn = sum(len(batch) for epoch in batches for batch in epoch)
        assert 0 <= drawn - EPOCHS * drawing.size < sum(sizes) * 4
