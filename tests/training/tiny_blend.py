"""The tiny task with blends: its classifiers are the experts, and rows are samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Discriminator, Tag
from tiny_task import (
    Batch,
    ClassifierConfig,
    OnStep,
    ReconstructorConfig,
    TinyConfig,
    TinyDataModule,
    TinyModule,
    TinyTask,
)
from torch import Tensor

from tutelage.core.blends import (
    BlendConfig,
    GatedBlendConfig,
    KeyedBlendConfig,
    MeanBlendConfig,
    WeightedBlendConfig,
)
from tutelage.core.config import tag_or
from tutelage.core.overrides import build_config
from tutelage.core.records import Evaluation
from tutelage.core.store import RunStore
from tutelage.task import ModelEntry, SupportsBlending
from tutelage.training.blending.blends import make_blend
from tutelage.training.blending.likelihoods import of_classes
from tutelage.training.blending.module import BlendModule
from tutelage.training.blending.opinions import OpinionBatch, Opinions
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.fusion.expert import Expert
from tutelage.training.launch import Launched, launch

BLENDS: dict[str, BlendConfig] = {
    "mean": MeanBlendConfig(),
    "weighted": WeightedBlendConfig(),
    "keyed": KeyedBlendConfig(),
    "gated": GatedBlendConfig(),
}


class TinyBlendConfig(TinyConfig):
    model: Annotated[
        Annotated[ClassifierConfig, Tag("classifier")]
        | Annotated[ReconstructorConfig, Tag("reconstructor")]
        | Annotated[MeanBlendConfig, Tag("mean")]
        | Annotated[WeightedBlendConfig, Tag("weighted")]
        | Annotated[KeyedBlendConfig, Tag("keyed")]
        | Annotated[GatedBlendConfig, Tag("gated")],
        Discriminator(tag_or("classifier")),
    ] = ClassifierConfig()


def asked(experts: Sequence[Any], batch: Batch) -> Opinions:
    """What experts say of a batch; samples on the two sides of the first axis have other keys."""
    x, y = batch
    with torch.inference_mode():
        said = [expert.outputs(batch)[0].softmax(1) for expert in experts]
    return Opinions(
        outputs=torch.stack(said, dim=1).clone(),
        target=y,
        key=(x[:, 0] > 0).long(),
        group=torch.arange(len(y)) // 2,
        state=x[:, :2],
        experts=tuple(f"e{number}" for number in range(len(said))),
        keys=("left", "right"),
    )


class TinyBlendModule(BlendModule):
    def __init__(
        self, config: TinyBlendConfig, experts: Sequence[TinyModule], on_step: OnStep
    ) -> None:
        model = config.model
        assert isinstance(model, BlendConfig)
        kinds = BLENDS | {model.name: model}
        makers = {
            name: partial(make_blend, kind, len(experts), 2, 2, of_classes)
            for name, kind in kinds.items()
        }
        super().__init__(config.training, experts, makers, model.name)
        self.on_step = on_step

    def step(self, batch: OpinionBatch) -> dict[str, Tensor]:
        self.on_step(self, batch)  # type: ignore[arg-type]
        return super().step(batch)

    def probabilities(self, batch: Batch) -> Tensor:
        whole = asked(list(self.experts), batch)
        with torch.inference_mode():
            blended: Tensor = self.network(whole.batch(torch.arange(len(whole))))
        return blended


class TinyBlendTask(TinyTask, SupportsBlending):
    models: ClassVar = TinyTask.models | {name: ModelEntry("", ("fusion",)) for name in BLENDS}
    config_type = TinyBlendConfig

    def build(self, config: TinyBlendConfig, preprocessing: Mapping[str, Any]) -> TaskModule:
        if not isinstance(config.model, BlendConfig):
            return super().build(config, preprocessing)
        experts = []
        for card in preprocessing["experts"]:
            plain = TinyBlendConfig(model=card["model"], training=config.training)
            experts.append(TinyModule(plain, preprocessing["mean"], lambda module, batch: None))
        return TinyBlendModule(config, experts, self.on_step)

    def opinions(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> Opinions:
        assert isinstance(data, TinyDataModule)
        return asked([expert.module for expert in experts], data.validation)

    def evaluate(self, config: Any, module: TaskModule, data: TaskData) -> Evaluation:
        if not isinstance(module, TinyBlendModule):
            return super().evaluate(config, module, data)
        assert isinstance(data, TinyDataModule)
        hits = module.probabilities(data.test).argmax(1) == data.test[1]
        return Evaluation(metrics={"test/accuracy": float(hits.float().mean())}, baselines={})


def launched(home: Path, *overrides: str, on_step: OnStep | None = None) -> Launched:
    """Launch the task in the store at ``home``."""
    task = TinyBlendTask(on_step) if on_step else TinyBlendTask()
    return launch(task, build_config(TinyBlendConfig, [], overrides), RunStore(home))
