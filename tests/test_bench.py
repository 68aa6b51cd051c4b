"""The sitting of benchmarks leaves none out unsaid, and puts what falls short first."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import bench  # noqa: E402
from targets import Target, conclude  # noqa: E402

SCRIPT = """
import argparse
from pathlib import Path

from targets import Target, conclude

parser = argparse.ArgumentParser()
parser.add_argument("value", type=float)
parser.add_argument("--json", type=Path)
given = parser.parse_args()
print("ours beside a peer")
conclude({"twice": 2 * given.value}, [Target("speed", given.value, "≥", 2)], given.json)
"""


def scripts() -> dict[str, ast.Module]:
    """The files of the folder that are run, parsed."""
    parsed = {p.stem: ast.parse(p.read_text(encoding="utf-8")) for p in BENCHMARKS.glob("*.py")}
    return {
        name: tree
        for name, tree in parsed.items()
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
    }


def ran(folder: Path, text: str, value: str, monkeypatch: pytest.MonkeyPatch) -> bench.Found:
    """What came of a script of this text."""
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    script = folder / "made.py"
    script.write_text(text, encoding="utf-8")
    return bench.run(script, bench.Part((value,)), folder)


def test_each_benchmark_is_in_the_sitting_or_left_out_with_a_reason() -> None:
    assert not set(bench.PARTS) & set(bench.LEFT_OUT)
    assert set(scripts()) == set(bench.PARTS) | set(bench.LEFT_OUT)
    assert all(bench.LEFT_OUT.values())


def test_each_benchmark_of_the_sitting_takes_a_file_and_ends_as_all_do() -> None:
    for name in bench.PARTS:
        words = {n.value for n in ast.walk(scripts()[name]) if isinstance(n, ast.Constant)}
        called = {n.id for n in ast.walk(scripts()[name]) if isinstance(n, ast.Name)}
        assert "--json" in words and "conclude" in called, name


def test_a_script_that_falls_short_says_so_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = (ran(tmp_path, SCRIPT, value, monkeypatch) for value in ("2.5", "1.5"))
    assert good["status"] == 0 and bad["status"] == 1
    assert good["figures"]["twice"] == 5 and bad["figures"]["twice"] == 3
    assert bad["printed"] == "ours beside a peer\ntarget speed ≥ 2: MISSED (1.5)\n"
    head, _, first, second = bench.table({"good": good, "bad": bad})
    assert first == "| speed | ≥ 2 | 1.5 | **short** | `bad.py` |"
    assert second == "| speed | ≥ 2 | 2.5 | met | `good.py` |" and head.startswith("| what")


def test_a_script_that_breaks_falls_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ran(tmp_path, "raise SystemExit(3)", "1", monkeypatch)
    (told,) = bench.targets_of(broken)
    assert told["value"] == 3 and not told["met"]


def test_a_figure_that_is_no_number_meets_no_target(tmp_path: Path) -> None:
    for sign in ("≥", ">", "≤", "<", "="):
        assert not Target("speed", float("nan"), sign, 2).met
    with pytest.raises(SystemExit, match="1"):
        conclude({}, [Target("speed", float("nan"), "≥", 2)], tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["targets"][0]["value"] is None


def test_the_page_keeps_its_prose_and_shows_what_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"batching": ran(tmp_path, SCRIPT, "2.5", monkeypatch)}
    page = f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n"
    written = bench.with_results(page, found)
    assert written.startswith("before\n") and written.endswith("\nafter\n")
    assert "old" not in written and "ours beside a peer" in written
    assert bench.with_results(written, found) == written
    with pytest.raises(ValueError, match="the page needs"):
        bench.with_results("no marks", found)
