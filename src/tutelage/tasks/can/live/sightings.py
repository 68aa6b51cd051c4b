"""`Sighting`: what the monitors found odd in a window: which frame, of which id, and how odd."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.tasks.can.evidence import Evidence, Feature


@dataclass(frozen=True, slots=True)
class Sighting:
    """The oddest frame of a window.

    Args:
        frame: Its row in the capture.
        arbitration_id: The id that it speaks of: its own, or one that is silent.
        feature: What is odd.
        measured: What was found; see `Evidence`.
        expected: What is usual.
        surprise: -log10 of the probability that benign traffic is so odd.
        reason: The same in words.
    """

    frame: int
    arbitration_id: int
    feature: Feature
    measured: float
    expected: float
    surprise: float
    reason: str

    @classmethod
    def of(cls, evidence: Evidence, row: int, frame: int) -> Sighting:
        """Take it from the evidence about row ``row``, which is frame ``frame`` of the capture."""
        return cls(
            frame,
            int(evidence.arbitration_id[row]),
            Feature(int(evidence.feature[row])),
            float(evidence.measured[row]),
            float(evidence.expected[row]),
            float(evidence.score[row]),
            evidence.reason(row),
        )

    def __str__(self) -> str:
        return f"{self.reason}; by chance once in 10^{self.surprise:.0f} frames"

    def to_json(self) -> dict[str, object]:
        """The whole as JSON values; the reason stands beside it."""
        return {
            "frame": self.frame,
            "id": f"0x{self.arbitration_id:03X}",
            "feature": self.feature.name.lower(),
            "measured": self.measured,
            "expected": self.expected,
            "surprise": round(self.surprise, 3),
        }
