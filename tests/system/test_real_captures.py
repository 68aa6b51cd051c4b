"""Real captures, through the command: a table a split, and the same numbers again."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Tutelage, record

SPLITS = {
    "test_01_known_vehicle_known_attack",
    "test_02_unknown_vehicle_known_attack",
    "test_03_known_vehicle_unknown_attack",
}
CHEAP = ("model.layers=1", "model.hidden=4", "model.heads=2", "training.max_epochs=1")


@pytest.mark.parametrize("model", [(), ("mode=autoencoder", "model=vgae")], ids=["gat", "vgae"])
def test_real_captures_train_and_evaluate_to_the_same_numbers(
    shared_data: Path, tutelage: Tutelage, model: tuple[str, ...]
) -> None:
    root = shared_data / "can" / "hcrl_sa"
    epochs = () if model else ("training.max_epochs=4",)  # as one is too few to classify
    trained = tutelage.done("train", "can", *CHEAP, *epochs, *model, f"data.root={root}")
    for split in SPLITS:
        assert split in trained.out
    (run,) = tutelage.runs()
    kept = record(run)
    assert {key.split("/")[0] for key in kept["metrics"]} == SPLITS
    assert str(run) in trained.out
    scored = tutelage.done("evaluate", "@last", f"data.root={root}", "--json").json
    assert scored["metrics"] == kept["metrics"]
    assert scored["baselines"] == kept["baselines"]
    if not model:
        assert kept["metrics"]["test_01_known_vehicle_known_attack/f1"] > 0.9
    assert all(scores for scores in kept["baselines"].values())


def test_a_suppressed_message_has_no_positive_label_and_so_no_auroc(
    shared_data: Path, tutelage: Tutelage
) -> None:
    folder = shared_data / "can" / "can_train_and_test" / "set_04"
    root = tutelage.folder / "captures"
    root.mkdir()
    for name in (
        "train_02_with_attacks__rpm-accessory-4.parquet",
        "train_02_with_attacks__untargeted_payload_fuzzing-3.parquet",
        "test_05_suppress__suppress-2.parquet",
    ):
        (root / name).symlink_to(folder / name)
    data = ("data.root=captures", "data.links=anywhere")
    metrics = tutelage.done("train", "can", *CHEAP, *data, "--json").json["metrics"]
    names = {key.split("/")[-1] for key in metrics if key.startswith("test_05_suppress/")}
    assert {"accuracy", "false_alarms_per_hour", "windows"} <= names
    assert not {"auroc", "auprc", "recall", "f1"} & names
