"""Exports of annotation tools become documents; each entity is held against its text first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.core.errors import DataError
from tutelage.tasks.ner.config import Columns
from tutelage.tasks.ner.documents import Document, find_words
from tutelage.tasks.ner.readers import spans as kinds
from tutelage.tasks.ner.readers.jsonl import read_json
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.readers.spans import RawSpan, RawText, check_spans

TEXT = "Ada Lovelace met Charles Babbage in London"
PLACES = [(0, 12, "person"), (17, 32, "person"), (36, 42, "place")]
SHAPES = {
    "doccano": {"id": 7, "text": TEXT, "label": [list(place) for place in PLACES]},
    "doccano, later": {
        "text": TEXT,
        "entities": [{"start_offset": a, "end_offset": b, "label": c} for a, b, c in PLACES],
        "relations": [],
    },
    "spacy": {"text": TEXT, "entities": [list(place) for place in PLACES]},
    "prodigy": {
        "text": TEXT,
        "spans": [{"start": a, "end": b, "label": c, "token_start": 0} for a, b, c in PLACES],
        "answer": "accept",
    },
    "label studio": {
        "id": 3,
        "data": {"text": TEXT},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {
                "result": [
                    {"value": {"start": a, "end": b, "text": TEXT[a:b], "labels": [c]}}
                    for a, b, c in PLACES
                ]
                + [{"value": {"choices": ["good"]}, "type": "choices"}]
            },
        ],
    },
    "label studio, small": {
        "text": TEXT,
        "label": [{"start": a, "end": b, "text": TEXT[a:b], "labels": [c]} for a, b, c in PLACES],
    },
    "dataturks": {
        "content": TEXT,
        "annotation": [
            {"label": [c], "points": [{"start": a, "end": b - 1, "text": TEXT[a:b]}]}
            for a, b, c in PLACES
        ],
        "extras": None,
    },
    "predicted by us": {
        "id": "x",
        "text": TEXT,
        "spans": [{"start": a, "end": b, "label": c, "text": TEXT[a:b]} for a, b, c in PLACES],
    },
}  # fmt: skip


def read(folder: Path, content: str | bytes, columns: Columns | None = None):
    path, problems = folder / "texts.jsonl", Problems("texts")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_json(path, "texts.jsonl", columns or Columns(), problems)), problems


def places(document: Document) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.label) for span in document.spans]


@pytest.mark.parametrize("tool", SHAPES)
@pytest.mark.parametrize("layout", ["a record a line", "a list"])
def test_the_exports_of_each_tool_say_the_same(tmp_path, tool, layout):
    record = SHAPES[tool]
    one = json.dumps([record, record], indent=1)
    content = one if layout == "a list" else 2 * (json.dumps(record) + "\n")
    documents, problems = read(tmp_path, content)
    assert [places(d) for d in documents] == [PLACES, PLACES]
    assert documents[0].text == TEXT and documents[0].labelled and not problems.counts


def test_tokens_of_prodigy_are_the_words(tmp_path):
    tokens = [
        {"text": "Ada Lovelace", "start": 0, "end": 12},
        {"text": "met", "start": 13, "end": 16},
    ]
    record = {"text": TEXT, "spans": [], "tokens": tokens}
    (document,), _ = read(tmp_path, json.dumps(record))
    assert document.word_texts() == ["Ada Lovelace", "met"] and document.tokenised


def test_texts_without_a_field_of_entities_are_unlabelled_those_with_none_are_labelled(tmp_path):
    lines = [{"text": "a"}, {"text": "b", "label": []}, {"content": "c", "annotation": None}]
    documents, _ = read(tmp_path, "\n".join(map(json.dumps, lines)))
    assert [d.labelled for d in documents] == [False, True, True]


def test_texts_that_their_annotator_refused_are_left_out_and_counted(tmp_path):
    lines = [{"text": "a", "spans": [], "answer": word} for word in ("accept", "reject", "ignore")]
    documents, problems = read(tmp_path, "\n".join(map(json.dumps, lines)))
    assert len(documents) == 1
    assert list(problems.counts.values()) == [2]


def test_tokens_with_tags_are_read_too(tmp_path):
    record = {"id": 5, "tokens": ["New", "York", "is"], "ner_tags": ["B-place", "I-place", "O"]}
    (document,), _ = read(tmp_path, json.dumps(record))
    assert (document.id, document.text, places(document)) == (
        "5",
        "New York is",
        [(0, 8, "place")],
    )


def test_fields_of_other_names_can_be_named(tmp_path):
    record = {"body": TEXT, "marks": [[0, 12, "person"]], "author": "b"}
    columns = Columns(text="body", spans="marks", group="author")
    (document,), _ = read(tmp_path, json.dumps(record), columns)
    assert places(document) == PLACES[:1] and document.group == "b"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"text": "a"', "Expecting"),
        (b"17", "not an object"),
        (b'{"body": "a"}', "data.columns.text"),
        (b'{"text": "a", "label": 3}', "no list"),
        (b'{"text": "a", "label": [[1, 2]]}', "not start, end and type"),
        (b'{"text": "a\xff"}', "byte 0xff"),
        (b'{"text": "a\\ud83d"}', "surrogate"),
        (b'{"tokens": ["a"], "tags": ["O", "O"]}', "1 tokens but 2 tags"),
        (b'{"tokens": ["a"], "tags": [3]}', "names, not numbers"),
    ],
)
def test_a_record_that_can_t_be_read_is_left_out_and_said_by_line(tmp_path, line, said):
    good = json.dumps(SHAPES["doccano"]).encode()
    documents, problems = read(tmp_path, good + b"\n\n" + line + b"\n" + good + b"\n")
    assert len(documents) == 2 and problems.seen["text"] == 3
    (examples,) = problems.examples.values()
    assert examples[0].where == "texts.jsonl:3" and said in examples[0].detail


def test_a_list_that_is_no_json_is_refused_with_its_file(tmp_path):
    with pytest.raises(DataError, match=r"texts.jsonl: no JSON"):
        read(tmp_path, '[{"text": "a"},')


def checked(text: str, *spans: RawSpan) -> tuple[list[tuple[int, int, str]], dict[str, int]]:
    problems = Problems("texts")
    raw = RawText("1", text, "f:3", spans)
    found = check_spans(raw, find_words(text), problems)
    assert all(e.where == "f:3" for es in problems.examples.values() for e in es)
    return [(s.start, s.end, s.label) for s in found], {
        kind: n for (_, kind), n in problems.counts.items()
    }


@pytest.mark.parametrize(
    ("given", "kept", "kind"),
    [
        (RawSpan(36, 43, "x"), None, kinds.OUTSIDE_TEXT),
        (RawSpan(-3, 4, "x"), None, kinds.OUTSIDE_TEXT),
        (RawSpan(4, 4, "x"), None, kinds.EMPTY),
        (RawSpan(9, 4, "x"), None, kinds.EMPTY),
        (RawSpan(12, 13, "x"), None, kinds.EMPTY),
        (RawSpan("0", 3, "x"), None, kinds.UNREADABLE),
        (RawSpan(True, 3, "x"), None, kinds.UNREADABLE),
        (RawSpan(0, 3, None), None, kinds.UNREADABLE),
        (RawSpan(0, 3, " "), None, kinds.UNREADABLE),
        (RawSpan(0, 13, "x"), (0, 12), kinds.BLANKS),
        (RawSpan(12, 16, "x"), (13, 16), kinds.BLANKS),
        (RawSpan(0, 11, "x", "Ada Lovelace"), (0, 12), kinds.SHIFTED),
        (RawSpan(1, 13, "x", "Ada Lovelace"), (0, 12), kinds.SHIFTED),
        (RawSpan(0, 12, "x", "Charles Babbage"), None, kinds.OTHER_TEXT),
        (RawSpan(0, 11, "x"), (0, 11), kinds.CUTS),
        (RawSpan(1, 12, "x"), (1, 12), kinds.CUTS),
    ],
)
def test_what_is_wrong_with_an_entity_is_said_and_mended_where_that_is_sure(given, kept, kind):
    found, counts = checked(TEXT, given)
    assert found == ([] if kept is None else [(*kept, "x")])
    assert counts == {kind: 1}


def test_offsets_that_javascript_counted_are_mended_where_the_text_is_quoted():
    text = "😀 met 😀 Ada today"
    at = len("😀 met 😀 ".encode("utf-16-le")) // 2
    found, counts = checked(text, RawSpan(at, at + 3, "person", "Ada"))
    assert [text[a:b] for a, b, _ in found] == ["Ada"] and counts == {kinds.WIDE: 1}


def test_of_entities_that_overlap_the_longer_stays_and_of_the_same_one():
    found, counts = checked(
        TEXT, RawSpan(4, 12, "x"), RawSpan(0, 12, "y"), RawSpan(0, 12, "y"), RawSpan(13, 16, "z")
    )
    assert found == [(0, 12, "y"), (13, 16, "z")]
    assert counts == {kinds.OVERLAPS: 1, kinds.REPEATED: 1}


@given(
    st.text("aB .é漢😀\n", max_size=20),
    st.lists(
        st.tuples(st.integers(-2, 22), st.integers(-2, 22), st.sampled_from("xy")), max_size=6
    ),
)
def test_whatever_a_file_says_the_entities_kept_are_in_order_apart_and_within_the_text(text, given):
    found, _ = checked(text, *(RawSpan(*place) for place in given))
    edges = [edge for start, end, _ in found for edge in (start, end)]
    assert edges == sorted(edges) and all(0 <= a < b <= len(text) for a, b, _ in found)
    assert all(text[a:b] == text[a:b].strip() for a, b, _ in found)


def test_more_wrong_entities_than_may_be_are_refused_with_what_and_where(tmp_path):
    lines = [{"text": TEXT, "label": [[0, 12, "x"], [0, 99, "x"]]} for _ in range(5)]
    _, problems = read(tmp_path, "\n".join(map(json.dumps, lines)))
    with pytest.raises(DataError, match=r"texts.jsonl:1: 5 of 10 entities are wrong") as error:
        problems.refuse_above(0.1)
    assert "outside their text" in str(error.value) and "data.bad_share" in str(error.value)
