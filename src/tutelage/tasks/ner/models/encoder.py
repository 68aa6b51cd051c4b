"""`PretrainedEncoder`: an encoder of `transformers`, by its configuration or with its weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn

from tutelage.core.errors import DataError
from tutelage.tasks.ner.models.body import Body
from tutelage.tasks.ner.models.folder import EncoderFolder

_LARGEST: Final = {
    **dict.fromkeys(("vocab_size", "max_position_embeddings"), 2_000_000),
    **dict.fromkeys(("hidden_size", "embedding_size", "dim", "d_model"), 8192),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "d_ff"), 65_536),
    **dict.fromkeys(("num_hidden_layers", "n_layers", "num_layers", "num_attention_heads"), 256),
    **dict.fromkeys(("num_labels", "type_vocab_size"), 10_000),
}
"""The most that is taken of what a `config.json` calls its sizes."""
_UNFIT: Final = (
    ValueError, KeyError, TypeError, RuntimeError, AssertionError, AttributeError, ArithmeticError,
    IndexError, ImportError, StrictDataclassError,
)  # fmt: skip
"""What transformers ends in where a `config.json` says what no network can be."""


def token_classifier(config: Mapping[str, Any], **settings: object) -> Any:
    """Return `transformers`' own token classifier of a configuration, without weights.

    Raises:
        DataError: This release of transformers has no such architecture.
    """
    known = {name: value for name, value in config.items() if name != "transformers_version"}
    kind = str(known.pop("model_type", ""))
    _refuse_sizes(known)
    try:
        made = transformers.AutoConfig.for_model(kind, **known)
        made.update(settings)
        with quietly():
            return transformers.AutoModelForTokenClassification.from_config(made)
    except _UNFIT as error:
        said = f"transformers {transformers.__version__} has no encoder of model_type {kind!r}"
        hint = "Use an encoder (BERT, RoBERTa, DistilBERT, …) that this release knows."
        raise DataError(f"{said}: {error}", where="config.json", hint=hint) from error


def _refuse_sizes(config: Mapping[str, Any]) -> None:
    """Refuse a network that is larger than any encoder is, before memory is asked for.

    Raises:
        DataError: A size is no whole number, or beyond `_LARGEST`.
    """
    for name, most in _LARGEST.items():
        size = config.get(name, 1)
        if type(size) is not int or not 1 <= size <= most:
            hint = f"Give a whole number from 1 to {most}."
            raise DataError(f"{name} is {size!r:.40}", where="config.json", hint=hint)


class PretrainedEncoder(Body):
    """An encoder of `transformers`.

    Args:
        config: Content of a `config.json`.
        keep_layers: Lowest layers that are taken; none takes all.

    Raises:
        DataError: This release of transformers has no such architecture.
    """

    def __init__(self, config: Mapping[str, Any], keep_layers: int | None = None) -> None:
        fewer = {} if keep_layers is None else {"num_hidden_layers": keep_layers}
        whole = token_classifier(config, **fewer)
        super().__init__(int(whole.config.hidden_size))
        self.body = whole.base_model
        self.config = whole.config

    @property
    def embedding(self) -> nn.Embedding:
        """The tokens' embedding."""
        found = self.body.get_input_embeddings()
        assert isinstance(found, nn.Embedding)
        return found

    @property
    def layers(self) -> nn.ModuleList:
        """The encoder's layers, the lowest first."""
        count = int(self.config.num_hidden_layers)
        for part in self.body.modules():
            if isinstance(part, nn.ModuleList) and len(part) == count:
                return part
        raise DataError(f"no {count} layers are found in a {type(self.body).__name__}")

    def levels(self) -> Iterator[list[nn.Parameter]]:
        """Yield the parameters: embeddings and all that is in no layer, then each layer's."""
        layers = self.layers
        inner = {id(p) for p in layers.parameters()}
        yield [p for p in self.parameters() if id(p) not in inner]
        for layer in layers:
            yield list(layer.parameters())

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None, characters: Tensor | None = None
    ) -> Tensor:
        """Return (B, T, H) of tokens (B, T)."""
        hidden: Tensor = self.body(input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden

    def load(self, folder: EncoderFolder) -> None:
        """Take the weights of a folder, from safetensors alone.

        Raises:
            DataError: They are damaged, or weights that the encoder needs are missing.
        """
        try:
            with quietly():
                model, found = transformers.AutoModelForTokenClassification.from_pretrained(
                    folder.path,
                    config=self.config,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                    dtype=torch.float32,
                    output_loading_info=True,
                )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            said = f"these weights can't be read: {error}"
            raise DataError(said, where=folder.path, hint="Use another copy of them.") from error
        prefix = model.base_model_prefix + "."
        missing = sorted(n for n in found["missing_keys"] if n.startswith(prefix))
        if missing:
            said = f"{len(missing)} weights of the encoder are missing, {missing[0]} among them"
            hint = "Its config.json may be that of another model."
            raise DataError(said, where=folder.path, hint=hint)
        self.body.load_state_dict(model.base_model.state_dict())


@contextmanager
def quietly() -> Iterator[None]:
    """Leave out what the library says of heads that it does not find, and its progress bars."""
    level = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity(logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()
