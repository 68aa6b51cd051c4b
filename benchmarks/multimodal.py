"""Claim: on titles never seen, mean recall@10 is 3x chance and above a frozen random image tower.

Run: python benchmarks/multimodal.py [--seeds N] [--json FILE] [--home DIR] [OVERRIDE ...]

`tutelage train multimodal` on the embedded drawings, and the same with `model.freeze=[image]`: a
random image tower that never learns, under a projection and beside a text tower that learn alike.
Each with several seeds; the test pictures are the same. Intervals are 95 % bootstrap intervals over
groups of pictures that belong together, for each run, for the mean over seeds, and for the
difference of the two means on the same draws. Seconds are those of the whole run on this machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import tutelage
from targets import Target, conclude
from tutelage.api import run_config
from tutelage.core.store import Run
from tutelage.tasks.multimodal.config import MultimodalConfig
from tutelage.tasks.multimodal.datamodule import DataHandler
from tutelage.tasks.multimodal.retrieval import bootstrap, ranks

NAMES = ("recall@10", "recall@10_low", "recall@10_high", "mrr")
KINDS = {"trained": (), "frozen random image tower": ("model.freeze=[image]",)}
RESAMPLES = 2000
TIMES = 3.0


def hits(run: Run, home: Path) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Return (Q,) recall@10 of each caption and then picture, its group, and how many captions."""
    _, config = run_config(run)
    assert isinstance(config, MultimodalConfig)
    data = DataHandler(config, home / "cache")
    data.setup("fit")
    (table,) = tutelage.predict(run, None, home=home)
    vectors = torch.tensor([row[3:] for row in table.rows])
    rows, captions = data.test_rows, data.captions_of(data.test_rows)
    images, texts = vectors[rows], vectors[len(data.pairs) + captions]
    ids = torch.from_numpy(data.ids)
    of_images, of_texts = ids[rows], ids[data.pairs.image_of[captions]]
    found = [
        ranks(texts, images, of_texts, of_images).hits[10],
        ranks(images, texts, of_images, of_texts).hits[10],
    ]
    return np.concatenate(found), torch.cat([of_texts, of_images]).numpy(), len(captions)


def interval(
    values: NDArray[np.float64], groups: NDArray[np.int64], border: int
) -> dict[str, float]:
    """Return the mean of both directions and its 95 % interval."""

    def mean(weights: NDArray[np.float64]) -> float:
        sides = (slice(None, border), slice(border, None))
        return sum(float(np.average(values[s], weights=weights[s])) for s in sides) / 2

    low, high = np.quantile([mean(w) for w in bootstrap(groups, RESAMPLES, 0)], (0.025, 0.975))
    return {"recall@10": mean(np.ones(len(values))), "low": float(low), "high": float(high)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--home", type=Path)
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    runs, found = [], {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as temporary:
        home = args.home or Path(temporary)
        for seed in range(args.seeds):
            for kind, more in KINDS.items():
                settings = (*args.overrides, *more, f"training.seed={seed}")
                run = tutelage.train("multimodal", *settings, home=home)
                scores = {key: run.record.metrics[f"test/{key}"] for key in NAMES}
                seconds = run.record.seconds["total"]
                runs.append({"kind": kind, "seed": seed, **scores, "seconds": seconds})
                values, groups, border = hits(run, home)
                found[kind].append(values)
        chance = run.record.baselines["chance"]["test/recall@10"]
    means = [np.mean(found[kind], axis=0) for kind in KINDS]
    rows = {k: interval(m, groups, border) for k, m in zip(KINDS, means, strict=True)}
    trained, frozen = rows.values()
    result = {
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "runs": runs,
        "mean over seeds": rows,
        "difference": interval(means[0] - means[1], groups, border),
        "chance": chance,
        "times_chance": trained["recall@10"] / chance,
        "intervals_apart_by": trained["low"] - frozen["high"],
    }
    print(json.dumps(result, indent=2))
    asked = [
        Target("recall@10, times chance", trained["recall@10"] / chance, "≥", TIMES),
        Target(
            "recall@10 above a frozen random tower's, between intervals",
            trained["low"] - frozen["high"],
            ">",
            0,
        ),
    ]
    conclude(result, asked, args.json)


if __name__ == "__main__":
    main()
