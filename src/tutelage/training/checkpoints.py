"""`CheckpointManager`: takes checkpoints that resume exactly, keeps the last and the best."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from tutelage.core.errors import CheckpointError, ConfigError, StorageError
from tutelage.core.files import storage_errors
from tutelage.training import resume
from tutelage.training.block_mean import ERROR
from tutelage.training.checkpoint_files import (
    NOTE,
    SUFFIX,
    CheckpointMarker,
    CheckpointStatus,
    TutelageCheckpointIO,
    check,
    find_valid,
    list_checkpoints,
    read_marker,
    verify,
)
from tutelage.training.resume import RandomState

__all__ = [
    "CheckpointManager",
    "CheckpointMarker",
    "CheckpointStatus",
    "RandomState",
    "TutelageCheckpointIO",
    "find_valid",
    "verify",
]

logger: Final = logging.getLogger(__name__)


class CheckpointManager(Checkpoint):
    """Takes checkpoints at step and epoch ends, prunes old ones, finds and verifies them.

    It stands in for Lightning's ModelCheckpoint and needs `TutelageCheckpointIO` as a plugin and
    `RandomState` among the callbacks. A checkpoint due in the middle of an accumulation waits for
    the optimiser's step; one due just before a validation waits for its end; one due on the last
    batch that an epoch trains waits for the epoch's end, where the monitored metric is known. It
    comes last among the callbacks, behind those that may stop the training.

    Args:
        folder: Where they go, one run a folder; made when needed.
        every_n_steps: Optimiser steps between checkpoints within an epoch; None for none.
        every_n_epochs: Epochs between checkpoints at an epoch's end; 0 for none.
        keep_last: How many of the newest are kept, at least 1.
        keep_best: How many of the best by ``monitor`` are kept besides.
        monitor: A name in ``trainer.callback_metrics``; None for no ranking.
        mode: Whether the least or the greatest value is best.
        ranked_from: First epoch, from 0, that can be the best.

    Raises:
        ConfigError: An argument is out of range.
    """

    @staticmethod
    def find_valid(folder: Path) -> Path | None:
        """Return the newest checkpoint of a folder that is whole: `checkpoint_files.find_valid`."""
        return find_valid(folder)

    @staticmethod
    def verify(folder: Path) -> list[CheckpointStatus]:
        """Say of each checkpoint of a folder whether it is whole: `checkpoint_files.verify`."""
        return verify(folder)

    def __init__(
        self,
        folder: Path,
        every_n_steps: int | None = None,
        every_n_epochs: int = 1,
        keep_last: int = 2,
        keep_best: int = 1,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
        ranked_from: int = 0,
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ConfigError(f"every_n_steps must be at least 1 or None, not {every_n_steps}")
        if every_n_epochs < 0 or keep_last < 1 or keep_best < 0:
            problem = (
                f"every_n_epochs {every_n_epochs}, keep_last {keep_last}, keep_best {keep_best}"
            )
            raise ConfigError(f"out of range: {problem}", hint="keep_last is at least 1.")
        if mode not in ("min", "max"):
            raise ConfigError(f"mode must be 'min' or 'max', not {mode!r}")
        self.folder: Path = Path(folder)
        self._every_n_steps, self._every_n_epochs = every_n_steps, every_n_epochs
        self._keep_last, self._keep_best = keep_last, keep_best
        self._monitor, self._mode, self._ranked_from = monitor, mode, ranked_from
        self._seen_step = 0  # optimiser steps when the last batch ended
        self._ended_step = -1  # and when the last checkpoint of an epoch's end was taken
        self._due = False
        self._validated = False
        self._metric: float | None = None
        self._error: float | None = None
        self._at_epoch_end = False
        self._loaded: resume.ResumeNote | None = None
        self._then: Callable[[], None] | None = None

    # Asking ---------------------------------------------------------------------------------

    def latest(self) -> Path | None:
        """Return the newest valid checkpoint, or None."""
        return find_valid(self.folder)

    def best(self) -> Path | None:
        """Return the best valid checkpoint by the monitored metric, or None where none has one."""
        for path in self._ranked():
            status = check(path)
            if status.valid:
                return path
            logger.warning("Checkpoint %s is skipped: %s.", path, status.problem)
        return None

    # Resuming -------------------------------------------------------------------------------

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Add what Lightning leaves out, and the metric for the marker."""
        note = resume.take_note(
            trainer,
            at_epoch_end=self._at_epoch_end,
            monitor=self._monitor,
            metric=self._metric,
            error=self._error,
        )
        checkpoint[NOTE] = note.model_dump()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Keep what Lightning leaves out until training starts; stop if that was decided."""
        if trainer.state.fn is not TrainerFn.FITTING:
            return
        if NOTE not in checkpoint:
            raise CheckpointError("the checkpoint was not taken by a CheckpointManager")
        self._loaded = resume.ResumeNote.model_validate(checkpoint[NOTE])
        trainer.should_stop = self._loaded.should_stop

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on from a checkpoint exactly, or make sure that a new fit gets a folder of its own.

        Raises:
            CheckpointError: The training data's batches differ from those of the checkpoint.
            StorageError: The folder holds another fit's checkpoints or can't be written.
        """
        note, self._loaded = self._loaded, None
        if note is not None:
            resume.apply_note(trainer, note)
            self._ended_step = note.step if note.at_epoch_end else -1
        self._seen_step = trainer.global_step
        if trainer.is_global_zero:
            self._tidy(trainer.global_step)

    def _tidy(self, start: int) -> None:
        """Remove half-written files, and checkpoints beyond the step that training starts from."""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob(".step-*.tmp"):
                path.unlink(missing_ok=True)
        beyond = [path for path in list_checkpoints(self.folder) if _step(path) > start]
        if start == 0 and any(_marker(path) for path in beyond):
            problem = f"already holds another fit's checkpoints, up to step {_step(beyond[-1])}"
            hint = "Resume from the newest of them, or give each fit a folder of its own."
            raise StorageError(problem, where=self.folder, hint=hint)
        for path in beyond:
            logger.warning("Checkpoint %s lies beyond the resumed step and is removed.", path)
            TutelageCheckpointIO().remove_checkpoint(path)

    # Taking ---------------------------------------------------------------------------------

    def save_and(self, then: Callable[[], None]) -> None:
        """Take a checkpoint as soon as it has not to wait, and call ``then`` after it."""
        self._due, self._then = True, then

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the last epoch's validation."""
        self._validated = False

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Take a checkpoint where the steps since the last one add up, unless it has to wait."""
        step, every = trainer.global_step, self._every_n_steps
        if step == self._seen_step:
            return  # gradients are still being accumulated
        self._due |= every is not None and step // every > self._seen_step // every
        self._seen_step = step
        if self._due and not _epoch_ends(trainer) and not _validation_follows(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the checkpoint that waited for a validation within an epoch."""
        if trainer.sanity_checking or trainer.state.fn is not TrainerFn.FITTING:
            return
        self._validated = True
        if self._due and not _epoch_ends(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the epoch's checkpoint, with its metric.

        Raises:
            ConfigError: The monitored metric does not exist.
        """
        if trainer.global_step == self._ended_step:
            return  # resumed at this very point: Lightning repeats the hook when it counts steps
        resume.end_epoch(trainer)
        every = self._every_n_epochs
        if not self._due and (every == 0 or (trainer.current_epoch + 1) % every != 0):
            return
        self._metric = self._read_metric(trainer)
        error = trainer.callback_metrics.get(f"{ERROR}{self._monitor}")
        self._error = None if self._metric is None or error is None else float(error)
        self._at_epoch_end = True
        self._save(trainer)
        self._metric, self._error, self._at_epoch_end = None, None, False
        self._ended_step = trainer.global_step

    def _read_metric(self, trainer: pl.Trainer) -> float | None:
        if self._monitor is None or trainer.current_epoch < self._ranked_from:
            return None
        if trainer.enable_validation and not self._validated:
            return None  # no validation in this epoch: a value would be an older epoch's
        if self._monitor not in trainer.callback_metrics:
            names = ", ".join(sorted(trainer.callback_metrics)) or "none"
            problem = f"the monitored metric {self._monitor!r} does not exist"
            raise ConfigError(problem, hint=f"Metrics of this run: {names}.")
        return float(trainer.callback_metrics[self._monitor])

    def _save(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        self._due = False
        self.settle(trainer)
        trainer.save_checkpoint(self.folder / f"step-{step:010d}{SUFFIX}")
        if self._then is not None:
            self.settle(trainer)
            self._then()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the last and the best behind, all of them on the disk."""
        self.settle(trainer)

    def settle(self, trainer: pl.Trainer) -> None:
        """Wait, in each process, until what was saved is on disk; remove what need not stay."""
        io = trainer.strategy.checkpoint_io
        if isinstance(io, TutelageCheckpointIO):
            io.wait()
        if trainer.is_global_zero:
            self._prune()
        trainer.strategy.barrier("CheckpointManager.settle")

    def _prune(self) -> None:
        """Remove all but the last and the best; a file without a marker is no checkpoint.

        The one with the best value stays too, so that later ones are compared with it and not with
        one that tied with it.
        """
        files = list_checkpoints(self.folder)
        complete = [path for path in files if _marker(path) is not None]
        keep = {*complete[-self._keep_last :], *self._ranked()[: self._keep_best]}
        if self._keep_best:
            keep |= {path for _, _, path, _ in self._scored()[:1]}
        for path in files:
            if path not in keep:
                TutelageCheckpointIO().remove_checkpoint(path)

    def _ranked(self) -> list[Path]:
        """Return the checkpoints that have the monitored metric, best first, ties to the newer.

        Those within one standard error of the best value tie with it (Breiman et al. 1984): what
        chance alone could have put in another order is not told apart, and the newest of them has
        learned for longest, at the lowest rate.
        """
        scored = self._scored()
        if not scored:
            return []
        value, _, _, error = scored[0]
        tied = [one for one in scored if one[0] <= value + error]
        newest = sorted(tied, key=lambda one: one[1])
        return [path for _, _, path, _ in (*newest, *scored[len(tied) :])]

    def _scored(self) -> list[tuple[float, int, Path, float]]:
        """Return value, negative step, path and standard error of each, the best value first."""
        sign = 1.0 if self._mode == "min" else -1.0
        scored = []
        for path in list_checkpoints(self.folder):
            marker = _marker(path)
            if marker and marker.monitor == self._monitor and marker.metric is not None:
                scored.append((sign * marker.metric, -marker.step, path, marker.error or 0.0))
        return sorted(scored)


def _marker(path: Path) -> CheckpointMarker | None:
    try:
        return read_marker(path)
    except CheckpointError:
        return None


def _step(path: Path) -> int:
    digits = path.stem.removeprefix("step-")
    return int(digits) if digits.isdecimal() else 0


def _epoch_ends(trainer: pl.Trainer) -> bool:
    """Say whether the epoch trains no batch after this one: no more are there, or it stops here."""
    stops = trainer.should_stop and trainer.fit_loop._can_stop_early
    return trainer.is_last_batch or stops or trainer.fit_loop.epoch_loop._is_training_done


def _validation_follows(trainer: pl.Trainer) -> bool:
    """Say whether Lightning validates right after this batch."""
    loop = trainer.fit_loop
    return loop._data_fetcher is not None and loop.epoch_loop._should_check_val_fx(
        loop._data_fetcher
    )
