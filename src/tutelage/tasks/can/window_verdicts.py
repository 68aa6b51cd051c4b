"""What a detector says of the windows of captures, row by row."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.core.records import Table
from tutelage.tasks.can.alarms import k_of_n
from tutelage.tasks.can.calibration import MONITORS, CalibratedTest, scale_of
from tutelage.tasks.can.config import CANEvaluation
from tutelage.tasks.can.datamodule import CANGraphDataModule, TestCapture
from tutelage.tasks.can.fusion.module import FusionModule
from tutelage.tasks.can.left_out import LeftOut
from tutelage.tasks.can.modules import BaseCANGraphModule
from tutelage.tasks.can.rule_windows import RuleVerdict
from tutelage.tasks.can.verdicts import MODEL

Detector = BaseCANGraphModule | FusionModule


def model_scores(
    module: BaseCANGraphModule, test: TestCapture
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the score (T,) of each window that tests, and whether it is over the threshold."""
    with torch.inference_mode():
        scores = [module.scores(batch.to(module.device)).float().cpu() for batch in test.loader()]
    score = torch.cat(scores)
    return score.numpy(), (score > module.threshold.cpu()).numpy()


def judge(module: Detector, test: TestCapture) -> dict[str, RuleVerdict]:
    """Judge windows one by one: the model first, then what it is made of, where it is a fusion."""
    if isinstance(module, FusionModule):
        return module.judge(test)
    return {MODEL: RuleVerdict(*model_scores(module, test))}


def calibrated_verdicts(
    module: Detector, test: TestCapture, calibrated: CalibratedTest, settings: CANEvaluation
) -> dict[str, RuleVerdict]:
    """What the calibrated detectors say together, and each alone.

    A fusion's experts keep the baselines that its combiner was fitted with.
    """
    parts = [calibrated.test, calibrated.prefix]
    if isinstance(module, FusionModule):
        parts = [replace(part, store=test.store) for part in parts]
    scale = scale_of(module)
    learned, beginning = (scale(judge(module, part)[MODEL].score) for part in parts)
    threshold = float(scale(module.threshold.detach().cpu().numpy()))
    return calibrated.judge(learned, beginning, threshold, settings.false_alarms_per_hour)


def window_tables(module: Detector, data: CANGraphDataModule) -> tuple[Table, ...]:
    """A table of windows for each capture that tests (see `window_table`).

    A capture that can't be calibrated is left out, with a warning.

    Raises:
        DataError: None can be calibrated.
    """
    left = LeftOut()
    every = (test for tests in data.tests.values() for test in tests)
    found = [left.attempt(test, partial(window_table, module, data, test)) for test in every]
    left.require_any()
    return tuple(table for table in found if table is not None)


def judged_windows(data: CANGraphDataModule) -> list[TestCapture]:
    """Return the windows of each capture that `window_tables` tells of.

    Raises:
        DataError: None can be calibrated.
    """
    every = [test for tests in data.tests.values() for test in tests]
    settings = data.config.evaluation
    if settings.calibration == "none":
        return every
    left = LeftOut()
    of = partial(CalibratedTest.of, learned=data.learned, settings=settings, drives=data.drives)
    found = [left.attempt(test, partial(of, test)) for test in every]
    left.require_any()
    return [calibrated.test for calibrated in found if calibrated is not None]


def window_table(module: Detector, data: CANGraphDataModule, test: TestCapture) -> Table:
    """A row for each window of a capture: when, how suspicious, and whether there is an alarm.

    The score is the window's own; the alarm looks back on `evaluation.n` windows. The table's title
    is the capture's label. With calibration the beginning is left out, and a reason is given where
    the monitors have one.
    """
    module.eval()
    settings = data.config.evaluation
    if settings.calibration == "none":
        verdict, reasons = judge(module, test)[MODEL], None
    else:
        calibrated = CalibratedTest.of(test, data.learned, settings, data.drives)
        said = calibrated_verdicts(module, test, calibrated, settings)
        test, verdict = calibrated.test, said[MODEL]
        reasons = calibrated.reasons(said[MONITORS].alarm)
    store, windows = test.store, test.windows
    alarm = k_of_n(verdict.alarm, windows.numpy(), settings.k, settings.n)
    columns = (
        windows,
        store.first_row[windows],
        store.start_time[windows],
        store.end_time[windows],
    )
    names = ["window", "first_frame", "start_time", "end_time", "score", "alarm"]
    listed = [column.tolist() for column in columns]
    listed += [verdict.score.tolist(), [int(each) for each in alarm]]
    if reasons is not None:
        names, listed = [*names, "reason"], [*listed, reasons]
    rows = zip(*listed, strict=True)
    return Table(title=test.capture.label, columns=tuple(names), rows=tuple(rows))
