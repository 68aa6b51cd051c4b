"""What of a tagger is exported: its network for windows of tokens, and windows to check it by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tutelage.core.errors import DataError
from tutelage.tasks.ner.datamodule import EVALUATION_BATCH, NERDataModule
from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.models.crf import TRANSITIONS, LinearChainCRF
from tutelage.tasks.ner.models.encoder import PretrainedEncoder
from tutelage.tasks.ner.models.lstm_operator import translations, with_one_operator
from tutelage.tasks.ner.models.tagger import Tagger, word_log_probabilities
from tutelage.tasks.ner.modules import NERModule, entity_f1
from tutelage.tasks.ner.tokens.batch import TokenBatch
from tutelage.tasks.ner.tokens.store import EncodedTexts
from tutelage.training.export.form import Exportable, Quality, Results
from tutelage.training.length_batches import length_batches

OUTPUT: Final = "logits"
CHECKED_WINDOWS: Final = 1500
"""Windows, at most, on which the export is compared with the trained model."""


class TokenNetwork(nn.Module):
    """A tagger that says of every token, not of words alone, how much each tag fits.

    What follows from them for rows of words, by a CRF's transitions, is left to who calls it.

    Args:
        network: The tagger.
        characters: Whether it reads the bytes of words.
    """

    def __init__(self, network: Tagger, characters: bool) -> None:
        super().__init__()
        self.body, self.classifier = network.body, network.classifier
        self.inputs = ("input_ids", "attention_mask", *(["characters"] if characters else []))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, characters: Tensor | None = None
    ) -> Tensor:
        """Return (B, T, C) logits of tokens (B, T), their mask, and bytes (B, T, K)."""
        logits: Tensor = self.classifier(self.body(input_ids, attention_mask, characters))
        return logits


def token_network(module: NERModule) -> TokenNetwork:
    """Return the network of a module in the form in which it is exported, in evaluation."""
    return TokenNetwork(module.network, module.coder.kind == "words").cpu().eval()


def exportable(module: NERModule, data: NERDataModule) -> Exportable:
    """Return a tagger with labelled test windows, one at a time.

    Raises:
        DataError: No test text is labelled.
    """
    network = token_network(module)
    texts = checked_texts(data)
    windows = np.linspace(0, len(texts) - 1, min(len(texts), CHECKED_WINDOWS)).astype(np.int64)
    singles = [texts.batch(torch.tensor([window])) for window in windows.tolist()]
    names = network.inputs
    frame = data.known.frame
    facts: dict[str, float | int | str] = {
        "max_length": frame.max_length,
        "stride": frame.stride,
        "tags": json.dumps(data.labels.tags),
    }
    crf = module.network.crf
    if crf is not None:
        facts[TRANSITIONS] = json.dumps(crf.table().tolist())
    expected = expected_logits(network, texts, windows)
    recurrent = any(isinstance(part, nn.LSTM) for part in network.modules())
    return Exportable(
        module=plain(network),
        inputs=names,
        output=OUTPUT,
        axes={name: {0: "windows", 1: "tokens"} for name in names},
        example=_example(singles[0], names),
        samples=[_inputs(batch, names) for batch in singles],
        expected=expected,
        facts=facts,
        quality=Quality("f1", partial(window_f1, singles, data.labels, crf)),
        trained=network,
        translations=translations() if recurrent else None,
    )


def plain(network: TokenNetwork) -> nn.Module:
    """Return a copy in the operators that ONNX runs best: whole LSTMs, attention written out."""
    copied = deepcopy(network)
    if isinstance(copied.body, PretrainedEncoder):
        copied.body.body.set_attn_implementation("eager")
    return with_one_operator(copied)


def checked_texts(data: NERDataModule) -> EncodedTexts:
    """Return the labelled test texts, tokenised.

    Raises:
        DataError: There is none.
    """
    tests = [d for documents in data.corpus.tests.values() for d in documents if d.labelled]
    texts = data.encoded(tests)
    if not len(texts):
        hint = "Name labelled texts to check the file by: data.root=…"
        raise DataError("no labelled test text is there to check by", hint=hint)
    return texts


@torch.inference_mode()
def expected_logits(
    network: nn.Module, texts: EncodedTexts, windows: NDArray[np.int64]
) -> list[Tensor]:
    """Return (1, T, C) logits of each window, as the trained model says them in batches."""
    lengths = texts.lengths.numpy()[windows]
    parts = length_batches(lengths, -(-len(windows) // EVALUATION_BATCH))
    found: dict[int, Tensor] = {}
    for part in parts:
        batch = texts.batch(torch.from_numpy(windows[part]))
        logits = network(batch.input_ids, full_mask(batch), batch.characters)
        for row, place in enumerate(part.tolist()):
            found[place] = logits[row : row + 1, : lengths[place]].clone()
    return [found[place] for place in range(len(windows))]


def full_mask(batch: TokenBatch) -> Tensor:
    """Return the batch's mask, of ones where nothing is padded."""
    mask = batch.attention_mask
    return torch.ones_like(batch.input_ids) if mask is None else mask


@torch.inference_mode()
def window_f1(
    batches: Sequence[TokenBatch], labels: LabelSet, crf: LinearChainCRF | None, results: Results
) -> float:
    """Return the entity F1 of the words of some windows, each a text of its own."""
    tags = []
    for batch, result in zip(batches, results, strict=True):
        logits = torch.from_numpy(result).reshape(-1, result.shape[-1])[batch.position]
        tags.append(word_log_probabilities(logits, batch, crf).argmax(1).numpy())
    starts = np.cumsum([0, *map(len, tags)])[:-1]
    gold = np.concatenate([batch.labels.numpy() for batch in batches])
    return entity_f1(gold, np.concatenate(tags), starts, labels)


def _inputs(batch: TokenBatch, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    every = {
        "input_ids": batch.input_ids,
        "attention_mask": full_mask(batch),
        "characters": batch.characters,
    }
    return tuple(value for name in names if (value := every[name]) is not None)


def _example(batch: TokenBatch, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """Return two windows of five tokens, the second one shorter."""
    shown = []
    for name, value in zip(names, _inputs(batch, names), strict=True):
        five = value[:, :1].repeat(2, 5, *([1] * (value.ndim - 2)))
        if name == "attention_mask":
            five[1, 3:] = 0
        shown.append(five)
    return tuple(shown)
