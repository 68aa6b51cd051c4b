"""Numbers stand right, words left, and long texts make a list of a table where it is narrow."""

from __future__ import annotations

from tutelage.core.records import Table
from tutelage.report.cells import SHADES, grid


def table(columns: tuple[str, ...], *rows: tuple[object, ...], heat: bool = False) -> Table:
    return Table(title="", columns=columns, rows=rows, heat=heat)


def styles(found: Table) -> list[list[str]]:
    return [[entry.style for entry in row] for row in grid(found).rows]


def test_numbers_and_what_is_absent_among_them_stand_right():
    found = table(("phase", "seconds", "MiB"), ("fit", "1.5", "300"), ("total", "2.0", None))
    assert styles(found) == [["short", "n", "n"], ["short", "n", "n"]]
    assert [style for _, style in grid(found).columns] == ["", "n", "n"]


def test_what_is_absent_among_words_stands_left():
    found = table(("a", "over"), ("f1", "9 blocks"), ("r", None))
    assert styles(found) == [["short", "short"], ["short", ""]]


def test_a_word_among_numbers_stands_left():
    found = table(("a", "f1"), ("x", 0.5), ("y", "no test"))
    assert styles(found) == [["short", "n"], ["short", "short"]]


def test_counts_are_shaded_by_their_share_of_the_row():
    found = table(("true", "A", "B"), ("A", 9, 0), ("B", 0, 0), heat=True)
    assert styles(found) == [["short", f"n h{SHADES}", "n h0"], ["short", "n h0", "n h0"]]


def test_long_texts_make_prose_and_a_model_s_scores_are_told():
    assert grid(table(("finding", "seen"), ("gap", "word " * 20))).style == "prose"
    assert grid(table(("split", "model"), ("test", 0.5))).style == "scores"
    assert grid(table(("split", "queries"), ("test", 5))).style == ""


def test_a_picture_is_neither_word_nor_head_of_its_row():
    (row,) = grid(table(("picture", "caption"), ("a.png", "a red car")), {"a.png"}).rows
    assert [(entry.style, entry.heads) for entry in row] == [("", False), ("short", False)]
    (row,) = grid(table(("caption", "picture"), ("a red car", "a.png")), {"a.png"}).rows
    assert [entry.heads for entry in row] == [True, False]
