"""A small training run that would betray any inexact resume; importable by a child process."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn

from tutelage.training.checkpoints import (
    CheckpointManager,
    RandomState,
    TutelageCheckpointIO,
    find_valid,
)
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.samplers import SeededBatchSampler


class Killed(Exception):
    """Stands for the death of the process."""


class Kill(pl.Callback):
    """Ends the process after a given batch, counted over epochs."""

    def __init__(self, after: int, signal_: int | None = None) -> None:
        self.after, self.signal, self.batches = after, signal_, 0

    def on_train_batch_start(self, trainer, *args) -> None:
        if trainer.fit_loop.total_batch_idx == self.after:
            if self.signal is not None:
                os.kill(os.getpid(), self.signal)
            raise Killed


class Net(pl.LightningModule):
    """BatchNorm, dropout, augmentation before and after the transfer, AdamW."""

    def __init__(self, scheduler: str) -> None:
        super().__init__()
        self.scheduler = scheduler
        self.net = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
        )
        self.seen: list[float] = []

    def on_after_batch_transfer(self, batch, dataloader_idx):
        x, y = batch
        return (x + 0.1 * torch.randn_like(x) if self.trainer.training else x), y

    def training_step(self, batch, batch_idx) -> Tensor:
        x, y = batch
        return F.cross_entropy(self.net(x + 0.1 * torch.randn_like(x)), y)

    def validation_step(self, batch, batch_idx) -> None:
        torch.rand(3)  # a validation that draws must not matter either
        x, y = batch
        self.log("val/loss", F.cross_entropy(self.net(x), y), batch_size=len(y))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), 1e-2)
        if self.scheduler == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=0.5, patience=0, threshold=0.2
            )
            return [optimizer], [{"scheduler": plateau, "monitor": "val/loss"}]
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 24)
        return [optimizer], [{"scheduler": cosine, "interval": "step"}]


@dataclass
class Setup:
    """How a run is trained."""

    every_n_steps: int | None = None
    every_n_epochs: int = 1
    scheduler: str = "cosine"
    prefetch: int = 0
    early_stopping: bool = False
    monitor: str | None = "val/loss"
    trainer: dict[str, object] = field(default_factory=dict)


def train(
    folder: Path,
    setup: Setup,
    kill: pl.Callback | None = None,
    samples: int = 150,
    *,
    resume: bool = True,
) -> tuple[str, int]:
    """Train, resuming when ``folder`` holds a checkpoint; return weights' digest and steps."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, 6, generator=generator)
    y = (x[:, 0] > 0).long()
    checkpoint = find_valid(folder) if resume else None
    pl.seed_everything(1 if checkpoint is None else 99, verbose=False)
    model = Net(setup.scheduler)
    loader = ResumableLoader(
        lambda i: (x[i], y[i]), SeededBatchSampler(samples, 10, seed=3), prefetch=setup.prefetch
    )
    evaluation = EvalLoader(
        lambda i: (x[i], y[i]), SeededBatchSampler(samples, 50, seed=0, shuffle=False)
    )
    manager = CheckpointManager(
        folder, setup.every_n_steps, setup.every_n_epochs, monitor=setup.monitor, keep_last=2
    )
    stop = [EarlyStopping("val/loss", patience=1, min_delta=10.0)] if setup.early_stopping else []
    arguments: dict[str, object] = {"max_epochs": 3, "accumulate_grad_batches": 2, "devices": 1}
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        plugins=[TutelageCheckpointIO()],
        callbacks=[RandomState(), manager, *stop, *([kill] if kill else [])],
        **(arguments | setup.trainer),
    )
    trainer.fit(model, loader, evaluation, ckpt_path=checkpoint)
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16], trainer.global_step


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    train(Path(sys.argv[1]), Setup(every_n_steps=2), Kill(int(sys.argv[2]), signal.SIGKILL))
