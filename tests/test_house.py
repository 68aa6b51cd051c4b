"""The drawing of the house shows the house, and its tests can be run together."""

from __future__ import annotations

import sys
from pathlib import Path

PICTURE = Path(__file__).parents[1] / "docs" / "figures" / "house.svg"
sys.path.insert(0, str(PICTURE.parent))
from house import ROOMS, SOURCE, drawn  # noqa: E402


def test_each_room_of_the_source_is_drawn_once() -> None:
    names = [name for names in ROOMS for name in names.split()]
    there = [p.stem for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    assert sorted(names) == sorted(set(there) - {"__init__", "__main__"})


def test_the_picture_is_what_the_imports_make_of_it() -> None:
    again = "\n".join(drawn()) + "\n"
    assert PICTURE.read_text(encoding="utf-8") == again, "run docs/figures/house.py on it"


def test_no_two_files_of_tests_have_one_name() -> None:
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names)), "pytest can't collect both"
