"""A CSV with a header has a text a row, and is no plain text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.ner.config import Columns, NERData
from tutelage.tasks.ner.readers.files import find_files
from tutelage.tasks.ner.readers.problems import Problems
from tutelage.tasks.ner.readers.read import read_documents

LABELLED = """\
nr;text;label
a;"Ada lives; in Oslo";"[[0, 3, ""person""], [14, 18, ""place""]]"
b;Nobody;
"""


def read(folder: Path, content: str, **columns: str):
    path = folder / "letters.csv"
    path.write_text(content, encoding="utf-8")
    data, problems = NERData(columns=Columns(**columns)), Problems("letters")
    (file,) = find_files(path, "letters.csv")
    return list(read_documents(file, data, problems)), problems


def test_a_row_is_a_text_with_its_entities(tmp_path):
    (ada, nobody), problems = read(tmp_path, LABELLED)
    assert [(span.start, span.end, span.label) for span in ada.spans] == [
        (0, 3, "person"),
        (14, 18, "place"),
    ]
    assert (ada.text, ada.where) == ("Ada lives; in Oslo", "letters.csv:2")
    assert (nobody.text, nobody.spans, nobody.labelled) == ("Nobody", (), True)
    assert not problems.counts


def test_columns_may_be_called_otherwise_and_texts_be_unlabelled(tmp_path):
    (one,), _ = read(tmp_path, "body,mood\n[1] is good,0\n", text="body")
    assert (one.text, one.labelled) == ("[1] is good", False)


def test_words_and_tags_may_be_lists(tmp_path):
    content = 'tokens,ner_tags\n"[""Ada"", ""lives""]","[""B-person"", ""O""]"\n'
    (one,), _ = read(tmp_path, content)
    assert (one.text, [span.label for span in one.spans]) == ("Ada lives", ["person"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("time,id,payload\n0.1,146,00\n", "no text (fields: time, id, payload)"),
        ("text,label\nfine,positive\n", "'label' is no list of entities"),
    ],
)
def test_a_table_of_something_else_is_a_problem_of_each_row(tmp_path, content, said):
    documents, problems = read(tmp_path, content)
    assert not documents
    ((found,),) = [listed[:1] for listed in problems.examples.values()]
    assert said in found.detail


def test_a_torn_row_is_refused_with_its_line(tmp_path):
    with pytest.raises(DataError, match="line 2 has another number of cells than the header"):
        read(tmp_path, "text,label\nAda, my friend, is here\n")
