"""One, two and four processes find the same scores and gradients; two resume to the same bits."""

from __future__ import annotations

import json
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from neural_ranks import gradients, make, prepared, scores, work

pytestmark = pytest.mark.system

DEADLOCK_SECONDS = 120


def together(world: int, folder: Path) -> list[dict[str, dict[str, float]]]:
    """Return what each of ``world`` processes finds; a process that waits for ever is ended."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tutelage.tasks.neural.modules", "lightning"])
    ranks = [context.Process(target=work, args=(rank, world, folder)) for rank in range(world)]
    for rank in ranks:
        rank.start()
    deadline = time.monotonic() + DEADLOCK_SECONDS
    try:
        for rank in ranks:
            rank.join(max(0, deadline - time.monotonic()))
        assert [rank.exitcode for rank in ranks] == [0] * world
    finally:
        for rank in ranks:
            rank.kill()
            rank.join()
    return [json.loads((folder / f"{rank}of{world}.json").read_text()) for rank in range(world)]


def test_one_two_and_four_processes_find_the_same_scores_and_gradients(tmp_path: Path) -> None:
    make(tmp_path)
    data, module = prepared(tmp_path)
    wanted = scores(data, module)
    assert wanted.keys() == {"val/loss", "val/corr", "val/bps"}
    assert wanted["val/bps"] < 0  # a clamp in each process would lift it
    steps = gradients(data, module)
    for world in (2, 4):
        for found in together(world, tmp_path):
            assert found["scores"] == pytest.approx(wanted, abs=1e-6)
            assert found["gradients"].keys() == steps.keys()
            for name, gradient in steps.items():
                assert found["gradients"][name] == pytest.approx(gradient, abs=1e-5), name
