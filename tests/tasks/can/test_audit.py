"""The audit finds leakage, repeats, missing labels and names that don't fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_captures import can_config, write_drive

from tutelage.task import Audit
from tutelage.tasks.can.audit import audit
from tutelage.tasks.can.simulator import write_csv

TRAIN, TEST = "train_02_with_attacks", "test_01_known_vehicle_known_attack"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A clean data set of one training and one test capture."""
    folder = tmp_path / "captures"
    write_drive(folder / TRAIN / "DoS.csv", 1, "dos", seconds=4)
    write_drive(folder / TEST / "DoS.csv", 2, "dos", seconds=4)
    return folder


def audited(root: Path) -> Audit:
    return audit(can_config(f"data.root={root}"), root.parent / "cache")


def rows(found: Audit) -> dict[str, dict[str, object]]:
    (table,) = found.tables
    named = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return {str(row["capture"]): row for row in named}


def test_clean_captures_are_called_clean(root: Path) -> None:
    found = audited(root)
    assert (found.stamp.verdict, found.stamp.findings) == ("clean", ())
    listed = rows(found)
    assert set(listed) == {f"{TRAIN}/DoS", f"{TEST}/DoS"}
    row = listed[f"{TRAIN}/DoS"]
    assert (row["attack"], row["format"], row["backward steps"]) == ("DoS", "csv", 0)
    assert row["seconds"] == pytest.approx(4.0, abs=0.1)
    assert 0 < int(str(row["attack frames"])) < int(str(row["frames"]))


def test_a_training_capture_that_tests_under_another_name_is_a_leak(root: Path) -> None:
    (root / TEST / "other.csv").write_bytes((root / TRAIN / "DoS.csv").read_bytes())
    stamp = audited(root).stamp
    assert stamp.verdict == "leaking"
    (said,) = stamp.findings
    assert said == f"the same content: {TEST}/other, {TRAIN}/DoS"


def test_a_part_of_a_training_capture_in_a_test_is_a_leak(root: Path) -> None:
    lines = (root / TRAIN / "DoS.csv").read_text().splitlines()
    (root / TEST / "part.csv").write_text("\n".join([lines[0], *lines[-2000:]]) + "\n")
    stamp = audited(root).stamp
    assert stamp.verdict == "leaking"
    (said,) = stamp.findings
    assert said.startswith(f"{TRAIN}/DoS: ") and "windows" in said
    assert f"of its traffic also stands in {TEST}/part; training leaves out " in said


def test_the_same_training_capture_twice_is_a_warning(root: Path) -> None:
    (root / "train_01_attack_free").mkdir()
    copy = root / "train_01_attack_free" / "DoS.csv"
    copy.write_bytes((root / TRAIN / "DoS.csv").read_bytes())
    stamp = audited(root).stamp
    assert stamp.verdict == "warnings"
    assert stamp.findings == (f"the same content: train_01_attack_free/DoS, {TRAIN}/DoS",)


def test_names_that_contradict_labels_are_warned_of(root: Path) -> None:
    write_drive(root / TRAIN / "fuzzing.csv", 3, None, seconds=3)
    write_drive(root / TRAIN / "attack-free.csv", 4, "dos", seconds=4)
    stamp = audited(root).stamp
    assert stamp.verdict == "warnings"
    assert f"{TRAIN}/fuzzing: named fuzzing but no frame is labelled an attack" in stamp.findings
    (other,) = [said for said in stamp.findings if "attack-free but" in said]
    assert other.startswith(f"{TRAIN}/attack-free: named attack-free but ")


@pytest.mark.parametrize("name", ["good", "accessory-1", "monday_tour", "endless"])
def test_a_capture_without_an_attack_frame_has_no_kind_of_attack(root: Path, name: str) -> None:
    write_drive(root / TRAIN / f"{name}.csv", 3, None, seconds=3)
    found = audited(root)
    assert found.stamp.findings == ()
    assert rows(found)[f"{TRAIN}/{name}"]["attack"] == "attack-free"


def test_missing_labels_are_warned_of_and_not_counted(root: Path) -> None:
    path = root / TRAIN / "DoS.csv"
    lines = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    found = audited(root)
    assert found.stamp.verdict == "warnings"
    said = f"{TRAIN}/DoS: frames without a label can't train or be scored"
    assert found.stamp.findings == (f"{said} (data.columns.label=NAME says which column has it)",)
    row = rows(found)[f"{TRAIN}/DoS"]
    assert (row["attack"], row["attack frames"]) == ("unlabelled", None)


def test_small_steps_back_in_time_are_counted(root: Path) -> None:
    path = root / TRAIN / "DoS.csv"
    lines = path.read_text().splitlines()
    for at in (100, 200, 300):
        before = float(lines[at - 1].partition(",")[0])
        lines[at] = f"{before - at * 1e-6:.6f},{lines[at].partition(',')[2]}"
    path.write_text("\n".join(lines) + "\n")
    found = audited(root)
    assert f"{TRAIN}/DoS: time steps back 3 times, at most 0.30 ms" in found.stamp.findings
    assert rows(found)[f"{TRAIN}/DoS"]["backward steps"] == 3


def test_the_embedded_captures_are_clean(tmp_path: Path) -> None:
    found = audit(can_config("data.simulated_seconds=5"), tmp_path)
    assert found.stamp.verdict == "clean"
    assert {row["format"] for row in rows(found).values()} == {"simulated"}


def test_the_real_captures_hold_leaks_that_the_audit_finds(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "can" / "can_train_and_test"
    root = tmp_path / "captures"
    root.mkdir()
    for name in (
        "set_02/train_01_attack_free__accessory-1.parquet",
        "set_04/test_02_unknown_vehicle_known_attack__speed-accessory-1.parquet",
    ):
        (root / Path(name).name).symlink_to(folder / name)
    found = audit(can_config(f"data.root={root}", "data.links=anywhere"), tmp_path / "cache")
    assert found.stamp.verdict == "leaking"
    assert any("also stands in" in said for said in found.stamp.findings)


def test_two_training_captures_of_one_drive_are_a_warning(tmp_path: Path) -> None:
    root = tmp_path / "captures"
    drive = write_drive(root / "train" / "drive.csv", 2)
    write_csv(drive[len(drive) // 2 :], root / "train" / "again.csv")
    stamp = audit(can_config(f"data.root={root}"), tmp_path / "cache").stamp
    said = "train/again and train/drive share 100% of their traffic: only the longer trains"
    assert stamp.verdict == "warnings"
    assert said in stamp.findings


def test_time_in_milliseconds_is_a_warning(tmp_path: Path) -> None:
    rows = "".join(f"{k}.0,{k % 9:X},00,0\n" for k in range(300))
    path = tmp_path / "train_a.csv"
    path.write_text("timestamp,arbitration_id,data_field,attack\n" + rows)
    stamp = audit(can_config(f"data.root={path}"), tmp_path / "cache").stamp
    assert any(
        "300 frames in 299 s: are the timestamps in seconds?" in said for said in stamp.findings
    )
