"""`MetricsCollector`: true means over an epoch, kept in tensors, written every n steps."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from tutelage.core.files import atomic_file, storage_errors
from tutelage.training.contracts import TaskModule
from tutelage.training.ranks import Ranks, gather_ranks, sum_over_ranks

COLUMNS = ("epoch", "step", "metric", "value", "seconds")
Row = tuple[int, int, str, float, float]


class MetricsCollector(Callback):
    """Collect what `training_step` returns and what validation logs; write them as a long table.

    Training scalars of the last n steps, of all processes together, become one row each
    (``train/loss``), and their mean over the epoch, weighted by samples, another (``epoch/loss``).
    Scalars stay tensors until a row is written, so a step costs no synchronisation. The trainer's
    loggers, if any, get the same.

    Args:
        path: The CSV file, columns `COLUMNS`. A resumed run goes on in it.
        every_n_steps: Optimiser steps between two rows.
        without_diverged: Leave out the batches whose loss is no number, as training does.
    """

    def __init__(self, path: Path, every_n_steps: int, without_diverged: bool = False) -> None:
        self.path = path
        self.every_n_steps: int = every_n_steps
        self.without_diverged: bool = without_diverged
        self.latest: dict[str, float] = {}
        self._pending: list[dict[str, Tensor]] = []
        self._samples: list[int] = []
        self._sums: dict[str, float] = {}
        self._seen = 0
        self._rows: list[Row] = []
        self._due = every_n_steps
        self._started = time.monotonic()
        self._writes = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the file, or drop the rows that a resumed run is about to write again."""
        self._started = time.monotonic()
        self._due = self.every_n_steps * trainer.accumulate_grad_batches
        self._writes = trainer.is_global_zero
        if not self._writes:
            return
        kept: list[list[str]] = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)]  # none torn
            kept = [row for row in rows[1:] if int(row[1]) <= trainer.global_step]
        with atomic_file(self.path) as out:
            lines = [",".join(row) for row in ([*COLUMNS], *kept)]
            out.write(("\n".join(lines) + "\n").encode())

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keep the step's scalars; every n steps, reduce and write them."""
        assert isinstance(pl_module, TaskModule)
        self._pending.append(outputs)
        self._samples.append(pl_module.samples(batch))
        if len(self._pending) >= self._due:
            self._reduce(trainer)

    def _reduce(self, trainer: Trainer) -> None:
        if not self._pending:
            return
        weights = torch.tensor(self._samples, dtype=torch.float64)
        names = list(self._pending[-1])
        if self.without_diverged:
            weights *= self._values("loss").isfinite()
        sums = [*(self._total(name, weights) for name in names), float(weights.sum())]
        *totals, samples = sum_over_ranks(torch.tensor(sums, dtype=torch.float64)).tolist()
        for name, total in zip(names, totals, strict=True):
            if name == "loss":  # Lightning divides it by the batches that are accumulated
                total *= trainer.accumulate_grad_batches
            self._sums[name] = self._sums.get(name, 0.0) + total
            if samples:
                self._add(trainer, f"train/{name}", total / samples)
        self._seen += round(samples)
        self._pending, self._samples = [], []
        self._write()

    def _total(self, name: str, weights: Tensor) -> float:
        values = self._values(name)
        if self.without_diverged:
            values = values.where(weights > 0, 0.0)
        return float((values * weights).sum())

    def _values(self, name: str) -> Tensor:
        """One scalar of each pending batch."""
        device = self._pending[-1][name].device  # a resumed run begins with values from the CPU
        values = torch.stack([step[name].detach().to(device) for step in self._pending])
        return values.double().cpu()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the means over the whole epoch."""
        self._reduce(trainer)
        for name, total in self._sums.items():
            if self._seen:
                self._add(trainer, f"epoch/{name}", total / self._seen)
        self._add(trainer, "learning_rate", trainer.optimizers[0].param_groups[0]["lr"])
        self._sums, self._seen = {}, 0
        self._write()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the validation metrics."""
        for name, value in trainer.callback_metrics.items():
            if name.startswith("val/"):
                self._add(trainer, name, float(value))
        self._write()

    def _add(self, trainer: Trainer, name: str, value: float) -> None:
        self.latest[name] = value
        if not name.startswith("val/"):  # Lightning passes on what a module logs
            for logger in trainer.loggers:
                logger.log_metrics({name: value}, trainer.global_step)
        seconds = round(time.monotonic() - self._started, 3)
        self._rows.append((trainer.current_epoch, trainer.global_step, name, value, seconds))

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        if not self._writes:
            return
        with storage_errors(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    def state_dict(self) -> dict[str, Any]:
        """The sums of an unfinished epoch, and what each process has not added to them yet."""
        outputs = {
            name: gather_ranks(torch.stack([out[name].detach().cpu() for out in self._pending]))
            for name in (self._pending[0] if self._pending else ())
        }
        return {
            "pending": outputs,
            "samples": gather_ranks(torch.tensor(self._samples, dtype=torch.int64)),
            "sums": dict(self._sums),
            "seen": self._seen,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with an unfinished epoch."""
        rank = Ranks.here().rank
        columns: dict[str, Tensor] = state_dict["pending"]
        self._samples = state_dict["samples"][rank].tolist()
        self._pending = [
            {name: column[rank, step] for name, column in columns.items()}
            for step in range(len(self._samples))
        ]
        self._sums, self._seen = dict(state_dict["sums"]), state_dict["seen"]
