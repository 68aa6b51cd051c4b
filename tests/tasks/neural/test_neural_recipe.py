"""The recipe that ships: a core from other sessions, frozen beneath readouts for one left out."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from test_neural_modes import SMALL

import tutelage
from tutelage.core.store import WEIGHTS, Run

OUT = "[bert_01]"


def core_of(run: Run) -> dict[str, torch.Tensor]:
    return {k: v for k, v in load_file(run.path / WEIGHTS).items() if ".core." in k}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[bool]:
    assert one.keys() == other.keys()
    return {torch.equal(one[name], other[name]) for name in one if name.endswith("weight")}


def test_a_core_from_other_sessions_serves_one_that_was_left_out(tmp_path: Path) -> None:
    only = (f"{stage}.data.only={OUT}" for stage in ("alone", "random", "transfer"))
    # models are of single stages: small ones for each
    models = [each for each in SMALL if each.startswith("model.")]
    common = [each for each in SMALL if not each.startswith("model.")]
    stages = ("core", "alone", "random", "transfer")
    small = [f"{stage}.{each}" for stage in stages for each in models]
    done = tutelage.pipeline(
        "neural-transfer", *common, *small, f"core.data.leave_out={OUT}", *only, home=tmp_path
    )
    runs = {name: stage.run for name, stage in done.stages.items()}
    assert list(runs) == list(stages)
    cores = {name: core_of(run) for name, run in runs.items()}
    assert same(cores["transfer"], cores["core"]) == {True}
    assert False in same(cores["alone"], cores["core"])
    assert False in same(cores["random"], cores["core"])
    assert [(p.run, p.role) for p in done.run.record.parents] == [(runs["core"].id, "core")]
    assert not runs["alone"].record.parents and not runs["random"].record.parents
    seen = {name: set(run.record.metrics) for name, run in runs.items()}
    assert "test/session bert_01/corr" not in seen["core"]
    for name in ("alone", "random", "transfer"):
        assert "test/corr" in seen[name] and not any("anna" in key for key in seen[name])
