"""Scores of a detector on each test split, attack and vehicle, beside the training-free rules."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tutelage.core.blocks import Blocks, pack_blocks
from tutelage.core.errors import DataError
from tutelage.core.records import Evaluation, Figure, Panel
from tutelage.tasks.can.alarms import k_of_n, kth_largest
from tutelage.tasks.can.calibration import CalibratedTest
from tutelage.tasks.can.config import CANEvaluation
from tutelage.tasks.can.datamodule import CANGraphDataModule, TestCapture
from tutelage.tasks.can.events import (
    AttackEvents,
    Floats,
    WindowTimes,
    labelled_events,
    score_events,
)
from tutelage.tasks.can.evidence import derive_silences
from tutelage.tasks.can.frames import ATTACK, BENIGN, UNLABELLED
from tutelage.tasks.can.fusion.module import RIVAL, FusionModule
from tutelage.tasks.can.ingest import vehicle_of
from tutelage.tasks.can.left_out import LeftOut
from tutelage.tasks.can.operating import OperatingPoints, operating_table
from tutelage.tasks.can.plots import alarm_panel, alarms_figure, curves_figure
from tutelage.tasks.can.rule_windows import RuleVerdict
from tutelage.tasks.can.verdicts import MODEL, Verdicts
from tutelage.tasks.can.window_blocks import f1_blocks
from tutelage.tasks.can.window_verdicts import Detector, calibrated_verdicts, judge

_log = logging.getLogger(__name__)

ALWAYS = "always_alarm"
AT_POINTS = ("event_recall", "recall", "false_alarms_per_hour")
"""Metrics that stand for each operating point."""


def evaluate(
    module: Detector,
    data: CANGraphDataModule,
    derived: Mapping[str, Floats] | None = None,
) -> Evaluation:
    """Score the model, each rule and `always_alarm` on every test split, whole and in parts.

    Keys are ``split/metric``, ``split/attack/metric`` and, where the names of a split's captures
    tell of several vehicles, ``split/vehicle NAME/metric``. A capture that can't be calibrated is
    left out, and a table says why.

    Args:
        module: The model.
        data: The captures.
        derived: Attacks that labels do not tell: for a capture, by its label, (n, 2) seconds of
            the first and last moment of each. They take the place of what its labels tell about
            events; benign windows into which one reaches are left out of the scores of windows.
            Those of captures named for suppression, without an attack among their labels, are
            derived here.

    Raises:
        DataError: No window of a split is labelled, or no capture can be calibrated.
    """
    module.eval()
    settings = data.config.evaluation
    operating = _operating(module, data) if settings.calibration == "none" else None
    derived = {**_silences(data), **(derived or {})}
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    left, figures, blocks = LeftOut(), list[Figure](), list[Blocks]()
    for split, every in data.tests.items():
        judging = partial(_read_and_judge, module, data, derived, operating)
        tried = [(test, left.attempt(test, partial(judging, test))) for test in every]
        judged = [judgement for _, judgement in tried if judgement is not None]
        kept = [test for test, judgement in tried if judgement is not None]
        groups = _groups(split, kept)
        for name in judged[0].detectors if judged else ():
            verdicts = [judgement.detectors[name] for judgement in judged]
            scores[name] |= _keyed(groups, [v.own for v in verdicts])
            scores[name] |= _at_points(split, [v.at_points for v in verdicts])
            if name == MODEL:
                blocks += f1_blocks(
                    split, [t.capture.label for t in kept], [v.own for v in verdicts]
                )
        figures += _figures(split, judged)
    left.require_any()
    _require_labels(scores[MODEL], data)
    tables = left.tables()
    if operating:
        tables.append(operating_table(scores, list(data.tests), _without_rivals(operating)))
    if isinstance(module, FusionModule):
        more, drawn = module.weights_shown(data.tests)
        tables, figures = [*tables, *more], [*figures, *drawn]
    return Evaluation(
        metrics=scores.pop(MODEL),
        baselines=scores,
        tables=tuple(tables),
        figures=tuple(figures),
        files=pack_blocks(blocks),
    )


def _without_rivals(operating: OperatingPoints) -> OperatingPoints:
    """The operating points of the model and of what it stands beside, not of its rivals."""
    limits = operating.thresholds.items()
    shown = {name: limit for name, limit in limits if not name.startswith(RIVAL)}
    return replace(operating, thresholds=shown)


def _figures(split: str, judged: Sequence[_Judgement]) -> list[Figure]:
    """Draw what each detector finds at which price, and the model's alarms along time."""
    if not judged:
        return []
    names = [name for name in judged[0].detectors if name != ALWAYS]
    own = {name: [one.detectors[name].own for one in judged] for name in names}
    found = curves_figure(split, own)
    alarms = alarms_figure(split, [one.alarms for one in judged])
    return [alarms] if found is None else [found, alarms]


def _silences(data: CANGraphDataModule) -> dict[str, Floats]:
    """Derive what labels can't tell: when identifiers were held back in captures named for that."""
    found = {}
    for test in (test for tests in data.tests.values() for test in tests):
        capture = test.capture
        if "suppress" in capture.name.lower() and not capture.attack_frames:
            silences = derive_silences(capture.frames)
            found[capture.label] = np.array([(s.start, s.end) for s in silences]).reshape(-1, 2)
    return found


def _operating(module: Detector, data: CANGraphDataModule) -> OperatingPoints | None:
    """Choose thresholds on the held-out windows, or else take those of the model's card.

    In a cross-validation what is held out is what is scored, or nothing is: there they are chosen
    on windows that trained, and false alarms come out more often than asked for. Chosen ones are
    kept in ``data.learned``, which becomes the card: on other data, where nothing of training is
    held out, they are all that there is.
    """
    settings = data.config.evaluation
    if data.held_out or data.trained:
        points = _chosen(module, data)
        data.learned = replace(data.learned, operating=points)
    points = data.learned.operating
    if points and not points.fits(settings):
        rates = ", ".join(f"{rate:g}" for rate in points.per_hour)
        kept = f"{rates} false alarms an hour and alarms of {points.k} of {points.n} windows"
        _log.warning("no operating points are scored: the model's card has those for %s", kept)
        return None
    return points


def _chosen(module: Detector, data: CANGraphDataModule) -> OperatingPoints | None:
    """Thresholds by benign windows of the training captures; null without any."""
    settings = data.config.evaluation
    parts: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    seconds = 0.0
    for held in data.held_out or data.trained:
        benign = replace(held, windows=held.windows[held.store.y[held.windows] == BENIGN])
        if not len(benign.windows):
            continue
        windows = benign.windows.numpy()
        seconds += float(window_times(benign, windows).seconds.clip(min=0).sum())
        for name, said in _said(module, data, benign).items():
            parts[name].append(kth_largest(said.score, windows, settings.k, settings.n))
    if not seconds:
        return None
    scores = {name: np.concatenate(part) for name, part in parts.items()}
    return OperatingPoints.choose(scores, seconds / 3600, settings)


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


def _at_points(split: str, parts: Sequence[Mapping[float, Verdicts]]) -> dict[str, float]:
    """What came out on a split at each operating point: ``split/recall@10`` and the like."""
    found: dict[str, float] = {}
    for per_hour in parts[0]:
        metrics = Verdicts.join([part[per_hour] for part in parts]).alarm_metrics()
        shown = (name for name in AT_POINTS if name in metrics)
        found |= {f"{split}/{name}@{per_hour:g}": metrics[name] for name in shown}
    return found


def _said(module: Detector, data: CANGraphDataModule, test: TestCapture) -> dict[str, RuleVerdict]:
    """What the model and each rule say of a capture's chosen windows, each on its own."""
    windows, settings = test.windows.numpy(), data.config.data
    found = judge(module, test)
    for name, rule in data.learned.rules.items():
        verdict = rule.windows(test.capture.frames, settings.window, test.store.stride)
        found[name] = RuleVerdict(verdict.score[windows], verdict.alarm[windows])
    return found


def _read(
    module: Detector, data: CANGraphDataModule, test: TestCapture
) -> tuple[TestCapture, Mapping[str, RuleVerdict]]:
    """Return the windows of a capture that are judged, and what each detector says of them."""
    if data.config.evaluation.calibration == "none":
        return test, _said(module, data, test)
    calibrated = CalibratedTest.of(test, data.learned, data.config.evaluation, data.drives)
    return calibrated.test, calibrated_verdicts(module, test, calibrated, data.config.evaluation)


def _read_and_judge(
    module: Detector,
    data: CANGraphDataModule,
    derived: Mapping[str, Floats],
    operating: OperatingPoints | None,
    test: TestCapture,
) -> _Judgement:
    """What each detector makes of a capture; its graphs are let go of."""
    found = _read(module, data, test)
    return _judge(*found, data.config.evaluation, derived, operating)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A detector's verdicts by its own threshold, and by those of the operating points."""

    own: Verdicts
    at_points: Mapping[float, Verdicts]


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What each detector made of a capture, and the model's alarms as a drawing."""

    detectors: Mapping[str, _Judged]
    alarms: Panel


def _judge(
    test: TestCapture,
    said: Mapping[str, RuleVerdict],
    settings: CANEvaluation,
    derived: Mapping[str, Floats],
    operating: OperatingPoints | None,
) -> _Judgement:
    """What each detector makes of the labelled windows of a capture."""
    windows = test.windows.numpy()
    labelled = (test.store.y[test.windows] != UNLABELLED).numpy()
    truth = (test.store.y[test.windows] == ATTACK).numpy()[labelled]
    times = window_times(test, windows[labelled])
    events = _events(test, labelled, settings.event_gap_seconds, derived)
    known = truth | ~times.under(events) if events.derived else np.ones(len(truth), np.bool_)

    def verdicts(score: NDArray[np.float32], alarm: NDArray[np.bool_]) -> Verdicts:
        scored, alarmed = score[labelled], alarm[labelled]
        judged = score_events(alarmed, times, events)
        return Verdicts(scored[known], alarmed[known], truth[known], times.seconds[known], judged)

    every = np.ones(len(windows), np.float32)
    found = {}
    for name, verdict in {**said, ALWAYS: RuleVerdict(every, every > 0)}.items():
        score = kth_largest(verdict.score, windows, settings.k, settings.n)
        alarm = k_of_n(verdict.alarm, windows, settings.k, settings.n)
        at = operating.of(name) if operating else {}
        points = {rate: verdicts(score, score > threshold) for rate, threshold in at.items()}
        found[name] = _Judged(verdicts(score, alarm), points)
    alarm = k_of_n(said[MODEL].alarm, windows, settings.k, settings.n)[labelled]
    return _Judgement(found, alarm_panel(test.capture.name, times, alarm, events))


def window_times(test: TestCapture, windows: NDArray[np.int64]) -> WindowTimes:
    """When some windows of a capture were."""
    store = test.store
    start, end = store.start_time.numpy()[windows], store.end_time.numpy()[windows]
    overlap = min(1.0, store.stride / store.window)
    return WindowTimes(windows, start, end, (end - start) * overlap)


def _events(
    test: TestCapture, labelled: NDArray[np.bool_], gap: float, derived: Mapping[str, Floats]
) -> AttackEvents:
    """The attacks on a capture: as derived, else as labels tell, stretch by stretch of windows."""
    label = test.capture.label
    if label in derived:
        return AttackEvents(derived[label], derived=True)
    windows, first = test.windows.numpy(), test.store.first_row.numpy()
    cuts = np.flatnonzero(np.diff(windows) > 1) + 1
    found = [np.zeros((0, 2))]
    for stretch in np.split(windows[labelled], np.cumsum(labelled)[cuts - 1]):
        if len(stretch):
            frames = test.capture.frames[first[stretch[0]] : first[stretch[-1]] + test.store.window]
            found.append(labelled_events(frames, gap).intervals)
    return AttackEvents(np.concatenate(found))


def _require_labels(metrics: Mapping[str, float], data: CANGraphDataModule) -> None:
    if not metrics:
        raise DataError(
            "no window is labelled, so nothing can be scored",
            where=data.config.data.root,
            hint="Use `tutelage predict` on unlabelled captures.",
        )
