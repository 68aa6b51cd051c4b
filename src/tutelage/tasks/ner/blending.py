"""Fusion of finished runs: the probabilities of each word's tags, averaged with weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor

from tutelage.core.blends import (
    BlendConfig,
    GatedBlendConfig,
    MeanBlendConfig,
    WeightedBlendConfig,
)
from tutelage.core.errors import ConfigError
from tutelage.tasks.ner.config import NERConfig
from tutelage.tasks.ner.datamodule import NERDataModule, tag_texts
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.modules import NERModule, build_module
from tutelage.tasks.ner.predictions import WordProbabilities, gold_tags
from tutelage.tasks.ner.preprocessing import Preprocessing
from tutelage.tasks.ner.tokens.store import encode_texts
from tutelage.training.blending.blends import make_blend
from tutelage.training.blending.likelihoods import of_classes
from tutelage.training.blending.module import BlendModule
from tutelage.training.blending.opinions import OpinionBatch, Opinions
from tutelage.training.fusion.expert import Expert

BLENDS: Final[Mapping[str, BlendConfig]] = {
    "mean": MeanBlendConfig(),
    "weighted": WeightedBlendConfig(),
    "gated": GatedBlendConfig(),
}
_STATES: Final = 2
"""What a gate sees of each expert: its largest probability, and its entropy."""


class NERBlend(BlendModule):
    """Taggers whose probabilities are averaged, word by word; each reads its own tokens.

    Args:
        config: The whole run.
        experts: The taggers.
        readers: What each learned before it trained, in their order.
    """

    def __init__(
        self, config: NERConfig, experts: Sequence[NERModule], readers: Sequence[Preprocessing]
    ) -> None:
        model = config.model
        assert isinstance(model, BlendConfig)
        count = len(experts)
        makers = {
            name: partial(make_blend, kind, count, 1, _STATES * count, of_classes)
            for name, kind in {**BLENDS, model.name: model}.items()
        }
        super().__init__(config.training, experts, makers, model.name)
        self.readers = tuple(readers)

    @torch.inference_mode()
    def tag(self, documents: Sequence[Document]) -> WordProbabilities:
        """Return what the blend says of the words of some texts."""
        taggers = [cast("NERModule", expert) for expert in self.experts]
        found = [
            _asked(tagger, reader, documents)
            for tagger, reader in zip(taggers, self.readers, strict=True)
        ]
        said = torch.stack([torch.from_numpy(one.probabilities) for one in found], 1)
        nothing = torch.zeros(len(said), dtype=torch.int64)
        blended = self.network(OpinionBatch(said, nothing, nothing, _state(said)))
        rows: Tensor = blended / blended.sum(1, keepdim=True)
        first = found[0]
        return WordProbabilities(first.document, first.word, rows.numpy(), first.context)


def _asked(
    module: NERModule, reader: Preprocessing, documents: Sequence[Document]
) -> WordProbabilities:
    """Return what one tagger says of the words of some texts, in their order."""
    module.eval()
    return tag_texts(module, encode_texts(documents, module.labels, reader.coder, reader.frame))


def _state(said: Tensor) -> Tensor:
    """Return (n, 2E): how sure each expert is, of probabilities (n, E, C)."""
    entropy = -(said * said.clamp(min=1e-8).log()).sum(2)
    return torch.cat([said.amax(2), entropy], 1)


def opinions(data: NERDataModule, experts: Sequence[Expert]) -> Opinions:
    """Return what experts say of the words of the held-out texts; a row is a word.

    Raises:
        ConfigError: An expert has other tags.
    """
    documents = data.corpus.validation
    said = []
    readers = []
    for expert in experts:
        reader = Preprocessing.from_json(expert.preprocessing)
        tags = LabelSet.from_json(reader.corpus["labels"]).tags
        if tags != data.labels.tags:
            apart = ", ".join(sorted(set(tags) ^ set(data.labels.tags))) or "their order"
            hint = "Combine runs that were trained on the same texts, with these settings."
            where = f"mode.experts={expert.run}"
            raise ConfigError(f"this run's tags differ: {apart}", where=where, hint=hint)
        assert isinstance(expert.module, NERModule)
        said.append(torch.from_numpy(_asked(expert.module, reader, documents).probabilities))
        readers.append(expert.preprocessing)
    data.readers = tuple(readers)
    outputs = torch.stack(said, 1)
    sizes = [len(document.words) for document in documents]
    return Opinions(
        outputs=outputs,
        target=torch.from_numpy(gold_tags(documents, data.labels)),
        key=torch.zeros(len(outputs), dtype=torch.int64),
        group=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        state=_state(outputs),
        experts=tuple(expert.name for expert in experts),
        keys=("words",),
    )


def build_blend(config: NERConfig, preprocessing: Mapping[str, Any]) -> NERBlend:
    """Return the blend whose experts are in ``preprocessing``; weights come from the run's file."""
    readers = preprocessing["readers"]
    experts = []
    for card, reader in zip(preprocessing["experts"], readers, strict=True):
        settings = config.model_dump(mode="json") | {"model": card["model"], "mode": {}}
        experts.append(build_module(NERConfig.model_validate(settings), reader))
    return NERBlend(config, experts, [Preprocessing.from_json(reader) for reader in readers])
