"""The report is one page that needs nothing else, and nothing in a record can break out of it."""

from __future__ import annotations

from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import pytest

from made_runs import KNOWN, SCORES, UNKNOWN, can_config, finish_run, make_run, prints
from tutelage.core.errors import StoreError
from tutelage.core.records import Table
from tutelage.core.store import METRICS, Run, RunStore
from tutelage.report.curves import MOST_POINTS, curves_of, draw
from tutelage.report.page import render_page
from tutelage.report.settings import defaults_of, settings_of

VOID = {"meta", "path", "polyline", "!doctype", "img"}


class Page(HTMLParser):
    """What a browser would see: tags in balance, addresses, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.words))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path)


def page_of(*runs: Run) -> Page:
    page = Page(render_page(runs))
    assert page.open == []
    return page


def test_a_page_shows_everything_and_needs_nothing_else(store: RunStore) -> None:
    parent = finish_run(store)
    run = finish_run(store, "training.max_epochs=3", parent=parent)
    page = page_of(run)
    for words in (
        run.id, "0.9750", f"f1 on {KNOWN}", "unseen-id 0.6000", f"{KNOWN}/DoS", "Confusion counts",
        "Of the task", "train/loss", "two captures repeat", "warnings", "61.2", parent.id,
        "of-the-data", "torch", "training.max_epochs 3 8", "d1g357", "–",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.addresses == [] and "script" not in page.tags and "svg" in page.tags


def test_the_lowest_split_stands_beneath_the_headline(store: RunStore) -> None:
    run = finish_run(store, scores={**SCORES, f"{UNKNOWN}/f1": 0.41})
    assert f"lowest: 0.4100 on {UNKNOWN}" in page_of(run).text
    assert "lowest:" not in page_of(finish_run(store)).text


def test_long_names_wrap_on_a_narrow_screen(store: RunStore) -> None:
    (rule,) = [r for r in render_page([finish_run(store)]).splitlines() if r.startswith("h2, fig")]
    assert "td:not(.n)" in rule and "overflow-wrap: anywhere" in rule


def test_only_what_differs_from_the_default_is_marked(store: RunStore) -> None:
    html = render_page([finish_run(store, "training.max_epochs=3", "model.heads=2")])
    marked = [line for line in html.splitlines() if 'class="differs"' in line]
    assert len(marked) == 2
    assert "training.max_epochs" in "".join(marked) and "model.heads" in "".join(marked)


def test_whatever_a_record_holds_is_text_on_the_page(store: RunStore) -> None:
    evil = "<script>alert('x')</script>\"&"
    run = finish_run(store, scores={**SCORES, f"{KNOWN}/{evil}/f1": 0.5, f"{evil}/f1": 0.25})
    run.update(
        error=evil,
        warnings=(evil,),
        baselines={evil: {f"{KNOWN}/f1": 0.5}},
        tables=(Table(title=evil, columns=(evil,), rows=((evil,),), note=evil),),
        seconds={evil: 1.0},
    )
    lines = [f"0,{step},<script>,{step},0.5" for step in (1, 2)]
    (run.path / METRICS).write_text("\n".join(["epoch,step,metric,value,seconds", *lines]))
    page = page_of(run)
    assert "script" not in page.tags
    assert page.text.count("alert('x')") >= 8


def test_several_runs_stand_side_by_side_with_what_differs(store: RunStore) -> None:
    runs = [finish_run(store), finish_run(store, "training.seed=5")]
    page = page_of(*runs)
    assert "2 runs compared" in page.text and "Settings that differ" in page.text
    assert "training.seed 0 5" in page.text


def test_a_run_that_has_only_begun_has_a_page(store: RunStore) -> None:
    page = page_of(make_run(store))
    assert "created" in page.text and "Results" not in page.text and "Training" not in page.text


def test_a_run_of_a_task_that_is_gone_has_a_page_without_defaults(store: RunStore) -> None:
    config = can_config("training.seed=5").model_copy(update={"task": "gone"})
    run = store.create(config, prints())
    assert defaults_of(settings_of(run)) == {}
    html = render_page([run])
    assert "training.seed" in html and 'class="differs"' not in html


def test_a_curve_breaks_where_a_value_is_not_finite(store: RunStore) -> None:
    curves = {curve.name: curve for curve in curves_of(finish_run(store))}
    assert set(curves) == {"train/loss"}, "one point makes no curve"
    loss = curves["train/loss"]
    assert [len(segment.split()) for segment in loss.segments] == [19, 2]
    assert (loss.low, loss.high, loss.last) == (0.03, 1.0, 0.03)


def test_a_curve_stays_inside_its_drawing_and_keeps_both_ends() -> None:
    curve = draw("loss", [(step, float(step % 7)) for step in range(5000)])
    assert curve is not None and curve.last_step == 4999
    points = [tuple(map(float, point.split(","))) for point in curve.segments[0].split()]
    assert len(points) <= MOST_POINTS + 1
    assert all(46 <= x <= 312 and 8 <= y <= 130 for x, y in points)
    assert points[0][0] == 46 and points[-1][0] == 312


def test_a_flat_curve_is_drawn_and_an_undefined_one_is_not() -> None:
    flat = draw("flat", [(1, 2.0), (2, 2.0)])
    assert flat is not None and flat.segments == ("46.0,130.0 312.0,130.0",)
    assert draw("nan", [(1, float("nan")), (2, float("nan"))]) is None


def test_a_damaged_metrics_file_is_refused(store: RunStore) -> None:
    run = finish_run(store)
    (run.path / METRICS).write_text("a,b\n1,2\n")
    with pytest.raises(StoreError, match="the metrics can't be read"):
        render_page([run])


def test_a_cell_that_names_a_kept_picture_shows_it_inside_of_the_page(tmp_path: Path) -> None:
    run = finish_run(RunStore(tmp_path / "home"))
    png = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20
    (run.path / "closest.png").write_bytes(png)
    (run.path / "fake.png").write_bytes(b"<script>")
    table = Table(title="Nearest", columns=("query", "picture"), rows=(("a", "closest.png"),))
    files = {name: run.artifact(run.path / name) for name in ("closest.png", "fake.png")}
    run.update(tables=(table,), artifacts=files)
    html = render_page([run])
    assert Page(html).addresses == [f"data:image/png;base64,{b64encode(png).decode()}"]
    assert "img-src data:" in html
