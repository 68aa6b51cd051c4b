"""Claim: a batch of 8,192 emoji with a name each trains in under 6 GB, with exact gradients.

Run: python benchmarks/multimodal_batch.py [--json FILE] [--batch N] [--chunk C] [--both N]

The default model on emoji_noto64, an emoji with each of its languages; one forward and backward
pass through GradCache in a child whose address space is limited, on one thread. The peer is the
same pass without it, at the same limit: what it does at that size, and where both fit (``--both``)
the largest difference of any weight's gradient, relative to the largest gradient.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from targets import Target, conclude
from tutelage.core.overrides import build_config
from tutelage.tasks.multimodal.config import MultimodalConfig
from tutelage.tasks.multimodal.datamodule import DataHandler
from tutelage.tasks.multimodal.module import TwoTowerModule

LIMIT_GB = 6.0
EXACT = 1e-5
"""Most that 32-bit sums in another order may change a gradient, of the largest one."""


def prepared(chunk: int | None) -> tuple[TwoTowerModule, DataHandler]:
    """The default model and emoji with all their names."""
    overrides = ["data.embedded=emoji_noto64", "data.samples=captions", "model.text.dropout=0"]
    config = build_config(MultimodalConfig, [], [*overrides, f"training.chunk={chunk or 'null'}"])
    cache = Path(tempfile.gettempdir()) / f"tutelage-multimodal-batch-{os.getuid()}"
    data = DataHandler(config, cache)
    data.setup("fit")
    torch.manual_seed(0)
    module = TwoTowerModule(config, data.learned.size)
    data.fit_module(module)
    return module, data


def child(batch: int, chunk: int | None) -> None:
    """Do one pass and print what it took."""
    torch.set_num_threads(1)
    module, data = prepared(chunk)
    pairs = data.keyed_batch(
        torch.from_numpy(data.train_samples[:batch]), torch.arange(1, batch + 1)
    )
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    loss = module.train().step(pairs)["loss"]
    loss.backward()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"loss": float(loss.detach()), "cpu_seconds": time.process_time() - began}
    print(json.dumps(found | {"peak_gb": peak / 2**20, "before_gb": before / 2**20}))


def measured(batch: int, chunk: int | None, limit: float) -> dict[str, object]:
    """Run a child whose memory is limited."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (int(limit * 2**30),) * 2)

    command = [sys.executable, __file__, "--child", str(batch), str(chunk or 0)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:120]}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def difference(batch: int, chunk: int) -> float:
    """Largest difference of gradients with and without GradCache, relative to the largest."""
    gradients = []
    for size in (None, chunk):
        module, data = prepared(size)
        rows = torch.from_numpy(data.train_samples[:batch])
        module.train().step(data.keyed_batch(rows, torch.arange(1, batch + 1)))["loss"].backward()
        gradients.append([p.grad for p in module.parameters() if p.grad is not None])
    largest = max(float(g.abs().max()) for g in gradients[0])
    apart = zip(*gradients, strict=True)
    return max(float((a - b).abs().max()) for a, b in apart) / largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--both", type=int, default=512)
    parser.add_argument("--child", nargs=2, type=int)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], args.child[1] or None)
        return
    apart = difference(args.both, 64)
    result = {
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "batch": args.batch,
        "gradcache": measured(args.batch, args.chunk, LIMIT_GB),
        "direct": measured(args.batch, None, LIMIT_GB),
        f"gradient_difference_at_{args.both}": apart,
    }
    print(json.dumps(result, indent=2))
    peak = float(str(result["gradcache"].get("peak_gb", "nan")))
    asked = [
        Target(f"{args.batch:,} pairs through GradCache, GiB", peak, "≤", LIMIT_GB),
        Target("difference of gradients, of the largest", apart, "≤", EXACT),
    ]
    conclude(result, asked, args.json)


if __name__ == "__main__":
    main()
