"""Which combiner won on samples that none was fitted on, in a table and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision

from tutelage.core.records import Table
from tutelage.training.fusion.combiners import log_loss
from tutelage.training.fusion.fitting import CrossFitted
from tutelage.training.fusion.states import States

_SURE = 0.05
EXPERT = "expert_"
"""What an expert's name begins with where it stands among combiners."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A combiner or an expert alone, on held-out samples.

    Args:
        name: Its name.
        alarm: (n,) bool.
        f1: Of the alarms; `precision` and `recall` likewise, null where nothing is counted.
        auprc: Area under the precision-recall curve of the scores.
        log_loss: Of the scores as probabilities; null for an expert, whose scores are none.
    """

    name: str
    alarm: Tensor
    f1: float
    precision: float | None
    recall: float | None
    auprc: float
    log_loss: float | None

    @classmethod
    def of(
        cls, name: str, alarm: Tensor, rank: Tensor, label: Tensor, loss: float | None
    ) -> Candidate:
        """Count alarms (n,) against labels (n,); ``rank`` (n,) orders the samples."""
        truth = label == 1
        hits, called, real = int((alarm & truth).sum()), int(alarm.sum()), int(truth.sum())
        place = torch.unique(rank, return_inverse=True)[1].double()
        area = float(binary_average_precision(place / (place.max() + 1), label))
        return cls(
            name,
            alarm,
            2 * hits / (called + real) if called + real else 0.0,
            hits / called if called else None,
            hits / real if real else None,
            area,
            loss,
        )

    @property
    def quality(self) -> tuple[float, float, float]:
        """What decides, in this order: F1, then the area, then the log loss."""
        return self.f1, self.auprc, -math.inf if self.log_loss is None else -self.log_loss


def candidates(
    states: States, fitted: Mapping[str, CrossFitted]
) -> tuple[list[Candidate], list[Candidate]]:
    """Return experts alone, at their own thresholds, and combiners; each the best first."""
    label = states.label
    experts = [
        Candidate.of(f"{EXPERT}{name}", states.alarm[:, at], states.state[:, at], label, None)
        for at, name in enumerate(states.experts)
    ]
    combiners = [
        Candidate.of(name, c.alarm, c.score, label, float(log_loss(c.score, label)))
        for name, c in fitted.items()
    ]
    return tuple(  # type: ignore[return-value]
        sorted(group, key=lambda c: c.quality, reverse=True) for group in (experts, combiners)
    )


def winner(states: States, fitted: Mapping[str, CrossFitted]) -> str:
    """Return the best expert's name, or the best combiner's where it is better beyond chance."""
    experts, combiners = candidates(states, fitted)
    if not combiners:
        return experts[0].name
    gained, lost = _disagreements(states.label, experts[0], combiners[0])
    return combiners[0].name if _beyond_chance(gained, lost) else experts[0].name


def comparison_table(
    states: States,
    fitted: Mapping[str, CrossFitted],
    chosen: str,
    selections: Mapping[str, tuple[str, CrossFitted]] | None = None,
) -> Table:
    """Rank combiners and experts by cross-validated F1, and say in words which won.

    Args:
        states: The held-out samples.
        fitted: Each combiner's cross-fitted scores.
        chosen: The combiner that the run is about.
        selections: Of combiners that are one of the others: which, and its cross-fitted scores.
    """
    experts, combiners = candidates(states, fitted)
    selections = selections or {}
    selected = {name: found for name, (_, found) in selections.items()}
    rest = candidates(states, selected)[1]
    ranked = sorted([*combiners, *rest, *experts], key=lambda c: c.quality, reverse=True)
    rows = tuple((c.name, c.f1, c.precision, c.recall, c.auprc, c.log_loss) for c in ranked)
    said = verdict(states.label, experts[0], combiners, chosen)
    for name, (who, _) in selections.items():
        said += f" So {name} is {who}."
    return Table(
        title="Combiners and experts on held-out training data, cross-fitted",
        columns=("who", "f1", "precision", "recall", "auprc", "log loss"),
        rows=rows,
        note=f"{said} Chosen by these scores alone, never by a test.",
    )


def _disagreements(label: Tensor, expert: Candidate, combiner: Candidate) -> tuple[int, int]:
    """On how many samples the combiner alone is right, and the expert alone."""
    truth = label == 1
    right, others = combiner.alarm == truth, expert.alarm == truth
    return int((right & ~others).sum()), int((~right & others).sum())


def _beyond_chance(gained: int, lost: int) -> bool:
    return gained > lost and mcnemar(gained, lost) < _SURE


def verdict(label: Tensor, expert: Candidate, combiners: list[Candidate], chosen: str) -> str:
    """Say which combiner won, whether it beats the best expert, and where this run's stands."""
    best = combiners[0]
    gained, lost = _disagreements(label, expert, best)
    counts = (
        f"right on {gained} of {len(label)} held-out samples where {expert.name} is wrong, "
        f"wrong on {lost} where that is right"
    )
    if _beyond_chance(gained, lost):
        said = f"Fusion helps: {best.name} won, {counts}."
    elif gained > lost:
        said = f"Fusion may help, but not beyond chance: {best.name} won, {counts}."
    else:
        said = f"Fusion does not help here: the best combiner, {best.name}, is {counts}."
    names = [c.name for c in combiners]
    if chosen in names and (place := names.index(chosen)):
        said += f" This run's {chosen} is number {place + 1} of {len(combiners)} combiners."
    return said


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value of McNemar's test (1947): of the disagreements, half each way."""
    total = gained + lost
    tail = sum(math.comb(total, k) for k in range(min(gained, lost) + 1))
    return min(1.0, float(2 * tail / 2**total))


def weight_table(fitted: Mapping[str, CrossFitted], experts: tuple[str, ...]) -> Table:
    """How each combiner that weighs experts spread its weights: its mean, and its favourite."""
    rows = []
    for name, found in fitted.items():
        if found.weights is not None:
            rows.append((name, *weight_summary(found.weights)))
    return Table(
        title="Weights of the experts, cross-fitted",
        columns=("combiner", *experts, "different weightings", "share of the commonest"),
        rows=tuple(rows),
        note="A combiner whose commonest weighting has a share near 1 chooses without looking: "
        "its weights have collapsed.",
    )


def weight_summary(weights: Tensor) -> tuple[float, ...]:
    """Mean weight of each expert (n, E), number of weightings to two digits, the largest share."""
    rounded = (weights * 100).round()
    _, counts = torch.unique(rounded, dim=0, return_counts=True)
    return (*weights.mean(dim=0).tolist(), len(counts), float(counts.max()) / len(weights))
