"""Crafted files through the real command: one message, exit code 2, nothing run, no run left."""

from __future__ import annotations

import json
from pathlib import Path

from command import Shared, Tutelage, assert_refused, record

import crafted


def test_settings_and_recipes_of_a_stranger_are_refused(tutelage: Tutelage) -> None:
    (tutelage.folder / "bomb.yaml").write_text(crafted.BOMB)
    assert_refused(tutelage("train", "can", "--config", "bomb.yaml"), "more than 50000 values")
    stages = {"one": {"grid": {f"model.x{n}": list(range(100)) for n in range(9)}}}
    (tutelage.folder / "recipe.json").write_text(json.dumps({"task": "can", "stages": stages}))
    assert_refused(tutelage("pipeline", "recipe.json"), "1000000000000000000 stages")


def test_data_of_a_stranger_run_nothing_and_stay_in_their_folder(tutelage: Tutelage) -> None:
    recordings, pictures = tutelage.folder / "recordings", tutelage.folder / "pictures"
    for folder in (recordings, pictures):
        folder.mkdir()
    canary = tutelage.folder / "canary"
    crafted.npz_pickle(recordings / "a.npz", canary)
    assert_refused(tutelage("train", "neural", "data.root=recordings"), "allow_pickle=False")
    assert not canary.exists()
    (pictures / "captions.csv").write_text("image,caption\n../../etc/passwd,x\n")
    assert_refused(tutelage("train", "multimodal", "data.root=pictures"), "leads out of")
    assert tutelage.runs() == []


def test_a_run_of_a_stranger_reads_nothing_outside_its_folder(
    shared: Shared, tutelage: Tutelage
) -> None:
    tutelage.copy_from(shared.tutelage)
    run = tutelage.home / shared.run.name
    kept = record(run)
    artifacts = {"weights": {"path": "../../../../etc/passwd", "digest": "0"}}
    (run / "record.json").write_text(json.dumps(kept | {"artifacts": artifacts}))
    assert_refused(tutelage("evaluate", run.name), "leads out of its folder")
    (run / "record.json").write_text(crafted.DEEP)
    assert_refused(tutelage("runs", "show", str(run)), "nested too deeply")
    (run / "record.json").write_text(json.dumps(kept))
    crafted.safetensors_overlapping(Path(run / "model.safetensors"))
    assert_refused(tutelage("evaluate", run.name), "digest")
