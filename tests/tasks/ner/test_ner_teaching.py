"""A teacher speaks of one's own texts, and students begin with what it knows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_encoders import save_encoder
from made_ner_data import SMALL, made_data, ner_config, write_texts
from torch.nn import functional as F

from tutelage.core.errors import ConfigError
from tutelage.core.store import METRICS, RunStore
from tutelage.report.curves import read_history
from tutelage.task import load_task
from tutelage.tasks.ner.datamodule import NERDataModule
from tutelage.tasks.ner.heritage import inherit, word_vectors
from tutelage.tasks.ner.models.config import Teaching
from tutelage.tasks.ner.modules import NERModule
from tutelage.tasks.ner.tokens.batch import UNTAGGED
from tutelage.training.launch import launch
from tutelage.training.model_card import read_preprocessing

MODE = ("mode=distillation", "mode.teacher=x")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def encoder(folder: Path) -> tuple[str, ...]:
    chosen = ("model=encoder", f"model.path={folder}", "model.max_length=32")
    return (*chosen, "training.batch_size=8", "evaluation.bootstrap=0")


@pytest.fixture(scope="module")
def made(
    root: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[NERDataModule, NERModule]:
    """A teacher that reads subwords, with its data."""
    return made_data(root, tmp_path_factory.mktemp("cache"), *encoder(folder))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts without tags, of words that no text with tags has; three times as many."""
    path = tmp_path_factory.mktemp("own") / "own.txt"
    path.write_text("Zoe hums a very old song at night\n" * 168)
    return path


def taught(
    root: Path, cache: Path, made: tuple[NERDataModule, NERModule], *settings: str
) -> NERDataModule:
    data, _ = made_data(root, cache, *SMALL, *MODE, *settings)
    data.taught_by(made[0].known)
    return data


def test_an_epoch_shows_all_tagged_texts_and_as_many_others_in_their_turn(
    root: Path, own: Path, tmp_path: Path, made: tuple[NERDataModule, NERModule]
) -> None:
    data = taught(root, tmp_path, made, f"teaching.root={own}")
    tagged, windows = len(data.train.labels), len(data.train)
    loader = data.train_dataloader()
    shown = [[batch.word for batch in loader] for _ in range(4)]
    words = [torch.cat(epoch) for epoch in shown]
    for epoch in words:
        assert torch.equal(epoch[epoch < tagged].sort().values, torch.arange(tagged))
        assert len(epoch[epoch >= tagged].unique()) > 0.5 * tagged
    every = len(torch.cat(words).unique())
    assert every == len(data._shown.labels) > 4 * tagged
    assert len(shown[0]) == -(-2 * windows // data.batch_size)
    again = taught(root, tmp_path, made, f"teaching.root={own}")
    assert all(
        torch.equal(a, b.word) for a, b in zip(shown[0], again.train_dataloader(), strict=True)
    )


@pytest.mark.parametrize("weight", [0, 0.5])
def test_the_teacher_speaks_of_every_text_and_tags_only_of_those_with_tags(
    root: Path, own: Path, tmp_path: Path, made: tuple[NERDataModule, NERModule], weight: float
) -> None:
    data = taught(root, tmp_path, made, f"teaching.root={own}", f"mode.feature_weight={weight}")
    new = torch.arange(len(data.train), len(data.train) + 6)
    batch, mixed = data.train_batch(new), data.train_batch(torch.cat([torch.arange(6), new]))
    assert (batch.labels == UNTAGGED).all()
    documents = data.corpus.unlabelled[:6]
    read = made[0].encoded(documents)
    direct = made[1].log_probabilities(read.batch(torch.arange(6)))
    assert torch.allclose(made[1].teach(batch)[0], direct, atol=1e-5)
    student = made_data(root, tmp_path, *SMALL)[1]
    outputs = torch.randn(len(mixed.labels), len(student.labels.tags), requires_grad=True)
    known = mixed.labels != UNTAGGED
    loss = student.task_loss(outputs, mixed)
    assert torch.allclose(
        loss, F.cross_entropy(outputs[known], mixed.labels[known], student.loss.class_weights)
    )
    nothing = student.task_loss(outputs[: len(batch.labels)], batch)
    assert nothing == 0
    nothing.backward()  # type: ignore[no-untyped-call]


def test_a_student_of_fewer_layers_begins_with_the_lowest_of_its_teacher(
    root: Path, tmp_path: Path, folder: Path, made: tuple[NERDataModule, NERModule]
) -> None:
    teacher = made[1]
    torch.manual_seed(7)
    torch.nn.init.normal_(teacher.network.classifier.weight)
    _, student = made_data(root, tmp_path, *encoder(folder), "model.keep_layers=1")
    inherit(student, teacher)
    given = teacher.network.state_dict()
    state = student.network.state_dict()
    assert len(state) < len(given)
    assert all(torch.equal(value, given[name]) for name, value in state.items())


def test_a_student_of_words_begins_with_what_its_teacher_knows_of_them(
    root: Path, tmp_path: Path, made: tuple[NERDataModule, NERModule]
) -> None:
    _, student = made_data(root, tmp_path, *SMALL, "model.word_embedding=20")
    table = student.network.body.embedding.weight
    before = table.detach().clone()
    inherit(student, made[1])
    mine = table.detach()[3:]
    theirs = word_vectors(made[1], student.coder.words)  # type: ignore[attr-defined]
    ratio = torch.pdist(mine[:, :16]) / torch.pdist(theirs)  # all 16 of its directions are kept
    assert torch.allclose(ratio, ratio[:1], rtol=1e-3)
    assert float(mine[:, :16].std()) == pytest.approx(1, abs=0.05)
    assert torch.equal(mine[:, 16:], before[3:, 16:]) and torch.equal(table[:3], before[:3])


def test_what_a_student_can_not_begin_with_is_said(
    root: Path, tmp_path: Path, made: tuple[NERDataModule, NERModule]
) -> None:
    wider = save_encoder(tmp_path / "wider", hidden=32)
    _, student = made_data(root, tmp_path, *encoder(wider))
    with pytest.raises(ConfigError, match="size of its embedding"):
        inherit(student, made[1])


def test_runs_are_taught_on_ones_own_texts_and_from_their_teachers_words(
    root: Path, own: Path, tmp_path: Path, folder: Path
) -> None:
    task, store = load_task("ner"), RunStore(tmp_path / "home")
    settings = ("training.max_epochs=1",)
    teacher = launch(task, ner_config(root, *encoder(folder), *settings), store).run
    asked = (*SMALL, *settings, "mode=distillation", f"mode.teacher={teacher.id}")
    runs = [
        launch(task, ner_config(root, *asked, *more), store).run
        for more in ((), (f"teaching.root={own}",), ("mode.start=teacher",))
    ]
    losses = [read_history(run.path / METRICS)["epoch/loss"][0][1] for run in runs]
    assert len(set(losses)) == 3
    coders = [read_preprocessing(run.path, task)["coder"]["words"] for run in runs]  # type: ignore[call-overload,index]
    assert set(coders[1]) - set(coders[0]) >= {"zoe", "hums"}
    assert set(coders[2]) - set(coders[0]) >= {"acme", "works"}  # the teacher has a token for them


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("teaching.root=x",), "teaching.root does nothing in mode=normal"),
        ((*MODE, "pretraining.masked_share=0.5"), "does nothing in mode=distillation"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(
    root: Path, settings: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        ner_config(root, *settings)


def test_no_setting_of_teaching_is_forgotten() -> None:
    assert set(Teaching.model_fields) == {"root"}
