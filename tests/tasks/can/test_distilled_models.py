"""Mode distillation on CAN: a GAT teaches smaller ones, on the same graphs and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_captures import can_config, write_drive

from tutelage import api
from tutelage.core.errors import ConfigError
from tutelage.core.overrides import build_config
from tutelage.core.store import Run, RunStore
from tutelage.tasks.can import CANTask
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.modules import GATModule
from tutelage.training.launch import launch
from tutelage.training.model_card import read_card
from tutelage.training.modes.distillation import Distillable
from tutelage.training.restore import restore_module

ONE = ("training.max_epochs=1", "training.accelerator=cpu")


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One simulated drive with attacks."""
    path = tmp_path_factory.mktemp("captures") / "fuzzing.csv"
    write_drive(path, 1, "fuzzing", seconds=12)
    return path


@pytest.fixture(scope="module")
def home(drive: Path) -> Path:
    """A home with one finished teacher."""
    folder = drive.parent / "home"
    train(folder, drive, "model.hidden=6", "run.name=teacher")
    return folder


def train(home: Path, drive: Path, *settings: str) -> Run:
    config = can_config(f"data.root={drive}", *ONE, *settings)
    return launch(CANTask(), config, RunStore(home)).run


def teacher(home: Path) -> Run:
    (run,) = (run for run in RunStore(home).runs() if "teacher" in run.id)
    return run


def distil(home: Path, drive: Path, *settings: str) -> Run:
    return train(home, drive, "mode=distillation", f"mode.teacher={teacher(home).id}", *settings)


def test_a_student_is_scored_as_any_model_and_names_its_teacher(home: Path, drive: Path) -> None:
    run = distil(home, drive, "mode.feature_weight=0.1")
    alone = train(home, drive)
    assert run.metrics.keys() == alone.metrics.keys() and run.metrics
    assert [(p.run, p.role, p.same_data) for p in run.record.parents] == [
        (teacher(home).id, "teacher", True)
    ]
    ours, theirs = read_card(run.path), read_card(alone.path)
    assert (ours.config, ours.tensors) == (theirs.config, theirs.tensors)
    assert ours.digest != theirs.digest
    assert api.evaluate(run, home=home).evaluation.metrics == run.metrics


@torch.no_grad()
def test_logits_and_features_come_from_one_pass(home: Path, drive: Path) -> None:
    module = restore_module(CANTask(), teacher(home))
    data = CANGraphDataModule(can_config(f"data.root={drive}"), drive.parent / "cache")
    data.setup("fit")
    batch = data.store.batch(torch.arange(6))
    assert isinstance(module, GATModule) and isinstance(module, Distillable)
    logits, features = module.outputs(batch)
    assert features.shape == (6, module.feature_width)
    assert torch.equal(logits, module.logits(batch))
    assert torch.equal(logits, module.network.head(features))
    assert torch.equal(module.task_loss(logits, batch), module.step(batch)["loss"])


def test_an_autoencoder_can_not_teach(home: Path, drive: Path, tmp_path: Path) -> None:
    scorer = train(home, drive, "mode=autoencoder", "model=vgae")
    with pytest.raises(ConfigError, match="a 'vgae' can't teach.*\n.*runs of gat"):
        train(home, drive, "mode=distillation", f"mode.teacher={scorer.id}", "data.window=50")


@pytest.mark.parametrize(
    ("setting", "what", "had"),
    [
        ("data.window=50", "window", "data.window=100"),
        ("data.test_fraction=0.4", "median_gap", "data.test_fraction=0.2"),
    ],
)
def test_a_teacher_of_other_graphs_is_refused_with_what_differs(
    home: Path, drive: Path, setting: str, what: str, had: str
) -> None:
    before = len(RunStore(home).runs())
    said = f"same inputs: .*{what}.* of the traffic profile"
    with pytest.raises(ConfigError, match=said) as caught:
        distil(home, drive, setting)
    assert f"The teacher had {had}." in str(caught.value.hint)
    assert len(RunStore(home).runs()) == before


def test_every_preset_of_a_student_can_be_distilled() -> None:
    task = CANTask()
    presets = {name: settings for name, settings in task.presets() if "student" in name}
    assert {"student", "student-small", "student-tiny"} <= presets.keys()
    for name in ("student", "student-small", "student-tiny"):
        typed = ("mode=distillation", "mode.teacher=@last")
        task.check(build_config(CANConfig, [presets[name]], typed))
