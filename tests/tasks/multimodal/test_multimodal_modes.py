"""Stages, curriculum, pretraining, distillation and fusion act on two towers as they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_pairs import SMALL, make_folder
from safetensors.torch import load_file

from tutelage.core.config import DistillationMode
from tutelage.core.errors import ConfigError
from tutelage.core.overrides import build_config
from tutelage.core.store import METRICS, WEIGHTS, Run, RunStore
from tutelage.report.curves import read_history
from tutelage.tasks.multimodal import MultimodalTask
from tutelage.tasks.multimodal.config import MultimodalConfig, StageConfig
from tutelage.tasks.multimodal.data.batches import PairBatch
from tutelage.tasks.multimodal.datamodule import DataHandler
from tutelage.tasks.multimodal.module import TwoTowerModule
from tutelage.tasks.multimodal.pretraining import TowerPretraining
from tutelage.tasks.multimodal.stages import stage_of
from tutelage.training.curriculum import Stage
from tutelage.training.launch import launch

STAGES = (
    "training.max_epochs=4",
    "training.stages=[{epochs: 1, freeze: [image, text]}, "
    "{epochs: 2, queue: 40, rates: {image: 0}}, "
    "{epochs: 1, freeze: [text], rates: {image: 0.1, projections: 0.5}}]",
)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("mine"))


def config(root: Path, *overrides: str) -> MultimodalConfig:
    return build_config(MultimodalConfig, [], (*SMALL, f"data.root={root}", *overrides))


def blend(root: Path, *overrides: str) -> MultimodalConfig:
    kept = [text for text in SMALL if not text.startswith(("model.width", "model.emb"))]
    return build_config(MultimodalConfig, [], (*kept, f"data.root={root}", *overrides))


def train(home: Path, settings: MultimodalConfig) -> Run:
    return launch(MultimodalTask(), settings, RunStore(home)).run


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / WEIGHTS)


def test_the_stage_is_a_function_of_the_epoch() -> None:
    stages = [StageConfig(epochs=2), StageConfig(epochs=1), StageConfig(epochs=1)]
    assert [stage_of(stages, epoch) for epoch in range(6)] == [0, 0, 1, 2, 2, 2]


Seen = list[tuple[int, float, float, float, dict[str, float], int]]


def watched(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Note, before each training step, the epoch, the weights' sums, the rates and the queue."""
    step = TwoTowerModule.step

    def noting(self: TwoTowerModule, batch: PairBatch) -> dict[str, torch.Tensor]:
        if self._trainer is not None and self.training:
            groups = self.trainer.optimizers[0].param_groups
            rates = {part: g["lr"] for part, g in zip(self.group_parts, groups, strict=True)}
            sums = [
                float(sum(p.detach().double().abs().sum() for p in m.parameters()))
                for m in (self.network.image, self.network.text, self.network.image_projection)
            ]
            seen.append((self.current_epoch, *sums, rates, self.queue_length))
        return step(self, batch)

    monkeypatch.setattr(TwoTowerModule, "step", noting)


def test_towers_rest_and_learn_by_stage(
    drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Seen = []
    watched(seen, monkeypatch)
    run = train(tmp_path, config(drawings, *STAGES, "training.scheduler.name=constant",
                                 "training.scheduler.warmup_fraction=0"))  # fmt: skip
    by_epoch = {e: [row for row in seen if row[0] == e] for e in range(4)}
    image = [by_epoch[e][0][1] for e in range(4)]
    text = [by_epoch[e][0][2] for e in range(4)]
    head = [by_epoch[e][0][3] for e in range(4)]
    assert image[0] == image[1] == image[2] == image[3]  # rested, then a rate of zero
    assert text[0] == text[1] != text[2] and by_epoch[3][-1][2] == text[3]
    assert head[0] != head[1] != head[2]
    assert by_epoch[3][-1][1] != image[3]
    rates = [by_epoch[e][-1][4] for e in range(4)]
    assert rates[1]["image"] == 0 and rates[1]["text"] == pytest.approx(1.5e-3)
    assert rates[3]["image"] == pytest.approx(1.5e-4)
    assert rates[3]["projections"] == pytest.approx(7.5e-4)
    assert [by_epoch[e][-1][5] for e in range(4)] == [0, 40, 40, 0]
    assert any(table.title == "Stages" for table in run.record.tables)
    assert 0 < run.record.metrics["test/gradient_share_image"] < 1  # none rests any more


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("mode=autoencoder",), "go with mode=normal"),
        (("training.scheduler.name=plateau",), "schedule by steps"),
        (("model.loss=vicreg",), "'vicreg' takes no queue"),
    ],
)
def test_stages_that_can_not_act_are_refused(
    drawings: Path, options: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        MultimodalTask().check(config(drawings, *STAGES, *options))
    with pytest.raises(ConfigError, match="last of training.stages would begin after 9 epochs"):
        config(drawings, "training.max_epochs=5", "training.stages=[{epochs: 9}, {epochs: 1}]")


def test_a_curriculum_moves_from_random_to_alike_batches(drawings: Path, tmp_path: Path) -> None:
    options = ("mode=curriculum", "mode.stages=3", "training.max_epochs=4", "mode.measure=length")
    run = train(tmp_path, config(drawings, *options))
    assert any(table.title == "Curriculum" for table in run.record.tables)
    settings = config(drawings, *options)
    data = MultimodalTask().curriculum_data(settings, tmp_path / "cache")
    data.setup("fit")
    assert set(data.measures) == {"length", "rarity"}
    places = torch.arange(data.train_size)
    shares = []
    for progress in (0.0, 1.0):
        batches = data.arrange(places, 8, Stage(0, None, progress=progress), 0)
        groups = data.groups  # type: ignore[attr-defined]
        whole = [b for b in batches if len(b) == 8]
        shares.append(sum(float(groups[b].bincount().max()) for b in whole) / (8 * len(whole)))
    assert shares[0] < 0.75 < shares[1]


def test_a_finished_run_guides_a_curriculum(drawings: Path, tmp_path: Path) -> None:
    guide = train(tmp_path, config(drawings, "training.max_epochs=1"))
    options = (
        "mode=curriculum",
        "mode.stages=2",
        "training.max_epochs=2",
        f"mode.guide={guide.id}",
    )
    assert train(tmp_path, config(drawings, *options)).record.parents[0].role == "guide"


KINDS = ("simclr", "vicreg", "barlow_twins", "masked", "none")


@pytest.mark.parametrize("kind", KINDS)
def test_each_tower_can_teach_itself(kind: str, drawings: Path, tmp_path: Path) -> None:
    other = "masked" if kind == "none" else kind
    settings = config(drawings, f"pretraining.image={kind}", f"pretraining.text={other}")
    data = DataHandler(settings, tmp_path)
    data.setup("fit")
    torch.manual_seed(0)
    module = TwoTowerModule(settings, 32)
    module.train()
    objective = TowerPretraining(settings.pretraining, module, 32)
    batch = data.keyed_batch(torch.from_numpy(data.train_rows[:24]), torch.arange(1, 49, 2))
    optimizer = torch.optim.Adam([*module.parameters(), *objective.parameters()], 3e-3)
    losses = []
    for _ in range(15):
        scalars = objective(module, batch)
        optimizer.zero_grad()
        scalars["loss"].backward()
        optimizer.step()
        losses.append(float(scalars["loss"].detach()))
    assert ("image_loss" in scalars) == (kind != "none")
    assert losses[-1] < 0.9 * losses[0]


def test_pretraining_comes_first_and_pairs_after(drawings: Path, tmp_path: Path) -> None:
    options = ("mode=autoencoder", "mode.pretraining_fraction=0.5", "training.max_epochs=4")
    run = train(tmp_path, config(drawings, *options, "training.log_every_n_steps=1"))
    history = read_history(run.path / METRICS)
    assert len(history["train/image_loss"]) == len(history["train/text_loss"]) == 6
    assert len(history["train/temperature"]) == 6
    assert not any("objective" in name for name in weights(run))
    with pytest.raises(ConfigError, match="must not be none"):
        config(drawings, *options, "pretraining.image=none", "pretraining.text=none")


def test_a_student_learns_a_larger_pair_s_similarities(drawings: Path, tmp_path: Path) -> None:
    teacher = train(tmp_path, config(drawings, "training.max_epochs=2"))
    options = ("mode=distillation", f"mode.teacher={teacher.id}", "model.width=4",
               "model.embedding=8", "model.text.length=16", "training.max_epochs=1")  # fmt: skip
    run = train(tmp_path, config(drawings, *options))
    assert run.record.parents[0].role == "teacher"
    history = read_history(run.path / METRICS)
    assert "epoch/soft_loss" in history


def test_a_teacher_reads_captions_in_its_own_way(drawings: Path, tmp_path: Path) -> None:
    teacher = DataHandler(config(drawings, "model.text.length=24"), tmp_path)
    teacher.setup("fit")
    student = DataHandler(config(drawings, "model.text.length=16"), tmp_path)
    student.setup("fit")
    MultimodalTask().teaching_data(student, teacher.preprocessing)
    batch = next(iter(student.evaluation_loader(student.validation_rows)))
    assert batch.tokens.shape[1] == 16 < batch.taught.shape[1] <= 24
    module = TwoTowerModule(config(drawings, "model.text.length=24"), 32).eval()
    with torch.inference_mode():
        (shown, _), whole = module.teach(batch), module.embed_texts(batch.taught)
    assert torch.allclose(shown.chunk(2)[1], whole, atol=1e-6)


def test_equal_similarities_cost_their_entropy_alone() -> None:
    module = TwoTowerModule(build_config(MultimodalConfig, [], SMALL), 32)
    loss = module.soft_targets(DistillationMode(teacher="x"))
    student = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    rotation = torch.linalg.qr(torch.randn(7, 7)).Q[:5]
    assert float(loss(student, student @ rotation)) == pytest.approx(0, abs=1e-4)
    assert float(loss(student, student.flip(0))) > 0.1


@pytest.mark.parametrize("name", ["mean", "keyed"])
def test_finished_runs_are_blended_by_direction(name: str, drawings: Path, tmp_path: Path) -> None:
    one = train(tmp_path, config(drawings, "training.max_epochs=3"))
    two = train(tmp_path, config(drawings, "training.max_epochs=3", "training.seed=1"))
    options = ("mode=fusion", f"model={name}", f"mode.experts=[{one.id}, {two.id}]")
    run = train(tmp_path, blend(drawings, *options, "training.max_epochs=1"))
    baselines = run.record.baselines
    assert {"chance", "expert 1 alone", "expert 2 alone"} <= set(baselines)
    assert baselines["expert 1 alone"]["test/recall@5"] == pytest.approx(
        one.record.metrics["test/recall@5"], abs=1e-6
    )
    assert run.record.metrics["test/recall@10"] > 0
