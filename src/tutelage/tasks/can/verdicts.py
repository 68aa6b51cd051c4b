"""What a detector said of windows beside what was true of them, and the scores of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from tutelage.tasks.can.events import EventScores

MODEL = "model"
"""What the model is called among detectors."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one detector said of the labelled windows of some captures.

    Args:
        score: (W,) larger is more suspicious.
        alarm: (W,) whether it called an attack.
        truth: (W,) whether there was one.
        seconds: (W,) length of each window, where windows overlap times stride over window.
        events: What its alarms made of the attacks as a whole.
    """

    score: NDArray[np.float32]
    alarm: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    events: EventScores

    @staticmethod
    def join(parts: Sequence[Verdicts]) -> Verdicts:
        """Lay verdicts end to end."""
        return Verdicts(
            np.concatenate([p.score for p in parts]),
            np.concatenate([p.alarm for p in parts]),
            np.concatenate([p.truth for p in parts]),
            np.concatenate([p.seconds for p in parts]),
            EventScores.join([p.events for p in parts]),
        )

    def metrics(self) -> dict[str, float]:
        """Scores of these windows and events; one whose denominator is empty is left out.

        `alarm_metrics`, and by the scores, whatever the threshold, ``auroc`` and ``auprc``.
        """
        found = self.alarm_metrics()
        if self.truth.any() and not self.truth.all():
            score, truth = _ranks(self.score), torch.from_numpy(self.truth).long()
            found["auroc"] = min(1.0, float(binary_auroc(score, truth)))
            found["auprc"] = min(1.0, float(binary_average_precision(score, truth)))
        return found

    def alarm_metrics(self) -> dict[str, float]:
        """Scores of the alarms; one whose denominator is empty is left out.

        ``false_alarms_per_hour`` counts windows, not episodes: alarms on benign windows in an hour
        of benign windows. For the scores of events see `EventScores.metrics`.
        """
        tp = int((self.alarm & self.truth).sum())
        fp = int((self.alarm & ~self.truth).sum())
        fn = int((~self.alarm & self.truth).sum())
        tn = len(self.truth) - tp - fp - fn
        benign_hours = float(self.seconds[~self.truth].clip(min=0).sum()) / 3600
        ratios = {
            "accuracy": (tp + tn, len(self.truth)),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
            "f1": (2 * tp, 2 * tp + fp + fn if tp + fn else 0),
            "false_alarms_per_hour": (fp, benign_hours),
        }
        found = {name: above / below for name, (above, below) in ratios.items() if below}
        counts = {"windows": len(self.truth), "tp": tp, "fp": fp, "fn": fn, "tn": tn}
        return found | self.events.metrics() | counts


def _ranks(score: NDArray[np.float32]) -> Tensor:
    """Ranks (W,) of scores, in float64 within [0, 1]; equal scores have equal ranks.

    torchmetrics passes scores beyond [0, 1] through a sigmoid, in which large ones become equal.
    """
    distinct, place = np.unique(score, return_inverse=True)
    return torch.from_numpy(place / len(distinct))
