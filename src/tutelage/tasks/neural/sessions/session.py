"""`Session`: one recording: what was shown, what each unit answered, and what else is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Session:
    """A recording of N units over T frames (or T images, each shown on its own).

    Args:
        id: Its name, unique in a data set.
        animal: Whose brain it was.
        stimulus: (T, 1, H, W) uint8; may be memory-mapped.
        responses: (T, N) float32: spike counts a bin (or dF/F); 0 where not valid.
        valid: (T, N) bool, where a response was observed.
        unit_ids: (N,) names of the units, unique in the session, in the order of the columns.
        static: Each row is an image of its own, without a before and after.
        rate_hz: Frames a second; for images, bins a second of the responses. Null: not known.
        trial: (T,) int64, the stretch of time a frame belongs to; history never crosses its border.
            Rows of one trial lie together. For images each row is a trial.
        block: (T,) int64, the part of the recording a frame belongs to, where that is known.
        part: (T,) int64, which part of the split a frame was given to beforehand: 0 trains, 1
            validates, 2 tests; null leaves that to the split.
        behaviour: (T, K) float32, or null.
        behaviour_names: (K,) what its columns are.
        expected: (T, N) float32, the true mean response, where that is known: of simulations.
        stimulus_type: (T,) int64, places in ``stimulus_types``.
        stimulus_types: Kinds of stimulus.
    """

    id: str
    animal: str
    stimulus: Bytes
    responses: Floats
    valid: Bools
    unit_ids: tuple[str, ...]
    static: bool
    rate_hz: float | None
    trial: Ints
    block: Ints | None = None
    part: Ints | None = None
    behaviour: Floats | None = None
    behaviour_names: tuple[str, ...] = ()
    expected: Floats | None = None
    stimulus_type: Ints | None = None
    stimulus_types: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.stimulus)

    @property
    def units(self) -> int:
        """N, the number of units."""
        return len(self.unit_ids)

    def rows(self, kept: NDArray[np.int64]) -> Self:
        """Return the session reduced to some of its rows, in that order.

        Args:
            kept: (t,) int64.
        """
        block, part, kind = self.block, self.part, self.stimulus_type
        behaviour, expected = self.behaviour, self.expected
        return replace(
            self,
            stimulus=self.stimulus[kept],
            responses=self.responses[kept],
            valid=self.valid[kept],
            trial=self.trial[kept],
            block=None if block is None else block[kept],
            part=None if part is None else part[kept],
            behaviour=None if behaviour is None else behaviour[kept],
            expected=None if expected is None else expected[kept],
            stimulus_type=None if kind is None else kind[kept],
        )

    def columns(self, kept: NDArray[np.int64]) -> Self:
        """Return the session reduced to some of its units, in that order.

        Args:
            kept: (n,) int64.
        """
        return replace(
            self,
            responses=np.ascontiguousarray(self.responses[:, kept]),
            valid=np.ascontiguousarray(self.valid[:, kept]),
            expected=None if self.expected is None else self.expected[:, kept],
            unit_ids=tuple(self.unit_ids[unit] for unit in kept),
        )
