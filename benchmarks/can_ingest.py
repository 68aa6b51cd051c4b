"""Claim: Parquet to ready graphs at 1,000,000 frames per CPU-second or more, CSV at 500,000.

Run: python benchmarks/can_ingest.py [--json FILE] [--data FOLDER] [--frames N] [--rounds R]

From a capture's file on disk to a saved, memory-mapped `GraphStore`, by stage: read (file to
`Frames`), graphs (windows of 100, every feature), store (tensors, and written to disk). CPU time of
all threads of a fresh process for each file format; peak memory is that process's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from targets import Target, conclude
from traffic import traffic

WINDOW = 100
TARGETS = {"parquet": 1_000_000, "csv": 500_000}
STAGES = ("read", "graphs", "store")


def write_captures(folder: Path, n: int) -> None:
    """The same generated capture as can-train-and-test's Parquet and CSV."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    frames = traffic(n)
    text = frames.payload.tobytes().hex().upper()
    payload = [text[i : i + 16] for i in range(0, len(text), 16)]
    label = frames.label.astype("u1")
    columns = {"timestamp": frames.timestamp, "id": frames.arbitration_id, "data_field": payload}
    parquet.write_table(pa.table({**columns, "label": label}), folder / "generated.parquet")
    text_columns = {
        "timestamp": [f"{t:.6f}" for t in frames.timestamp.tolist()],
        "arbitration_id": [f"{i:03X}" for i in frames.arbitration_id.tolist()],
        "data_field": payload,
        "attack": label,
    }
    plain = csv.WriteOptions(quoting_style="none")
    csv.write_csv(pa.table(text_columns), folder / "generated.csv", plain)


def peak_mb() -> float:
    """This process's greatest resident memory; getrusage's also remembers the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def one_round(files: list[Path], out: Path) -> tuple[dict[str, float], int, int]:
    """CPU seconds of each stage, frames and graphs, over all files."""
    from tutelage.tasks.can.graph_store import GraphStore
    from tutelage.tasks.can.graphs import build_graphs
    from tutelage.tasks.can.ingest import read_frames
    from tutelage.tasks.can.profile import TrafficProfile

    seconds = dict.fromkeys(("read", "profile", "graphs", "store"), 0.0)
    profile, n, graphs = None, 0, 0
    for file in files:
        start = time.process_time()
        frames, _ = read_frames(file)
        seconds["read"] += time.process_time() - start
        if profile is None:
            start = time.process_time()
            profile = TrafficProfile.fit([frames], WINDOW)
            seconds["profile"] += time.process_time() - start
        start = time.process_time()
        built = build_graphs(frames, profile, WINDOW, WINDOW)
        middle = time.process_time()
        GraphStore.from_graphs([built]).save(out)
        seconds["graphs"] += middle - start
        seconds["store"] += time.process_time() - middle
        n, graphs = n + len(frames), graphs + len(built)
    return seconds, n, graphs


def child(files: list[Path], rounds: int) -> None:
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "store.safetensors"
        before = peak_mb()
        first, n, graphs = one_round(files, out)
        peak = peak_mb()
        runs = [one_round(files, out)[0] for _ in range(rounds)]
    middle = {name: statistics.median(run[name] for run in runs) for name in first}
    total = statistics.median(sum(run[name] for name in STAGES) for run in runs)
    result = {
        "files": len(files),
        "frames": n,
        "graphs": graphs,
        "frames_per_cpu_second": n / total,
        "frames_per_cpu_second_first_round": n / sum(first[name] for name in STAGES),
        "microseconds_per_frame": {name: middle[name] / n * 1e6 for name in STAGES},
        "profile_microseconds_per_frame": middle["profile"] / n * 1e6,
        "peak_mb": peak,
        "peak_mb_before_reading": before,
    }
    print(json.dumps(result))


def measure(files: list[Path], rounds: int) -> dict[str, object]:
    command = [sys.executable, __file__, "--rounds", str(rounds), "--child", *map(str, files)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="a folder of real captures, searched throughout")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--child", type=Path, nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.rounds)
        return
    packages = ("numpy", "pyarrow", "torch", "safetensors")
    machine: dict[str, object] = {"cpus": os.cpu_count(), "processor": platform.processor()}
    machine |= {"python": platform.python_version(), **{name: version(name) for name in packages}}
    print(json.dumps(machine))
    results: dict[str, dict[str, object]] = {}
    asked: list[Target] = []
    with tempfile.TemporaryDirectory() as temporary:
        if not args.data:
            write_captures(Path(temporary), args.frames)
        for kind, target in TARGETS.items():
            files = sorted((args.data or Path(temporary)).rglob(f"*.{kind}"))
            if not files:
                print(f"{kind}: no file in {args.data}")
                continue
            figures = results[kind] = {**measure(files, args.rounds)}
            rate = float(str(figures["frames_per_cpu_second"]))
            asked.append(Target(f"{kind}, frames a CPU-second", rate, "≥", target))
            print(f"\n{kind}")
            for name, value in figures.items():
                print(f"  {name:36s}{json.dumps(value)}")
    conclude({"machine": machine, "results": results}, asked, args.json)


if __name__ == "__main__":
    main()
