"""What a mode did is drawn as it was: the stages of a curriculum, the weights of experts."""

from __future__ import annotations

import pytest
import torch

from tutelage.core.config import CurriculumMode
from tutelage.core.records import Panel
from tutelage.training.curriculum import Curriculum, plan
from tutelage.training.curriculum_figure import curriculum_figure
from tutelage.training.fusion.weight_figure import PANELS, weight_figure


def panels(two_kinds: bool = True, **settings: object) -> dict[str, Panel]:
    mode = CurriculumMode.model_validate({"name": "curriculum", **settings})
    stages = plan(mode, 8, two_kinds=two_kinds)
    places = torch.arange(10)
    positives = places if two_kinds else places[:0]
    curriculum = Curriculum(stages, 8, positives=positives, normals=places, seed=0)
    figure = curriculum_figure(curriculum, [16] * len(stages))
    return {panel.title: panel for panel in figure.panels}


def test_the_ratio_of_each_epoch_is_drawn_stage_by_stage() -> None:
    found = panels(start_ratio=1.0, end_ratio=4.0, stages=4)
    (line,) = found["Normal samples for each positive one"].lines
    assert line.at[0] == 0.5 and line.at[-1] == 8.5 and list(line.at) == sorted(line.at)
    assert line.values[0] == line.values[1] == 1.0 and line.values[-1] == 4.0
    assert set(line.values) == {1.0, 2.0, 3.0, 4.0}


def test_what_is_too_easy_and_too_hard_bounds_a_band() -> None:
    settings = {"measure": "size", "easiest_share": 0.4, "hardest_share": 0.5}
    (panel,) = panels(two_kinds=False, **settings).values()
    (line,) = panel.lines
    assert line.low[0] == 0.0 and line.high[0] == 0.4
    assert line.low[-1] == 0.5 and line.high[-1] == 1.0 and line.values == line.high


def test_where_nothing_else_moves_the_progress_is_drawn() -> None:
    assert list(panels(two_kinds=False)) == ["Progress"]


def test_weights_are_drawn_from_the_smallest_to_the_largest_of_each_part() -> None:
    generator = torch.Generator().manual_seed(0)
    alpha = torch.rand(500, generator=generator)
    weights = torch.stack([alpha, 1 - alpha], dim=1)
    figure = weight_figure("t", ("a", "b"), {"one": weights, "level": torch.full((3, 2), 0.5)})
    one, level = figure.panels
    assert [line.name for line in one.lines] == ["a", "b"]
    for line in one.lines:
        assert list(line.values) == sorted(v for v in line.values if v is not None)
    assert one.lines[0].values[20] == pytest.approx(float(alpha.median()), abs=0.01)
    assert set(level.lines[1].values) == {0.5}
    many = weight_figure("t", ("a", "b"), {str(n): weights for n in range(PANELS + 2)})
    assert len(many.panels) == PANELS and "2 further parts" in many.note
