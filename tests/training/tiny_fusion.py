"""The tiny task with combiners: its classifiers and reconstructors are the experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Discriminator, Tag
from tiny_task import (
    ClassifierConfig,
    OnStep,
    ReconstructorConfig,
    TinyConfig,
    TinyDataModule,
    TinyModule,
    TinyTask,
)
from torch import Tensor

from tutelage.core.config import ModelConfig, tag_or
from tutelage.core.overrides import build_config
from tutelage.core.records import Evaluation
from tutelage.core.store import Run, RunStore
from tutelage.task import ModelEntry, SupportsFusion
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.fusion.agents import BanditCombiner, DQNCombiner, Exploration
from tutelage.training.fusion.combiners import (
    Combiner,
    GatedCombiner,
    MeanCombiner,
    PerceptronCombiner,
)
from tutelage.training.fusion.expert import Expert
from tutelage.training.fusion.module import CombinerModule
from tutelage.training.fusion.states import StateBatch, States
from tutelage.training.launch import Launched, launch

Kind = Literal["mean", "logistic", "mlp", "gated", "bandit", "dqn"]
TRY = Exploration(first=1.0, final=0.05, updates=40, miss_cost=2.0)
STRETCH = 5
"""Validation samples that are taken to follow each other in time."""


class CombinerConfig(ModelConfig):
    name: Literal["combiner"] = "combiner"
    kind: Kind = "logistic"
    """Which combiner."""


class TinyFusionConfig(TinyConfig):
    model: Annotated[
        Annotated[ClassifierConfig, Tag("classifier")]
        | Annotated[ReconstructorConfig, Tag("reconstructor")]
        | Annotated[CombinerConfig, Tag("combiner")],
        Discriminator(tag_or("classifier")),
    ] = ClassifierConfig()


def makers(width: int, experts: int) -> dict[str, Any]:
    """A maker for each kind of combiner."""
    sizes = (width, experts)
    agent = partial(BanditCombiner, *sizes, 8, 21, TRY)
    return {
        "mean": partial(MeanCombiner, *sizes),
        "logistic": partial(PerceptronCombiner, *sizes),
        "mlp": partial(PerceptronCombiner, *sizes, 8, 0.1),
        "gated": partial(GatedCombiner, *sizes, 8),
        "bandit": agent,
        "dqn": partial(DQNCombiner, *sizes, 8, 21, TRY, discount=0.5, capacity=64, target_every=3),
    }


def state(experts: Sequence[TinyModule], x: Tensor) -> Tensor:
    """(n, E + 2): margins, and the first two features."""
    batch = (x, torch.zeros(len(x), dtype=torch.long))
    with torch.inference_mode():
        margins = [expert.scores(batch) - expert.threshold for expert in experts]
    return torch.cat([torch.stack(margins, dim=1), x[:, :2]], dim=1)


class TinyCombinerModule(CombinerModule):
    def __init__(
        self, config: TinyFusionConfig, experts: Sequence[TinyModule], on_step: OnStep
    ) -> None:
        assert isinstance(config.model, CombinerConfig)
        width = len(experts) + 2
        super().__init__(config.training, experts, makers(width, len(experts)), config.model.kind)
        self.on_step = on_step

    def step(self, batch: StateBatch) -> dict[str, Tensor]:
        self.on_step(self, batch)  # type: ignore[arg-type]
        return super().step(batch)


class TinyFusionTask(TinyTask, SupportsFusion):
    models: ClassVar = TinyTask.models | {"combiner": ModelEntry("combines", ("fusion",))}
    config_type = TinyFusionConfig

    def build(self, config: TinyFusionConfig, preprocessing: Mapping[str, Any]) -> TaskModule:
        if not isinstance(config.model, CombinerConfig):
            return TinyModule(config, preprocessing["mean"], self.on_step)
        experts = []
        for card in preprocessing["experts"]:
            plain = TinyFusionConfig(model=card["model"], training=config.training)
            experts.append(TinyModule(plain, preprocessing["mean"], lambda module, batch: None))
        return TinyCombinerModule(config, experts, self.on_step)

    def fusion_states(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> States:
        assert isinstance(data, TinyDataModule)
        x, y = data.validation
        modules = [expert.module for expert in experts]
        margins = state(modules, x)  # type: ignore[arg-type]
        return States(
            state=margins,
            label=y,
            stretch=torch.arange(len(y)) // STRETCH,
            alarm=margins[:, : len(experts)] > 0,
            columns=(*(f"{e.name}.margin" for e in experts), "x0", "x1"),
            experts=tuple(expert.name for expert in experts),
        )

    def keep_held_out(self, data: TaskData, rows: Tensor) -> None:
        data.kept = rows  # type: ignore[attr-defined]

    def evaluate(self, config: Any, module: TaskModule, data: TaskData) -> Evaluation:
        if not isinstance(module, TinyCombinerModule):
            return super().evaluate(config, module, data)
        assert isinstance(data, TinyDataModule)
        x, y = data.test
        whole = state(list(module.experts), x)  # type: ignore[arg-type]
        with torch.inference_mode():
            said = {
                name: float(((c(whole) > c.threshold).long() == y).float().mean())
                for name, c in module.combiners().items()
            }
        baselines = {name: {"test/accuracy": value} for name, value in said.items()}
        return Evaluation(metrics=baselines.pop(module.own), baselines=baselines)


def launched(home: Path, *overrides: str, on_step: OnStep | None = None) -> Launched:
    """Launch the task in the store at ``home``."""
    task = TinyFusionTask(on_step) if on_step else TinyFusionTask()
    return launch(task, build_config(TinyFusionConfig, [], overrides), RunStore(home))


def experts(home: Path, *more: str) -> list[Run]:
    """A finished classifier and a finished reconstructor."""
    fast = ("training.accelerator=cpu", "training.max_epochs=2", *more)
    return [
        launched(home, *fast).run,
        launched(home, *fast, "mode=autoencoder", "model=reconstructor").run,
    ]


def named(*runs: Run) -> str:
    """The setting that names some experts."""
    return f"mode.experts=[{','.join(run.id for run in runs)}]"


def combiner_of(run: Run) -> dict[str, Tensor]:
    """The weights of a finished run's own combiner."""
    from tiny_task import weights

    return {n: v for n, v in weights(run).items() if n.startswith("network.")}


__all__ = ["Combiner", "TinyFusionTask", "combiner_of", "experts", "launched", "makers", "named"]
