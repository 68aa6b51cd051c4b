"""`SubwordCoder`: the tokens of a pretrained encoder, by its own fast tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from tokenizers import Tokenizer

from tutelage.core.documents import load_json
from tutelage.core.errors import DataError
from tutelage.tasks.ner.tokens.coders import Coder, Pieces

MAX_PIECES: Final = 32
"""Tokens of a word, at most: what is longer is no word, and would fill windows by itself."""
_MASKS: Final = ("[MASK]", "<mask>")


class SubwordCoder(Coder):
    """Tokens of words by a `tokenizer.json`; each word is tokenised as one that follows a blank.

    Args:
        tokenizer: Content of the file.
        pad: The token of padding, by the encoder's configuration.

    Raises:
        DataError: The content is no tokenizer.
    """

    kind = "subwords"

    def __init__(self, tokenizer: str, pad: int) -> None:
        self.content, self.pad = tokenizer, pad
        settings = _settings(tokenizer)
        try:
            self.tokenizer = Tokenizer.from_str(json.dumps(settings))
        except Exception as error:  # the library raises nothing narrower
            hint = "Save the tokenizer anew with the library that made it."
            raise DataError(f"is no tokenizer: {error}", where="tokenizer.json", hint=hint) from (
                error
            )
        self.size = self.tokenizer.get_vocab_size()
        specials = self.tokenizer.encode(["a"], is_pretokenized=True)
        inner = np.flatnonzero(np.array(specials.special_tokens_mask) == 0)
        first, last = (
            (int(inner[0]), int(inner[-1]) + 1) if len(inner) else (len(specials.ids),) * 2
        )
        self.prefix, self.suffix = tuple(specials.ids[:first]), tuple(specials.ids[last:])
        added = self.tokenizer.get_added_tokens_decoder()
        self.mask = next((i for i, token in added.items() if token.content in _MASKS), None)
        special = [i for i, token in added.items() if token.special]
        self.ordinary = np.setdiff1d(np.arange(self.size), special)
        self._unknown = self._unknown_token(settings)
        numbers = [*self.tokenizer.get_vocab().values(), self._unknown, pad]
        if max(map(abs, numbers)) > np.iinfo(np.int32).max:
            raise DataError("a token's number is beyond 31 bits", where="tokenizer.json")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(str(value["tokenizer"]), int(value["pad"]))

    def to_json(self) -> dict[str, object]:
        """Return the tokenizer's file as text, and the padding."""
        return {"kind": self.kind, "tokenizer": self.content, "pad": self.pad}

    def _unknown_token(self, settings: Mapping[str, Any]) -> int:
        model = settings["model"]
        if isinstance(model.get("unk_token"), str):
            found = self.tokenizer.token_to_id(model["unk_token"])
            return self.pad if found is None else int(found)
        return int(model.get("unk_id") or self.pad)

    def whole_words(self) -> Sequence[str]:
        """Return the tokens' texts that are told by that token alone."""
        texts = [self.tokenizer.decode([int(i)]).strip() for i in self.ordinary]
        words = list(dict.fromkeys(text for text in texts if text))
        counts = self.pieces(words, MAX_PIECES).counts
        return [word for word, count in zip(words, counts.tolist(), strict=True) if count == 1]

    def pieces(self, words: Sequence[str], most: int) -> Pieces:
        """Return the tokens of each word; one that the tokenizer sees nothing in is unknown."""
        most = min(most, MAX_PIECES)
        encoded = self.tokenizer.encode_batch(
            [[word] for word in words], is_pretokenized=True, add_special_tokens=False
        )
        ids = [one.ids[:most] or [self._unknown] for one in encoded]
        counts = np.array([len(one) for one in ids], np.int64)
        flat = np.array([i for one in ids for i in one], np.int32)
        return Pieces(flat, counts)


def _settings(tokenizer: str) -> dict[str, Any]:
    """Return the file's settings without padding and truncation, and with blanks before words."""
    try:
        settings = load_json(tokenizer)
        if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
            raise ValueError("it has no model")
    except ValueError as error:
        hint = "Save the tokenizer anew with the library that made it."
        raise DataError("is no tokenizer", where="tokenizer.json", hint=hint) from error
    settings["padding"] = settings["truncation"] = None
    before = settings.get("pre_tokenizer")
    parts = before.get("pretokenizers") if isinstance(before, dict) else None
    for part in (before, *(parts if isinstance(parts, list) else ())):
        if isinstance(part, dict) and part.get("type") == "ByteLevel":
            part["add_prefix_space"] = True
    return settings
