"""Claim: calibrated without labels, the detector finds what count rules miss, and stays quiet.

Run: python benchmarks/can_hard_cases.py --data CAN [--home DIR] [--seeds N] [--json FILE]

``CAN`` is a folder with the captures of can-train-and-test (`can_train_and_test`) and of HCRL
Survival (`hcrl_sa`), as Parquet. A GAT is trained on the training captures of hcrl_sa alone, once
for each seed. Every capture with attacks that injects frames, fakes them or holds them back is then
judged, with attack-free captures in one split for false alarms. What is normal comes
from the capture's first ten seconds (prefix), from other attack-free drives of the vehicle or else
these (drives), or from all other training drives of it, attacked ones by their benign frames
(training). Traffic that also stands in the judged capture is left out of drives. Labels of judged
captures are not read, and the first ten seconds are not scored where
they calibrate. With ``--jitter`` (on by default)
the whole is repeated with a normal jitter of 1 ms on every timestamp, drives included.

Peers, in the same run: the training-free rules of unseen ids and counts, and of two gaps,
calibrated alike. Runs in ``--home`` are reused.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402

import tutelage  # noqa: E402
from tutelage.api import evaluate  # noqa: E402
from tutelage.core.store import Run  # noqa: E402

INJECTED = ("fuzzing", "systematic", "rpm", "speed")
"""Words in the names of captures into which frames are injected among genuine ones."""
SCORES = ("f1", "precision", "recall", "false_alarms_per_hour", "false_alarm_episodes_per_hour")
DETECTORS = ("model", "learned_alone", "monitors_alone", "unseen_id_count", "two_gap")


def name_of(path: Path) -> str:
    """The capture's own name, with its set where that is not hcrl_sa's."""
    name = path.stem.split("__")[-1]
    return name if path.parent.name == "hcrl_sa" else f"{path.parent.name}-{name}"


def is_free(path: Path) -> bool:
    """Whether a capture is one of the attack-free drives."""
    return path.stem.startswith("train_01")


def lay_out(data: Path, folder: Path, jitter: float) -> dict[str, Path]:
    """Fill folders: what is judged (``tests``), attack-free drives, and all training drives.

    Args:
        data: The captures.
        folder: Where to put them.
        jitter: Standard deviation in seconds of what is added to timestamps.
    """
    places = {name: folder / name for name in ("tests", "drives", "training")}
    for place in places.values():
        place.mkdir()
    for seed, path in enumerate(sorted(data.rglob("*.parquet"))):
        name = name_of(path)
        split = "test_free" if is_free(path) else f"test_{name}"
        whole = path
        if jitter:
            whole = folder / f"{name}.parquet"
            table = pl.read_parquet(path)
            noise = np.random.default_rng(seed).normal(0, jitter, len(table))
            table.with_columns(timestamp=pl.col("timestamp") + noise).write_parquet(whole)
        (places["tests"] / f"{split}__{name}.parquet").symlink_to(whole)
        if is_free(path):
            (places["drives"] / f"train_01__{name}.parquet").symlink_to(whole)
        if path.stem.startswith("train"):
            (places["training"] / f"train_02__{name}.parquet").symlink_to(whole)
    return places


def trained(data: Path, home: Path, seeds: int) -> list[Run]:
    """Runs of the default GAT on hcrl_sa, one for each seed."""
    root = f"data.root={data / 'hcrl_sa'}"
    return [
        tutelage.train("can", root, f"training.seed={seed}", home=home) for seed in range(seeds)
    ]


def judged(
    run: Run, home: Path, places: dict[str, Path], normal: str
) -> dict[str, dict[str, float]]:
    """Scores of each detector, ``split/metric`` to value."""
    overrides = [f"data.root={places['tests']}"]
    if normal == "prefix":
        overrides.append("evaluation.calibration=prefix")
    else:
        overrides += ["evaluation.calibration=drives", f"evaluation.drives={places[normal]}"]
    found = evaluate(run, *overrides, home=home).evaluation
    return {"model": dict(found.metrics)} | {k: dict(v) for k, v in found.baselines.items()}


def cells(figures: list[dict[str, dict[str, float]]], split: str, score: str) -> Iterator[str]:
    """Mean over seeds of each detector's score on a split, and the spread where there is one."""
    for detector in DETECTORS:
        values = [f[detector].get(f"{split}/{score}", float("nan")) for f in figures]
        mean = statistics.fmean(values)
        spread = max(values) - min(values)
        yield f"{mean:.3f}" + (f" ±{spread / 2:.3f}" if spread > 5e-4 else "")


def table(figures: list[dict[str, dict[str, float]]], title: str) -> dict[str, float]:
    """Print F1 of each split and the false alarms of attack-free drives; return the means."""
    splits = sorted({key.split("/")[0] for key in figures[0]["model"]})
    hard = [s for s in splits if any(word in s for word in INJECTED) and "set" in s]
    print(f"\n### {title}\n\n| capture | score | {' | '.join(DETECTORS)} |")
    print("|---|---|" + "---|" * len(DETECTORS))
    for split in splits:
        for score in SCORES if split == "test_free" else SCORES[:1]:
            if any(f"{split}/{score}" in f["model"] for f in figures):
                row = " | ".join(cells(figures, split, score))
                print(f"| {split.removeprefix('test_')} | {score} | {row} |")
    means = {
        detector: statistics.fmean(f[detector][f"{s}/f1"] for s in hard for f in figures)
        for detector in DETECTORS
    }
    shown = " | ".join(f"**{means[detector]:.3f}**" for detector in DETECTORS)
    print(f"| **mean of {len(hard)} hard captures** | f1 | {shown} |", flush=True)
    return means


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jitter", type=float, default=1e-3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data, home = options.data.resolve(), options.home.resolve()
    runs = trained(data, home, options.seeds)
    print(f"{platform.processor() or platform.machine()}, {options.seeds} seeds")
    results: dict[str, object] = {}
    for jitter in (0.0, options.jitter) if options.jitter else (0.0,):
        with tempfile.TemporaryDirectory() as folder:
            places = lay_out(data, Path(folder), jitter)
            for normal in ("prefix", "drives", "training"):
                figures = [judged(run, home, places, normal) for run in runs]
                title = f"Normal from: {normal}" + (f", jitter {jitter:g} s" if jitter else "")
                results[title] = {"means": table(figures, title), "seeds": figures}
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
