"""What a run learns from its training data: its sessions' units and rates, and scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from tutelage.core.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class SessionCard:
    """What a model must know of a session to answer for it.

    Args:
        id: The session's id.
        animal: Whose brain it was.
        unit_ids: (N,) names of its units, in the order of the model's outputs.
        height: H, of its stimulus.
        width: W, of its stimulus.
        mean_rates: (N,) mean responses a bin over the training frames, above 0.
        rate_hz: Frames a second, where known.
        behaviour: (K,) names of the behavioural signals, in order.
        behaviour_mean: (K,) training means that they are standardised with.
        behaviour_std: (K,) training standard deviations.
    """

    id: str
    animal: str
    unit_ids: tuple[str, ...]
    height: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]
    mean_rates: tuple[float, ...]
    rate_hz: float | None = None
    behaviour: tuple[str, ...] = ()
    behaviour_mean: tuple[float, ...] = ()
    behaviour_std: tuple[float, ...] = ()

    @property
    def units(self) -> int:
        """N, the number of units."""
        return len(self.unit_ids)

    def standardised(self, behaviour: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return signals (..., K) with mean 0 and standard deviation 1 in training."""
        mean, std = (np.array(part, np.float32) for part in self._scales)
        scaled: NDArray[np.float32] = (behaviour - mean) / std
        return scaled

    @property
    def _scales(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.behaviour_mean, self.behaviour_std

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `dataclasses.asdict` wrote."""
        return TypeAdapter(cls).validate_python(content)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What the training data fix of a model.

    Args:
        sessions: Card of each session by its id, in order.
        static: Whether the stimuli are images rather than movies.
        stimulus_mean: Mean of the training stimuli, 0 to 255.
        stimulus_std: Their standard deviation, above 0.
        trained_on: Digest of each session's content that the model was trained on, by its id.
    """

    sessions: Mapping[str, SessionCard]
    static: bool
    stimulus_mean: float
    stimulus_std: float
    trained_on: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return JSON values from which `from_json` makes it again."""
        return {
            "sessions": [asdict(card) for card in self.sessions.values()],
            "static": self.static,
            "stimulus_mean": self.stimulus_mean,
            "stimulus_std": self.stimulus_std,
            "trained_on": dict(self.trained_on),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Make it again from `to_json`.

        Raises:
            CheckpointError: The card holds something else.
        """
        try:
            cards = [SessionCard.from_json(card) for card in content["sessions"]]
            return cls(
                sessions={card.id: card for card in cards},
                static=bool(content["static"]),
                stimulus_mean=float(content["stimulus_mean"]),
                stimulus_std=float(content["stimulus_std"]),
                trained_on=dict(content["trained_on"]),
            )
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            hint = "Use the card that was written with these weights."
            said = f"the card is of no neural model: {error}"
            raise CheckpointError(said, hint=hint) from error
