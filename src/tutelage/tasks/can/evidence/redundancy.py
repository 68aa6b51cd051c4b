"""The redundancy model: alarms when a signal disagrees with all other identifiers that carry it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence.detector import StreamDetector
from tutelage.tasks.can.evidence.redundancy_table import CheckTable
from tutelage.tasks.can.evidence.surprise import LARGEST, MILLI, Evidence, Feature
from tutelage.tasks.can.evidence.twins import Check, Field, Twin, find_checks
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import id_codes

_LASTING = 4
"""Frames of an identifier in a row that have to disagree."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class RedundancyJSON(TypedDict):
    """`RedundancyModel` as plain JSON: a field, its frames, and rows of twins."""

    fields: list[list[int]]
    seen: list[int]
    twins: list[list[list[float]]]


@dataclass(frozen=True, slots=True)
class RedundancyState:
    """The latest payload of each identifier that is compared.

    Args:
        word: (K,) uint64.
        seen: (K,) whether there was one.
        agreed: (C,) whether each check has been passed.
        distance: (C, _LASTING - 1) each check's last distances, the latest at the end.
    """

    word: NDArray[np.uint64]
    seen: NDArray[np.bool_]
    agreed: NDArray[np.bool_]
    distance: Floats


@dataclass(frozen=True)
class RedundancyModel(StreamDetector[RedundancyState]):
    """Score frames by whether their signals agree with other identifiers that carry the same.

    Vehicles repeat signals: road speed, wheel speeds, engine speed come under several identifiers.
    A field is checked against the latest values of two or three that predicted it well in
    calibration. It is odd only if it is farther from each prediction than it ever was, while these
    agree: then it is the field that lies. The distance in units of the largest in calibration, of n
    frames, is taken to have an exponential tail, so its surprise is that many times log10 n; the
    least over the twins and the identifier's last four frames counts. A check that was never passed
    in the stream says nothing. Scores depend on past frames only, by a bounded state: a stream cut
    into pieces gets the same.

    Args:
        checks: What is compared.
    """

    checks: tuple[Check, ...]

    block = 1 << 14

    @classmethod
    def learn(cls, traffic: Sequence[Frames], unread: bool) -> Self:
        """Learn which signals agree; signals attacked in an unread stretch are left out.

        Ten seconds are seldom enough to learn anything: a signal has to go up and down twice.
        """
        return cls(tuple(find_checks(traffic)))

    def start(self) -> RedundancyState:
        """Return the state before a stream's first frame."""
        kinds = len(self._table.ids)
        return RedundancyState(
            np.zeros(kinds, np.uint64),
            np.zeros(kinds, np.bool_),
            np.zeros(len(self.checks), np.bool_),
            np.zeros((len(self.checks), _LASTING - 1)),
        )

    def score_block(
        self, frames: Frames, state: RedundancyState
    ) -> tuple[Evidence, RedundancyState]:
        """Score frames by what others say of the same signals."""
        evidence, table = Evidence.none(frames), self._table
        if not len(table.ids):
            return evidence, state
        code = id_codes(frames.arbitration_id, table.ids)
        word = np.ascontiguousarray(frames.payload).view("<u8").ravel()
        words, seen = _latest(code, word, state)
        row, check = table.due(code)
        value, expected, distance = table.compare(row, check, word, words, seen)
        passed = np.where(state.agreed, -1, len(code))
        np.minimum.at(passed, check, np.where((distance >= 0) & (distance <= 1), row, len(code)))
        lasting, distances = _lasting(check, distance, state)
        odd = np.flatnonzero((lasting > 1.0) & (row > passed[check]))
        surprise = np.minimum(lasting[odd] * table.weight[check[odd]], LARGEST / MILLI)
        order = np.lexsort((surprise, row[odd]))
        last = order[np.append(np.diff(row[odd][order]) > 0, True)[: len(order)]]
        at = row[odd[last]]
        evidence.score[at] = surprise[last]
        evidence.feature[at] = Feature.REDUNDANCY
        evidence.measured[at] = value[odd[last]]
        evidence.expected[at] = expected[odd[last]]
        after = RedundancyState(words[-1], seen[-1], passed < len(code), distances)
        return evidence, after

    @cached_property
    def _table(self) -> CheckTable:
        return CheckTable.of(self.checks)

    def to_json(self) -> RedundancyJSON:
        """Return the model as plain JSON."""
        fields = [c.field for c in self.checks]
        return {
            "fields": [[f.arbitration_id, f.low, f.high] for f in fields],
            "seen": [c.seen for c in self.checks],
            "twins": [
                [
                    [
                        t.field.arbitration_id,
                        t.field.low,
                        t.field.high,
                        t.slope,
                        t.offset,
                        t.residual,
                    ]
                    for t in c.twins
                ]
                for c in self.checks
            ],
        }

    @classmethod
    def from_json(cls, state: RedundancyJSON) -> Self:
        """Return the model that `to_json` described."""
        checks = [
            Check(
                Field(*field),
                tuple(Twin(Field(int(t[0]), int(t[1]), int(t[2])), *t[3:]) for t in twins),
                seen,
            )
            for field, seen, twins in zip(
                state["fields"], state["seen"], state["twins"], strict=True
            )
        ]
        return cls(tuple(checks))


def _latest(
    code: Ints, word: NDArray[np.uint64], state: RedundancyState
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return (n, K) each identifier's latest payload at each row, and whether there was one."""
    kinds = len(state.word)
    row = np.flatnonzero(code < kinds)
    at = np.full((len(code), kinds), -1, np.int64)
    at[row, code[row]] = row
    at = np.maximum.accumulate(at, axis=0)
    return np.where(at >= 0, word[at], state.word), (at >= 0) | state.seen


def _lasting(check: Ints, distance: Floats, state: RedundancyState) -> tuple[Floats, Floats]:
    """Return (P,) the least distance of each check's last frames, and its last ones (C, L - 1)."""
    count, before = state.distance.shape
    code = np.concatenate([np.repeat(np.arange(count), before), check])
    every = np.concatenate([state.distance.ravel(), distance])
    order = np.argsort(code, kind="stable")
    every = every[order]
    least = every.copy()
    for back in range(1, before + 1):
        least[back:] = np.minimum(least[back:], every[:-back])
    found = np.empty(len(every))
    found[order] = least
    end = np.cumsum(np.bincount(code, minlength=count))
    return found[count * before :], every[end[:, None] - np.arange(before, 0, -1)]
