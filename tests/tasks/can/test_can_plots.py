"""Alarms are drawn where they were, beside the attacks."""

from __future__ import annotations

import numpy as np

from tutelage.core.records import Lane
from tutelage.tasks.can.events import AttackEvents, WindowTimes
from tutelage.tasks.can.plots import CAPTURES, alarm_panel, alarms_figure


def times(starts: list[float]) -> WindowTimes:
    start = np.array(starts)
    return WindowTimes(np.arange(len(start)), start, start + 1.0, np.ones(len(start)))


def test_alarms_in_a_row_are_one_stretch_from_the_first_judged_moment() -> None:
    events = AttackEvents(np.array([[103.5, 106.0]]))
    alarm = np.array([0, 0, 0, 1, 1, 0, 0, 1, 0, 0], np.bool_)
    panel = alarm_panel("drive", times([100.0 + n for n in range(10)]), alarm, events)
    assert panel.lanes == (
        Lane(name="attack", spans=((3.5, 6.0),)),
        Lane(name="alarm", spans=((3.0, 5.0), (7.0, 8.0))),
        Lane(name="judged", spans=((0.0, 10.0),)),
    )


def test_what_was_left_out_is_a_gap_in_what_was_judged() -> None:
    panel = alarm_panel(
        "drive", times([0.0, 1.0, 50.0]), np.zeros(3, np.bool_), AttackEvents(np.zeros((0, 2)))
    )
    assert [lane.spans for lane in panel.lanes] == [(), (), ((0.0, 2.0), (50.0, 51.0))]


def test_a_figure_says_what_it_leaves_out() -> None:
    nothing = AttackEvents(np.zeros((0, 2)))
    panel = alarm_panel("drive", times([0.0]), np.zeros(1, np.bool_), nothing)
    empty = alarm_panel("unlabelled", times([]), np.zeros(0, np.bool_), nothing)
    figure = alarms_figure("test", [empty, *[panel] * (CAPTURES + 2)])
    assert len(figure.panels) == CAPTURES and figure.note == "2 further captures are not drawn."
