"""CAN models train in each arithmetic: their batches, which can't be changed, are converted too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from made_captures import can_config, write_drive

from tutelage import api
from tutelage.core.config import RunConfig
from tutelage.core.errors import RunFailedError
from tutelage.core.store import WEIGHTS, Run, RunStore
from tutelage.tasks.can import CANTask
from tutelage.training.contracts import TaskModule
from tutelage.training.launch import launch

pytestmark = pytest.mark.system

ONE = ("training.max_epochs=1", "training.accelerator=cpu", "training.batch_size=8")
RESUME = ("training.checkpoints.every_n_steps=2", "run.policy=resume_if_incomplete")
AUTOENCODER = ("mode=autoencoder", "model=vgae", "model.hidden=6")


class Watched(CANTask):
    """Notes the types of weights and node features in each pass.

    Args:
        breaks: The number of the pass that breaks.
        only: The type of weights beside which training breaks.
    """

    def __init__(self, breaks: int | None = None, only: torch.dtype | None = None) -> None:
        self.seen: list[tuple[torch.dtype, torch.dtype]] = []
        self.breaks, self.only = breaks, only

    def build(self, config: RunConfig, preprocessing: Mapping[str, Any]) -> TaskModule:
        built = super().build(config, preprocessing)  # type: ignore[arg-type]

        def look(network: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            if len(self.seen) == self.breaks:
                raise RuntimeError("lightning struck")
            weights = next(network.parameters()).dtype
            if self.only not in (None, weights) and network.training:
                raise RuntimeError(f"trained in {weights}")
            self.seen.append((weights, given[0].dtype))

        built.network.register_forward_pre_hook(look)
        return built


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One simulated drive with attacks."""
    path = tmp_path_factory.mktemp("captures") / "fuzzing.csv"
    write_drive(path, 1, "fuzzing", seconds=12)
    return path


def train(home: Path, drive: Path, *settings: str, task: CANTask | None = None) -> Run:
    config = can_config(f"data.root={drive}", *ONE, *settings)
    return launch(task or CANTask(), config, RunStore(home)).run


@pytest.mark.parametrize("model", [(), AUTOENCODER], ids=["gat", "vgae"])
@pytest.mark.parametrize(("precision", "weights", "features"), [
    ("64", torch.float64, torch.float64),
    ("bf16", torch.float32, torch.float32),
])  # fmt: skip
def test_each_arithmetic_trains_resumes_to_the_same_bits_and_repeats_its_scores(
    tmp_path: Path,
    drive: Path,
    model: tuple[str, ...],
    precision: str,
    weights: torch.dtype,
    features: torch.dtype,
) -> None:
    settings = (*model, f"training.precision={precision}", *RESUME)
    watched = Watched()
    whole = train(tmp_path / "whole", drive, *settings, task=watched)
    assert watched.seen[0] == (weights, features)
    with pytest.raises(RunFailedError, match="struck"):
        train(tmp_path, drive, *settings, task=Watched(breaks=5))
    resumed = train(tmp_path, drive, *settings)
    assert list(resumed.checkpoints.iterdir())
    assert (resumed.path / WEIGHTS).read_bytes() == (whole.path / WEIGHTS).read_bytes()
    assert resumed.metrics == whole.metrics
    assert api.evaluate(resumed, home=tmp_path).evaluation.metrics == resumed.metrics


def test_a_batch_size_is_measured_in_the_arithmetic_of_training(
    tmp_path: Path, drive: Path
) -> None:
    sizes = ("training.batch_sizing.min_size=4", "training.batch_sizing.max_size=8")
    auto = ("training.batch_size=auto", *sizes)
    task = Watched(only=torch.float64)  # in the probe's process too, where it breaks the run
    train(tmp_path, drive, "training.precision=64", *auto, "training.max_steps=1", task=task)
    with pytest.raises(RunFailedError, match="trained in torch.float32"):
        train(tmp_path, drive, *auto, task=task)
