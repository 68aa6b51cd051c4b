"""What is said of the house is so, and its tests can be run together."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from statistics import median

DOCS = Path(__file__).parents[1] / "docs"
PICTURE = DOCS / "figures" / "house.svg"
sys.path.insert(0, str(PICTURE.parent))
from house import ROOMS, SOURCE, drawn  # noqa: E402


def test_each_room_of_the_source_is_drawn_once() -> None:
    names = [name for names in ROOMS for name in names.split()]
    there = [p.stem for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    assert sorted(names) == sorted(set(there) - {"__init__", "__main__"})


def test_the_picture_is_what_the_imports_make_of_it() -> None:
    again = "\n".join(drawn()) + "\n"
    assert PICTURE.read_text(encoding="utf-8") == again, "run docs/figures/house.py on it"


def test_names_from_elsewhere_are_where_the_table_says() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| (`.+`) \|$", page, re.MULTILINE)
    named = [(module, name) for module, names in rows for name in names.strip("`").split("`, `")]
    assert len(named) > 40
    gone = [n for n in named if not hasattr(import_module(f"tutelage.{n[0]}"), n[1])]
    assert not gone


def test_no_two_files_of_tests_have_one_name() -> None:
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names)), "pytest can't collect both"


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Each function of the source, with its place."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


def test_files_are_short() -> None:
    lines = {
        str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCE.rglob("*.py")
    }
    assert len(lines) > 400
    assert median(lines.values()) <= 150
    assert not {name: count for name, count in lines.items() if count > 400}


def test_functions_are_short_and_say_what_they_return() -> None:
    found = list(functions())  # how branched they are is ruff's to hold: C90
    assert len(found) > 2000
    assert not [place for place, node in found if (node.end_lineno or 0) - node.lineno >= 60]
    assert not [place for place, node in found if node.returns is None]
