"""`Engine`: finds the entities of texts by an exported file, in onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from tutelage.core.errors import CheckpointError
from tutelage.core.files import digest_json
from tutelage.tasks.ner.config import NERConfig
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.models.crf import TRANSITIONS, LinearChainCRF
from tutelage.tasks.ner.models.tagger import word_log_probabilities
from tutelage.tasks.ner.predictions import WHOLE, WordProbabilities, entities_of, merge
from tutelage.tasks.ner.preprocessing import Preprocessing
from tutelage.tasks.ner.tokens.batch import TokenBatch
from tutelage.tasks.ner.tokens.store import EncodedTexts, encode_texts
from tutelage.training.export.card import ExportCard
from tutelage.training.export.runtime import open_session

_WINDOWS: Final = 8
"""Windows that one call takes; texts of one request alone share it."""


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity of a text, in characters."""

    start: int
    end: int
    label: str
    text: str
    score: float


class Engine:
    """Finds entities; several threads may use it at once.

    Args:
        config: The run's configuration.
        preprocessing: What it learned from its training data.
        model: Content of its ONNX file.
        card: The card of that file.

    Raises:
        CheckpointError: The file is not of this run, or can't be run.
        RequestError: onnxruntime is not installed.
    """

    def __init__(
        self,
        config: NERConfig,
        preprocessing: Mapping[str, Any],
        model: bytes,
        card: ExportCard,
    ) -> None:
        if card.preprocessing_digest != digest_json(preprocessing):
            hint = "Export the run again."
            raise CheckpointError("the exported file is of another run", hint=hint)
        known = Preprocessing.from_json(preprocessing)
        self.labels = LabelSet.from_json(known.corpus["labels"])
        self._coder, self._frame = known.coder, known.frame
        self._decoding = config.evaluation.decoding
        table = card.facts.get(TRANSITIONS)
        self._crf = None
        if table is not None:
            self._crf = LinearChainCRF.from_table(torch.tensor(json.loads(str(table))))
        self._session = open_session(model)

    def find(self, texts: Sequence[str]) -> list[list[Entity]]:
        """Return the entities of each text, in their order."""
        documents = [Document.of_text(str(i), text, labelled=False) for i, text in enumerate(texts)]
        encoded = encode_texts(documents, self.labels, self._coder, self._frame)
        tagged = merge(documents, self._said(encoded), self.labels, self._decoding)
        return [
            [
                Entity(
                    one.span.start,
                    one.span.end,
                    one.span.label,
                    document.text[one.span.start : one.span.end],
                    round(float(one.score), 6),
                )
                for one in found
            ]
            for document, found in zip(
                documents, entities_of(documents, tagged, self.labels), strict=True
            )
        ]

    @torch.inference_mode()
    def _said(self, encoded: EncodedTexts) -> WordProbabilities:
        total = len(encoded.labels)
        probabilities = np.zeros((total, len(self.labels.tags)), np.float32)
        order = encoded.lengths.argsort(stable=True)
        for windows in torch.split(order, _WINDOWS) if len(order) else ():
            batch = encoded.batch(windows)
            (logits,) = self._session.run(None, _feeds(batch))
            rows = torch.from_numpy(logits).reshape(-1, logits.shape[2])[batch.position]
            said = word_log_probabilities(rows, batch, self._crf).exp()
            probabilities[batch.word.numpy()] = said.numpy()
        document = np.repeat(np.arange(len(encoded.starts) - 1), np.diff(encoded.starts))
        word = np.arange(total) - encoded.starts[document]
        context = np.full(total, WHOLE, np.int64)
        return WordProbabilities(document, word, probabilities, context)


def _feeds(batch: TokenBatch) -> dict[str, object]:
    mask = batch.attention_mask
    shown = torch.ones_like(batch.input_ids) if mask is None else mask
    feeds: dict[str, object] = {
        "input_ids": batch.input_ids.numpy(),
        "attention_mask": shown.numpy(),
    }
    if batch.characters is not None:
        feeds["characters"] = batch.characters.numpy()
    return feeds
