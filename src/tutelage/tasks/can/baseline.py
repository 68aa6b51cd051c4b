"""`Baseline`: what is taken for normal traffic of one vehicle, from drives or a stretch of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tutelage.core.errors import DataError
from tutelage.tasks.can.captures import Capture
from tutelage.tasks.can.evidence import Monitors
from tutelage.tasks.can.frames import BENIGN, Frames
from tutelage.tasks.can.overlap import shared_captures
from tutelage.tasks.can.profile import TrafficProfile
from tutelage.tasks.can.rule_windows import benign_frames, capture_prefix
from tutelage.tasks.can.rules import PayloadRule, TwoGapRule, UnseenIdCountRule

Rule = UnseenIdCountRule | TwoGapRule | PayloadRule
ALIKE = 0.85
"""Share of a vehicle's usual ids, and of a stretch's frames, that have to be the other's too."""
_USUAL_SECONDS = 2.0
_CLEAN = 6.0


class CalibrationError(DataError):
    """A capture does not tell what is normal in it, or nothing is left of it to judge."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """One vehicle's normal traffic.

    Args:
        profile: Per-id baselines that features are relative to.
        rules: The training-free rules.
        monitors: The label-free detectors.
    """

    profile: TrafficProfile
    rules: Mapping[str, Rule]
    monitors: Monitors

    @classmethod
    def fit(cls, stretches: Sequence[Frames], window: int) -> Self:
        """Learn from the frames of one vehicle's drives that are labelled benign.

        Raises:
            DataError: There are none.
        """
        rules = fit_rules(stretches, window)
        return cls(TrafficProfile.fit(stretches, window), rules, Monitors.fit(stretches))

    @classmethod
    def calibrated(cls, prefix: Frames, window: int) -> Self:
        """Learn from a stretch whose labels are unread.

        The few frames that look injected are kept out of the profile.

        Raises:
            CalibrationError: The stretch is shorter than a window, or nearly all of it looks
                injected.
        """
        rules: dict[str, Rule] = {
            "unseen_id_count": UnseenIdCountRule.calibrated(prefix, window),
            "two_gap": TwoGapRule.calibrated(prefix),
            "payload": PayloadRule.calibrated(prefix),
        }
        monitors = Monitors.calibrated(prefix)
        odd = monitors.timing.evidence(prefix).score > _CLEAN
        if len(prefix) - int(odd.sum()) < window:
            raise CalibrationError(
                f"of {len(prefix)} frames to calibrate on {int(odd.sum())} look injected; the rest "
                f"is fewer than a window of {window}",
                hint="Calibrate on a longer stretch without attack.",
            )
        unread = replace(prefix, label=np.where(odd, np.int8(1), np.int8(BENIGN)))
        return cls(TrafficProfile.fit([unread], window), rules, monitors)

    def to_json(self) -> dict[str, object]:
        """The whole as JSON values."""
        return {
            "profile": self.profile.to_json(),
            "rules": {name: rule.to_json() for name, rule in self.rules.items()},
            "monitors": self.monitors.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the baseline that `to_json` described."""
        return cls(
            TrafficProfile.from_json(value["profile"]),
            rules_from_json(value["rules"]),
            Monitors.from_json(value["monitors"]),
        )


def recognises(profile: TrafficProfile, prefix: Frames) -> bool:
    """Whether a stretch is of a vehicle, by the ids on its bus.

    Args:
        profile: What the vehicle's traffic looks like.
        prefix: Some seconds, labels unread.
    """
    usual = profile.ids[(profile.median_gap > 0) & (profile.median_gap < _USUAL_SECONDS)]
    present = np.isin(usual, prefix.arbitration_id)
    own = np.isin(prefix.arbitration_id, profile.ids)
    return bool(len(usual) and present.mean() >= ALIKE and own.mean() >= ALIKE)


class KnownDrives:
    """Other drives, from which the baseline of a capture's vehicle is learned.

    Args:
        drives: Captures of any vehicles. Frames labelled as attacks are left out, and those without
            a label taken for benign.
        window: Frames of a window.
    """

    def __init__(self, drives: Sequence[Capture], window: int) -> None:
        told = [
            replace(
                drive,
                frames=replace(drive.frames, label=np.maximum(drive.frames.label, BENIGN)),
            )
            for drive in drives
        ]
        self._drives = [d for d in told if len(benign_frames(d.frames)) >= window]
        self._profiles = [TrafficProfile.fit([d.frames], window) for d in self._drives]
        self._window = window
        self._fitted: dict[tuple[int, ...], Baseline] = {}

    def prepare(self) -> None:
        """Learn, for each drive, the baseline that a capture like its beginning will ask for."""
        for drive in self._drives:
            beginning = capture_prefix(drive.frames)
            alike = [n for n, p in enumerate(self._profiles) if recognises(p, beginning)]
            self._fit(tuple(alike))

    def of(self, capture: Capture, prefix: Frames) -> Baseline | None:
        """Learn from the drives of a capture's vehicle; null where there is none.

        Args:
            capture: What is to be judged; a drive that shares traffic with it is left out.
            prefix: Its beginning, by which the vehicle is recognised.
        """
        same = [n for n, p in enumerate(self._profiles) if recognises(p, prefix)]
        found = shared_captures([self._drives[n] for n in same], [capture])
        shared = {id(twin.capture) for twin in found}
        return self._fit(tuple(n for n in same if id(self._drives[n]) not in shared))

    def _fit(self, apart: tuple[int, ...]) -> Baseline | None:
        if apart and apart not in self._fitted:
            stretches = [self._drives[n].frames for n in apart]
            self._fitted[apart] = Baseline.fit(stretches, self._window)
        return self._fitted.get(apart)


def fit_rules(stretches: Sequence[Frames], window: int) -> dict[str, Rule]:
    """Return the training-free rules, fitted on the frames that are labelled benign.

    Raises:
        DataError: There are none.
    """
    return {
        "unseen_id_count": UnseenIdCountRule.fit(stretches, window),
        "two_gap": TwoGapRule.fit(stretches),
        "payload": PayloadRule.fit(stretches),
    }


def rules_from_json(value: Mapping[str, Any]) -> dict[str, Rule]:
    """Return the rules that their `to_json` described; a run from before `payload` goes without."""
    rules: dict[str, Rule] = {
        "unseen_id_count": UnseenIdCountRule.from_json(value["unseen_id_count"]),
        "two_gap": TwoGapRule.from_json(value["two_gap"]),
    }
    if "payload" in value:
        rules["payload"] = PayloadRule.from_json(value["payload"])
    return rules


def vehicles(stretches: Sequence[Frames], window: int) -> tuple[Baseline, ...]:
    """Group stretches by vehicle, and learn each one's baseline from its benign frames.

    A stretch is of the first vehicle whose ids are its own; attack-free stretches come first.
    A stretch without a window of benign frames teaches nothing.
    """
    held = [s for s in stretches if s.count(BENIGN) >= window]
    groups: list[list[Frames]] = []
    for stretch in sorted(held, key=lambda s: s.count(BENIGN) < len(s)):
        ids = benign_frames(stretch).ids
        for group in groups:
            known = np.unique(np.concatenate([s.ids for s in group]))
            common = len(np.intersect1d(ids, known))
            if common >= ALIKE * max(len(ids), len(known)):
                group.append(stretch)
                break
        else:
            groups.append([stretch])
    return tuple(Baseline.fit(group, window) for group in groups)
