"""`BaseTrainer`: a run's template: prepare, build, size, fit, calibrate, evaluate, save."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Final

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy, Strategy
from rich.console import Console

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, suggest
from tutelage.core.files import write_files, write_json
from tutelage.core.records import INITIAL_WEIGHTS, Evaluation, RunRecord, now
from tutelage.core.store import CONFIG, INPUTS, Run
from tutelage.task import Task
from tutelage.training.baselines import no_better
from tutelage.training.batch_optimizer import BatchSizeChoice, BatchSizeOptimizer, BatchSizeOptions
from tutelage.training.checkpoint_files import find_resumable, read_marker
from tutelage.training.checkpoints import CheckpointManager, TutelageCheckpointIO
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.loggers import build_loggers
from tutelage.training.model_card import read_preprocessing
from tutelage.training.model_manager import CardInfo, ModelManager
from tutelage.training.out_of_fold import out_of_fold
from tutelage.training.precision import arithmetic
from tutelage.training.profiler import NoProfiler
from tutelage.training.ranks import Ranks
from tutelage.training.restore import take_over
from tutelage.training.run_callbacks import checkpoint_manager, run_callbacks

log: Final = logging.getLogger(__name__)
BATCH_SIZE = "batch_size.json"


class BaseTrainer:
    """One run from data to record; a mode overrides hooks and nothing else.

    Args:
        task: The domain.
        config: The whole run.
        run: The folder to work in, held by this process.
        cache: Folder for things that can be made again.
        parents: The finished runs that this one is made from, by their role.
        console: Where to draw progress, when that is a terminal.
    """

    ranked_from: int = 0
    """First epoch whose weights may be kept as the best, and that counts for early stopping."""
    best_epoch: int | None = None
    """The epoch, from 1, whose weights the model has, once it is trained: the best, or the last."""

    def __init__(
        self,
        task: Task[RunConfig],
        config: RunConfig,
        run: Run,
        cache: Path,
        parents: Mapping[str, tuple[Run, ...]] = MappingProxyType({}),
        console: Console | None = None,
    ) -> None:
        self.task: Task[RunConfig] = task
        self.config: RunConfig = config
        self.run: Run = run
        self.cache: Path = cache
        self.parents: Mapping[str, tuple[Run, ...]] = parents
        self.console: Console | None = console
        self.ranks: Ranks = Ranks.here()
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, float] = {}
        self.started: float = time.monotonic()
        self.models: ModelManager = ModelManager()

    def train(self) -> None:
        """Do the whole run, up to its finished record.

        Of several processes, the first one prepares and measures before the others, and evaluates
        and writes alone.
        """
        if self.ranks.first:
            self.run.update(started=now())
        pl.seed_everything(self.config.training.seed, workers=True, verbose=False)
        with self._phase("prepare"), self.ranks.in_turn():
            data = self.prepare()
            data.rank, data.world_size = self.ranks.rank, self.ranks.size
        with self._phase("build"):
            module = self.build(data)
            self._monitor(module)
        with self._phase("size"), self.ranks.in_turn():
            self.size_batch(module, data)
        with self._phase("fit"):
            self.fit(module, data)
            self.ranks.part()
        if not self.ranks.first:
            return
        with self._phase("calibrate"):
            self.calibrate(module, data)
        with self._phase("evaluate"):
            evaluation = self.evaluate(module, data)
            kept = out_of_fold(self.task, module, data, self.config.data)
        evaluation = evaluation.model_copy(update={"files": {**evaluation.files, **kept}})
        with self._phase("save"):
            self.save(module, data)
        self.seconds["total"] = round(time.monotonic() - self.started, 3)
        self.record(data, evaluation)

    # ---- the steps; a mode overrides these

    def prepare(self) -> TaskData:
        """Read and split the data."""
        data = self.task.datamodule(self.config, self.cache)
        data.setup("fit")
        return data

    def build(self, data: TaskData) -> TaskModule:
        """Make the model; give it what it takes from the training data, or earlier weights."""
        pl.seed_everything(self.config.training.seed, workers=True, verbose=False)
        module = self.task.build(self.config, data.preprocessing)
        data.fit_module(module)
        self._take_over(module)
        for earlier in self.parents.get(INITIAL_WEIGHTS, ()):
            self._continue(earlier, module, data)
        return module

    def size_batch(self, module: TaskModule, data: TaskData) -> None:
        """Set the batch size: as configured, as found before in this run, or measured."""
        size = self.config.training.batch_size
        if size != "auto":
            data.batch_size = size
            return
        chosen = self.run.path / BATCH_SIZE
        if not chosen.exists():
            write_json(chosen, asdict(self._measured(module, data)))
        data.batch_size = int(json.loads(chosen.read_text(encoding="utf-8"))["size"])

    def fit(self, module: TaskModule, data: TaskData) -> None:
        """Run the loop, from the newest valid checkpoint where there is one; end at the best.

        Where nothing is held out, it ends at the last.
        """
        training, monitor = self.config.training, self._monitor(module)
        validates = self.config.data.fold != "all"
        manager = checkpoint_manager(self.config, self.run, monitor, validates, self.ranked_from)
        trainer = pl.Trainer(
            accelerator=training.accelerator,
            devices=self.ranks.size,
            strategy=self._strategy(),
            max_epochs=training.max_epochs,
            limit_val_batches=None if validates else 0,
            gradient_clip_val=training.gradient_clip,
            accumulate_grad_batches=training.accumulate,
            log_every_n_steps=1,  # our collector decides when rows are written
            deterministic="warn" if torch.cuda.is_available() else None,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=str(self.run.path),
            logger=build_loggers(training.loggers, self.run),
            plugins=[
                TutelageCheckpointIO(background=True),
                arithmetic(training.precision, self._device()),
                LightningEnvironment(),  # we start the ranks, also within a job of a cluster
            ],
            profiler=NoProfiler(),
            callbacks=self._callbacks(manager, monitor),
        )
        if training.precision == "64":
            module.double()  # before Lightning does, which is after it restores and averages
        if training.compile:
            module.network.compile(dynamic=True)
        newest = find_resumable(self.run.checkpoints)
        if newest is not None:
            log.info("resuming from %s", newest.name)
        trainer.fit(module, datamodule=data, ckpt_path=newest, weights_only=True)
        self._end_at_best(module, manager, trainer)

    def calibrate(self, module: TaskModule, data: TaskData) -> None:
        """Set what is chosen after training on held-out training data; by default nothing."""

    def evaluate(self, module: TaskModule, data: TaskData) -> Evaluation:
        """Score every test split beside the task's baselines."""
        return self.task.evaluate(self.config, module, data)

    def save(self, module: TaskModule, data: TaskData) -> None:
        """Write the weights and the card that rebuilds the model."""
        info = CardInfo(
            task=self.task.name,
            model=self.config.model.name,
            config=self.config.model.model_dump(mode="json"),
            preprocessing=dict(data.preprocessing),
            preprocessing_version=self.task.preprocessing_version,
        )
        self.models.save_state_dict(module, self.run.path, info)

    def record(self, data: TaskData, evaluation: Evaluation) -> RunRecord:
        """Write the finished record: the last step, so that a run is finished or it is not."""
        files = {p.name: p for p in sorted(self.run.path.glob("model.*"))}
        there = (self.run.path / name for name in (CONFIG, INPUTS))
        files |= {path.name: path for path in there if path.exists()}
        files |= write_files(self.run.path, evaluation.files)
        audit = data.audit.beside(self.run.record.parents)
        return self.run.update(
            status="finished",
            finished=now(),
            metrics=evaluation.metrics,
            baselines=evaluation.baselines,
            tables=evaluation.tables,
            figures=evaluation.figures,
            best_epoch=self.best_epoch,
            seconds=self.seconds,
            memory=self.memory,
            audit=audit,
            artifacts={name: self.run.artifact(path) for name, path in files.items()},
            warnings=(*no_better(evaluation, self.task.headline), *audit.findings),
            error=None,
        )

    # ---- helpers

    def _take_over(self, module: TaskModule) -> None:
        """Load the parts of other runs' models that the model begins with."""
        for role in self.config.model.parents.values():
            for donor in self.parents.get(role, ()):
                count = take_over(donor, module, role)
                log.info("%s of run %s taken over: %d tensors", role, donor.id, count)

    def _continue(self, earlier: Run, module: TaskModule, data: TaskData) -> None:
        """Load an earlier run's weights; what belongs to these training data is set anew.

        Raises:
            ConfigError: The weights mean something else under these data.
            CheckpointError: The earlier run's files are missing, damaged or were changed.
        """
        learned = read_preprocessing(earlier.path, self.task)
        earlier.verify_artifacts()
        reason = self.task.continues(learned, data.preprocessing)
        if reason is not None:
            raise ConfigError(
                f"can't continue from run {earlier.id}: {reason}",
                hint="Train afresh: leave run.policy out, or use the data of that run.",
            )
        self.models.load_state_dict(earlier.path, module)
        data.fit_module(module)

    def _end_at_best(
        self, module: TaskModule, manager: CheckpointManager, trainer: pl.Trainer
    ) -> None:
        """Leave the module as it was at its best epoch, or at the last one, ready to be asked."""
        best = manager.best()
        kept = best or manager.latest()  # Lightning does not count an epoch that it resumes behind
        kept_epoch = 0 if kept is None else read_marker(kept).epoch + 1
        self.best_epoch = kept_epoch if best else max(kept_epoch, trainer.current_epoch)
        if best is not None:
            state = TutelageCheckpointIO().load_checkpoint(best)["state_dict"]
            assert isinstance(state, dict)
            module.load_state_dict(state)
            log.info("best checkpoint: %s", best.name)
        module.float()  # after training in 64 bits; everything else is in 32
        module.eval()

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 3)
        self.memory[name] = _peak_mib()

    def _measured(self, module: TaskModule, data: TaskData) -> BatchSizeChoice:
        """Measure the best batch size."""
        options = self.config.training.batch_sizing.model_dump(exclude_none=True)
        optimizer = self._optimizer(BatchSizeOptions(**options))
        choice = optimizer.optimize_with_datamodule(module, data)
        log.info("batch size %d: %s", choice.size, choice.reason)
        return choice

    def _optimizer(self, options: BatchSizeOptions) -> BatchSizeOptimizer:
        """Return the batch-size optimiser for the device and arithmetic that training will use."""
        device = self._device()
        precision = arithmetic(self.config.training.precision, device)
        return BatchSizeOptimizer(options, device, precision)

    def _strategy(self) -> Strategy | str:
        """How gradients are shared: not at all, or as their mean over the processes."""
        if self.ranks.size == 1:
            return "auto"
        backend = "nccl" if self._device() == "cuda" else "gloo"
        return DDPStrategy(process_group_backend=backend, find_unused_parameters=True)

    def _device(self) -> str:
        """The kind of device that training will use."""
        on_gpu = self.config.training.accelerator != "cpu" and torch.cuda.is_available()
        return "cuda" if on_gpu else "cpu"

    def _monitor(self, module: TaskModule) -> str:
        monitor = self.config.training.monitor or module.default_monitor
        if monitor not in module.validation_metrics:
            raise ConfigError(
                f"training.monitor={monitor!r} is no metric of {self.config.model.name!r}",
                hint=suggest(monitor, module.validation_metrics),
            )
        return monitor

    def _callbacks(self, manager: CheckpointManager, monitor: str) -> list[Callback]:
        limit = self.config.training.max_time
        deadline = None if limit is None else self.started + limit
        return run_callbacks(
            self.config, self.run, manager, monitor, self.ranked_from, deadline, self.console
        )


def _peak_mib() -> float:
    """Return the largest resident memory that this process had so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
