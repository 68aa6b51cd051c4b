"""An older set and a new one become one: types reconciled, repeats once, tests kept, all said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.corpus import Corpus, data_fingerprint, load_corpus

WORDS = [f"word{n}" for n in range(400)]


def line(seed: int, kind: str) -> dict[str, object]:
    words = np.random.default_rng(seed).choice(WORDS, 12).tolist()
    return {"text": " ".join(words), "label": [[0, len(words[0]), kind]]}


def write(folder: Path, lines: list[dict[str, object]], name: str = "texts") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return folder


def data(new: Path, old: Path, how: str) -> NERData:
    return NERData.model_validate({"root": new, "combine": {"name": how, "root": old}})


def texts(documents: object) -> set[str]:
    return {document.text for document in documents}  # type: ignore[attr-defined]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write(tmp_path / "old", [line(seed, "home-town") for seed in range(60)])


@pytest.fixture
def new(tmp_path: Path) -> Path:
    mine = [line(seed, "Home Town") for seed in range(100, 150)]
    return write(tmp_path / "new", [*mine, line(200, "planet"), line(3, "Home Town")])


def whole(corpus: Corpus) -> set[str]:
    tests = (d for documents in corpus.tests.values() for d in documents)
    return texts([*corpus.train, *corpus.validation, *tests])


def test_new_only_reads_nothing_of_the_older_set(old, new):
    assert "home-town" not in load_corpus(NERData(root=new, bad_share=1)).learned.labels.types


def test_appended_texts_train_or_are_held_out_and_the_tests_are_the_older_sets_own(old, new):
    alone, both = load_corpus(NERData(root=old)), load_corpus(data(new, old, "append"))
    assert texts(both.tests["test"]) == texts(alone.tests["test"])
    assert texts(alone.train) <= texts(both.train)
    assert texts(alone.validation) <= texts(both.validation)
    assert len(whole(both)) == len(whole(alone)) + 51


def test_new_texts_named_test_are_a_split_of_their_own(old, new):
    write(new, [line(seed, "home-town") for seed in range(300, 305)], "test")
    corpus = load_corpus(data(new, old, "append"))
    assert {name: len(found) for name, found in corpus.tests.items()} == {"test": 9, "test_new": 5}


def test_combined_sets_both_test(old, new):
    corpus = load_corpus(data(new, old, "combined").model_copy(update={"bad_share": 1.0}))
    tests = texts(corpus.tests["test"])
    assert tests & texts(load_corpus(NERData(root=old)).tests["test"])
    assert any(line(seed, "x")["text"] in tests for seed in range(100, 150))
    assert len(whole(corpus)) == 60 + 51


def test_types_that_differ_in_spelling_are_one_and_the_table_says_what_changed(old, new):
    corpus = load_corpus(data(new, old, "append"))
    assert corpus.learned.labels.types == ("home-town", "planet")
    table = next(t for t in corpus.tables if t.title == "What combining changed")
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["home-town"] == (60, 51, 110, "called Home Town in the new set")
    assert rows["planet"] == (0, 1, 1, "added by the new set")
    assert rows["texts"] == (60, 52, 111, "")


def test_repeats_and_types_that_one_set_alone_marks_are_findings(old, new):
    findings = " ".join(load_corpus(data(new, old, "append")).stamp.findings)
    assert "1 texts stand in both sets, 0 of them with other entities" in findings
    assert "only the new set marks 'planet'" in findings


def test_of_a_text_in_both_sets_append_takes_the_older_entities_and_combined_the_new(tmp_path):
    lines = [line(seed, "a") for seed in range(40)]
    old = write(tmp_path / "old", lines)
    more = [line(seed, "a") for seed in range(90, 110)]
    new = write(tmp_path / "new", [one | {"label": []} for one in lines] + more)
    kept, fresh = (load_corpus(data(new, old, how)) for how in ("append", "combined"))
    theirs = {one["text"] for one in lines}
    marked = [
        sum(bool(d.spans) for d in corpus.train if d.text in theirs) for corpus in (kept, fresh)
    ]
    assert marked[0] > 20 and marked[1] == 0
    assert any("40 of them with other entities" in f for f in kept.stamp.findings)


def test_the_fingerprint_follows_the_older_set_and_how_they_are_combined(old, new):
    ways = [data(new, old, how) for how in ("append", "combined")]
    prints = {data_fingerprint(one) for one in (NERData(root=new), *ways)}
    assert len(prints) == 3
    write(old, [line(1, "home-town")], "more")
    assert data_fingerprint(ways[0]) not in prints


def test_combining_without_an_older_set_is_refused():
    with pytest.raises(ValidationError, match="needs data.combine.root"):
        NERData.model_validate({"combine": {"name": "append"}})
