"""A few seconds of fuzzing: light readers take or refuse whatever is made of their files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fuzz_readers.py"
LIGHT = (
    "can candump",
    "can candump with ROAD labels",
    "can csv",
    "can hcrl",
    "can otids",
    "can parquet",
    "can blf",
    "can trc",
    "ner conll",
    "ner jsonl",
    "ner parquet",
    "settings yaml",
    "settings json",
    "override",
    "split file",
    "run config",
    "run record",
    "run inputs",
    "run metrics",
    "study record",
    "study trials",
    "study journal",
)
INPUTS = 60


def test_readers_take_or_refuse_what_is_made_of_their_files(tmp_path: Path) -> None:
    sizes = ("--inputs", str(INPUTS), "--seed", "1", "--readers", *LIGHT)
    places = ("--json", str(tmp_path / "rows.json"), "--crashes", str(tmp_path / "crashes"))
    done = subprocess.run(
        [sys.executable, SCRIPT, *sizes, *places], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["what"].removeprefix("inputs fuzzed: ") for row in rows} == set(LIGHT)
    assert all(row["tried"] == row["held"] == INPUTS for row in rows)
    assert sum(row["accepted"] for row in rows) > INPUTS < sum(row["refused"] for row in rows)
    assert not (tmp_path / "crashes").exists()
