"""Two-tower training on pictures with captions: retrieval in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tutelage.core.errors import ConfigError
from tutelage.core.folds import FoldUnits
from tutelage.core.records import Evaluation, Table
from tutelage.task import (
    Audit,
    ModelEntry,
    SupportsAutoencoder,
    SupportsBlending,
    SupportsCurriculum,
    SupportsDistillation,
    SupportsFolds,
    Task,
)
from tutelage.tasks.multimodal.config import MultimodalConfig, TwoTowerConfig

if TYPE_CHECKING:
    from tutelage.training.blending.opinions import Opinions
    from tutelage.training.contracts import Objective, TaskData, TaskModule
    from tutelage.training.curriculum import CurriculumData
    from tutelage.training.fusion.expert import Expert
    from tutelage.training.modes.base import BaseTrainer

QUEUED = ("clip", "siglip")
"""Losses that take more negatives on one side."""
TRAINED_BY = ("normal", "autoencoder", "curriculum", "distillation")


class MultimodalTask(
    Task[MultimodalConfig],
    SupportsAutoencoder[MultimodalConfig],
    SupportsCurriculum[MultimodalConfig],
    SupportsDistillation,
    SupportsBlending,
    SupportsFolds[MultimodalConfig],
):
    """Bring pictures and their captions together in one space."""

    name: ClassVar = "multimodal"
    summary: ClassVar = "an image tower and a text tower on pictures with captions; retrieval"
    data_summary: ClassVar = "2,938 public-domain drawings with titles (openclipart64)"
    models: ClassVar = {
        "convnet": ModelEntry(
            "small convolutional image tower, text tower", TRAINED_BY, guides=True
        ),
        "vit": ModelEntry("small vision transformer, text tower", TRAINED_BY, guides=True),
        "timm": ModelEntry(
            "a network of timm (needs torchvision), text tower", TRAINED_BY, guides=True
        ),
        "mean": ModelEntry("mean of experts' similarities", ("fusion",)),
        "weighted": ModelEntry("a weight for each expert's similarities", ("fusion",)),
        "keyed": ModelEntry("a weight for each expert and direction of search", ("fusion",)),
    }
    warm_modules = (
        "tutelage.tasks.multimodal.datamodule",
        "tutelage.tasks.multimodal.module",
        "tutelage.tasks.multimodal.evaluation",
        "tutelage.tasks.multimodal.trainer",
    )
    headline: ClassVar = "recall@10"
    beside_headline: ClassVar = {
        "text_to_image_recall@10": "text to image\nrecall@10",
        "image_to_text_recall@10": "image to text\nrecall@10",
        "median_rank": "median\nrank",
        "mrr": "MRR",
    }
    config_type = MultimodalConfig
    preprocessing_migrations: ClassVar = (
        "its text tower took the norm before the mean; train it again",
    )
    predicts_own_data: ClassVar = True

    def data_fingerprint(self, config: MultimodalConfig) -> str:
        """Digest the content of pictures and captions, and a ready-made encoder's weights."""
        from tutelage.core.files import digest_file, digest_json
        from tutelage.tasks.multimodal.config import TransformersText
        from tutelage.tasks.multimodal.data.sources import pairs_fingerprint

        parts = [pairs_fingerprint(config.data)]
        if isinstance(config.model.text, TransformersText):
            from tutelage.tasks.multimodal.towers.pretrained_text import encoder_folder

            folder = encoder_folder(config.model.text.source)
            parts.append(digest_file(folder / "model.safetensors"))
        return digest_json(parts)

    def datamodule(
        self,
        config: MultimodalConfig,
        cache: Path,
        preprocessing: Mapping[str, Any] | None = None,
    ) -> TaskData:
        """Return the pairs, split by what belongs together."""
        from tutelage.tasks.multimodal.datamodule import DataHandler
        from tutelage.tasks.multimodal.preprocessing import Preprocessing

        learned = None if preprocessing is None else Preprocessing.from_json(preprocessing)
        return DataHandler(config, cache, learned)

    def build(self, config: MultimodalConfig, preprocessing: Mapping[str, Any]) -> TaskModule:
        """Return two towers for pictures of the size of ``preprocessing``."""
        from tutelage.core.blends import BlendConfig
        from tutelage.tasks.multimodal.blending import build_blend
        from tutelage.tasks.multimodal.module import TwoTowerModule
        from tutelage.tasks.multimodal.preprocessing import Preprocessing

        if isinstance(config.model, BlendConfig):
            return build_blend(config, preprocessing)
        return TwoTowerModule(config, Preprocessing.from_json(preprocessing).size)

    def evaluate(self, config: MultimodalConfig, module: TaskModule, data: TaskData) -> Evaluation:
        """Score retrieval among the test pictures beside chance."""
        from tutelage.tasks.multimodal.blending import TwoTowerBlend, evaluate_blend
        from tutelage.tasks.multimodal.datamodule import DataHandler
        from tutelage.tasks.multimodal.evaluation import Evaluator
        from tutelage.tasks.multimodal.module import TwoTowerModule

        assert isinstance(data, DataHandler)
        if isinstance(module, TwoTowerBlend):
            return evaluate_blend(module, data)
        assert isinstance(module, TwoTowerModule)
        return Evaluator(module, data).evaluate()

    def predict(self, module: TaskModule, data: TaskData) -> tuple[Table, ...]:
        """Return the embeddings, or what is closest to `evaluation.query`."""
        from tutelage.tasks.multimodal.datamodule import DataHandler
        from tutelage.tasks.multimodal.module import TwoTowerModule
        from tutelage.tasks.multimodal.prediction import predict

        assert isinstance(data, DataHandler)
        if not isinstance(module, TwoTowerModule):
            hint = "Predict with one of its experts."
            raise ConfigError("a blend has no embeddings of its own", where=self.name, hint=hint)
        return predict(module, data)

    def check(self, config: MultimodalConfig) -> None:
        """Refuse stages where they can't act.

        Raises:
            ConfigError: Another mode, a schedule by plateau, or a loss without a queue's negatives.
        """
        super().check(config)
        stages, where = config.training.stages, "training.stages"
        if not stages:
            return
        if config.mode.name != "normal":
            raise ConfigError("stages go with mode=normal", where=where, hint="Leave one out.")
        if config.training.devices > 1:
            raise ConfigError("stages go with one process", where=where, hint="Leave devices out.")
        if config.training.scheduler.name == "plateau":
            hint = "Use training.scheduler=cosine, linear, step or constant."
            raise ConfigError("stages need a schedule by steps", where=where, hint=hint)
        loss = config.model.loss if isinstance(config.model, TwoTowerConfig) else ""
        if any(stage.queue for stage in stages) and loss not in QUEUED:
            hint = f"Use model.loss={' or '.join(QUEUED)}, or a queue of 0."
            raise ConfigError(f"{loss!r} takes no queue", where=where, hint=hint)

    def trainer(self, config: MultimodalConfig) -> type[BaseTrainer] | None:
        """Return the template with stages where there are any."""
        from tutelage.tasks.multimodal.trainer import MultimodalTrainer

        return MultimodalTrainer if config.training.stages else None

    def curriculum_data(self, config: MultimodalConfig, cache: Path) -> CurriculumData:
        """Return the pairs, in batches of what is alike."""
        from tutelage.tasks.multimodal.curriculum import CurriculumPairs

        return CurriculumPairs(config, cache)

    def pretraining(
        self, config: MultimodalConfig, module: TaskModule, data: TaskData
    ) -> Objective | None:
        """Return what each tower learns by itself, as `pretraining.*` says."""
        from tutelage.tasks.multimodal.module import TwoTowerModule
        from tutelage.tasks.multimodal.pretraining import TowerPretraining

        assert isinstance(module, TwoTowerModule)
        return TowerPretraining(config.pretraining, module, config.data.size)

    def inputs_differ(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> str | None:
        """Compare the pictures' sizes; captions may be read in two ways."""
        sizes = [(card["size"], card["fit"]) for card in (teacher, student)]
        if sizes[0] == sizes[1]:
            return None
        (theirs, how), (ours, so) = sizes
        return f"pictures of {theirs} pixels ({how}) and of {ours} ({so})"

    def teaching_data(self, data: TaskData, teacher: Mapping[str, Any]) -> TaskData:
        """Let batches hold captions as the teacher reads them, too."""
        from tutelage.tasks.multimodal.datamodule import DataHandler
        from tutelage.tasks.multimodal.preprocessing import Preprocessing

        assert isinstance(data, DataHandler)
        data.read_for(Preprocessing.from_json(teacher))
        return data

    def opinions(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> Opinions:
        """Return the experts' similarities of the validation pictures and captions."""
        from tutelage.tasks.multimodal.blending import opinions
        from tutelage.tasks.multimodal.datamodule import DataHandler

        assert isinstance(data, DataHandler)
        return opinions(data, experts)

    def fold_units(self, config: MultimodalConfig, cache: Path) -> FoldUnits:
        """Return the pictures that may train, with what belongs together, and their categories."""
        from tutelage.tasks.multimodal.datamodule import DataHandler

        return DataHandler(config, cache).fold_units()

    def predicted_units(self, data: TaskData) -> Sequence[str]:
        """Return the picture of each embedding of what is held out."""
        from tutelage.tasks.multimodal.datamodule import DataHandler
        from tutelage.tasks.multimodal.prediction import predicted_units

        assert isinstance(data, DataHandler)
        return predicted_units(data)

    def audit(self, config: MultimodalConfig, cache: Path) -> Audit:
        """Look for repeats, bad pictures and odd captions."""
        from tutelage.tasks.multimodal.audit import audit

        return audit(config, cache)
