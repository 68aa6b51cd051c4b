"""`DivergenceGuard`: what happens when a gradient is no number: stop, skip the step, or go back."""

from __future__ import annotations

import logging
from typing import Any, Final, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from tutelage.core.errors import DivergedError
from tutelage.training.checkpoint_files import TutelageCheckpointIO
from tutelage.training.checkpoints import CheckpointManager
from tutelage.training.loaders import ResumableLoader

log = logging.getLogger(__name__)
OnNaN = Literal["stop", "skip", "rollback"]
MOST_IN_A_ROW: Final = 10
"""Steps in a row without a finite gradient after which nothing will help."""
_SHOWN: Final = 8


class DivergenceGuard(Callback):
    """Looks at each step's gradient before it moves a weight.

    A loss that is NaN or infinite has such a gradient, and with several processes the gradient is
    their mean: all see the same and do the same. Half precision's scaler makes infinite gradients
    on purpose and leaves out their steps itself: there, nothing is looked at.

    Args:
        policy: `stop`: fail; `skip`: leave the step out; `rollback`: leave it out and go on from
            the newest checkpoint's weights and optimiser.
        manager: Has the checkpoints.
    """

    def __init__(self, policy: OnNaN, manager: CheckpointManager) -> None:
        self.policy, self.manager = policy, manager
        self.skipped, self._in_a_row = 0, 0
        self._buffers: list[Tensor] | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep what the forward pass of a bad batch would spoil, until the step."""
        if self._buffers is None and self.policy != "stop":
            self._buffers = [buffer.clone() for buffer in pl_module.buffers()]

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Judge the gradient of all parameters together.

        Raises:
            RunFailedError: It is not finite, and the policy is to stop, or nothing else helped.
        """
        if trainer.scaler is None and not _finite(pl_module):
            self._diverged(trainer, pl_module)
        else:
            self._in_a_row = 0
        self._buffers = None

    def _diverged(self, trainer: Trainer, module: LightningModule) -> None:
        step = trainer.global_step + 1
        where = f"step {step}, epoch {trainer.current_epoch + 1}{_samples(trainer)}"
        self._in_a_row += 1
        self.manager.settle(trainer)
        if self.policy == "stop" or self._in_a_row >= MOST_IN_A_ROW:
            raise self._failure(where)
        for parameter in module.parameters():
            parameter.grad = None  # the optimiser leaves out what has none
        assert self._buffers is not None
        for buffer, kept in zip(module.buffers(), self._buffers, strict=True):
            buffer.copy_(kept)
        self.skipped += 1
        log.warning("the gradient is not finite at %s; this step is left out", where)
        if self.policy == "rollback":
            self._go_back(trainer, module)

    def _go_back(self, trainer: Trainer, module: LightningModule) -> None:
        newest = self.manager.latest()
        if newest is None:
            log.warning("there is no checkpoint yet to go back to")
            return
        state: dict[str, Any] = TutelageCheckpointIO().load_checkpoint(newest)
        module.load_state_dict(state["state_dict"])
        for optimizer, saved in zip(trainer.optimizers, state["optimizer_states"], strict=True):
            rates = [group["lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        log.warning("went back to the weights of %s", newest.name)

    def _failure(self, where: str) -> DivergedError:
        newest = self.manager.latest()
        saved = "no checkpoint is left" if newest is None else f"the last good one is {newest.name}"
        said = f"training diverged: the gradient is not finite at {where}; {saved}"
        hint = (
            "Look at those samples; lower training.learning_rate or training.gradient_clip, or "
            "leave such steps out: training.on_nan=skip."
        )
        if self.policy != "stop":
            said = f"{said}; {MOST_IN_A_ROW} steps in a row were so"
            hint = "Look at those samples, and lower training.learning_rate."
        return DivergedError(said, hint=hint)

    def state_dict(self) -> dict[str, Any]:
        """Steps that were left out, in all and of late."""
        return {"skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.skipped, self._in_a_row = state_dict["skipped"], state_dict["in_a_row"]


def _finite(module: LightningModule) -> bool:
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return not gradients or bool(torch.nn.utils.get_total_norm(gradients).isfinite())


def _samples(trainer: Trainer) -> str:
    """Name the samples of the step in this process, where the loader tells."""
    loader = trainer.train_dataloader
    if not isinstance(loader, ResumableLoader):
        return ""
    numbers = loader.delivered(trainer.accumulate_grad_batches)
    shown, more = ", ".join(map(str, numbers[:_SHOWN])), len(numbers) - _SHOWN
    return f", samples {shown}" + (f" and {more} more" if more > 0 else "")
