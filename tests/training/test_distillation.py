"""Mode distillation: a student learns from its teacher, and nothing of the teacher stays in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_task import (
    Batch,
    TinyConfig,
    TinyModule,
    TinyTask,
    crash_at,
    same_bits,
    sample,
    tiny,
    train,
    weights,
)

from tutelage.core.config import DistillationMode
from tutelage.core.errors import CheckpointError, ConfigError, RunFailedError, StoreError
from tutelage.core.store import CONFIG, WEIGHTS, Run, RunStore
from tutelage.report.curves import read_history
from tutelage.training.checkpoint_files import TutelageCheckpointIO, list_checkpoints
from tutelage.training.launch import launch
from tutelage.training.modes.distillation import Distillation, Heir
from tutelage.training.restore import restore_module

FAST = ("training.accelerator=cpu", "training.max_epochs=2")
RESUME = ("training.checkpoints.every_n_steps=2", "run.policy=resume_if_incomplete")
TEACHER = (*FAST, "model.hidden=9", "run.name=teacher")
MATCHING = ("mode.feature_weight=0.5",)


def teacher(home: Path, *settings: str) -> Run:
    return train(home, *TEACHER, *settings).run


def student(home: Path, *settings: str, **more: object) -> Run:
    """A student of the home's teacher, with some settings."""
    known = [run for run in RunStore(home).runs() if "teacher" in run.id]
    named = f"mode.teacher={(known or [teacher(home)])[0].id}"
    return train(home, *FAST, "mode=distillation", named, *settings, **more).run  # type: ignore[arg-type]


def module(hidden: int, seed: int) -> TinyModule:
    torch.manual_seed(seed)
    built = TinyTask().build(tiny(f"model.hidden={hidden}"), {"mean": [0.1] * 8})
    return built.eval()


def distillation(**settings: float) -> tuple[Distillation, TinyModule, TinyModule, Batch]:
    """The objective, its student and teacher, and a batch."""
    ours, theirs = module(4, 0), module(9, 1)
    mode = DistillationMode.model_validate({"teacher": "T", **settings})
    torch.manual_seed(2)
    return Distillation(mode, theirs, ours), ours, theirs, sample(20, 5)


def test_the_loss_is_the_weighted_sum_of_task_soft_targets_and_features() -> None:
    objective, ours, theirs, (x, y) = distillation(temperature=3, alpha=0.6, feature_weight=0.25)
    hidden = [m.network[:-1]((x - m.mean) / m.scale) for m in (ours, theirs)]
    mine, taught = ours.network[-1](hidden[0]), theirs.network[-1](hidden[1])
    p, q = (taught / 3).softmax(1), (mine / 3).softmax(1)
    soft = 9 * (p * (p / q).log()).sum(1).mean()
    assert objective.features is not None
    matching = (objective.features.projection(hidden[0]) - hidden[1]).square().mean()
    expected = 0.6 * soft + 0.4 * F.cross_entropy(mine, y) + 0.25 * matching
    scalars = objective(ours, (x, y))
    torch.testing.assert_close(scalars["loss"], expected)
    torch.testing.assert_close(scalars["soft_loss"], soft.detach())
    torch.testing.assert_close(scalars["feature_loss"], matching.detach())


def test_with_nothing_of_the_teacher_a_student_is_the_normal_model_bit_for_bit(
    tmp_path: Path,
) -> None:
    alone = train(tmp_path, *FAST).run
    taught = student(tmp_path, "mode.alpha=0")
    assert same_bits(alone, taught)
    assert alone.metrics == taught.metrics


def test_each_option_changes_what_is_learned(tmp_path: Path) -> None:
    other = teacher(tmp_path, "training.seed=5", "run.name=other")
    runs = [student(tmp_path)]
    named = f"teacher={other.id}"
    for option in ("temperature=1", "alpha=0.2", "feature_weight=0.5", "start=teacher", named):
        run = student(tmp_path, f"mode.{option}")
        assert not any(same_bits(run, earlier) for earlier in runs), option
        runs.append(run)


class _OwnStart(TinyModule):
    inherit = None  # type: ignore[assignment]


def test_a_student_begins_with_what_fits_of_its_teacher_or_is_refused() -> None:
    ours, theirs, plain = module(4, 0), module(9, 1), module(4, 0)
    plain.__class__ = _OwnStart
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    ours.inherit(theirs)
    after = ours.state_dict()
    assert torch.equal(after["network.4.bias"], theirs.state_dict()["network.4.bias"])
    assert torch.equal(after["network.4.weight"], before["network.4.weight"])  # of another shape
    assert isinstance(ours, Heir) and not isinstance(plain, Heir)


def test_a_model_that_takes_nothing_over_says_so(tmp_path: Path) -> None:
    class Alone(TinyTask):
        def build(self, config: TinyConfig, preprocessing: Mapping[str, object]) -> TinyModule:
            built = super().build(config, preprocessing)
            built.__class__ = _OwnStart
            return built

    taught = teacher(tmp_path)
    settings = tiny(*FAST, "mode=distillation", f"mode.teacher={taught.id}", "mode.start=teacher")
    with pytest.raises(ConfigError, match="can't begin with its teacher's weights"):
        launch(Alone(), settings, RunStore(tmp_path))


def test_a_student_that_hears_its_teacher_alone_does_not_look_at_labels() -> None:
    objective, ours, _, (x, y) = distillation(alpha=1)
    assert torch.equal(objective(ours, (x, y))["loss"], objective(ours, (x, 1 - y))["loss"])


def test_a_student_comes_closer_to_its_teacher_than_a_model_of_its_own(tmp_path: Path) -> None:
    task, x = TinyTask(), sample(200, 9)
    apart = []
    taught = teacher(tmp_path, "training.max_epochs=20")
    longer = ("training.max_epochs=20", "model.dropout=0")
    for run in (student(tmp_path, *longer, "mode.alpha=1"), train(tmp_path, *FAST, *longer).run):
        with torch.no_grad():
            mine, theirs = (restore_module(task, r).scores(x) for r in (run, taught))  # type: ignore[operator]
        apart.append(float((mine - theirs).abs().mean()))
    assert apart[0] < apart[1]


def test_the_teacher_stays_as_it_was_and_draws_nothing_at_random() -> None:
    objective, ours, theirs, batch = distillation(feature_weight=1)
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    ours.objective = objective
    ours.train()
    optimizer = torch.optim.SGD(ours.parameters(), 0.1)
    for _ in range(3):
        objective(ours, batch)["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert ours.network.training and not theirs.training and not theirs.network.training
    assert all(torch.equal(before[name], value) for name, value in theirs.state_dict().items())
    assert all(p.grad is None for p in theirs.parameters())


def test_the_teacher_moves_with_its_student() -> None:
    objective, ours, theirs, _ = distillation()
    ours.objective = objective
    ours.double()
    assert {p.dtype for p in theirs.parameters()} == {torch.float64}


def test_checkpoints_hold_the_projection_and_no_teacher_and_the_saved_model_neither(
    tmp_path: Path,
) -> None:
    run = student(tmp_path, *MATCHING, "model.hidden=5")
    alone = train(tmp_path, *FAST, "model.hidden=5").run
    content = TutelageCheckpointIO().load_checkpoint(list_checkpoints(run.checkpoints)[-1])
    projection = {f"objective.features.projection.{part}" for part in ("weight", "bias")}
    assert set(content["state_dict"]) == {*weights(alone), *projection}
    (optimizer,) = content["optimizer_states"]
    trained = len(list(module(5, 0).parameters())) + len(projection)
    assert len(optimizer["state"]) == trained
    first = TutelageCheckpointIO().load_checkpoint(list_checkpoints(run.checkpoints)[0])
    for name in projection:
        assert not torch.equal(first["state_dict"][name], content["state_dict"][name])
    assert weights(run).keys() == weights(alone).keys()
    assert isinstance(restore_module(TinyTask(), run), TinyModule)


@pytest.mark.parametrize("crash", [3, 7])
@pytest.mark.parametrize(
    "more", ["mode.alpha=0.7", "training.averaging.name=ema", "training.precision=64"]
)
def test_a_student_whose_training_broke_off_ends_with_the_same_bits(
    tmp_path: Path, crash: int, more: str
) -> None:
    settings = (*RESUME, *MATCHING, more)
    whole = student(tmp_path / "whole", *settings)
    teacher(tmp_path)
    with pytest.raises(RunFailedError, match="struck"):
        student(tmp_path, *settings, on_step=crash_at(crash, RuntimeError("lightning struck")))
    resumed = student(tmp_path, *settings)
    assert len(RunStore(tmp_path).runs()) == 2  # it went on, it did not start over
    assert same_bits(resumed, whole)


def test_the_batch_size_is_measured_with_the_teacher_beside_the_student(tmp_path: Path) -> None:
    sizing = ("training.batch_size=auto", "training.batch_sizing.max_size=16")
    run = student(tmp_path, *sizing, *MATCHING)
    assert (run.path / "batch_size.json").exists() and run.status == "finished"


def test_lineage_and_configuration_name_the_teacher_by_its_id(tmp_path: Path) -> None:
    taught = teacher(tmp_path)
    run = train(tmp_path, *FAST, "mode=distillation", "mode.teacher=@last").run
    assert [(p.run, p.role) for p in run.record.parents] == [(taught.id, "teacher")]
    assert run.record.audit is not None and run.record.audit.verdict == "clean"
    assert f'"teacher": "{taught.id}"' in (run.path / CONFIG).read_text()
    (beside,) = [t for t in run.record.tables if t.title == "Student beside its teacher"]
    scores = {row[0]: row[1:] for row in beside.rows}
    assert len(scores.pop("parameters")) == 2 and scores
    for key, both in scores.items():
        assert both == (run.metrics[str(key)], taught.metrics[str(key)])
    path = train(tmp_path, *FAST, "mode=distillation", f"mode.teacher={taught.path}")
    assert (path.origin, path.run.id) == ("reused", run.id)


def test_metrics_show_the_parts_of_the_loss_that_count(tmp_path: Path) -> None:
    parts = {"epoch/task_loss", "epoch/soft_loss", "epoch/feature_loss"}
    seen = read_history(student(tmp_path, *MATCHING).path / "metrics.csv").keys()
    assert seen >= parts
    seen = read_history(student(tmp_path).path / "metrics.csv").keys()
    assert parts & seen == {"epoch/task_loss", "epoch/soft_loss"}


def test_a_curriculum_run_and_a_student_can_teach(tmp_path: Path) -> None:
    curriculum = train(tmp_path, *FAST, "mode=curriculum", "run.name=teacher").run
    first = student(tmp_path)
    second = train(tmp_path, *FAST, "mode=distillation", f"mode.teacher={first.id}").run
    lineage = [[parent.run for parent in run.record.parents] for run in (first, second)]
    assert lineage == [[curriculum.id], [first.id]]


def test_a_run_that_can_not_teach_is_refused_before_any_work(tmp_path: Path) -> None:
    wrong = train(tmp_path, *FAST, "mode=autoencoder", "model=reconstructor").run
    settings = ("mode=distillation", f"mode.teacher={wrong.id}", "data.samples=0")
    with pytest.raises(ConfigError, match="a 'reconstructor' can't teach") as caught:
        train(tmp_path, *FAST, *settings)
    assert caught.value.where == f"mode.teacher={wrong.id}"
    assert "runs of classifier" in str(caught.value.hint)
    assert [run.id for run in RunStore(tmp_path).runs()] == [wrong.id]


def test_a_teacher_of_other_inputs_is_refused_and_no_run_is_left(tmp_path: Path) -> None:
    taught = teacher(tmp_path, "data.samples=50")
    trained: list[int] = []
    with pytest.raises(ConfigError, match="not see the same inputs: the mean differs"):
        student(tmp_path, on_step=lambda module, batch: trained.append(1))
    assert not trained and [run.id for run in RunStore(tmp_path).runs()] == [taught.id]


def test_a_teacher_whose_weights_were_changed_is_refused(tmp_path: Path) -> None:
    path = teacher(tmp_path).path / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="changed after the run finished"):
        student(tmp_path)


@pytest.mark.parametrize(
    ("setting", "kind", "message"),
    [
        ("mode.alpha=0.5", ConfigError, "mode.teacher is missing\n.*finished run to learn from"),
        ("mode.teacher=nobody", StoreError, "nobody"),
        ("mode.alpha=1.5", ConfigError, "mode.alpha=1.5"),
        ("mode.temperature=0", ConfigError, "mode.temperature=0"),
        ("mode.feature_weight=-1", ConfigError, "mode.feature_weight=-1"),
    ],
)
def test_a_wrong_setting_is_refused(
    tmp_path: Path, setting: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        train(tmp_path, *FAST, "mode=distillation", setting)
    assert RunStore(tmp_path).runs() == []
