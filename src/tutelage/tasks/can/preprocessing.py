"""`Preprocessing`: everything that a run learns from its training captures before it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tutelage.core.errors import CheckpointError, DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.operating import OperatingPoints
from tutelage.tasks.can.profile import TrafficProfile
from tutelage.tasks.can.rules import TwoGapRule, UnseenIdCountRule

Rule = UnseenIdCountRule | TwoGapRule


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What the model card keeps beside the weights.

    Args:
        profile: Vocabulary and per-id baselines.
        rules: The training-free rules, fitted on the same frames.
        trained_on: Digest and label of each training capture.
        test_fraction: Share of each training capture's time, at its end, that was kept for
            testing; 0 where captures of their own test.
        validated_on: Digest and label of each capture that validated whole: it chose the best
            checkpoint and the threshold, so that the model has seen it too.
        operating: Thresholds of the model and the rules for some rates of false alarms; null
            before the model was scored, or where no benign window was held out.
    """

    profile: TrafficProfile
    rules: Mapping[str, Rule]
    trained_on: Mapping[str, str]
    test_fraction: float
    validated_on: Mapping[str, str] = field(default_factory=dict)
    operating: OperatingPoints | None = None

    @classmethod
    def fit(
        cls,
        stretches: Sequence[Frames],
        window: int,
        trained_on: Mapping[str, str],
        test_fraction: float,
        validated_on: Mapping[str, str] | None = None,
    ) -> Self:
        """Learn from the benign frames of training stretches.

        Raises:
            DataError: There are no benign frames.
        """
        rules: dict[str, Rule] = {
            "unseen_id_count": UnseenIdCountRule.fit(stretches, window),
            "two_gap": TwoGapRule.fit(stretches),
        }
        profile = TrafficProfile.fit(stretches, window)
        return cls(profile, rules, trained_on, test_fraction, validated_on or {})

    def to_json(self) -> dict[str, object]:
        """The whole as JSON values."""
        return {
            "profile": self.profile.to_json(),
            "rules": {name: rule.to_json() for name, rule in self.rules.items()},
            "trained_on": dict(self.trained_on),
            "test_fraction": self.test_fraction,
            "validated_on": dict(self.validated_on),
            "operating": self.operating and self.operating.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from a model card.

        Raises:
            CheckpointError: The card holds something else.
        """
        try:
            rules: dict[str, Rule] = {
                "unseen_id_count": UnseenIdCountRule.from_json(value["rules"]["unseen_id_count"]),
                "two_gap": TwoGapRule.from_json(value["rules"]["two_gap"]),
            }
            profile = TrafficProfile.from_json(value["profile"])
            trained_on = dict(value["trained_on"])
            validated_on = dict(value.get("validated_on", {}))  # older cards don't say
            share, points = float(value["test_fraction"]), value.get("operating")
            operating = None if points is None else OperatingPoints.from_json(points)
            return cls(profile, rules, trained_on, share, validated_on, operating)
        except (KeyError, TypeError, ValueError, DataError) as error:
            hint = "Use the card that was written with these weights."
            raise CheckpointError(f"the card is of no CAN model: {error!r}", hint=hint) from error
