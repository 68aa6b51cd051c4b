"""Texts are split so that none is on both sides, and other data than the run's own only test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.core.errors import ConfigError, DataError
from tutelage.tasks.ner.audit import audit
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.corpus import Corpus, data_fingerprint, load_corpus
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.learned import Learned
from tutelage.tasks.ner.near_duplicates import find_pairs
from tutelage.tasks.ner.resumes import make_resumes
from tutelage.tasks.ner.splits import families, hold_out

WORDS = [f"word{n}" for n in range(400)]


def line(seed: int, **more: object) -> dict[str, object]:
    """A text of twelve words of which the third and fourth are a name."""
    words = np.random.default_rng(seed).choice(WORDS, 12).tolist()
    start = len(" ".join(words[:2])) + 1
    return {
        "text": " ".join(words),
        "label": [[start, start + len(" ".join(words[2:4])), "thing"]],
        **more,
    }


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def everyone(corpus: Corpus) -> dict[str, list[str]]:
    parts = {"train": corpus.train, "validation": corpus.validation, **corpus.tests}
    return {name: [document.text for document in documents] for name, documents in parts.items()}


def test_wnut_17_is_embedded_with_its_own_split_of_which_no_text_is_on_two_sides():
    corpus = load_corpus(NERData())
    sizes = {name: len(texts) for name, texts in everyone(corpus).items()}
    assert sizes == {"train": 3394, "validation": 1009, "test": 1287}
    assert sum(len(d.spans) for d in corpus.tests["test"]) == 1079
    assert corpus.stamp.verdict == "clean"
    assert len(corpus.learned.labels.tags) == 13


def test_resumes_depend_on_seed_and_number_alone_and_their_entities_are_their_words():
    few, many, other = (list(make_resumes(*args)) for args in ((3, 1), (5, 1), (3, 2)))
    assert [d.text for d in few] == [d.text for d in many[:3]] != [d.text for d in other]
    for resume in many:
        found = dict(zip((s.label for s in resume.spans), resume.entity_texts(), strict=True))
        assert {"name", "email", "skill", "date", "school", "employer", "job"} <= set(found)
        assert "@" in found["email"] and resume.text.count(found["email"]) == 1
        edges = [edge for span in resume.spans for edge in (span.start, span.end)]
        assert edges == sorted(edges) and edges[-1] <= len(resume.text)


def test_types_of_resumes_can_be_renamed_and_dropped_too():
    data = NERData(embedded="resumes", resumes=12, rename={"job": "title", "date": ""})
    types = load_corpus(data).learned.labels.types
    assert "title" in types and not {"job", "date"} & set(types)


def test_one_file_is_split_into_three_parts_that_share_nothing(tmp_path):
    lines = [line(seed % 80) for seed in range(200)]  # every text stands there twice or more
    corpus = load_corpus(NERData(root=write(tmp_path / "all.jsonl", lines)))
    parts = everyone(corpus)
    assert sum(map(len, parts.values())) == 200
    assert not set(parts["train"]) & {*parts["validation"], *parts["test"]}
    assert not set(parts["validation"]) & set(parts["test"])
    assert 15 <= len(parts["test"]) <= 40 and 15 <= len(parts["validation"]) <= 40


def test_the_split_follows_its_seed(tmp_path):
    root = write(tmp_path / "all.jsonl", [line(seed) for seed in range(60)])
    same, again, other = (
        everyone(load_corpus(NERData(root=root, split_seed=seed)))["test"] for seed in (0, 0, 1)
    )
    assert same == again != other


def test_texts_of_one_group_are_on_one_side(tmp_path):
    lines = [line(seed, author=f"a{seed % 10}") for seed in range(100)]
    root = write(tmp_path / "all.jsonl", lines)
    corpus = load_corpus(NERData.model_validate({"root": root, "columns": {"group": "author"}}))
    groups = [
        {document.group for document in documents}
        for documents in (corpus.train, corpus.validation, *corpus.tests.values())
    ]
    assert all(groups) and sum(map(len, groups)) == 10 == len(set.union(*groups))


def near(seed: int) -> dict[str, object]:
    """The text of that seed with one more word at its end: they share most runs of three."""
    one = line(seed)
    return one | {"text": f"{one['text']} indeed"}


def test_training_texts_like_those_of_other_files_are_left_out_and_said(tmp_path):
    write(tmp_path / "train.jsonl", [line(seed) for seed in range(30)])
    write(tmp_path / "dev.jsonl", [line(seed) for seed in (3, 40, 41)])
    write(tmp_path / "test.jsonl", [near(5), *(line(seed) for seed in (40, 50, 51))])
    corpus = load_corpus(NERData(root=tmp_path))
    texts = everyone(corpus)
    assert len(texts["train"]) == 28 and len(texts["validation"]) == 2 and len(texts["test"]) == 4
    assert line(3)["text"] not in texts["train"] and line(5)["text"] not in texts["train"]
    assert corpus.stamp.verdict == "warnings"
    assert any("2 train texts" in f and "1 the very same" in f for f in corpus.stamp.findings)
    kept = load_corpus(NERData(root=tmp_path, cross_split="keep"))
    assert len(kept.train) == 30 and kept.stamp.verdict == "leaking"


def test_audit_calls_files_that_share_texts_leaking_and_lists_what_is_wrong(tmp_path):
    write(tmp_path / "train.jsonl", [line(seed) for seed in range(30)] + [line(1)])
    wrong = {"text": "a b", "label": [[0, 9, "thing"]]}
    write(tmp_path / "test.jsonl", [line(3), line(60), wrong])
    found = audit(NERData(root=tmp_path, bad_share=0.5))
    assert found.stamp.verdict == "leaking"
    said = " ".join(found.stamp.findings)
    assert "1 texts of test are like texts of train" in said and "stand there more than" in said
    (row,) = next(t for t in found.tables if t.title == "What is wrong").rows
    assert row[2].endswith("test.jsonl:3") and "outside" in row[0]
    assert audit(NERData()).stamp.verdict == "warnings"


def test_audit_names_texts_that_are_very_long(tmp_path):
    endless = {"text": "word " * 100_000, "label": []}
    write(tmp_path / "train.jsonl", [line(1), endless])
    said = [f for f in audit(NERData(root=tmp_path)).stamp.findings if "window by window" in f]
    assert len(said) == 1 and "train.jsonl:2, 100,000 words" in said[0]


def test_other_data_than_the_runs_own_only_test_and_what_is_named_test_does(tmp_path):
    root = write(tmp_path / "one" / "all.jsonl", [line(seed) for seed in range(60)])
    corpus = load_corpus(NERData(root=root))
    learned = Learned.from_json(json.loads(json.dumps(corpus.learned.to_json())))
    again = load_corpus(NERData(root=root), learned)
    assert everyone(again) == everyone(corpus)
    other = write(tmp_path / "other" / "texts.jsonl", [line(seed) for seed in range(90, 100)])
    only = load_corpus(NERData(root=other), learned)
    assert {name: len(texts) for name, texts in everyone(only).items()} == {
        "train": 0, "validation": 0, "test": 10,
    }  # fmt: skip
    write(tmp_path / "other" / "test.jsonl", [line(seed) for seed in (100, 101)])
    assert len(load_corpus(NERData(root=other.parent), learned).tests["test"]) == 2


def test_texts_that_a_run_was_trained_on_are_told_when_they_come_again_in_other_data(tmp_path):
    root = write(tmp_path / "one" / "all.jsonl", [line(seed) for seed in range(60)])
    corpus = load_corpus(NERData(root=root))
    again = {document.text for document in (*corpus.train, *corpus.validation)}
    lines = [one for seed in range(60) if (one := line(seed))["text"] in again][:3]
    fresh = [line(seed) for seed in (90, 91)]
    other = write(tmp_path / "other" / "texts.jsonl", [*fresh, *lines])
    stamp = load_corpus(NERData(root=other), corpus.learned).stamp
    assert stamp.verdict == "leaking" and stamp.findings[0].startswith("3 texts are ones that")
    clean = write(tmp_path / "clean" / "texts.jsonl", fresh)
    assert load_corpus(NERData(root=clean), corpus.learned).stamp.verdict == "clean"


def test_a_runs_own_data_split_otherwise_are_refused_since_training_texts_would_test(tmp_path):
    root = write(tmp_path / "all.jsonl", [line(seed) for seed in range(60)])
    learned = load_corpus(NERData(root=root)).learned
    with pytest.raises(ConfigError, match="some that it trained on would test it"):
        load_corpus(NERData(root=root, split_seed=1), learned)


def test_types_that_training_never_saw_are_refused_above_the_share_and_counted_below(tmp_path):
    write(tmp_path / "train.jsonl", [line(seed) for seed in range(30)])
    write(tmp_path / "dev.jsonl", [line(seed) for seed in range(30, 40)])
    odd = line(60) | {"label": [[0, line(60)["text"].index(" "), "planet"]]}
    write(tmp_path / "test.jsonl", [*(line(seed) for seed in range(40, 50)), odd])
    with pytest.raises(DataError, match=r"test.jsonl:11: 1 of 21 entities.*planet") as error:
        load_corpus(NERData(root=tmp_path))
    assert "data.rename" in str(error.value)
    taken = load_corpus(NERData(root=tmp_path, bad_share=0.1))
    assert any("training never saw" in finding for finding in taken.stamp.findings)
    renamed = NERData(root=tmp_path, rename={"planet": "thing"})
    assert load_corpus(renamed).stamp.verdict == "clean"
    with pytest.raises(
        ConfigError, match=r"data.rename: no entity is of the type 'plant'"
    ) as error:
        load_corpus(NERData(root=tmp_path, rename={"plant": "thing"}))
    assert "'planet'" in str(error.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([line(1) | {"label": []} for _ in range(9)], "labelled|entity"),
        ([{"text": line(seed)["text"]} for seed in range(30)], "none of 30 texts is an entity"),
        ([line(1)], "no labelled"),
        ([{"text": " ", "label": []}] * 3, "without a word"),
    ],
)
def test_data_that_can_t_train_are_refused(tmp_path, lines, said):
    with pytest.raises(DataError, match=said):
        load_corpus(NERData(root=write(tmp_path / "all.jsonl", lines)))


def test_the_fingerprint_follows_content_and_seed_and_not_the_place(tmp_path):
    lines = [line(seed) for seed in range(3)]
    one, same = (write(tmp_path / name / "texts.jsonl", lines) for name in "ab")
    other = write(tmp_path / "c" / "texts.jsonl", lines[:2])
    prints = [data_fingerprint(NERData(root=path)) for path in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]
    made = [data_fingerprint(NERData(embedded="resumes", resume_seed=seed)) for seed in (0, 1)]
    assert len({*made, data_fingerprint(NERData())}) == 3


@given(st.lists(st.text("ab ", max_size=12), min_size=1, max_size=12))
def test_texts_that_are_the_same_case_apart_are_one_family(texts):
    documents = [Document.of_text(str(n), text) for n, text in enumerate(texts)]
    family = families(documents, find_pairs(documents, 0.8)).tolist()
    for n, text in enumerate(texts):
        for m, other in enumerate(texts):
            if text.casefold().split() == other.casefold().split():
                assert family[n] == family[m]


def test_nearly_all_texts_that_share_enough_are_found_and_none_that_do_not():
    generator = np.random.default_rng(0)
    texts = [generator.choice(WORDS, 40).tolist() for _ in range(200)]
    for words in list(texts):
        changed = list(words)
        for place in generator.choice(40, generator.integers(1, 6), replace=False):
            changed[place] = "other"
        texts.append(changed)

    def runs(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[n : n + 3]) for n in range(len(words) - 2)}

    documents = [Document.of_tokens(str(n), words) for n, words in enumerate(texts)]
    pairs = find_pairs(documents, 0.7)
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    true = set()
    for n in range(200):
        one, other = runs(texts[n]), runs(texts[n + 200])
        if len(one & other) / len(one | other) >= 0.7:
            true.add((n, n + 200))
    assert found <= true and len(found) >= 0.97 * len(true) > 0


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=40), st.floats(0.05, 0.9), st.integers(0, 5)
)
def test_whole_families_are_held_out_and_never_more_than_the_share_where_that_can_be(
    family, share, seed
):
    numbers = np.array(family, np.int64)
    held = hold_out(numbers, share, seed)
    inside = set(numbers[held].tolist())
    assert not inside & set(np.delete(numbers, held).tolist())
    if len(set(family)) > 1:
        smallest = min(family.count(name) for name in set(family))
        assert 0 < len(held) <= max(1, round(share * len(family)), smallest)
