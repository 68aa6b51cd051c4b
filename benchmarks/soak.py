"""Every soak in turn, and one table of what was tried and what held.

Run: python benchmarks/soak.py [--short] [--json FILE]

Each script writes rows {"what", "tried", "held", "seconds", …}; a row in which less held than was
tried, or a script that fails, fails the soak. The long form takes hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOAKS = {
    "resume_kills": (("--warm",), ("--warm", "--only", "ner normal")),
    "faults": ((), ("--times", "40")),
    "study_kills": (("--kills", "20"), ("--kills", "2")),
    "fuzz_readers": (("--processes", "2"), ("--inputs", "100")),
    "soak_watch": (("--seconds", "600"), ("--seconds", "10")),
    "large_capture": ((), ("--frames", "200000")),
}
"""The arguments of each script, in the long form and in the short one."""
Row = dict[str, str | int | float | list[str] | dict[str, int]]


def run(name: str, arguments: tuple[str, ...], folder: Path) -> list[Row]:
    """Run a script, which says on standard output what it does; return its rows."""
    file, script = folder / f"{name}.json", Path(__file__).with_name(f"{name}.py")
    print(f"== {name} {' '.join(arguments)}", flush=True)
    started = time.monotonic()
    status = subprocess.run([sys.executable, script, *arguments, "--json", file]).returncode
    rows: list[Row] = json.loads(file.read_text()) if file.exists() else []
    if status and all(row["held"] == row["tried"] for row in rows):
        seconds = round(time.monotonic() - started, 1)
        rows.append(
            {"what": f"ended with status {status}", "tried": 1, "held": 0, "seconds": seconds}
        )
    return [{"soak": name, **row} for row in rows]


def show(rows: list[Row]) -> None:
    """Print a line for each row, and one for each script."""
    print(f"\n{'what':60} {'tried':>10} {'held':>10} {'seconds':>9}")
    for name in dict.fromkeys(str(row["soak"]) for row in rows):
        mine = [row for row in rows if row["soak"] == name]
        for row in mine:
            said = f"{row['tried']:>10,} {row['held']:>10,} {row['seconds']:>9,.0f}"
            print(f"{row['what']!s:60} {said}")
        tried, held, seconds = (
            sum(float(str(row[key])) for row in mine) for key in ("tried", "held", "seconds")
        )
        print(f"{name + ' in all':60} {tried:>10,.0f} {held:>10,.0f} {seconds:>9,.0f}\n")


def main() -> int:
    """Run all of them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes of each at most")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (long, short) in SOAKS.items():
            rows += run(name, short if options.short else long, Path(folder))
    show(rows)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if all(row["held"] == row["tried"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
