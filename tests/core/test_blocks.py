"""Scores in blocks: their bootstrap covers what it should, and pairs what belongs together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from made_runs import finish_run
from tutelage.core.blocks import (
    BLOCKS,
    MOST,
    Blocks,
    blocks_of,
    interval_of,
    pack_blocks,
    paired_bootstrap,
    read_blocks,
)
from tutelage.core.errors import StoreError
from tutelage.core.store import Run, RunStore


def mean_of(values: np.ndarray, items: bytes = b"i") -> Blocks:
    (found,) = blocks_of("test/f1", "texts", values, np.ones(len(values)), [items])
    return found


def keeping(store: RunStore, *blocks: Blocks) -> Run:
    run = finish_run(store)
    for name, content in pack_blocks(blocks).items():
        (run.path / name).write_bytes(content)
        run.update(artifacts={name: run.artifact(run.path / name)})
    return run


def test_the_interval_is_about_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, 400)
    found = interval_of(mean_of(values))
    half = 1.96 * values.std(ddof=1) / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.003)
    assert found.high == pytest.approx(values.mean() + half, abs=0.003)
    assert interval_of(mean_of(values[:1])).low is None


def test_a_paired_difference_is_surer_than_two_scores_apart() -> None:
    random = np.random.default_rng(1)
    hard = random.normal(0.5, 0.3, 200)
    one, other = mean_of(hard + 0.02), mean_of(hard + random.normal(0, 0.05, 200))
    found = paired_bootstrap(one, other)
    apart, alone = found.difference, interval_of(one)
    assert found.p_value is not None and found.p_value < 0.01
    assert apart.low is not None and apart.high is not None and apart.low > 0
    assert alone.low is not None and alone.high is not None
    assert apart.high - apart.low < (alone.high - alone.low) / 3


def test_models_that_are_alike_differ_significantly_in_about_5_of_100_tests() -> None:
    random = np.random.default_rng(2)
    pairs = ((mean_of(random.normal(size=60)), mean_of(random.normal(size=60))) for _ in range(300))
    sure = [paired_bootstrap(one, other, draws=400).p_value or 0 for one, other in pairs]
    assert 0.02 < np.mean(np.array(sure) < 0.05) < 0.09


def test_a_model_never_differs_from_itself() -> None:
    one = mean_of(np.arange(9.0))
    assert paired_bootstrap(one, one).p_value == 1.0


def test_many_blocks_are_joined_with_their_neighbours() -> None:
    values = np.arange(2.0 * MOST + 1)
    (found,) = blocks_of("test/f1", "texts", values, np.ones(len(values)), [])
    assert len(found.above) <= MOST and found.value == pytest.approx(values.mean())
    assert found.of == "groups of 3 texts" and found.above[:2] == (3.0, 12.0)
    assert blocks_of("test/f1", "texts", [0], [0], []) == ()


def test_blocks_are_read_as_they_were_kept(tmp_path: Path) -> None:
    one = mean_of(np.array([0.1, 1 / 3]))
    assert read_blocks(keeping(RunStore(tmp_path), one)) == {"test/f1": one}
    assert read_blocks(finish_run(RunStore(tmp_path))) == {}


@pytest.mark.parametrize(
    "content",
    [b"[", b'{"a": 1}', b'[{"metric": "m"}]', json.dumps(
        [{"metric": "m", "of": "t", "items": "", "above": [1], "below": [0]}]).encode()],
)  # fmt: skip
def test_damaged_blocks_are_refused(tmp_path: Path, content: bytes) -> None:
    run = keeping(RunStore(tmp_path), mean_of(np.ones(3)))
    (run.path / BLOCKS).write_bytes(content)
    with pytest.raises(StoreError, match="scores of test items"):
        read_blocks(run)
