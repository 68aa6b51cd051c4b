"""Figures of a record are drawn whole, and what they hold stays text."""

from __future__ import annotations

import re
from pathlib import Path

from test_page import page_of

from made_runs import finish_run
from tutelage.core.records import Figure, Line, Panel
from tutelage.core.store import RunStore
from tutelage.report.figures import GREYS, drawn
from tutelage.report.page import render_page


def _area(path: str) -> int:
    return sum(int(width) for width in re.findall(r"h(\d+)v1", path))


def test_an_image_is_covered_once_from_dark_to_light() -> None:
    image = tuple(tuple(float(x + 10 * y) for x in range(10)) for y in range(6))
    (panel,) = drawn(Figure(title="t", panels=(Panel(title="p", image=image),))).panels
    assert (panel.width, panel.height) == (10, 6)
    assert sum(_area(path) for _, path in panel.patches) == 60
    assert [grey for grey, _ in panel.patches] == [
        round(255 * k / (GREYS - 1)) for k in range(GREYS)
    ]
    assert panel.patches[0][1].startswith("M0,0")
    assert panel.patches[-1][1].endswith("M8,5h2v1h-2z")


def test_a_flat_or_broken_image_is_drawn_all_the_same() -> None:
    flat = Panel(title="p", image=((1.0, 1.0), (1.0, float("nan"))))
    (panel,) = drawn(Figure(title="t", panels=(flat,))).panels
    assert sum(_area(path) for _, path in panel.patches) == 4


def test_lines_share_a_scale_and_break_at_gaps() -> None:
    lines = (
        Line(name="a", values=(0.0, 1.0, None, 2.0)),
        Line(name="b", values=(4.0, 4.0, 4.0, 4.0)),
    )
    (panel,) = drawn(Figure(title="t", panels=(Panel(title="p", lines=lines),))).panels
    assert [number for number, _ in panel.segments] == [0, 0, 1]
    assert panel.segments[0][1] == "4.0,86.0 214.7,65.5"
    assert {point.split(",")[1] for point in panel.segments[2][1].split()} == {"4.0"}


def test_figures_stand_on_the_page_without_an_address(tmp_path: Path) -> None:
    run = finish_run(RunStore(tmp_path))
    evil = "<script>alert('x')</script>"
    figure = Figure(
        title="Fields",
        note=evil,
        panels=(
            Panel(title=evil, image=((0.0, 1.0), (1.0, 0.0)), marks=((0.5, 0.25),)),
            Panel(title="trace", lines=(Line(name=evil, values=(0.0, 1.0)),)),
        ),
    )
    run.update(figures=(figure,))
    page = page_of(RunStore(tmp_path).find(run.id))
    assert "script" not in page.tags and page.addresses == []
    assert page.text.count("alert('x')") >= 3
    assert 'd="M0.75,1.0m-1,0' in render_page([run])
