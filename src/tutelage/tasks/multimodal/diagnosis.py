"""A diagnosis: whether the embeddings have collapsed, what such a collapse is called, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tutelage.tasks.multimodal.geometry import Geometry

POINT: Final = -0.1
"""Uniformity above which all embeddings are nearly one point."""
FEW: Final = 0.1
"""Share of the dimensions below which the rest is unused."""
STARVED: Final = 0.02
"""Share of the gradient below which a tower hardly learns."""
APART: Final = 0.8
"""Modality gap above which the towers fill two regions."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a diagnosis is made from.

    Args:
        geometry: Of the embeddings.
        dimensions: Most dimensions that they could use.
        recall: Mean recall@10.
        chance: That of a random order.
        gradient_share: The image tower's share of the towers' gradients.
        frozen: Towers that rest for the whole run.
        temperature: The loss's, where it has one.
        bounds: The temperature's bounds.
        repels: Whether the loss pushes different pairs apart, or holds their variance up.
        learning_rate: Its peak.
    """

    geometry: Geometry
    dimensions: int
    recall: float
    chance: float
    gradient_share: float
    frozen: tuple[str, ...]
    temperature: float | None
    bounds: tuple[float, float] | None
    repels: bool
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: its name, what was seen, and the likely cause with the way out."""

    name: str
    seen: str
    cause: str


HEALTHY: Final = Finding("healthy", "no collapse is seen", "")


def diagnose(evidence: Evidence) -> tuple[Finding, ...]:
    """Name what is wrong with the embeddings; `HEALTHY` alone where nothing is."""
    found = tuple(_findings(evidence))
    return found or (HEALTHY,)


def _findings(e: Evidence) -> Iterator[Finding]:
    g = e.geometry
    towers = {"image": g.uniformity_image, "text": g.uniformity_text}
    points = [name for name, value in towers.items() if value > POINT]
    if len(points) == 2:
        yield Finding("complete collapse", _uniformity(g), _why_one_point(e))
        return
    if points:
        other = "text" if points[0] == "image" else "image"
        yield Finding(
            f"{points[0]} tower collapse", _uniformity(g), _why_one_tower(e, points[0], other)
        )
        return
    yield from _dimensional(e)
    if e.recall < 1.5 * e.chance:
        seen = f"recall@10 {e.recall:.3f} against {e.chance:.3f} by chance"
        yield Finding("nothing learned", seen, _why_nothing(e))
    elif g.modality_gap > APART:
        seen = f"mean picture and mean caption lie {g.modality_gap:.2f} apart"
        yield Finding("modality gap", seen, _why_apart(e))
    starved = _starved(e)
    if starved:
        share = e.gradient_share if starved == "image" else 1 - e.gradient_share
        seen = f"the {starved} tower has {share:.1%} of the towers' gradient"
        yield Finding(
            f"{starved} tower starved",
            seen,
            "the other tower explains the pairs by itself: give this one a higher rate in "
            "training.stages, or let the other rest for some epochs",
        )


def _dimensional(e: Evidence) -> Iterator[Finding]:
    ranks = {"image": e.geometry.effective_rank_image, "text": e.geometry.effective_rank_text}
    for name, rank in ranks.items():
        if rank < max(2.0, FEW * e.dimensions):
            yield Finding(
                f"dimensional collapse of the {name} tower",
                f"its embeddings use {rank:.1f} of {e.dimensions} dimensions",
                _why_few(e),
            )


def _uniformity(g: Geometry) -> str:
    values = f"{g.uniformity_image:.2f} (image), {g.uniformity_text:.2f} (text)"
    return f"uniformity {values}; 0 is one point"


def _why_one_point(e: Evidence) -> str:
    if not e.repels:
        return "the loss only draws pairs together: use one with negatives or a variance term"
    if e.learning_rate > 5e-3:
        return f"training.learning_rate={e.learning_rate:g} is high: lower it"
    if e.temperature is not None and e.temperature > 0.5:
        return f"the temperature is {e.temperature:.2f}, so that negatives hardly repel: lower it"
    return "training hardly began, or ids are nearly all equal: train longer, look at the captions"


def _why_one_tower(e: Evidence, name: str, other: str) -> str:
    if name in e.frozen:
        return f"the {name} tower is frozen and its features hardly differ: let it train"
    if other in e.frozen:
        return f"the frozen {other} tower's features can't be told apart: let it train"
    return f"its inputs hardly differ, or its gradient is lost: look at the {name}s and the rates"


def _why_few(e: Evidence) -> str:
    if not e.repels:
        return "the loss has no negatives and no variance term"
    if e.frozen:
        return f"a frozen tower ({', '.join(e.frozen)}) offers few directions: let it train"
    if e.temperature is not None and e.temperature > 0.3:
        return (
            f"a high temperature ({e.temperature:.2f}) leaves little to gain from more directions"
        )
    return "few kinds of captions, small batches, or strong weight decay: use larger batches"


def _why_nothing(e: Evidence) -> str:
    if e.frozen:
        return f"a frozen tower ({', '.join(e.frozen)}) may carry too little: let it train"
    if e.bounds and e.temperature is not None and e.temperature <= 1.01 * e.bounds[0]:
        return "the temperature sank to its bound: training pairs are memorised; use fewer epochs"
    return (
        "too few steps, or captions that say little of the pictures: train longer, audit the data"
    )


def _why_apart(e: Evidence) -> str:
    if e.temperature is not None and e.temperature < 0.05:
        return "a low temperature keeps the gap of the start; it seldom hurts recall"
    return "the towers began in two cones and few steps have drawn them together: train longer"


def _starved(e: Evidence) -> str:
    if e.frozen or not 0 < e.gradient_share < 1:
        return ""
    if e.gradient_share < STARVED:
        return "image"
    return "text" if e.gradient_share > 1 - STARVED else ""
