"""Drawing of a curriculum: what each epoch draws, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tutelage.core.records import Figure, Line, Panel
from tutelage.training.curriculum import Curriculum, Stage

Told = Callable[[Stage], float]


def curriculum_figure(curriculum: Curriculum, sizes: Sequence[int]) -> Figure:
    """Draw what moves from stage to stage; where nothing else does, the progress itself.

    Args:
        curriculum: What is drawn from.
        sizes: Samples in a batch, for each stage.
    """
    stages = curriculum.stages
    panels = []
    if stages[0].ratio is not None:
        title = "Normal samples for each positive one"
        panels.append(_panel(curriculum, title, lambda stage: stage.ratio or 0.0))
    if any((stage.easiest, stage.hardest) != (0.0, 1.0) for stage in stages):
        title = "Difficulty that is drawn, from easiest to hardest"
        ends: tuple[Told, Told] = (lambda stage: stage.easiest, lambda stage: stage.hardest)
        panels.append(_panel(curriculum, title, ends[1], ends))
    if any(stage.evenness != 1 for stage in stages):
        title = "How alike easy and hard ones are drawn"
        panels.append(_panel(curriculum, title, lambda stage: stage.evenness))
    if len(set(sizes)) > 1:
        size = dict(zip(stages, sizes, strict=True))
        panels.append(_panel(curriculum, "Samples in a batch", lambda stage: float(size[stage])))
    if not panels:
        panels.append(_panel(curriculum, "Progress", lambda stage: stage.progress))
    return Figure(title="Curriculum, epoch by epoch", panels=tuple(panels))


def _panel(
    curriculum: Curriculum, title: str, told: Told, between: tuple[Told, Told] | None = None
) -> Panel:
    """A line that is level within a stage; a band where a stage has two ends."""
    at: list[float] = []
    for number, stage in enumerate(curriculum.stages):
        at += [stage.first_epoch + 0.5, curriculum.last_epoch(number) + 1.5]

    def each(what: Told) -> tuple[float, ...]:
        values = (round(what(stage), 4) for stage in curriculum.stages)
        return tuple(value for one in values for value in (one, one))

    low, high = (each(between[0]), each(between[1])) if between else ((), ())
    line = Line(name="", values=each(told), at=tuple(at), low=low, high=high)
    return Panel(title=title, lines=(line,), across="epoch")
