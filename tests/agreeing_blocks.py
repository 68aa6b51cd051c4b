"""What a run keeps of single test items comes to the very scores that stand in its record."""

from __future__ import annotations

import json

import pytest

from tutelage.core.blocks import BLOCKS, Blocks
from tutelage.core.records import Evaluation


def assert_blocks_agree(found: Evaluation, *metrics: str) -> None:
    """Hold blocks to the scores of an evaluation; ``metrics`` are all that should be there."""
    blocks = [Blocks.model_validate(one) for one in json.loads(found.files[BLOCKS])]
    assert [one.metric for one in blocks] == list(metrics)
    for one in blocks:
        assert one.value == pytest.approx(found.metrics[one.metric], abs=1e-9), one.metric
        assert len(one.above) > 1 and one.items
