"""Drawing of how much each expert counted: its weights over the samples, in ascending order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from tutelage.core.records import Figure, Line, Panel

SHARES: Final = torch.linspace(0, 1, 41)
"""Where along the samples weights are told."""
PANELS: Final = 8


def weight_figure(title: str, experts: Sequence[str], weights: Mapping[str, Tensor]) -> Figure:
    """Draw the weights of experts, a panel for each part of the samples.

    Args:
        title: Of the figure.
        experts: Their names.
        weights: A part's name to (n, E) weights, n at least 1.
    """
    panels = tuple(
        Panel(
            title=part,
            lines=tuple(map(_line, experts, found.double().quantile(SHARES.double(), 0).T)),
            across="share of the samples",
            up="weight",
        )
        for part, found in weights.items()
    )
    left_out = len(panels) - PANELS
    note = "Each line: an expert's weights in ascending order; a level one weighs all alike."
    note += f" {left_out} further parts are not drawn." if left_out > 0 else ""
    return Figure(title=title, panels=panels[:PANELS], note=note)


def _line(name: str, values: Tensor) -> Line:
    at = tuple(round(share, 3) for share in SHARES.tolist())
    return Line(name=name, values=tuple(round(v, 4) for v in values.tolist()), at=at)
