"""Folders that Hugging Face datasets saved, and its Parquet files, are read without the library."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.sets import TextSet, read_set, set_digest

NAMES = ["O", "B-person", "I-person", "B-place", "I-place"]
ROWS = {
    "id": ["a", "b", "c"],
    "tokens": [["Ada", "Lovelace"], ["in", "New", "York"], ["nobody"]],
    "ner_tags": [[1, 2], [0, 3, 4], [0]],
}


def saved(folder: Path, *, shuffled: bool = False) -> Path:
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=NAMES)),
        }
    )
    whole = datasets.Dataset.from_dict(ROWS, features=features)
    part = whole.select([2, 0]) if shuffled else whole
    datasets.DatasetDict({"train": part, "validation": whole, "test": whole}).save_to_disk(folder)
    return folder


def entities(texts: TextSet, part: str) -> list[tuple[str, list[str]]]:
    pairs = zip(texts.documents, texts.parts, strict=True)
    return [(d.text, d.entity_texts()) for d, p in pairs if p == part]


def test_a_saved_folder_has_its_parts_and_the_names_of_its_tags(tmp_path):
    texts = read_set(NERData(), saved(tmp_path / "set"))
    assert entities(texts, "train") == [
        ("Ada Lovelace", ["Ada Lovelace"]),
        ("in New York", ["New York"]),
        ("nobody", []),
    ]
    assert texts.types() == {"person": 3, "place": 3}
    assert texts.documents[0].where.endswith("test[1]")


def test_rows_that_were_selected_before_saving_are_the_rows_that_are_read(tmp_path):
    texts = read_set(NERData(), saved(tmp_path / "set", shuffled=True))
    assert [text for text, _ in entities(texts, "train")] == ["nobody", "Ada Lovelace"]


def test_parquet_files_name_their_tags_too_and_shards_are_one_test(tmp_path):
    features = {
        "tokens": {"_type": "List"},
        "ner_tags": {"feature": {"_type": "ClassLabel", "names": NAMES}},
    }
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pa.table({name: ROWS[name] for name in ("tokens", "ner_tags")})
    for name in ("train-00000-of-00001", "test-00000-of-00002", "test-00001-of-00002"):
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / f"{name}.parquet")
    texts = read_set(NERData(), tmp_path)
    assert len(entities(texts, "test")) == 6 and len(entities(texts, "train")) == 3
    assert set(texts.types()) == {"person", "place"}


def test_numbers_without_names_are_said_by_row(tmp_path):
    table = pa.table({name: ROWS[name] for name in ("tokens", "ner_tags")})
    pq.write_table(table, tmp_path / "texts.parquet")
    with pytest.raises(DataError, match=r"texts.parquet\[1\].*names, not numbers"):
        read_set(NERData(), tmp_path)


def test_a_damaged_folder_is_refused_with_what_is_missing(tmp_path):
    folder = saved(tmp_path / "set")
    for file in (folder / "train").glob("*.arrow"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="train: can't be read"):
        read_set(NERData(), folder)


def test_the_digest_follows_the_content_and_not_the_place(tmp_path):
    one, other = saved(tmp_path / "one"), saved(tmp_path / "other")
    data = NERData()
    assert set_digest(data, one) == set_digest(data, other)
    (state,) = (other / "test").glob("*.arrow")
    state.write_bytes(state.read_bytes() + b"\0")
    assert set_digest(data, one) != set_digest(data, other)
