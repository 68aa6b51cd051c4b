"""A score as shares of test items, drawn anew: its interval, and its paired difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from tutelage.core.chance import CONFIDENCE, Interval, PairedTest
from tutelage.core.documents import read_json
from tutelage.core.errors import StoreError
from tutelage.core.files import digest_bytes
from tutelage.core.records import Part
from tutelage.core.store import Run

BLOCKS: Final = "blocks.json"
"""Where a run keeps them."""
MOST: Final = 2000
"""Blocks of a split; neighbours are joined where there would be more."""
DRAWS: Final = 2000
_AT_ONCE: Final = 100
Finite = Annotated[float, Field(allow_inf_nan=False)]
Floats = NDArray[np.float64]


class Blocks(Part):
    """A metric of a test split as a ratio of sums over blocks of its items.

    F1 is 2 tp over 2 tp + fp + fn, a mean the sum of values over their number. What lies in one
    block is not independent, so that blocks are drawn, not items.

    Args:
        metric: ``split/metric``.
        of: What a block is, in the plural.
        items: Digest of what was scored: where it is the same, scores can be paired.
        above: (blocks,) each block's share of the numerator.
        below: (blocks,) its share of the denominator.
    """

    metric: str
    of: str
    items: str
    above: tuple[Finite, ...]
    below: tuple[Finite, ...]

    @model_validator(mode="after")
    def _even(self) -> Self:
        if len(self.above) != len(self.below) or not sum(self.below) > 0:
            raise ValueError("the shares of numerator and denominator don't belong together")
        return self

    @property
    def value(self) -> float:
        """The metric."""
        return sum(self.above) / sum(self.below)


def blocks_of(
    metric: str, of: str, above: ArrayLike, below: ArrayLike, items: Sequence[bytes]
) -> tuple[Blocks, ...]:
    """Cut a metric into blocks; none where the metric is not defined.

    Args:
        metric: ``split/metric``.
        of: What a block is, in the plural.
        above: (blocks,) each block's share of the numerator.
        below: (blocks,) its share of the denominator.
        items: What was scored, such as the true labels and the names of files.
    """
    shares = np.stack([np.asarray(above, np.float64), np.asarray(below, np.float64)])
    if not shares[1].sum() > 0:
        return ()
    count = shares.shape[1]
    size = -(-count // MOST)
    if size > 1:
        shares = np.add.reduceat(shares, np.arange(0, count, size), axis=1)
        of = f"groups of {size} {of}"
    digest = digest_bytes(b"\0".join(items))
    return (Blocks(metric=metric, of=of, items=digest, above=shares[0], below=shares[1]),)


_LIST = TypeAdapter(tuple[Blocks, ...])


def pack_blocks(found: Sequence[Blocks]) -> dict[str, bytes]:
    """Return the file that keeps them (`Evaluation.files`); none where there are none."""
    return {BLOCKS: _LIST.dump_json(tuple(found))} if found else {}


def read_blocks(run: Run) -> dict[str, Blocks]:
    """Read a run's blocks by their metric; none where it kept none.

    Raises:
        StoreError: The file is damaged.
    """
    path = run.path / BLOCKS
    if BLOCKS not in run.record.artifacts or not path.exists():
        return {}
    try:
        found = _LIST.validate_python(read_json(path))
    except (OSError, ValueError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise StoreError(f"the scores of test items can't be read: {said}", where=path) from error
    return {one.metric: one for one in found}


def interval_of(blocks: Blocks, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Return a metric with its bootstrap interval, by blocks drawn anew (Efron 1979)."""
    if len(blocks.above) < 2:
        return Interval(blocks.value)
    (drawn,) = ratios(_shares(blocks), draws, seed)
    return Interval(blocks.value, *_ends(drawn))


def paired_bootstrap(one: Blocks, other: Blocks, draws: int = DRAWS, seed: int = 0) -> PairedTest:
    """Compare two models on the same items: both are scored on each draw of blocks.

    The p-value is twice the share of draws on the far side of no difference, the observed data
    counted as one draw (Davison & Hinkley 1997, section 4.4).
    """
    mean = one.value - other.value
    if len(one.above) < 2:
        return PairedTest(Interval(mean), None)
    mine, theirs = ratios(_shares(one, other), draws, seed)
    apart = mine - theirs
    least = min(int((apart <= 0).sum()), int((apart >= 0).sum())) + 1
    return PairedTest(Interval(mean, *_ends(apart)), min(1.0, 2 * least / (draws + 1)))


def ratios(shares: Floats, draws: int, seed: int) -> Floats:
    """Return (k, draws), k metrics over blocks drawn with replacement, the same for all of them.

    A draw without anything below the line counts as 0.

    Args:
        shares: (k, 2, blocks), what is above the line and below it.
        draws: How often.
        seed: Of the draws.
    """
    count, generator = shares.shape[-1], np.random.default_rng(seed)
    parts = []
    for start in range(0, draws, _AT_ONCE):
        times = drawn_times(count, min(_AT_ONCE, draws - start), generator)
        above, below = np.moveaxis(shares @ times.T, 1, 0)
        parts.append(np.divide(above, below, out=np.zeros_like(above), where=below > 0))
    return np.concatenate(parts, axis=1)


def drawn_times(blocks: int, draws: int, generator: np.random.Generator) -> Floats:
    """Return (draws, blocks), how often each block was drawn, of as many as there are."""
    drawn = generator.integers(0, blocks, (draws, blocks)) + np.arange(draws)[:, None] * blocks
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def _shares(*each: Blocks) -> Floats:
    return np.array([[one.above, one.below] for one in each])


def _ends(drawn: Floats) -> tuple[float, float]:
    outer = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [outer, 1 - outer])
    return float(low), float(high)
