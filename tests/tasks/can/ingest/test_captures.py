"""Captures are found under every arrangement of a data root, and their names are understood."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tutelage.core.errors import DataError
from tutelage.tasks.can.ingest import CaptureFile, find_captures
from tutelage.tasks.can.ingest.captures import attack_of, named_for_attack, vehicle_of

CSV = "timestamp,arbitration_id,data_field,attack\n1.0,1,00,0\n"


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CSV)
    return root


def described(captures: list[CaptureFile]) -> list[tuple[str, str, str, str]]:
    return [(c.group, c.split, c.name, c.attack) for c in captures]


@pytest.mark.parametrize(
    ("name", "attack"),
    [
        ("DoS-sonata", "DoS"),
        ("fuzzing-kia", "fuzzing"),
        ("malfunction-kia", "malfunction"),
        ("rpm-accessory-1", "rpm"),
        ("speed-accessory-1", "speed"),
        ("targeted_payload_fuzzing-2", "targeted_payload_fuzzing"),
        ("untargeted_payload_fuzzing-1", "untargeted_payload_fuzzing"),
        ("valid_systematic-3", "valid_systematic"),
        ("suppress-2", "suppress"),
        ("masquerade-untimed-4", "masquerade"),
        ("masquerade-timed-1", "masquerade"),
        ("attack-free-kia", "attack-free"),
        ("accessory-2", "attack-free"),
        ("DoS_dataset", "DoS"),
        ("Fuzzy_attack_dataset", "Fuzzy"),
        ("Attack_free_dataset", "attack-free"),
        ("normal_run_data", "attack-free"),
        ("Flooding_dataset_KIA", "Flooding"),
        ("FreeDrivingData_20180112_KIA", "attack-free"),
        ("fuzzing_attack_1", "fuzzing"),
        ("correlated_signal_attack_1_masquerade", "masquerade"),
        ("ambient_dyno_drive_basic_long", "attack-free"),
        ("capture", "capture"),
        ("7", "7"),
    ],
)
def test_the_attack_is_told_from_the_name(name: str, attack: str) -> None:
    assert attack_of(name) == attack


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("DoS-sonata", True),
        ("untargeted_payload_fuzzing-1", True),
        ("correlated_signal_attack_1_masquerade", True),
        ("suppress-2", True),
        ("attack-free-kia", False),
        ("Attack_free_dataset", False),
        ("good", False),
        ("tornados", False),
        ("ambient_dyno_drive_basic_long", False),
    ],
)
def test_some_names_tell_an_attack_beyond_doubt(name: str, told: bool) -> None:
    assert named_for_attack(name) == told


@pytest.mark.parametrize(
    ("name", "vehicle"),
    [
        ("DoS-kia-soul", "kia soul"), ("FreeDrivingData_20180112_KIA", "kia"),
        ("attack_free-hatchback", "hatchback"), ("rpm-accessory-1", ""), ("sparkling-2", ""),
    ],
)  # fmt: skip
def test_the_vehicle_is_told_from_the_name(name: str, vehicle: str) -> None:
    assert vehicle_of(name) == vehicle


def test_split_folders_are_found_in_order(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        "test_01_known/DoS-kia.csv",
        "train_02_with_attacks/rpm-1.csv",
        "train_01_attack_free/attack-free-1.csv",
        "train_02_with_attacks/DoS-1.csv",
    )
    assert described(find_captures(root)) == [
        ("", "test_01_known", "DoS-kia", "DoS"),
        ("", "train_01_attack_free", "attack-free-1", "attack-free"),
        ("", "train_02_with_attacks", "DoS-1", "DoS"),
        ("", "train_02_with_attacks", "rpm-1", "rpm"),
    ]


def test_flat_files_carry_their_split_in_the_name(tmp_path: Path) -> None:
    root = put(tmp_path, "train_02_with_attacks__fuzzing-kia.parquet")
    assert described(find_captures(root)) == [
        ("", "train_02_with_attacks", "fuzzing-kia", "fuzzing")
    ]


@pytest.mark.parametrize(
    ("path", "split", "name"),
    [
        ("test_drive.csv", "test", "drive"),
        ("Train-DoS.csv", "Train", "DoS"),
        ("train_01_fuzzing.csv", "train", "01_fuzzing"),
        ("VAL 3.csv", "VAL", "3"),
        ("validation.csv", "validation", "validation"),
        ("test/train_x.csv", "test", "train_x"),
        ("Test/good/f.csv", "Test", "f"),
        ("valid/f.csv", "valid", "f"),
        ("tests/f.csv", "", "f"),
        ("trainer.csv", "", "trainer"),
        ("a__b.csv", "", "a__b"),
        ("test/a__b.csv", "test", "a__b"),
        ("test_02__train_b.csv", "test_02", "train_b"),
        ("valid_systematic-3.csv", "", "valid_systematic-3"),
    ],
)
def test_a_folder_or_a_file_s_prefix_gives_the_split(
    tmp_path: Path, path: str, split: str, name: str
) -> None:
    (found,) = find_captures(put(tmp_path / "test_captures", path))
    assert (found.split, found.name) == (split, name)


def test_sets_come_before_splits_and_names(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        "set_02/train_01_attack_free__accessory-1.csv",
        "set_01/train_01_attack_free/accessory-2.csv",
        "set_01/test_05_suppress__suppress-1.csv",
    )
    assert described(find_captures(root)) == [
        ("set_01", "test_05_suppress", "suppress-1", "suppress"),
        ("set_01", "train_01_attack_free", "accessory-2", "attack-free"),
        ("set_02", "train_01_attack_free", "accessory-1", "attack-free"),
    ]
    assert described(find_captures(root / "set_02"))[0][0] == "set_02"


def test_a_plain_folder_and_a_single_file_have_no_split(tmp_path: Path) -> None:
    root = put(tmp_path / "logs", "drive.csv")
    assert described(find_captures(root)) == [("", "", "drive", "drive")]
    assert find_captures(root / "drive.csv")[0].path == root / "drive.csv"


def test_hidden_files_readmes_and_other_kinds_are_left_out(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        "a.csv",
        ".b.csv",
        ".git/c.csv",
        "README.txt",
        "readme_data.csv",
        "notes.md",
        "x.json",
    )
    assert [c.name for c in find_captures(root)] == ["a"]


def test_each_wrong_root_has_its_own_message(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path / "other", "a.md", "b.png")
    (tmp_path / "notes.md").write_text("hello")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases = {
        "absent": "no such folder or file",
        "empty": "the folder is empty",
        "other": "no capture in the folder (files of other kinds: 2)",
        "notes.md": "not a CAN capture in a known format",
        "loop": "can't be read",
        "notes.md/below": "no such folder or file",
        "pipe": "neither a folder nor a file",
    }
    for name, message in cases.items():
        with pytest.raises(DataError) as refusal:
            find_captures(tmp_path / name)
        assert message in refusal.value.problem
        assert str(tmp_path / name) in (refusal.value.where or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_refused(tmp_path: Path) -> None:
    root = put(tmp_path / "locked", "a.csv")
    root.chmod(0)
    try:
        with pytest.raises(DataError, match="can't be read"):
            find_captures(root)
    finally:
        root.chmod(0o700)
