"""Claim: on titles never seen, mean recall@10 is 3x chance and above a frozen random image tower.

Run: python benchmarks/multimodal.py [--json FILE] [--home DIR] [OVERRIDE ...]

`tutelage train multimodal` on the embedded drawings, and the same with `model.freeze=[image]`: a
random image tower that never learns, under a projection and beside a text tower that learn alike.
Intervals are 95 % bootstrap intervals over groups of pictures that belong together. Seconds are
those of the whole run on this machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path

import torch

import tutelage

NAMES = ("recall@10", "recall@10_low", "recall@10_high", "mrr")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--home", type=Path)
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = args.home or Path(temporary)
        rows = {}
        for name, more in (
            ("trained", ()),
            ("frozen random image tower", ("model.freeze=[image]",)),
        ):
            run = tutelage.train("multimodal", *args.overrides, *more, home=home)
            rows[name] = {key: run.record.metrics[f"test/{key}"] for key in NAMES}
            rows[name]["seconds"] = run.record.seconds["total"]
            chance = run.record.baselines["chance"]["test/recall@10"]
    rows["chance"] = {"recall@10": chance}
    apart = rows["trained"]["recall@10_low"] - rows["frozen random image tower"]["recall@10_high"]
    result = {
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "rows": rows,
        "times_chance": rows["trained"]["recall@10"] / chance,
        "intervals_apart_by": apart,
    }
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
