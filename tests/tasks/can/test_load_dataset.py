"""Captures are read together; a file that is no capture is named, with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_captures import can_config, write_drive

from tutelage.core.errors import DataError
from tutelage.tasks.can.captures import load_dataset


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("speeds.csv", "speed,note\n1,a\n", "no column for the timestamp"),
        ("numbers.csv", 9 * "1,2,3\n", "9 bad lines"),
        ("notes.txt", "Monday: all fine\n", "not a CAN capture in a known format"),
    ],
)
def test_a_foreign_file_among_captures_is_named_with_how_to_leave_it_out(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    root = tmp_path / "captures"
    write_drive(root / "drive.csv", 1, seconds=2)
    path = root / name
    path.write_text(content)
    data = can_config(f"data.root={root}").data
    with pytest.raises(DataError, match=problem) as caught:
        load_dataset(data, tmp_path / "cache")
    assert str(path) in (caught.value.where or "")
    assert f"If {name!r} is no capture, move it out of the folder" in (caught.value.hint or "")
    path.rename(root / f".{name}")
    assert [capture.name for capture in load_dataset(data, tmp_path / "cache")] == ["drive"]


def test_a_foreign_file_alone_is_not_to_be_moved(tmp_path: Path) -> None:
    path = tmp_path / "speeds.csv"
    path.write_text("speed,note\n1,a\n")
    with pytest.raises(DataError) as caught:
        load_dataset(can_config(f"data.root={path}").data, tmp_path / "cache")
    assert "move it" not in (caught.value.hint or "")
