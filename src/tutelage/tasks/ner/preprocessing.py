"""`Preprocessing`: all that makes a run's tokens and its network again, as JSON on its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tutelage.core.errors import CheckpointError
from tutelage.tasks.ner.learned import Learned
from tutelage.tasks.ner.tokens.coders import Coder, coder_from_json
from tutelage.tasks.ner.tokens.store import Frame


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a run learned before training.

    Args:
        corpus: What its texts told: tags, and what baselines and audits need.
        coder: Turns words into tokens.
        encoder: The `config.json` of the encoder that the network has; none begins from scratch.
        weights: Digest of the weights that the network began with; none begins from scratch.
        max_length: Tokens of a window, at most.
        stride: Tokens that two windows of a text share.
    """

    corpus: Mapping[str, Any]
    coder: Coder
    max_length: int
    stride: int
    encoder: Mapping[str, Any] | None = None
    weights: str | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            CheckpointError: The card holds something else.
        """
        try:
            coder = coder_from_json(value["coder"])
            cut = int(value["max_length"]), int(value["stride"])
            Learned.from_json(value["corpus"])
            encoder = None if value["encoder"] is None else dict(value["encoder"])
            return cls(value["corpus"], coder, *cut, encoder, value["weights"])
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            hint = "Use the card that was written with these weights."
            raise CheckpointError(f"the card is of no text model: {error!r}", hint=hint) from error

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "corpus": dict(self.corpus),
            "coder": self.coder.to_json(),
            "encoder": None if self.encoder is None else dict(self.encoder),
            "weights": self.weights,
            "max_length": self.max_length,
            "stride": self.stride,
        }

    @property
    def frame(self) -> Frame:
        """What windows have besides the tokens of their words."""
        return Frame.of(self.coder, self.max_length, self.stride)
