"""The picture of a run's ancestry holds every run, file and role, once, in its place."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tutelage import api
from tutelage.core.errors import StoreError
from tutelage.core.records import Parent
from tutelage.core.store import Run, RunStore
from tutelage.final.ancestry import ancestry
from tutelage.final.drawing import draw

FAST = ("training.accelerator=cpu", "training.max_epochs=1")
SVG = "{http://www.w3.org/2000/svg}"


def chain(home: Path, data: Path) -> list[Run]:
    """A guide, a teacher guided by it, and its student."""
    root = f"data.root={data}"
    guide = api.train("filed", *FAST, root, home=home)
    by = {"name": "curriculum", "guide": guide.id}
    teacher = api.train("filed", *FAST, root, home=home, mode=by)
    by = {"name": "distillation", "teacher": teacher.id}
    return [guide, teacher, api.train("filed", *FAST, root, "model.hidden=3", home=home, mode=by)]


def boxes(picture: ElementTree.Element) -> dict[str, tuple[float, float, float, float]]:
    """The frame of each box by its second line, or its first if that is the only one."""
    found = {}
    for group in picture.iter(f"{SVG}g"):
        frame = group.find(f"{SVG}rect")
        lines = [text.text or "" for text in group.iter(f"{SVG}text")]
        assert frame is not None
        x, y, w, h = (float(frame.attrib[name]) for name in ("x", "y", "width", "height"))
        found[lines[min(1, len(lines) - 1)]] = (x, y, x + w, y + h)
    return found


def test_files_stand_left_and_the_run_right(home: Path, data: Path) -> None:
    runs = chain(home, data)
    picture = ElementTree.fromstring(draw(ancestry(runs[-1], RunStore(home))))
    placed = boxes(picture)
    order = sorted(placed, key=lambda name: placed[name][0])
    assert len(order) == 4
    assert [run.id[:20] in name for run, name in zip(runs, order[1:], strict=True)] == [True] * 3
    roles = [t.text for t in picture.iter(f"{SVG}text") if t.attrib["class"] == "role"]
    assert sorted(filter(None, roles)) == ["guide", "teacher"]
    words = " ".join(text.text or "" for text in picture.iter(f"{SVG}text"))
    assert "a.csv" in words and "b.csv" in words


def test_the_picture_has_a_title_a_description_and_both_kinds_of_page(
    home: Path, data: Path
) -> None:
    guide, teacher, student = chain(home, data)
    text = draw(ancestry(student, RunStore(home)))
    picture = ElementTree.fromstring(text)
    assert picture.attrib["role"] == "img"
    title, told = (picture.findtext(f"{SVG}{name}") for name in ("title", "desc"))
    assert title is not None and student.id in title
    assert told is not None and f"{student.id} was made from {teacher.id} (teacher)" in told
    assert "prefers-color-scheme: dark" in text


def test_no_box_covers_another_and_each_lies_in_the_picture(home: Path, data: Path) -> None:
    guide, teacher, student = chain(home, data)
    parents = [*student.record.parents, Parent(run=guide.id, role="x<y>")]
    student.update(parents=[parent.model_dump() for parent in parents])
    picture = ElementTree.fromstring(draw(ancestry(student, RunStore(home))))
    placed = list(boxes(picture).values())
    width, height = (float(picture.attrib[name]) for name in ("width", "height"))
    for n, (x, y, u, v) in enumerate(placed):
        assert x >= 0 and y >= 0 and u <= width and v <= height
        for a, b, c, d in placed[n + 1 :]:
            assert u <= a or c <= x or v <= b or d <= y


def test_a_parent_that_is_gone_is_drawn_as_such(home: Path, data: Path) -> None:
    guide, teacher, student = chain(home, data)
    shutil.rmtree(guide.path)
    text = draw(ancestry(student, RunStore(home)))
    assert "is no longer in the store" in text and 'class="box gone"' in text


def test_a_run_that_descends_from_itself_is_refused(home: Path, data: Path) -> None:
    guide, teacher, student = chain(home, data)
    guide.update(parents=[Parent(run=student.id, role="loop").model_dump()])
    with pytest.raises(StoreError, match="can't descend from itself"):
        ancestry(student, RunStore(home))
