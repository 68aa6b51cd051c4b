"""Texts are dealt into folds by family; each fold learns from its own training part alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_ner_data import SMALL, made_data, ner_config, write_texts

from tutelage import api
from tutelage.core.errors import DataError
from tutelage.core.folds import Split, write_split
from tutelage.core.store import Run
from tutelage.task import fold_split
from tutelage.tasks.ner import NERTask
from tutelage.tasks.ner.corpus import load_corpus
from tutelage.tasks.ner.documents import Document, Span
from tutelage.tasks.ner.folds import NO_ENTITY, text_units, unit_names

TASK = NERTask()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def split(root: Path) -> Split:
    return fold_split(TASK, ner_config(root, "data.near_duplicate=1"), root, folds=4, seed=1)


@pytest.fixture
def split_file(tmp_path: Path, split: Split) -> Path:
    write_split(split, tmp_path / "split.json")
    return tmp_path / "split.json"


def fold(file: Path, number: int | str) -> tuple[str, ...]:
    return ("data.near_duplicate=1", f"data.split_file={file}", f"data.fold={number}")


def test_each_fold_holds_out_exactly_the_units_of_its_file_and_trains_on_the_rest(
    root: Path, split: Split, split_file: Path
) -> None:
    trained = []
    for number in range(4):
        corpus = load_corpus(ner_config(root, *fold(split_file, number)).data)
        assert set(corpus.tests) == {"held_out"} and corpus.validation == corpus.tests["held_out"]
        held = split.held_out(number)
        assert set(corpus.units) == held == set(unit_names(corpus.tests["held_out"]))
        assert set(unit_names(corpus.train)) == set(split.units) - held
        assert corpus.stamp.verdict == "clean"
        trained.append(frozenset(unit_names(corpus.train)))
    assert len(set(trained)) == 4


def test_the_pool_is_what_would_train_or_validate_however_bad_the_test_file_is(
    root: Path, split: Split, split_file: Path, tmp_path: Path
) -> None:
    own = load_corpus(ner_config(root, "data.near_duplicate=1").data)
    assert set(split.units) == set(unit_names((*own.train, *own.validation)))
    other = write_texts(tmp_path / "other")
    (other / "test.conll").write_text("Anna\tQ-person\nlikes\tO\n\nOtto\tQ-person\nruns\tO\n")
    with pytest.raises(DataError):
        load_corpus(ner_config(other).data)
    corpus = load_corpus(ner_config(other, *fold(split_file, 2)).data)
    assert set(corpus.units) == split.held_out(2)


def test_all_trains_on_the_whole_pool_and_the_tests_stay(
    root: Path, split: Split, split_file: Path
) -> None:
    own = load_corpus(ner_config(root, "data.near_duplicate=1").data)
    corpus = load_corpus(ner_config(root, *fold(split_file, "all")).data)
    assert set(unit_names(corpus.train)) == set(split.units) and corpus.validation == ()
    assert unit_names(corpus.tests["test"]) == unit_names(own.tests["test"])


def test_words_and_types_of_held_out_texts_are_not_known_before_training(tmp_path: Path) -> None:
    root = tmp_path / "texts.jsonl"
    lines = [f"The {'abcdefgh'[n] * 5} man saw Rome and left" for n in range(8)]
    spans = [{"text": line, "label": [[18, 22, "place"]]} for line in lines]
    spans[3]["label"] = [[18, 22, "rare"]]
    root.write_text("".join(json.dumps(one) + "\n" for one in spans))
    settings = ("data.near_duplicate=1", "data.test_fraction=0.2", "data.bad_share=1")
    split = fold_split(TASK, ner_config(root, *settings), tmp_path, "stratified", folds=3)
    write_split(split, tmp_path / "split.json")
    for number in range(3):
        chosen = fold(tmp_path / "split.json", number)
        data, _ = made_data(root, tmp_path, *SMALL, *settings, *chosen)
        mine = {word for d in data.corpus.train for word in d.word_texts()}
        held = {word for d in data.corpus.validation for word in d.word_texts()} - mine
        assert held and not held & set(map(str, data.known.coder.to_json()["words"]))
        assert set(data.labels.types) == {s.label for d in data.corpus.train for s in d.spans}


def text(words: str, *kinds: str, group: str | None = None) -> Document:
    spans = [Span(n, n + 1, kind) for n, kind in enumerate(kinds)]
    return Document.of_text("1", words, spans, group=group)


def test_alike_texts_and_those_of_one_source_are_a_group_and_the_rarest_type_is_a_stratum() -> None:
    documents = [
        text("one two three four five six seven", "place"),
        text("One two three four five six seven", "place", "person"),
        text("a quite other text of some length", "place", "person", group="page"),
        text("nothing like any of them at all", group="page"),
        text("and one more that stands alone here", "product", "place"),
    ]
    units = text_units(documents, ner_config(Path("none")).data)
    assert units.groups is not None
    assert [units.ids.index(group) for group in units.groups] == [0, 0, 2, 2, 4]
    assert units.strata == ("place", "person", "person", NO_ENTITY, "product")
    assert units.sizes == (7, 7, 7, 7, 7)


def test_texts_that_say_the_same_have_names_of_their_own() -> None:
    names = unit_names([text("same"), text("other"), text("same"), text("same")])
    assert len(set(names)) == 4 and names[2:] == (f"{names[0]}-2", f"{names[0]}-3")


def test_a_fold_whose_texts_turn_out_alike_is_refused(root: Path, split_file: Path) -> None:
    alike = [one for one in fold(split_file, 0) if "near" not in one]
    with pytest.raises(DataError, match="groups are on both sides"):
        load_corpus(ner_config(root, *alike, "data.near_duplicate=0.05").data)


# ---- runs


def made(home: Path, root: Path, *overrides: str) -> Run:
    quick = ("training.max_epochs=2", "training.accelerator=cpu")
    return api.train("ner", f"data.root={root}", *SMALL, *quick, *overrides, home=home)


def test_a_run_on_a_fold_keeps_a_line_for_each_held_out_text_and_is_scored_again_alike(
    tmp_path: Path, root: Path, split: Split, split_file: Path
) -> None:
    run = made(tmp_path, root, *fold(split_file, 3))
    assert {name.split("/")[0] for name in run.metrics} == {"held_out"}
    assert not [name for name in run.metrics if "gap" in name or "held_out_f1" in name]
    lines = (run.path / "out_of_fold.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["fold_unit"] for row in rows} == split.held_out(3)
    assert [row["fold_unit"] for row in rows] == list(
        unit_names([text(row["text"]) for row in rows])
    )
    assert "out_of_fold.jsonl" in run.record.artifacts
    again = api.evaluate(run, home=tmp_path).evaluation.metrics
    assert again == pytest.approx(dict(run.metrics))
    elsewhere = api.evaluate(run, f"data.root={root / 'test.conll'}", home=tmp_path)
    assert "test/f1" in elsewhere.evaluation.metrics


def test_a_run_on_all_is_tested_and_has_no_validation(
    tmp_path: Path, root: Path, split_file: Path
) -> None:
    run = made(tmp_path, root, *fold(split_file, "all"), "training.stop_epoch=1")
    assert run.record.best_epoch == 1 and "test/f1" in run.metrics
    assert "val/f1" not in (run.path / "metrics.csv").read_text()
