"""Fusion of finished runs: their similarities of queries and candidates, weighted by direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import torch
from torch import Tensor

from tutelage.core.blends import BlendConfig
from tutelage.core.blocks import pack_blocks
from tutelage.core.errors import ConfigError
from tutelage.core.records import Evaluation
from tutelage.tasks.multimodal.config import (
    KeyedBlend,
    MeanBlend,
    MultimodalConfig,
    WeightedBlend,
)
from tutelage.tasks.multimodal.curriculum import inputs_apart
from tutelage.tasks.multimodal.datamodule import DataHandler
from tutelage.tasks.multimodal.distillation import SIMILARITY_TEMPERATURE
from tutelage.tasks.multimodal.evaluation import (
    CHANCE,
    Evaluator,
    averaged,
    by_chance,
    keyed,
    recall_blocks,
    retrieval_table,
)
from tutelage.tasks.multimodal.module import TwoTowerModule
from tutelage.tasks.multimodal.pictures import gallery
from tutelage.tasks.multimodal.preprocessing import Preprocessing
from tutelage.tasks.multimodal.retrieval import Ranks, scored_ranks
from tutelage.training.blending.blends import make_blend
from tutelage.training.blending.likelihoods import of_candidates
from tutelage.training.blending.module import BlendModule
from tutelage.training.blending.opinions import OpinionBatch, Opinions
from tutelage.training.fusion.expert import Expert

DIRECTIONS: Final = ("text to image", "image to text")
BLENDS: Final[Mapping[str, BlendConfig]] = {
    "mean": MeanBlend(),
    "weighted": WeightedBlend(),
    "keyed": KeyedBlend(),
}


class TwoTowerBlend(BlendModule):
    """Two-tower models whose similarities are averaged, with weights by direction.

    Args:
        config: The whole run.
        experts: The models.
    """

    def __init__(self, config: MultimodalConfig, experts: Sequence[TwoTowerModule]) -> None:
        model = config.model
        assert isinstance(model, BlendConfig)
        makers = {
            name: partial(make_blend, kind, len(experts), len(DIRECTIONS), 0, of_candidates)
            for name, kind in {**BLENDS, model.name: model}.items()
        }
        super().__init__(config.training, experts, makers, model.name)

    def two_towers(self) -> list[TwoTowerModule]:
        """Return the experts."""
        return [cast(TwoTowerModule, expert) for expert in self.experts]

    @torch.inference_mode()
    def blended(self, similarities: Sequence[Tensor], direction: int) -> Tensor:
        """Return (Q, C) blended logits of experts' (Q, C) cosines in one direction."""
        said = torch.stack(list(similarities), dim=1).float() / SIMILARITY_TEMPERATURE
        key = torch.full((len(said),), direction)
        batch = OpinionBatch(said, torch.zeros(len(said), said.shape[2]), key, said[:, 0, :0])
        blended: Tensor = self.network(batch)
        return blended


def build_blend(config: MultimodalConfig, preprocessing: Mapping[str, Any]) -> TwoTowerBlend:
    """Return the blend whose experts are in ``preprocessing``; weights come from the run's file."""
    experts = []
    for card in preprocessing["experts"]:
        settings = config.model_dump(mode="json") | {"model": card["model"], "mode": {}}
        plain = MultimodalConfig.model_validate(settings)
        experts.append(TwoTowerModule(plain, int(preprocessing["size"])))
    return TwoTowerBlend(config, experts)


def opinions(data: DataHandler, experts: Sequence[Expert]) -> Opinions:
    """Return what experts say of the validation pictures and captions, which none was trained on.

    A row is a query: a caption with pictures as candidates, or a picture with captions. So that
    both have as many candidates, each picture stands with its last caption.

    Raises:
        ConfigError: An expert reads other inputs.
    """
    rows = data.validation_rows
    captions = torch.from_numpy(data.last_captions(rows))
    ids = torch.from_numpy(data.ids[rows])
    positive = (ids[:, None] == ids).float()
    target = positive / positive.sum(1, keepdim=True)
    said = []
    for expert in experts:
        if apart := inputs_apart(Preprocessing.from_json(expert.preprocessing), data.learned):
            hint = "Combine runs that were trained on the same data, with these settings."
            where = f"mode.experts={expert.run}"
            raise ConfigError(
                f"this run's model sees other inputs: {apart}", where=where, hint=hint
            )
        assert isinstance(expert.module, TwoTowerModule)
        expert.module.eval()
        evaluator = Evaluator(expert.module, data)
        images = evaluator.embed_images(rows)
        texts = evaluator.embed_tokens(data.tokens[captions])
        cosines = images @ texts.T
        said.append(torch.cat([cosines.T, cosines]) / SIMILARITY_TEMPERATURE)
    count = len(rows)
    return Opinions(
        outputs=torch.stack(said, dim=1).clone(),
        target=torch.cat([target, target]),
        key=torch.arange(2).repeat_interleave(count),
        group=torch.cat([ids, ids]),
        state=torch.zeros(2 * count, 0),
        experts=tuple(expert.name for expert in experts),
        keys=DIRECTIONS,
    )


def evaluate_blend(blend: TwoTowerBlend, data: DataHandler) -> Evaluation:
    """Score the blend's retrieval among test pictures, beside chance and each expert alone."""
    blend.eval()
    parts = [Evaluator(expert.eval(), data).embed(data.test_rows) for expert in blend.two_towers()]
    first = parts[0]
    positive = first.text_ids[:, None] == first.image_ids
    cosines = [part.texts @ part.images.T for part in parts]

    def both(to_image: Tensor, to_text: Tensor) -> dict[str, Ranks]:
        pairs = (scored_ranks(to_image, positive), scored_ranks(to_text, positive.T))
        return dict(zip(("text_to_image", "image_to_text"), pairs, strict=True))

    blended = blend.blended(cosines, 0), blend.blended([c.T for c in cosines], 1)
    found = both(*blended)
    metrics = averaged({name: one.metrics() for name, one in found.items()})
    chance = averaged({name: by_chance(one) for name, one in found.items()})
    split = data.test_split
    baselines = {CHANCE: keyed(chance, split)}
    for number, cosine in enumerate(cosines, 1):
        alone = both(cosine, cosine.T)
        scores = averaged({name: one.metrics() for name, one in alone.items()})
        baselines[f"expert {number} alone"] = keyed(scores, split)
    similar = blended[0].__getitem__, blended[1].__getitem__
    tables, files = gallery(first, data.pairs, data.config.evaluation.pictures, similar)
    return Evaluation(
        metrics=keyed(metrics, split),
        baselines=baselines,
        tables=(retrieval_table(found, metrics, chance, split), *tables),
        files=files | pack_blocks(recall_blocks(split, first, found, data.pairs)),
    )
