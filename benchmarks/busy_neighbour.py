"""Claim: a training step beside another busy process is not slowed by threads that spin.

Run: python benchmarks/busy_neighbour.py [--json FILE] [--rounds R]

A GAT step in children with the default spinning of OpenMP and with ours, alone and beside one busy
process, rotated; medians of all steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from targets import Target, conclude

WAYS = {"default": {"GOMP_SPINCOUNT": "300000"}, "ours": {}}
BUSY = "while True: pass"


def child() -> None:
    """Time steps of the CAN task's GAT on generated traffic."""
    import tutelage.training  # noqa: F401  decides how threads wait, before torch is imported

    # isort: split
    import torch

    from traffic import traffic
    from tutelage.api import configure
    from tutelage.tasks.can.graph_store import GraphStore
    from tutelage.tasks.can.graphs import build_graphs
    from tutelage.tasks.can.modules import GATModule
    from tutelage.tasks.can.profile import TrafficProfile

    frames = traffic(40_000)
    profile = TrafficProfile.fit([frames], 100)
    store = GraphStore.from_graphs([build_graphs(frames, profile)])
    _, config = configure("can")
    torch.manual_seed(0)
    module = GATModule(config.model, config.training, len(profile))  # type: ignore[arg-type]
    optimizer = module.configure_optimizers()
    seconds = []
    for step in range(45):
        batch = store.batch(torch.randint(0, len(store), (64,)))
        start = time.perf_counter()
        module.training_step(batch, 0)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        if step >= 5:
            seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))


def measure(way: str) -> list[float]:
    """Return the seconds of each step of one child."""
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")}
    command = [sys.executable, __file__, "--child"]
    done = subprocess.run(
        command, env=clean | WAYS[way], check=True, capture_output=True, text=True
    )
    return list(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child()
        return
    steps: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        for way in WAYS:
            steps.setdefault(f"{way}, alone", []).extend(measure(way))
            neighbour = subprocess.Popen([sys.executable, "-c", BUSY])
            try:
                steps.setdefault(f"{way}, beside a busy process", []).extend(measure(way))
            finally:
                neighbour.kill()
                neighbour.wait()
    medians = {name: statistics.median(values) * 1e3 for name, values in steps.items()}
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; milliseconds a step, medians")
    for name, value in sorted(medians.items()):
        print(f"  {name:34s}{value:9.1f}")
    beside = [medians[f"{way}, beside a busy process"] for way in ("ours", "default")]
    share = beside[0] / beside[1]
    asked = Target("step beside a busy process, share of OpenMP's default", share, "<", 1)
    conclude({"milliseconds": medians, "steps": steps}, [asked], args.json)


if __name__ == "__main__":
    main()
