"""Drawings of what detectors made of captures: curves over all thresholds, alarms along time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tutelage.core.records import Figure, Lane, Line, Panel
from tutelage.tasks.can.events import AttackEvents, WindowTimes
from tutelage.tasks.can.verdicts import Verdicts
from tutelage.tasks.can.window_blocks import numbered
from tutelage.training.score_curves import score_curves

CAPTURES: Final = 6
"""Captures of a split whose alarms are drawn."""
BINS: Final = 40
"""Bars of a spread of scores."""
_OUTER: Final = 0.005
"""Share of the scores at either end that is put into the outermost bar."""
_SHARPNESS: Final = 500
"""Stretches nearer to each other than the whole by this are drawn as one."""


def curves_figure(split: str, verdicts: Mapping[str, Sequence[Verdicts]]) -> Figure | None:
    """Draw what each detector finds at which price on a split; null where that can't be said.

    Args:
        split: Its name.
        verdicts: A detector's name to its verdicts on each capture.
    """
    joined = {name: Verdicts.join(parts) for name, parts in verdicts.items()}
    first, *_ = joined.values()
    lengths = [len(part.truth) for part in next(iter(verdicts.values()))]
    scores = {name: one.score for name, one in joined.items()}
    found = score_curves(f"Thresholds on {split}", scores, first.truth, numbered(lengths))
    if found is None:
        return None
    own = next(iter(joined))
    panel = score_panel(f"Scores of {own}", scores[own], first.truth)
    return found.model_copy(update={"panels": (*found.panels, panel)})


def score_panel(title: str, score: NDArray[np.float32], truth: NDArray[np.bool_]) -> Panel:
    """Draw how the scores of windows under attack and of benign ones spread.

    Args:
        title: Of the panel.
        score: (n,) scores.
        truth: (n,) whether there was an attack.
    """
    finite = score[np.isfinite(score)].astype(np.float64)  # of k of n windows the first have none
    low, high = np.quantile(finite, (_OUTER, 1 - _OUTER)).tolist() if len(finite) else (0.0, 1.0)
    edges = np.linspace(low, high, BINS + 1)
    middle = tuple(np.round((edges[1:] + edges[:-1]) / 2, 5).tolist())
    lines = []
    for name, which in (("benign", ~truth), ("attack", truth)):
        counts = np.histogram(np.clip(score[which], edges[0], edges[-1]), edges)[0]
        shares = np.round(counts / max(1, which.sum()), 4).tolist()
        lines.append(Line(name=name, values=tuple(shares), at=middle))
    return Panel(title=title, lines=tuple(lines), across="score", up="share of the windows")


def alarm_panel(
    capture: str, times: WindowTimes, alarm: NDArray[np.bool_], events: AttackEvents
) -> Panel:
    """Draw attacks above alarms, along the time of a capture.

    Args:
        capture: Its name.
        times: When each window was.
        alarm: (W,) whether there is one.
        events: The attacks.
    """
    if not len(times.start):
        return Panel(title=capture)
    start = float(times.start.min())
    near = (float(times.end.max()) - start) / _SHARPNESS
    alarms = np.stack([times.start[alarm], times.end[alarm]], axis=1)
    lanes = (("attack", events.intervals), ("alarm", alarms), ("judged", _stacked(times)))
    return Panel(
        title=capture,
        lanes=tuple(Lane(name=name, spans=_merged(spans - start, near)) for name, spans in lanes),
        across="seconds",
    )


def _stacked(times: WindowTimes) -> NDArray[np.float64]:
    return np.stack([times.start, times.end], axis=1)


def _merged(spans: NDArray[np.float64], near: float) -> tuple[tuple[float, float], ...]:
    """Join stretches that nearly meet."""
    if not len(spans):
        return ()
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    ends = np.maximum.accumulate(spans[:, 1])
    apart = np.flatnonzero(spans[1:, 0] - ends[:-1] > near) + 1
    starts = spans[np.concatenate([[0], apart]), 0]
    last = ends[np.concatenate([apart - 1, [len(spans) - 1]])]
    rounded = np.round(np.stack([starts, last], axis=1), 3).tolist()
    return tuple((start, end) for start, end in rounded)


def alarms_figure(split: str, panels: Sequence[Panel]) -> Figure:
    """Put the captures of a split beneath each other, but for those without a judged window."""
    drawn = tuple(panel for panel in panels if panel.lanes)
    left_out = len(drawn) - CAPTURES
    note = f"{left_out} further captures are not drawn." if left_out > 0 else ""
    return Figure(title=f"Alarms on {split}", panels=drawn[:CAPTURES], note=note)
