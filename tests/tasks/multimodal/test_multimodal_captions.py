"""Caption files are read under their many names, or refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tutelage.core.errors import DataError
from tutelage.tasks.multimodal.data.captions import CaptionRow, read_captions

ROWS = [{"image": "a.png", "caption": "a cat"}, {"image": "b.png", "caption": "a dog; barking"}]


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_read_with_any_usual_delimiter(tmp_path: Path, delimiter: str) -> None:
    lines = [f"image{delimiter}caption", f'a.png{delimiter}"a cat{delimiter} asleep"']
    (row,) = read_captions(text(tmp_path / "c.csv", "\n".join(lines) + "\n"), {})
    assert row == CaptionRow("a.png", (f"a cat{delimiter} asleep",))


def test_jsonl_and_parquet_hold_one_caption_or_a_list(tmp_path: Path) -> None:
    lines = [
        {"file_name": "a.png", "text": ["a cat", "Katze"]},
        {"file_name": "b.png", "text": "x"},
    ]
    file = text(tmp_path / "c.jsonl", "\n".join(map(json.dumps, lines)))
    assert [row.captions for row in read_captions(file, {})] == [("a cat", "Katze"), ("x",)]
    table = pa.table({"image": ["a.png"], "caption": [["a cat", "Katze"]], "split": ["val"]})
    parquet.write_table(table, tmp_path / "c.parquet")
    (row,) = read_captions(tmp_path / "c.parquet", {})
    assert row == CaptionRow("a.png", ("a cat", "Katze"), split="validation")


def test_columns_are_known_by_other_names_or_by_settings(tmp_path: Path) -> None:
    file = text(tmp_path / "c.csv", "Filename,Sentence,what\na.png,a cat,animal\n")
    (row,) = read_captions(file, {"category": "what"})
    assert row == CaptionRow("a.png", ("a cat",), category="animal")


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("image,caption\na.png,x\n", encoding="utf-8-sig")
    assert read_captions(file, {})[0].image == "a.png"


@pytest.mark.parametrize(
    ("name", "content", "given", "words"),
    [
        ("c.csv", "image,words\na.png,x\n", {}, "no column of captions.*'words'.*\n.*caption=NAME"),
        ("c.csv", "picture,caption\na.png,x\n", {}, "no column of images"),
        ("c.csv", "image,caption\na.png,x\n", {"caption": "captoin"}, "no column 'captoin'.*'capt"),
        ("c.csv", "image,caption\n", {}, "holds no captions"),
        ("c.csv", "image,caption\na.png,one, two\n", {}, "line 2 has another number of cells"),
        ("c.csv", "image,caption,split\na.png,x,somewhere\n", {}, "unknown split 'somewhere'"),
        ("c.csv", "image,caption\n,x\n", {}, "row 1 names no image"),
        ("c.jsonl", '{"image": "a.png"\n', {}, "line 1 is no JSON"),
        ("c.jsonl", "[1]\n", {}, "line 1 is no JSON object"),
        ("c.parquet", "PAR1 not really", {}, "no readable Parquet file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_way_out(
    tmp_path: Path, name: str, content: str, given: dict[str, str], words: str
) -> None:
    with pytest.raises(DataError, match=f"(?s){words}") as caught:
        read_captions(text(tmp_path / name, content), given)
    assert caught.value.where == str(tmp_path / name)


def test_text_of_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_bytes("image,caption\na.png,Käse\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_captions(file, {})
