"""A mean over blocks of samples, and the standard error that decides which checkpoints tie."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from test_checkpoints import put  # noqa: E402

from tutelage.training.block_mean import BlockMean  # noqa: E402
from tutelage.training.checkpoint_files import read_marker  # noqa: E402
from tutelage.training.checkpoints import CheckpointManager  # noqa: E402


def blocks(values: np.ndarray, size: int) -> BlockMean:
    """Samples taken up in blocks of a size."""
    found = BlockMean()
    for part in np.array_split(values, len(values) // size):
        found.update(torch.tensor(part.mean()), len(part))
    return found


def test_the_mean_is_that_of_all_samples_whatever_the_blocks() -> None:
    values = np.random.default_rng(0).exponential(size=103)
    for size in (1, 7, 50, 103):
        assert float(blocks(values, size).compute()) == pytest.approx(values.mean(), rel=1e-6)


def test_the_error_of_blocks_of_one_is_the_standard_error_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(3.0, 1e-4, 200)
    expected = values.std(ddof=1) / np.sqrt(200)
    assert blocks(values, 1).error() == pytest.approx(expected, rel=1e-3)


def test_neighbours_that_are_alike_make_the_mean_no_surer() -> None:
    repeated = np.repeat(np.random.default_rng(2).normal(size=20), 50)
    assert blocks(repeated, 50).error() > 5 * blocks(repeated, 1).error()  # type: ignore[operator]


def test_one_block_tells_nothing_of_chance() -> None:
    found = blocks(np.arange(5.0), 5)
    assert found.error() is None
    found.reset()
    assert found.error() is None


def best_of(folder: Path, values: list[tuple[float, float | None]]) -> int:
    """The step of the best checkpoint by a loss, among some with values and errors."""
    for step, (metric, error) in enumerate(values, 1):
        put(folder, step, metric, error=error)
    path = CheckpointManager(folder, monitor="val/f1", mode="min").best()
    assert path is not None
    return read_marker(path).step


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([(0.5, None), (0.3, None), (0.4, None)], 2),  # no error is known: the least
        ([(0.3, None), (0.3, None), (0.4, None)], 2),  # equal values: the newer
        ([(0.5, 0.01), (0.3, 0.01), (0.4, 0.01)], 2),  # beyond chance
        ([(0.5, 0.01), (0.30, 0.02), (0.31, 0.01)], 3),  # within chance: the newer
        ([(0.30, 0.02), (0.31, 0.02), (0.33, 0.02)], 2),  # compared with the least, not in a chain
        ([(0.30, 0.00), (0.31, 0.50), (0.33, 0.50)], 1),  # the error is that of the least
    ],
)
def test_values_within_one_standard_error_of_the_best_tie_and_the_newest_wins(
    values: list[tuple[float, float | None]], step: int, tmp_path: Path
) -> None:
    assert best_of(tmp_path, values) == step


def test_the_best_value_stays_as_a_yardstick_while_later_ones_tie(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, keep_last=1, monitor="val/f1", mode="min")
    for step, metric in enumerate((0.30, 0.31, 0.312, 0.33, 0.40, 0.41), 1):
        put(tmp_path, step, metric, error=0.015)
        manager._prune()
    left = sorted(read_marker(path).step for path in tmp_path.glob("*.safetensors"))
    assert left == [1, 3, 6]
