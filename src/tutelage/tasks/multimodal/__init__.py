"""Two-tower training on pictures with captions: retrieval in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tutelage.core.records import Evaluation, Table
from tutelage.task import Audit, ModelEntry, Task
from tutelage.tasks.multimodal.config import MultimodalConfig

if TYPE_CHECKING:
    from tutelage.training.contracts import TaskData, TaskModule


class MultimodalTask(Task[MultimodalConfig]):
    """Bring pictures and their captions together in one space."""

    name: ClassVar = "multimodal"
    summary: ClassVar = "an image tower and a text tower on pictures with captions; retrieval"
    data_summary: ClassVar = "2,938 public-domain drawings with titles (openclipart64)"
    models: ClassVar = {
        "convnet": ModelEntry("small convolutional image tower, text tower", ("normal",)),
        "vit": ModelEntry("small vision transformer, text tower", ("normal",)),
        "timm": ModelEntry("a network of timm (needs torchvision), text tower", ("normal",)),
    }
    headline: ClassVar = "recall@10"
    beside_headline: ClassVar = {
        "text_to_image_recall@10": "text to image\nrecall@10",
        "image_to_text_recall@10": "image to text\nrecall@10",
        "median_rank": "median\nrank",
        "mrr": "MRR",
    }
    config_type = MultimodalConfig
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
        from tutelage.tasks.multimodal.module import TwoTowerModule
        from tutelage.tasks.multimodal.preprocessing import Preprocessing

        return TwoTowerModule(config, Preprocessing.from_json(preprocessing).size)

    def evaluate(self, config: MultimodalConfig, module: TaskModule, data: TaskData) -> Evaluation:
        """Score retrieval among the test pictures beside chance."""
        from tutelage.tasks.multimodal.datamodule import DataHandler
        from tutelage.tasks.multimodal.evaluation import Evaluator
        from tutelage.tasks.multimodal.module import TwoTowerModule

        assert isinstance(module, TwoTowerModule) and isinstance(data, DataHandler)
        return Evaluator(module, data).evaluate()

    def predict(self, module: TaskModule, data: TaskData) -> tuple[Table, ...]:
        """Return the embeddings, or what is closest to `evaluation.query`."""
        from tutelage.tasks.multimodal.datamodule import DataHandler
        from tutelage.tasks.multimodal.module import TwoTowerModule
        from tutelage.tasks.multimodal.prediction import predict

        assert isinstance(module, TwoTowerModule) and isinstance(data, DataHandler)
        return predict(module, data)

    def audit(self, config: MultimodalConfig, cache: Path) -> Audit:
        """Look for repeats, bad pictures and odd captions."""
        from tutelage.tasks.multimodal.audit import audit

        return audit(config, cache)
