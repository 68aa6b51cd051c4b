"""Scores of a detector on each test split, attack and vehicle, beside the training-free rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.core.records import Evaluation, Table
from tutelage.tasks.can.alarms import k_of_n, kth_largest
from tutelage.tasks.can.config import CANEvaluation
from tutelage.tasks.can.datamodule import CANGraphDataModule, TestCapture
from tutelage.tasks.can.events import (
    AttackEvents,
    Floats,
    WindowTimes,
    labelled_events,
    score_events,
)
from tutelage.tasks.can.frames import UNLABELLED
from tutelage.tasks.can.ingest import vehicle_of
from tutelage.tasks.can.modules import BaseCANGraphModule
from tutelage.tasks.can.rule_windows import RuleVerdict
from tutelage.tasks.can.verdicts import Verdicts

MODEL, ALWAYS = "model", "always_alarm"


def model_scores(
    module: BaseCANGraphModule, test: TestCapture
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the score (T,) of each window that tests, and whether it is over the threshold."""
    with torch.inference_mode():
        scores = [module.scores(batch.to(module.device)).float().cpu() for batch in test.loader()]
    score = torch.cat(scores)
    return score.numpy(), (score > module.threshold.cpu()).numpy()


def evaluate(
    module: BaseCANGraphModule,
    data: CANGraphDataModule,
    derived: Mapping[str, Floats] | None = None,
) -> Evaluation:
    """Score the model, each rule and `always_alarm` on every test split, whole and in parts.

    Keys are ``split/metric``, ``split/attack/metric`` and, where the names of a split's captures
    tell of several vehicles, ``split/vehicle NAME/metric``.

    Args:
        module: The model.
        data: The captures.
        derived: Attacks that labels do not tell: for a capture, by its label, (n, 2) seconds of
            the first and last moment of each. They take the place of what its labels tell about
            events; benign windows into which one reaches are left out of the scores of windows.

    Raises:
        DataError: No window of a split is labelled.
    """
    module.eval()
    detectors = [MODEL, *data.learned.rules, ALWAYS]
    scores: dict[str, dict[str, float]] = {name: {} for name in detectors}
    for split, captures in data.tests.items():
        judged = [_verdicts(module, data, test, derived or {}) for test in captures]
        groups = _groups(split, captures)
        for name in detectors:
            scores[name] |= _keyed(groups, [verdicts[name] for verdicts in judged])
    _require_labels(scores[MODEL], data)
    return Evaluation(metrics=scores.pop(MODEL), baselines=scores, tables=())


def _groups(split: str, tests: Sequence[TestCapture]) -> dict[str, list[int]]:
    """Which captures count towards a split, each of its attacks, and each of several vehicles."""
    attacks: dict[str, list[int]] = defaultdict(list)
    vehicles: dict[str, list[int]] = defaultdict(list)
    for at, test in enumerate(tests):
        attacks[f"{split}/{test.capture.attack}"].append(at)
        if vehicle := vehicle_of(test.capture.name):
            vehicles[f"{split}/vehicle {vehicle}"].append(at)
    parts = dict(sorted(attacks.items()))
    if len(vehicles) > 1:
        parts |= dict(sorted(vehicles.items()))
    return {split: list(range(len(tests)))} | parts


def _keyed(groups: Mapping[str, list[int]], verdicts: Sequence[Verdicts]) -> dict[str, float]:
    """The metrics of each group that has labelled windows."""
    found: dict[str, float] = {}
    for prefix, members in groups.items():
        joined = Verdicts.join([verdicts[at] for at in members])
        if len(joined.truth):
            found |= {f"{prefix}/{name}": value for name, value in joined.metrics().items()}
    return found


def _verdicts(
    module: BaseCANGraphModule,
    data: CANGraphDataModule,
    test: TestCapture,
    derived: Mapping[str, Floats],
) -> dict[str, Verdicts]:
    """What each detector says of the labelled windows of a capture."""
    settings, rules = data.config.evaluation, data.learned.rules
    windows = test.windows.numpy()
    labelled = (test.store.y[test.windows] != UNLABELLED).numpy()
    truth = (test.store.y[test.windows] == 1).numpy()[labelled]
    times = window_times(test, windows[labelled])
    events = _events(test, windows[labelled], settings.event_gap_seconds, derived)
    found = {MODEL: RuleVerdict(*model_scores(module, test))}
    for name, rule in rules.items():
        verdict = rule.windows(test.capture.frames, data.config.data.window, test.store.stride)
        found[name] = RuleVerdict(verdict.score[windows], verdict.alarm[windows])
    every = np.ones(len(windows))
    found[ALWAYS] = RuleVerdict(every.astype(np.float32), every.astype(bool))
    known = truth | ~times.under(events) if events.derived else np.ones(len(truth), np.bool_)
    verdicts = {}
    for name, verdict in found.items():
        score = kth_largest(verdict.score, windows, settings.k, settings.n)[labelled]
        alarm = k_of_n(verdict.alarm, windows, settings.k, settings.n)[labelled]
        judged = score_events(alarm, times, events)
        verdicts[name] = Verdicts(
            score[known], alarm[known], truth[known], times.seconds[known], judged
        )
    return verdicts


def window_times(test: TestCapture, windows: NDArray[np.int64]) -> WindowTimes:
    """When some windows of a capture were."""
    store = test.store
    start, end = store.start_time.numpy()[windows], store.end_time.numpy()[windows]
    overlap = min(1.0, store.stride / store.window)
    return WindowTimes(windows, start, end, (end - start) * overlap)


def _events(
    test: TestCapture, windows: NDArray[np.int64], gap: float, derived: Mapping[str, Floats]
) -> AttackEvents:
    """The attacks on a capture: as derived, else as its labels tell within the given windows."""
    label = test.capture.label
    if label in derived:
        return AttackEvents(derived[label], derived=True)
    if not len(windows):
        return AttackEvents(np.zeros((0, 2)))
    first = test.store.first_row.numpy()[windows[[0, -1]]]
    return labelled_events(test.capture.frames[first[0] : first[1] + test.store.window], gap)


def _require_labels(metrics: Mapping[str, float], data: CANGraphDataModule) -> None:
    if not metrics:
        raise DataError(
            "no window is labelled, so nothing can be scored",
            where=data.config.data.root,
            hint="Use `tutelage predict` on unlabelled captures.",
        )


def window_table(module: BaseCANGraphModule, test: TestCapture, evaluation: CANEvaluation) -> Table:
    """A row for each window of a capture: when, how suspicious, and whether there is an alarm.

    The score is the window's own; the alarm looks back on `evaluation.n` windows. The table's title
    is the capture's label.
    """
    module.eval()
    score, over = model_scores(module, test)
    store, windows = test.store, test.windows
    alarm = k_of_n(over, windows.numpy(), evaluation.k, evaluation.n)
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
