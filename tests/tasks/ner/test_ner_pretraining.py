"""Texts without tags teach words: all of them in turn, none that is held out or tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_ner_data import SMALL, ner_config, write_texts

from tutelage.core.errors import ConfigError
from tutelage.core.store import RunStore
from tutelage.task import load_task
from tutelage.tasks.ner.datamodule import NERDataModule
from tutelage.training.launch import launch

MODE = ("mode=autoencoder", "mode.pretraining_fraction=0.5", "training.max_epochs=6")
OWN = "Zoe hums a very old song at night\n"
WORDS = 8 * 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty texts of words that no text with tags has."""
    path = tmp_path_factory.mktemp("own") / "own.txt"
    path.write_text(OWN * 60)
    return path


def made(root: Path, cache: Path, *overrides: str) -> NERDataModule:
    data = NERDataModule(ner_config(root, *SMALL, *overrides), cache)
    data.setup("fit")
    data.batch_size = 8
    return data


def test_texts_without_tags_train_at_first_each_in_its_turn(
    root: Path, own: Path, tmp_path: Path
) -> None:
    data = made(root, tmp_path, *MODE, f"pretraining.root={own}")
    loader = data.train_dataloader()
    epochs = [list(loader) for _ in range(6)]
    assert len({len(batches) for batches in epochs}) == 1
    tagged, every = len(data.train.labels), len(data.train.labels) + WORDS
    shown = [torch.cat([batch.word for batch in batches]) for batches in epochs]
    own_words = [int((words >= tagged).sum()) for words in shown]
    assert all(own_words[:3]) and not any(own_words[3:])
    assert len(shown[0]) == len(shown[0].unique())  # none twice before all had their turn
    assert len(torch.cat(shown[:3]).unique()) == every
    assert torch.equal(shown[4].sort().values, torch.arange(tagged))
    again = made(root, tmp_path, *MODE, f"pretraining.root={own}").train_dataloader()
    pairs = zip(epochs[0], again, strict=True)
    assert all(torch.equal(a.input_ids, b.input_ids) for a, b in pairs)


def test_their_words_get_embeddings(root: Path, own: Path, tmp_path: Path) -> None:
    alone, more = (
        made(root, tmp_path, *MODE),
        made(root, tmp_path, *MODE, f"pretraining.root={own}"),
    )
    assert "hums" in more.coder.words and "hums" not in alone.coder.words  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "mode",
    [
        (*MODE, "pretraining.root={path}"),
        ("mode=distillation", "mode.teacher=x", "teaching.root={path}"),
    ],
)
def test_texts_like_held_out_or_test_texts_teach_nothing(
    root: Path, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    held = [d.text for d in made(root, tmp_path).corpus.tests["test"]][:2]
    path = tmp_path / "own.txt"
    path.write_text("\n".join([held[0], held[1].upper(), "Zoe hums old songs"]) + "\n")
    data = made(root, tmp_path, *(setting.format(path=path) for setting in mode))
    assert [d.text for d in data.corpus.unlabelled] == ["Zoe hums old songs"]
    assert any("2 texts without tags are like" in said for said in data.audit.findings)
    assert data.audit.verdict == "warnings"


def test_records_that_nobody_marked_are_learned_from_in_that_mode_alone(
    root: Path, tmp_path: Path
) -> None:
    copied = write_texts(tmp_path / "texts")
    (copied / "train_more.txt").write_text(OWN)
    assert not made(copied, tmp_path).corpus.unlabelled
    found = made(copied, tmp_path, *MODE).corpus.unlabelled
    assert [document.text for document in found] == [OWN.strip()]


def test_a_run_on_other_texts_of_ones_own_is_another_run(root: Path, tmp_path: Path) -> None:
    task, store = load_task("ner"), RunStore(tmp_path / "home")
    path = tmp_path / "own.txt"
    made = []
    for content in (OWN * 3, OWN * 3 + "Zoe sings\n"):
        path.write_text(content)
        settings = (*SMALL, *MODE, "training.max_epochs=2", f"pretraining.root={path}")
        made.append(launch(task, ner_config(root, *settings), store).run)
    assert made[0].id != made[1].id
    prints = [run.record.fingerprints for run in made]
    assert prints[0].data == prints[1].data  # so that both may be experts of one fusion


def test_settings_of_masked_words_are_refused_where_no_word_is_masked(root: Path) -> None:
    with pytest.raises(ConfigError, match="pretraining.masked_share does nothing in mode=normal"):
        ner_config(root, "pretraining.masked_share=0.3")
