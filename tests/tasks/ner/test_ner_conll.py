"""CoNLL-like files become documents, and what is wrong with them is said by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from tutelage.core.errors import DataError
from tutelage.tasks.ner.config import Columns
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.readers.conll import entities_of_tags, read_conll
from tutelage.tasks.ner.readers.files import detect
from tutelage.tasks.ner.readers.problems import Problems


def read(
    folder: Path, content: str | bytes, columns: Columns | None = None
) -> tuple[list[Document], Problems]:
    path, problems = folder / "texts.conll", Problems("texts")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    documents = list(read_conll(path, "texts.conll", columns or Columns(), problems))
    return documents, problems


def entities(document: Document) -> list[tuple[str, str]]:
    return [
        (text, span.label)
        for text, span in zip(document.entity_texts(), document.spans, strict=True)
    ]


def test_tokens_become_a_text_with_entities_in_its_characters(tmp_path):
    documents, problems = read(tmp_path, "In\tO\nNew\tB-place\nYork\tI-place\n\nno\tO\n")
    assert [d.text for d in documents] == ["In New York", "no"]
    assert entities(documents[0]) == [("New York", "place")]
    assert [d.where for d in documents] == ["texts.conll:1", "texts.conll:5"]
    assert documents[0].tokenised and not problems.counts


@pytest.mark.parametrize("blank", ["", "\t", " ", "\r"])
def test_lines_of_blanks_alone_part_texts(tmp_path, blank):
    documents, _ = read(tmp_path, f"a\tO\n{blank}\nb\tB-x\n{blank}\n{blank}\n")
    assert [d.text for d in documents] == ["a", "b"]


def test_only_line_feeds_end_lines_and_tokens_may_hold_other_separators(tmp_path):
    documents, _ = read(tmp_path, "a\u2028b\tO\nc\u00a0d\tB-x\r\n")
    assert documents[0].word_texts() == ["a\u2028b", "c\u00a0d"]
    assert entities(documents[0]) == [("c\u00a0d", "x")]


def test_conll_2003_has_its_entities_in_the_last_column_and_documents_are_groups(tmp_path):
    documents, _ = read(
        tmp_path,
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n"
        "Peter NNP B-NP B-PER\n\n-DOCSTART- -X- -X- O\n\nBRUSSELS NNP B-NP B-LOC\n",
    )
    assert [entities(d) for d in documents] == [
        [("EU", "ORG")], [("Peter", "PER")], [("BRUSSELS", "LOC")],
    ]  # fmt: skip
    groups = [d.group for d in documents]
    assert groups[0] == groups[1] != groups[2]


def test_numbered_lines_have_the_outer_entities_first_and_comments_are_skipped(tmp_path):
    documents, _ = read(
        tmp_path,
        "# n-tv.de vom 26.02.2005\n1\tSchartau\tB-PER\tO\n2\tsagte\tO\tO\n\n"
        "#\thttp://a.de\t[2010]\n1\tBerliner\tB-LOCderiv\tB-LOC\n",
    )
    assert [entities(d) for d in documents] == [[("Schartau", "PER")], [("Berliner", "LOCderiv")]]


def test_a_hash_that_is_a_token_is_no_comment(tmp_path):
    documents, _ = read(tmp_path, "# \tO\n\n#1\tB-x\n")
    assert [d.text for d in documents] == ["# ", "#1"]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["I-A", "I-A", "B-A", "O"], [(0, 2, "A"), (2, 3, "A")]),
        (["B-A", "L-A", "U-B"], [(0, 2, "A"), (2, 3, "B")]),
        (["B-A", "M-A", "E-A", "S-A"], [(0, 3, "A"), (3, 4, "A")]),
        (["B-A-B", "I-A-B"], [(0, 2, "A-B")]),
    ],
)
def test_iob1_bilou_and_bmes_say_their_entities(tags, found):
    assert [entity[:3] for entity in entities_of_tags(tags)] == found


def test_tags_without_prefixes_join_neighbours_of_one_type(tmp_path):
    documents, _ = read(tmp_path, "Ada PER\nLovelace PER\nin O\nLondon LOC\n")
    assert entities(documents[0]) == [("Ada Lovelace", "PER"), ("London", "LOC")]


@given(st.lists(st.sampled_from(["O", *(f"{p}-{k}" for p in "BIES" for k in "ab")]), max_size=10))
def test_the_entities_of_any_tags_are_those_that_seqeval_reads(tags):
    expected = [(first, last + 1, kind) for kind, first, last in get_entities(tags)]
    assert [entity[:3] for entity in entities_of_tags(tags)] == expected


def test_an_iob1_file_has_nothing_wrong_but_i_in_an_iob2_file_is_said_by_line(tmp_path):
    assert not read(tmp_path, "a\tI-x\nb\tO\nc\tI-x\nd\tB-x\n")[1].counts
    documents, problems = read(tmp_path, "a\tB-x\nb\tO\nc\tI-x\n")
    assert len(documents[0].spans) == 2
    ((unit, kind),) = problems.counts
    assert unit == "entity" and "B-" in kind
    assert problems.examples[unit, kind][0].where == "texts.conll:3"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"b\tO\tO", "3 columns instead of 2"),
        (b"b", "1 columns instead of 2"),
        (b"\tO", "\\tO"),
        (b"b\tX-person", "X-person"),
        (b"\xff\tO", "byte 0xff at column 1"),
    ],
)
def test_a_text_with_a_wrong_line_is_left_out_and_said_by_line(tmp_path, line, said):
    good = b"a\tB-x\nb\tO\n\n"
    documents, problems = read(tmp_path, good * 3 + b"c\tO\n" + line + b"\nd\tO\n\n" + good)
    assert len(documents) == 4 and problems.seen["text"] == 5
    (examples,) = problems.examples.values()
    assert examples[0].where == "texts.conll:11" and said in examples[0].detail


def test_more_wrong_texts_than_may_be_are_refused_with_file_and_line(tmp_path):
    _, problems = read(tmp_path, "a\tB-x\nb\tO\n\nc\n\nd\tO\ne\tO\n")
    problems.refuse_above(0.5)
    with pytest.raises(DataError, match=r"texts.conll:4: 1 of 3 texts are wrong.*1 columns"):
        problems.refuse_above(0.1)


def test_a_column_can_be_named(tmp_path):
    text = "B-x a O\nO b B-y\n"
    assert entities(read(tmp_path, text, Columns(token=1, tag=0))[0][0]) == [("a", "x")]
    with pytest.raises(DataError, match="no column 7"):
        read(tmp_path, text, Columns(tag=7))


def test_a_file_without_a_column_of_tags_says_how_to_name_one(tmp_path):
    with pytest.raises(DataError, match="none of its 2 columns holds tags") as error:
        read(tmp_path, "one two\nthree four\n")
    assert "data.columns.tag" in str(error.value)


def test_tokens_without_tags_are_unlabelled(tmp_path):
    documents, _ = read(tmp_path, "In\nYork\n\nyes\n")
    assert [(d.text, d.labelled) for d in documents] == [("In York", False), ("yes", False)]


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (b"a\tO\nb\tB-x\n", "conll"),
        (b"A first sentence.\nAnother one\n", "text"),
        (b'{"text": "a"}\n', "json"),
        (b'[\n  {"text": "a"}\n]', "json"),
        (b"[a] bracket begins this text\n", "text"),
        (b"PAR1....", "parquet"),
    ],
)
def test_formats_are_told_from_content(tmp_path, content, format):
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    assert detect(path) == format


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        ("a\tO\n".encode("utf-16"), "UTF-16"),
        (b"a\0b", "NUL"),
    ],
)
def test_files_that_are_no_text_are_refused(tmp_path, content, said):
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        detect(path)
