"""The report is one page that needs nothing else, and nothing in a record can break out of it."""

from __future__ import annotations

import re
from base64 import b64encode
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from made_runs import KNOWN, SCORES, UNKNOWN, can_config, finish_run, make_run, prints
from tutelage.core.errors import StoreError
from tutelage.core.records import Table
from tutelage.core.store import METRICS, Run, RunStore
from tutelage.report.charts import chart
from tutelage.report.curves import MOST_POINTS, curves_of
from tutelage.report.page import render_page
from tutelage.report.settings import defaults_of, settings_of

VOID = {"meta", "path", "polyline", "rect", "circle", "!doctype", "img"}


class Page(HTMLParser):
    """What a browser would see: tags in balance, addresses, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        links = [value or "" for name, value in attrs if name in ("src", "href")]
        self.addresses += [link for link in links if not link.startswith("#")]
        self.anchors += [link[1:] for link in links if link.startswith("#")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
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
    assert set(page.anchors) <= set(page.ids) and len(set(page.ids)) == len(page.ids)
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(then - now <= 1 for now, then in pairwise(levels))
    return page


def test_a_page_shows_everything_and_needs_nothing_else(store: RunStore) -> None:
    parent = finish_run(store)
    run = finish_run(store, "training.max_epochs=3", parent=parent)
    page = page_of(run)
    for words in (
        run.id, "0.9750", f"f1 on {KNOWN}", "unseen-id 0.6000", f"{KNOWN}/DoS", "Confusion counts",
        "Of the task", "train 0.03 at last", "two captures repeat", "warnings", "61.2", parent.id,
        "of-the-data", "torch", "training.max_epochs 3 8", "d1g357", "–",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.addresses == [] and "script" not in page.tags and "svg" in page.tags


def test_the_lowest_split_stands_beneath_the_headline(store: RunStore) -> None:
    run = finish_run(store, scores={**SCORES, f"{UNKNOWN}/f1": 0.41})
    assert f"lowest: 0.4100 on {UNKNOWN}" in page_of(run).text
    assert "lowest:" not in page_of(finish_run(store)).text


def test_long_names_wrap_on_a_narrow_screen(store: RunStore) -> None:
    (rule,) = [r for r in render_page([finish_run(store)]).splitlines() if r.startswith("h1, h2")]
    assert "td:not(.n)" in rule and "overflow-wrap: anywhere" in rule


def test_only_what_differs_from_the_default_is_marked(store: RunStore) -> None:
    html = render_page([finish_run(store, "training.max_epochs=3", "model.heads=2")])
    marked = [line for line in html.splitlines() if 'class="differs"' in line]
    assert len(marked) == 2 + 2, "above all settings, and among them"
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
    (panel,) = curves_of(finish_run(store))
    assert panel.title == "loss", "one point makes no curve"
    (line,) = panel.lines
    assert line.name == "train 0.03 at last"
    drawing = chart(panel)
    assert drawing is not None and "from 0.03 to 1 over step 1 to" in drawing.said
    assert [len(points.split()) for _, points in drawing.segments] == [19, 2]


def test_the_curves_of_a_metric_share_a_chart(store: RunStore) -> None:
    run = finish_run(store)
    rows = [f"0,{n},{part}/f1,0.{n},{n}" for n in range(1, 4) for part in ("train", "val")]
    (run.path / METRICS).write_text("\n".join(["epoch,step,metric,value,seconds", *rows]))
    (panel,) = curves_of(run)
    assert [line.name for line in panel.lines] == ["train 0.3 at last", "val 0.3 at last"]


def test_the_mean_of_epochs_is_drawn_where_it_is_no_curve_of_its_own(store: RunStore) -> None:
    run = finish_run(store)
    head = "epoch,step,metric,value,seconds\n"
    once = "".join(f"{n},{n},{part}/loss,0.{n},1\n" for n in (1, 2) for part in ("train", "epoch"))
    for rows, names in ((once, ["train"]), (f"{once}2,3,train/loss,0.4,1\n", ["train", "mean"])):
        (run.path / METRICS).write_text(head + rows)
        (panel,) = curves_of(run)
        assert [line.name.split()[0] for line in panel.lines] == names


def test_a_long_curve_keeps_both_ends(store: RunStore) -> None:
    run = finish_run(store)
    rows = [f"0,{n},loss,{n % 7},{n}" for n in range(5000)]
    (run.path / METRICS).write_text("\n".join(["epoch,step,metric,value,seconds", *rows]))
    ((line,),) = (panel.lines for panel in curves_of(run))
    assert len(line.values) <= MOST_POINTS + 1
    assert (line.at[0], line.at[-1]) == (0, 4999)


@pytest.mark.parametrize(
    "rows",
    ["a,b\n1,2\n", f"step,metric,value\n{'9' * 400},loss,1\n", "step,metric,value\n-1,loss,1\n"],
)
def test_a_damaged_metrics_file_is_refused(store: RunStore, rows: str) -> None:
    run = finish_run(store)
    (run.path / METRICS).write_text(rows)
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


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of a colour such as #fff or #0b63c5."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    channels = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_words_stand_out_from_the_paper_in_light_in_dark_and_in_print(store: RunStore) -> None:
    html = render_page([finish_run(store)])
    themes = re.findall(r":root \{[^}]*--ink[^}]*\}", html)
    assert len(themes) == 3
    named = dict(re.findall(r"--(\w+): #(\w+)", themes[0]))
    for theme in themes:
        named |= dict(re.findall(r"--(\w+): #(\w+)", theme))
        paper = _luminance(named["paper"])
        for name in ("ink", "dim", "mark", "bad", "third", "fourth"):
            low, high = sorted((paper, _luminance(named[name])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, theme)
