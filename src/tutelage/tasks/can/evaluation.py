"""Scores of a detector on each test split and attack, beside the training-free rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from tutelage.core.errors import DataError
from tutelage.core.records import Evaluation, Table
from tutelage.tasks.can.datamodule import CANGraphDataModule, TestCapture
from tutelage.tasks.can.frames import UNLABELLED
from tutelage.tasks.can.modules import BaseCANGraphModule

MODEL, ALWAYS = "model", "always_alarm"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one detector said of the labelled windows of some captures.

    Args:
        score: (W,) larger is more suspicious.
        alarm: (W,) whether it called an attack.
        truth: (W,) whether there was one.
        seconds: (W,) length of each window, where windows overlap times stride over window.
    """

    score: NDArray[np.float32]
    alarm: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    seconds: NDArray[np.float64]

    @staticmethod
    def join(parts: Sequence[Verdicts]) -> Verdicts:
        """Lay verdicts end to end."""
        return Verdicts(
            np.concatenate([p.score for p in parts]),
            np.concatenate([p.alarm for p in parts]),
            np.concatenate([p.truth for p in parts]),
            np.concatenate([p.seconds for p in parts]),
        )

    def metrics(self) -> dict[str, float]:
        """Scores of these windows; one whose denominator is empty is left out.

        ``false_alarms_per_hour`` counts alarms on benign windows in an hour of benign windows.
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
        if tp + fn and tn + fp:
            score, truth = _ranks(self.score), torch.from_numpy(self.truth).long()
            found["auroc"] = min(1.0, float(binary_auroc(score, truth)))
            found["auprc"] = min(1.0, float(binary_average_precision(score, truth)))
        return found | {"windows": len(self.truth), "tp": tp, "fp": fp, "fn": fn, "tn": tn}


def _ranks(score: NDArray[np.float32]) -> Tensor:
    """Ranks (W,) of scores, in float64 within [0, 1]; equal scores have equal ranks.

    torchmetrics passes scores beyond [0, 1] through a sigmoid, in which large ones become equal.
    """
    distinct, place = np.unique(score, return_inverse=True)
    return torch.from_numpy(place / len(distinct))


def model_scores(
    module: BaseCANGraphModule, test: TestCapture
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return score and alarm (T,) of each window that tests."""
    with torch.inference_mode():
        scores = [module.scores(batch.to(module.device)).float().cpu() for batch in test.loader()]
    score = torch.cat(scores)
    return score.numpy(), (score > module.threshold.cpu()).numpy()


def evaluate(module: BaseCANGraphModule, data: CANGraphDataModule) -> Evaluation:
    """Score the model, each rule and `always_alarm` on every test split, whole and by attack.

    Keys are ``split/metric`` and ``split/attack/metric``.

    Raises:
        DataError: No window of a split is labelled.
    """
    module.eval()
    detectors = [MODEL, *data.learned.rules, ALWAYS]
    scores: dict[str, dict[str, float]] = {name: {} for name in detectors}
    for split, captures in data.tests.items():
        parts: dict[str, list[tuple[str, Verdicts]]] = {name: [] for name in detectors}
        for test in captures:
            for name, verdicts in _verdicts(module, data, test).items():
                parts[name].append((test.capture.attack, verdicts))
        for name, found in parts.items():
            scores[name] |= _keyed(split, found)
    _require_labels(scores[MODEL], data)
    return Evaluation(
        metrics=scores.pop(MODEL),
        baselines=scores,
        tables=(),
    )


def _keyed(split: str, parts: Sequence[tuple[str, Verdicts]]) -> dict[str, float]:
    """The metrics of a split, whole and by attack."""
    found: dict[str, float] = {}
    groups = {split: [v for _, v in parts]}
    for attack in sorted({a for a, _ in parts}):
        groups[f"{split}/{attack}"] = [v for a, v in parts if a == attack]
    for prefix, verdicts in groups.items():
        joined = Verdicts.join(verdicts)
        if len(joined.truth):
            found |= {f"{prefix}/{name}": value for name, value in joined.metrics().items()}
    return found


def _verdicts(
    module: BaseCANGraphModule, data: CANGraphDataModule, test: TestCapture
) -> dict[str, Verdicts]:
    settings, store, windows = data.config.data, test.store, test.windows
    labelled = (store.y[windows] != UNLABELLED).numpy()
    chosen = windows.numpy()[labelled]
    truth = store.y.numpy()[chosen] == 1
    overlap = min(1.0, settings.stride / settings.window)
    seconds = (store.end_time - store.start_time).numpy()[chosen] * overlap
    score, alarm = model_scores(module, test)
    found = {MODEL: Verdicts(score[labelled], alarm[labelled], truth, seconds)}
    for name, rule in data.learned.rules.items():
        verdict = rule.windows(test.capture.frames, settings.window, settings.stride)
        found[name] = Verdicts(verdict.score[chosen], verdict.alarm[chosen], truth, seconds)
    every = np.ones(len(truth))
    found[ALWAYS] = Verdicts(every.astype(np.float32), every.astype(bool), truth, seconds)
    return found


def _require_labels(metrics: Mapping[str, float], data: CANGraphDataModule) -> None:
    if not metrics:
        raise DataError(
            "no window is labelled, so nothing can be scored",
            where=data.config.data.root,
            hint="Use `tutelage predict` on unlabelled captures.",
        )


def window_table(module: BaseCANGraphModule, test: TestCapture) -> Table:
    """A row for each window of a capture: when, how suspicious, and whether it is an alarm.

    The table's title is the capture's label.
    """
    module.eval()
    score, alarm = model_scores(module, test)
    store, windows = test.store, test.windows
    columns = (
        windows,
        store.first_row[windows],
        store.start_time[windows],
        store.end_time[windows],
    )
    rows = zip(
        *(column.tolist() for column in columns), score.tolist(), map(int, alarm), strict=True
    )
    names = ("window", "first_frame", "start_time", "end_time", "score", "alarm")
    return Table(title=test.capture.label, columns=names, rows=tuple(rows))
