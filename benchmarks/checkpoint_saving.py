"""Claim: saving 100 MB of training state blocks training for at most 25 ms, checksummed and synced.

Run: python benchmarks/checkpoint_saving.py [--json FILE] [--megabytes N] [--saves N]

The same model and AdamW state are saved at the end of each of some epochs of twenty steps: by our
checkpoint files, written by a thread from a copy; by the same files written at once; and by what
Lightning saves with, which neither syncs nor checks. Wall-clock time of the call, the second time
round.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from targets import Target, conclude
from tutelage.training.checkpoints import TutelageCheckpointIO

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
TARGET_MS = 25.0
STEPS = 20


class Model(pl.LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.network(batch[0]).square().mean()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-4)


class Saver(pl.Callback):
    """Saves at each epoch's end and notes how long the call took."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.milliseconds = folder, []  # type: tuple[Path, list[float]]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        begun = time.perf_counter()
        trainer.save_checkpoint(self.folder / f"step-{trainer.global_step:010d}.safetensors")
        self.milliseconds.append(1e3 * (time.perf_counter() - begun))
        for old in sorted(self.folder.glob("step-*"))[:-6]:
            old.unlink(missing_ok=True)


def measure(io: Any, width: int, saves: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=".") as place:
        saver = Saver(Path(place))
        data = DataLoader(TensorDataset(torch.randn(8 * STEPS, width)), batch_size=8)
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=saves + 1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            plugins=[io],
            callbacks=[saver],
            default_root_dir=place,
        )
        trainer.fit(Model(width), data)
        size = max(file.stat().st_size for file in Path(place).glob("step-*"))
    taken = saver.milliseconds[1:]  # the first one makes the room that later ones use
    return {
        "blocked_ms": statistics.median(taken),
        "first_blocked_ms": saver.milliseconds[0],
        "worst_blocked_ms": max(taken),
        "megabytes": size / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--saves", type=int, default=12)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    width = int((args.megabytes * 1e6 / 12) ** 0.5)  # weights and two moments, four bytes each
    ways: dict[str, Any] = {
        "tutelage, in the background": lambda: TutelageCheckpointIO(background=True),
        "tutelage, at once": TutelageCheckpointIO,
        "Lightning's default": TorchCheckpointIO,
    }
    rounds = [
        {name: measure(make(), width, args.saves) for name, make in ways.items()} for _ in "ab"
    ]
    figures = {name: rounds[1][name] for name in ways}
    machine = {
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": pl.__version__,
    }
    print(json.dumps(machine))
    for name, found in figures.items():
        print(f"{name:30}" + "  ".join(f"{key} {value:.1f}" for key, value in found.items()))
    blocked = figures["tutelage, in the background"]["blocked_ms"]
    asked = Target("training held up by a checkpoint, ms", blocked, "≤", TARGET_MS)
    conclude({"machine": machine, "figures": figures}, [asked], args.json)


if __name__ == "__main__":
    main()
