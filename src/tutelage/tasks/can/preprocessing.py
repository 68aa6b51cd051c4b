"""`Preprocessing`: everything that a run learns from its training captures before it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tutelage.core.errors import CheckpointError, DataError
from tutelage.tasks.can.baseline import (
    Baseline,
    Rule,
    fit_rules,
    recognises,
    rules_from_json,
    vehicles,
)
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.operating import OperatingPoints
from tutelage.tasks.can.profile import TrafficProfile


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
        vehicles: The normal traffic of each vehicle among the training captures.
    """

    profile: TrafficProfile
    rules: Mapping[str, Rule]
    trained_on: Mapping[str, str]
    test_fraction: float
    validated_on: Mapping[str, str] = field(default_factory=dict)
    operating: OperatingPoints | None = None
    vehicles: tuple[Baseline, ...] = ()

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
        rules = fit_rules(stretches, window)
        return cls(
            TrafficProfile.fit(stretches, window),
            rules,
            trained_on,
            test_fraction,
            validated_on or {},
            vehicles=vehicles(stretches, window),
        )

    def vehicle_of(self, prefix: Frames) -> Baseline | None:
        """Return the vehicle that a stretch is of, by the ids on its bus; null for none."""
        return next((v for v in self.vehicles if recognises(v.profile, prefix)), None)

    def to_json(self) -> dict[str, object]:
        """The whole as JSON values."""
        return {
            "profile": self.profile.to_json(),
            "rules": {name: rule.to_json() for name, rule in self.rules.items()},
            "trained_on": dict(self.trained_on),
            "test_fraction": self.test_fraction,
            "validated_on": dict(self.validated_on),
            "operating": self.operating and self.operating.to_json(),
            "vehicles": [vehicle.to_json() for vehicle in self.vehicles],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from a model card.

        Raises:
            CheckpointError: The card holds something else.
        """
        try:
            rules = rules_from_json(value["rules"])
            profile = TrafficProfile.from_json(value["profile"])
            trained_on = dict(value["trained_on"])
            validated_on = dict(value["validated_on"])
            share, points = float(value["test_fraction"]), value["operating"]
            operating = None if points is None else OperatingPoints.from_json(points)
            known = tuple(Baseline.from_json(vehicle) for vehicle in value["vehicles"])
            return cls(profile, rules, trained_on, share, validated_on, operating, known)
        except (LookupError, TypeError, ValueError, OverflowError, DataError) as error:
            hint = "Use the card that was written with these weights."
            raise CheckpointError(f"the card is of no CAN model: {error!r}", hint=hint) from error
