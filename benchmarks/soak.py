"""Every soak in turn, and one table of what was tried and what held.

Run: python benchmarks/soak.py [--short] [--json FILE]

Each script writes rows {"what", "tried", "held", "seconds", …}; a row in which less held than was
tried, or a script that fails, fails the soak. Two go on at a time, each of one thread; what one
says is shown when it has ended. The long form takes an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOAKS = {
    "fuzz_readers": (("--guided", "20000"), ("--inputs", "100")),
    "soak_memory": (("--minutes", "30"), ("--minutes", "0")),
    "large_capture": ((), ("--frames", "200000")),
    "study_kills": (("--kills", "20"), ("--kills", "2")),
    "resume_kills": (("--warm",), ("--warm", "--only", "ner normal")),
    "soak_watch": (("--seconds", "600"), ("--seconds", "10")),
    "faults": ((), ("--times", "40")),
}
"""The arguments of each script, in the long form and in the short one; those of longest first."""
AT_A_TIME = 2
Row = dict[str, str | int | float | list[str] | dict[str, int]]


def run(name: str, arguments: tuple[str, ...], folder: Path) -> list[Row]:
    """Run a script, and show what it said; return its rows."""
    file, script = folder / f"{name}.json", Path(__file__).with_name(f"{name}.py")
    title, started = " ".join([name, *arguments]), time.monotonic()
    print(f"== {title}: begins", flush=True)
    done = subprocess.run(
        [sys.executable, script, *arguments, "--json", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    status = done.returncode
    print(f"== {title}: {'failed' if status else 'held'}\n{done.stdout}", flush=True)
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
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_A_TIME) as pool:
        waiting = [
            pool.submit(run, name, short if options.short else long, Path(folder))
            for name, (long, short) in SOAKS.items()
        ]
        rows = [row for each in waiting for row in each.result()]
    show(rows)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes in all")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if all(row["held"] == row["tried"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
