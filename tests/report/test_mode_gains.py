"""Runs side by side say whether a mode helps against none, and when it doesn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_runs import KNOWN, SCORES, finish_run
from tutelage.core.store import Run, RunStore
from tutelage.report.modes import mode_table, verdict
from tutelage.report.page import render_page
from tutelage.report.seeds import interval

F1 = f"{KNOWN}/f1"


def finished(store: RunStore, f1: float, *settings: str) -> Run:
    return finish_run(store, *settings, scores={**SCORES, F1: f1}, fingerprint=f"{f1}{settings}")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.1], "better by this seed"),
        ([0.0], "does not help"),
        ([-0.1], "does not help"),
        ([0.1, 0.11, 0.1], "helps"),
        ([-0.1, -0.11, -0.1], "hurts"),
        ([0.2, -0.1, 0.1], "does not help beyond chance"),
        ([-0.2, 0.1, -0.1], "does not help"),
        ([0.0, 0.0], "does not help"),
    ],
)
def test_the_verdict_is_no_kinder_than_the_seeds(values: list[float], said: str) -> None:
    assert verdict(interval(values)) == said


def test_a_mode_is_set_against_none_seed_by_seed(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    runs = []
    for seed, (plain, curriculum) in enumerate(((0.90, 0.85), (0.92, 0.88), (0.91, 0.86))):
        runs.append(finished(store, plain, f"training.seed={seed}"))
        runs.append(finished(store, curriculum, f"training.seed={seed}", "mode=curriculum"))
    table = mode_table(runs)
    assert table is not None
    (row,) = table.rows
    assert row[:3] == ("gat, mode curriculum", "mode normal", KNOWN)
    assert row[3] == pytest.approx((-0.05 - 0.04 - 0.05) / 3) and row[5:] == (3, "hurts")
    page = render_page(runs)
    assert "What a mode gains" in page and "hurts" in page


def test_other_models_seeds_and_lone_runs_are_set_against_nothing(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    plain = finished(store, 0.9)
    others = [
        finished(store, 0.95, "mode=curriculum", "model.hidden=8"),
        finished(store, 0.95, "mode=curriculum", "training.seed=5"),
        finished(store, 0.95, "mode=autoencoder", "model=vgae"),
    ]
    assert mode_table([plain, *others]) is None
    assert mode_table([plain]) is None
    assert "What a mode gains" not in render_page([plain, *others])


def test_a_fusion_is_set_against_its_best_expert(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = finished(store, 0.9, "mode=fusion", "model=gated", "mode.experts=[a,b]")
    experts = {"expert_gat": {F1: 0.93}, "expert_vgae": {F1: 0.7}, "fusion_mlp": {F1: 0.99}}
    run.update(baselines=experts)
    table = mode_table([run, finished(store, 0.5)])
    assert table is not None
    (row,) = table.rows
    assert row[:3] == ("gated, mode fusion", "its best expert", KNOWN)
    assert row[3] == pytest.approx(-0.03) and row[5:] == (1, "does not help")
