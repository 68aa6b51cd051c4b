"""The payload model: alarms when an identifier's rolling counter or checksum stops being right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence.detector import StreamDetector
from tutelage.tasks.can.evidence.learning import learn_patterns
from tutelage.tasks.can.evidence.patterns import Pattern, PatternJSON, PatternTable
from tutelage.tasks.can.evidence.payload_state import (
    RECENT,
    Grouped,
    PayloadState,
    group,
    remember,
)
from tutelage.tasks.can.evidence.surprise import LARGEST, MILLI, Evidence, Feature, thousandths
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import id_codes


class PayloadJSON(TypedDict):
    """`PayloadModel` as plain JSON."""

    patterns: list[PatternJSON]
    counter_rate: float
    checksum_rate: float


@dataclass(frozen=True)
class PayloadModel(StreamDetector[PayloadState]):
    """Score frames by what their identifier's counters and checksums should have been.

    A frame breaks its identifier's *counters* when none of them goes on: by one, or from one of the
    last three frames by as many as periods have passed since, so that a frame after an injected or
    a lost one is right. It breaks the *checksum* when each that the identifier has is wrong. In
    benign traffic either happens at a rate that is measured over all identifiers together, and the
    identifier's own where that is higher; -log10 of it is the break's surprise. A frame that breaks
    something scores the sum of the surprises of its identifier's last four frames, so a counter
    that stops is an alarm at its second frame or third, and a stray one may be none. It depends on
    past frames only, six of each identifier: a stream cut into pieces gets the same scores.
    Identifiers without counter or checksum score 0, as do unknown ones.

    Args:
        patterns: One for each identifier that has any, ascending by identifier.
        counter_rate: Share of frames that break their counters in benign traffic.
        checksum_rate: The same for checksums.
    """

    patterns: tuple[Pattern, ...]
    counter_rate: float
    checksum_rate: float

    @classmethod
    def learn(cls, traffic: Sequence[Frames], unread: bool) -> Self:
        """Learn counters and checksums, and how often benign traffic breaks them.

        An identifier of which more than a fiftieth is injected in an unread stretch is left without
        a counter, one of which more than a thousandth is, without a checksum.
        """
        patterns = learn_patterns(traffic)
        draft = cls(tuple(patterns), 0.0, 0.0)
        table = PatternTable.of(draft.patterns)
        seen = np.zeros(len(patterns), np.int64)
        broken = np.zeros((2, len(patterns)), np.int64)
        for capture in traffic:
            code = id_codes(capture.arbitration_id, table.ids)
            grouped = group(capture, code, PayloadState.empty(len(patterns)))
            seen += np.bincount(grouped.code, minlength=len(patterns))
            for kind, breaks in enumerate((table.stopped(grouped)[0], table.wrong(grouped))):
                broken[kind] += np.bincount(grouped.code[breaks], minlength=len(patterns))
        measured = [
            pattern.measured(int(n), int(stops), int(wrongs))
            for pattern, n, stops, wrongs in zip(patterns, seen, *broken, strict=True)
        ]
        has = (np.array([bool(p.counters) for p in patterns], np.bool_), table.checked)
        rates = [_pooled(broken[kind][has[kind]], seen[has[kind]]) for kind in range(2)]
        return cls(tuple(measured), *rates)

    def start(self) -> PayloadState:
        """Return the state before a stream's first frame."""
        return PayloadState.empty(len(self.patterns))

    def score_block(self, frames: Frames, state: PayloadState) -> tuple[Evidence, PayloadState]:
        """Score frames by what their payloads should be."""
        table = self._table
        grouped = group(frames, id_codes(frames.arbitration_id, table.ids), state)
        found = _judge(table, self._surprises, grouped, Evidence.none(frames))
        return found, remember(grouped, state)

    @cached_property
    def _table(self) -> PatternTable:
        return PatternTable.of(self.patterns)

    @cached_property
    def _surprises(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(K,) surprise of a broken counter, and of a wrong checksum."""
        stop, wrong = self._table.stop_rate, self._table.wrong_rate
        return (
            thousandths(np.maximum(self.counter_rate, stop)),
            thousandths(np.maximum(self.checksum_rate, wrong)),
        )

    def to_json(self) -> PayloadJSON:
        """Return the model as plain JSON."""
        return {
            "patterns": [p.to_json() for p in self.patterns],
            "counter_rate": self.counter_rate,
            "checksum_rate": self.checksum_rate,
        }

    @classmethod
    def from_json(cls, state: PayloadJSON) -> Self:
        """Return the model that `to_json` described."""
        patterns = tuple(Pattern.from_json(p) for p in state["patterns"])
        return cls(patterns, state["counter_rate"], state["checksum_rate"])


def _pooled(broken: NDArray[np.int64], seen: NDArray[np.int64]) -> float:
    """Return Laplace's rate of breaks over identifiers, without the tenth that break most.

    Those may hold an attack; each answers for itself with its own rate.
    """
    if not len(seen):
        return 1.0
    order = np.argsort(broken / np.maximum(seen, 1), kind="stable")
    kept = order[: max(1, len(order) - len(order) // 10)]
    return float((broken[kept].sum() + 1) / (seen[kept].sum() + 2))


def _judge(
    table: PatternTable,
    surprises: tuple[NDArray[np.int64], NDArray[np.int64]],
    grouped: Grouped,
    evidence: Evidence,
) -> Evidence:
    """Fill in the evidence of a block from its grouped frames."""
    stopped, value, due = table.stopped(grouped)
    wrong = table.wrong(grouped)
    if not (stopped.any() or wrong.any()):
        return evidence
    by_counter = _recent(grouped, stopped * surprises[0][grouped.code])
    by_checksum = _recent(grouped, wrong * surprises[1][grouped.code])
    wrongs = _recent(grouped, wrong.astype(np.int64))
    checksum = by_checksum > by_counter
    total = np.where(stopped | wrong, np.minimum(by_counter + by_checksum, LARGEST), 0)
    told = np.flatnonzero((grouped.row >= 0) & (total > 0))
    row, checksum = grouped.row[told], checksum[told]
    evidence.score[row] = total[told] / MILLI
    evidence.feature[row] = np.where(checksum, Feature.CHECKSUM, Feature.COUNTER)
    evidence.measured[row] = np.where(checksum, wrongs[told], value[told])
    evidence.expected[row] = np.where(checksum, 0, due[told])
    return evidence


def _recent(grouped: Grouped, amounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (m,) sums of ``amounts`` over an identifier's last `RECENT` frames."""
    total = amounts.astype(np.int64)
    for back in range(1, RECENT):
        total[back:] += np.where(grouped.shares(back)[back:], amounts[:-back], 0)
    return total
