"""Every way of training acts on taggers: hidden tokens, draws by difficulty, teachers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_encoders import save_encoder
from made_ner_data import SMALL, made_data, ner_config, write_texts

from tutelage.core.config import DistillationMode
from tutelage.core.errors import ConfigError, DataError
from tutelage.core.store import Run, RunStore
from tutelage.losses import SoftTargetLoss
from tutelage.report.curves import read_history
from tutelage.task import load_task
from tutelage.tasks.ner.curriculum import NERCurriculumData
from tutelage.tasks.ner.masking import MaskedTokens
from tutelage.tasks.ner.models.config import BiLSTMConfig, MiniLMConfig, Pretraining
from tutelage.tasks.ner.teaching import WeighedSoftTargets
from tutelage.training.launch import launch
from tutelage.training.modes.distillation import Distillation


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    return RunStore(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def encoder(folder: Path) -> tuple[str, ...]:
    chosen = ("model=encoder", f"model.path={folder}", "model.max_length=16")
    return (*chosen, "training.batch_size=8", "evaluation.bootstrap=0")


def run(home: RunStore, root: Path, *overrides: str) -> Run:
    return launch(load_task("ner"), ner_config(root, *overrides), home).run


@pytest.fixture(scope="module")
def teacher(home: RunStore, root: Path, folder: Path) -> Run:
    return run(home, root, *encoder(folder), "training.max_epochs=2")


def test_who_is_where_is_learned_and_the_run_predicts_without_the_folder(
    home: RunStore, root: Path, tmp_path: Path
) -> None:
    made = run(home, root, *SMALL, "training.max_epochs=20", "model.dropout=0")
    assert made.record.metrics["test/f1"] > 0.9
    history = read_history(made.path / "metrics.csv")
    assert history["epoch/loss"][-1][1] < 0.3 * history["epoch/loss"][0][1]


def test_only_ordinary_tokens_are_hidden_and_as_many_as_asked(root: Path, tmp_path: Path) -> None:
    data, module = made_data(root, tmp_path, *SMALL)
    settings = Pretraining(masked_share=0.5, replaced_share=0.1)
    objective = MaskedTokens(module, settings)
    batch = data.train.batch(torch.arange(len(data.train)).repeat(20))
    torch.manual_seed(0)
    hidden, targets = objective.hide(batch)
    asked = targets != -100
    ordinary = torch.isin(batch.input_ids, objective.ordinary)
    assert not (asked & ~ordinary).any()
    assert float(asked.sum() / ordinary.sum()) == pytest.approx(0.5, abs=0.03)
    masked = hidden.input_ids[asked] == data.coder.mask
    assert float(masked.float().mean()) == pytest.approx(0.8, abs=0.04)
    assert torch.equal(hidden.input_ids[~asked], batch.input_ids[~asked])
    assert hidden.characters is not None
    assert not hidden.characters[hidden.input_ids == data.coder.mask].any()


def test_hidden_tokens_are_told_better_and_better(home: RunStore, root: Path, folder: Path) -> None:
    made = run(
        home,
        root,
        *encoder(folder),
        "mode=autoencoder",
        "mode.pretraining_fraction=0.75",
        "training.max_epochs=8",
        "model.encoder_rate=1",
        "pretraining.masked_share=0.3",
    )
    history = read_history(made.path / "metrics.csv")
    accuracy = [value for _, value in history["epoch/masked_accuracy"]]
    assert len(accuracy) == 6  # of eight epochs; then tags are learned
    assert accuracy[-1] > accuracy[0] + 0.1
    assert not any("objective" in name for name in _tensors(made))


def _tensors(made: Run) -> list[str]:
    from safetensors import safe_open

    with safe_open(made.path / "model.safetensors", "pt") as reader:
        return list(reader.keys())


def test_an_encoder_without_a_mask_can_not_hide_tokens(root: Path, tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "encoder")
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("[MASK]", "[HIDE]"))
    _, module = made_data(root, tmp_path / "cache", *encoder(folder))
    with pytest.raises(ConfigError, match="no mask token"):
        MaskedTokens(module, Pretraining())


def curriculum(root: Path, cache: Path) -> NERCurriculumData:
    data = NERCurriculumData(ner_config(root, *SMALL), cache)
    data.setup("fit")
    return data


def test_long_texts_and_rare_words_are_hard(root: Path, tmp_path: Path) -> None:
    lines = ["Anna\tB-person", "likes\tO", "Oslo\tB-place", ""] * 6
    lines += ["Zyx\tB-person", "hums\tO", ""]
    odd = write_texts(tmp_path / "odd")
    (odd / "train.conll").write_text("\n".join(lines))
    data = curriculum(odd, tmp_path / "cache")
    length, rarity = (data.measures[name]() for name in ("length", "rarity"))
    assert torch.equal(length, data.train.lengths.float())
    assert int(rarity.argmax()) == len(rarity) - 1 and int(length.argmin()) == len(rarity) - 1


def test_what_a_curriculum_draws_comes_in_batches_of_like_length(
    root: Path, tmp_path: Path
) -> None:
    data = curriculum(root, tmp_path)
    places = torch.arange(40)[torch.randperm(40)]
    batches = data.arrange(places, 8, None, 3)  # type: ignore[arg-type]
    assert len(batches) == 5
    assert sorted(torch.cat(list(batches)).tolist()) == list(range(40))
    spread = [int(data.train.lengths[b].max() - data.train.lengths[b].min()) for b in batches]
    assert max(spread) <= 1
    again = data.arrange(places, 8, None, 3)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))


@pytest.mark.parametrize("hard", ["mode.measure=length", "mode.guide"])
def test_a_curriculum_runs_by_a_measure_or_by_another_runs_loss(
    home: RunStore, root: Path, hard: str
) -> None:
    if hard == "mode.guide":
        guide = run(home, root, *SMALL, "training.max_epochs=1", "training.seed=5")
        hard = f"mode.guide={guide.id}"
    made = run(home, root, *SMALL, "mode=curriculum", hard, "training.max_epochs=2")
    assert made.record.status == "finished"
    assert any(table.title == "Curriculum" for table in made.record.tables)


def test_a_curriculum_that_nothing_orders_is_refused(home: RunStore, root: Path) -> None:
    with pytest.raises(ConfigError, match="easy and which hard"):
        run(home, root, *SMALL, "mode=curriculum")


def test_a_guide_with_other_tokens_is_refused(home: RunStore, root: Path, teacher: Run) -> None:
    with pytest.raises(ConfigError, match="other tokens"):
        run(home, root, *SMALL, "mode=curriculum", f"mode.guide={teacher.id}")


def test_a_teacher_of_other_tokens_and_windows_teaches_the_same_words(
    root: Path, tmp_path: Path, folder: Path
) -> None:
    lines = ["Anna\tB-person", *["likes\tO"] * 30, "Oslo\tB-place", ""] * 4
    long = write_texts(tmp_path / "long")
    (long / "train.conll").write_text("\n".join(lines))
    theirs, teacher = made_data(long, tmp_path / "cache", *encoder(folder))
    whole = theirs.train.batch(torch.arange(len(theirs.train)))
    every = teacher.log_probabilities(whole)
    for weight, width in ((0.5, teacher.feature_width), (0.0, 0)):
        mode = ("mode=distillation", "mode.teacher=x", f"mode.feature_weight={weight}")
        data, _ = made_data(long, tmp_path / "cache", *SMALL, "model.max_length=24", *mode)
        data.taught_by(theirs.known)
        assert len(theirs.train) > len(data.train) > 4  # both cut, in other places
        batch = data.train_batch(torch.arange(3))
        taught, features = teacher.teach(batch)
        assert torch.allclose(taught, every[batch.word], atol=1e-5)
        assert features.shape == (len(batch.word), width)
    assert batch.lessons is not None and batch.lessons.said is not None  # of every later batch
    assert data.train_batch(torch.arange(3, 5)).lessons is batch.lessons
    assert data.batch_of_size(2).lessons is None  # probed in a process that ends


def test_words_are_taught_with_the_weights_of_the_tags_that_the_teacher_expects() -> None:
    student, teacher = (torch.randn(6, 3, generator=torch.manual_seed(n)) for n in (1, 2))
    alike = WeighedSoftTargets(2.0, torch.ones(3))(student, teacher)
    assert torch.allclose(alike, SoftTargetLoss(2.0)(student, teacher))
    sure = torch.tensor([[9.0, -9, -9], [-9, 9, -9]])  # nothing, and an entity
    losses = [SoftTargetLoss(2.0)(student[n : n + 1], sure[n : n + 1]) for n in (0, 1)]
    weighed = WeighedSoftTargets(2.0, torch.tensor([0.5, 1.5, 1.0]))(student[:2], sure)
    assert torch.allclose(weighed, 0.25 * losses[0] + 0.75 * losses[1], atol=1e-5)


def test_a_student_learns_words_from_its_teacher(home: RunStore, root: Path, teacher: Run) -> None:
    made = run(
        home,
        root,
        *SMALL,
        "mode=distillation",
        f"mode.teacher={teacher.id}",
        "mode.alpha=1",
        "mode.temperature=1",
        "training.max_epochs=6",
    )
    soft = [value for _, value in read_history(made.path / "metrics.csv")["epoch/soft_loss"]]
    assert soft[-1] < 0.5 * soft[0]
    assert made.record.parents[0].run == teacher.id


def test_a_teacher_with_a_crf_teaches_its_marginals_but_no_crf_learns(
    root: Path, tmp_path: Path
) -> None:
    data, crf = made_data(root, tmp_path, *SMALL, "model.head=crf")
    batch = data.train_batch(torch.arange(4))
    assert torch.allclose(crf.teach(batch)[0].exp().sum(1), torch.ones(len(batch.word)), atol=1e-5)
    _, student = made_data(root, tmp_path, *SMALL)
    mode = DistillationMode(teacher="x")
    assert torch.isfinite(Distillation(mode, crf, student)(student, batch)["loss"])
    with pytest.raises(ConfigError, match="can't learn"):
        Distillation(mode, student, crf)


def test_tag_weights_count_rare_tags_more(root: Path, tmp_path: Path) -> None:
    weights = {
        name: made_data(root, tmp_path, *SMALL, f"model.class_weights={name}")[1].loss.class_weights
        for name in ("none", "sqrt", "balanced")
    }
    assert torch.equal(weights["none"], torch.ones(5))
    assert weights["balanced"][0] < weights["sqrt"][0] < weights["sqrt"][1]
    assert torch.allclose(weights["sqrt"] ** 2, weights["balanced"], atol=1e-4)


def test_tags_are_weighed_by_themselves_where_a_softmax_begins_from_nothing() -> None:
    assert BiLSTMConfig().tag_weights == "sqrt"
    assert BiLSTMConfig(class_weights="none").tag_weights == "none"
    assert BiLSTMConfig(head="crf").tag_weights == "none" == MiniLMConfig().tag_weights


def test_texts_without_words_to_train_on_are_refused(tmp_path: Path) -> None:
    root = write_texts(tmp_path / "texts")
    (root / "dev.conll").write_text("\n")
    with pytest.raises(DataError):
        made_data(root, tmp_path / "cache", *SMALL)
