"""Charts stay inside their drawing, and say the same to those who don't see them."""

from __future__ import annotations

import re

import pytest

from tutelage.core.records import Figure, Lane, Line, Panel
from tutelage.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, chart, ticks
from tutelage.report.figures import drawn

NAN = float("nan")


def numbers(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", text)]


def test_lines_stand_where_their_places_say_and_stay_inside() -> None:
    line = Line(name="a", values=(1.0, 3.0, 2.0), at=(0.0, 1.0, 10.0))
    found = chart(Panel(title="t", lines=(line,), across="s"))
    assert found is not None
    ((number, points),) = found.segments
    placed = numbers(points)
    assert number == 0 and placed[0][0] == LEFT and placed[-1][0] == WIDTH - RIGHT
    assert placed[0][1] == HEIGHT - BOTTOM and placed[1][1] == TOP
    assert placed[1][0] == pytest.approx(LEFT + (WIDTH - RIGHT - LEFT) / 10, abs=0.1)


def test_an_interval_is_drawn_about_its_line_and_widens_the_axis() -> None:
    line = Line(name="a", values=(1.0, 1.0), at=(0.0, 1.0), low=(0.0, 0.5), high=(2.0, 1.5))
    found = chart(Panel(title="t", lines=(line,), across="s"))
    assert found is not None and "from 0 to 2" in found.said
    ((_, outline),) = found.bands
    (upper, *_, lower), middle = numbers(outline), numbers(found.segments[0][1])[0]
    assert upper[1] == TOP and lower[1] == HEIGHT - BOTTOM
    assert middle[1] == pytest.approx((upper[1] + lower[1]) / 2)


def test_a_flat_line_is_drawn_and_one_without_a_value_is_not() -> None:
    flat = chart(Panel(title="t", lines=(Line(name="a", values=(2.0, 2.0)),), across="s"))
    assert flat is not None and flat.ticks_up == ((HEIGHT - BOTTOM, "2"),)
    assert chart(Panel(title="t", lines=(Line(name="a", values=(NAN, None)),), across="s")) is None


def test_lanes_show_every_stretch_however_short() -> None:
    lanes = (
        Lane(name="attack", spans=((10.0, 60.0),)),
        Lane(name="alarm", spans=((0, 0), (60, 100))),
    )
    found = chart(Panel(title="capture", lanes=lanes, across="seconds"))
    assert found is not None and found.said == "capture: attack: 1 stretches, alarm: 2 stretches"
    assert [(number, width > 0) for number, _, _, width in found.spans] == [
        (0, True),
        (1, True),
        (1, True),
    ]
    assert all(x + width <= WIDTH - RIGHT + 1 for _, x, _, width in found.spans)
    assert [words for _, words in found.ticks_up] == ["attack", "alarm"]
    assert chart(Panel(title="t", lanes=(Lane(name="none", spans=()),), across="s")) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.5, 1]), (0, 100, [0, 50, 100]), (-3, 3, [-2, 0, 2]), (7, 7, [7])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_that_lie_close_are_told_apart() -> None:
    found = chart(Panel(title="auroc", lines=(Line(name="a", values=(1.0, 0.9999985), at=(0, 1)),)))
    assert found is not None
    words = [word for _, word in found.ticks_up]
    assert len({*words}) == len(words) > 1
    assert max(map(len, words)) <= 7


def test_a_figure_parts_its_charts_from_its_pictures() -> None:
    line = Line(name="a", values=(1.0, 2.0))
    panels = (Panel(title="c", lines=(line,), across="s"), Panel(title="t", lines=(line,)))
    found = drawn(Figure(title="f", panels=panels))
    assert [one.title for one in found.charts] == ["c"]
    assert [one.title for one in found.panels] == ["t"]
