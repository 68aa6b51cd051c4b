"""Claim: on one thread, a student's verdict on a window takes at most 150 µs (p50) and 1 ms (p99).

Run: python benchmarks/latency.py [--json FILE] [--data CAPTURE] [--windows N] [--turns N]
     [--presets PRESET ...]

Each window is scored by itself. Peer, in the same process: the trained form of the model, PyG's
layers, eager. Every form is checked to give the same scores before any is timed; calls of all
forms take turns, a hundred windows each. Weights are random: they don't matter to time or size.
*Features* turns the next 100 frames of a capture into a graph, as live detection does, compiled by
numba; *NumPy features* does it as for many windows at once; *compiled* is the model compiled by
numba, for a VGAE the exported one; *whole* is features and that: from frames to score. Wall-clock
time of single calls, those with cold caches that begin a turn too: measure on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

warnings.filterwarnings("ignore", message=".*torch.jit")
import onnxruntime  # noqa: E402
import torch_geometric  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from targets import Target, conclude  # noqa: E402
from traffic import traffic  # noqa: E402
from tutelage.core.overrides import build_config  # noqa: E402
from tutelage.tasks.can import CANTask  # noqa: E402
from tutelage.tasks.can.config import CANConfig, GATConfig, VGAEConfig  # noqa: E402
from tutelage.tasks.can.export import exportable  # noqa: E402
from tutelage.tasks.can.frames import Frames  # noqa: E402
from tutelage.tasks.can.graph_store import GraphStore  # noqa: E402
from tutelage.tasks.can.graphs import Graphs, build_graphs, cut_graphs  # noqa: E402
from tutelage.tasks.can.ingest import read_frames  # noqa: E402
from tutelage.tasks.can.live.compiled_scorer import CompiledScorer  # noqa: E402
from tutelage.tasks.can.live.lone import LoneWindow  # noqa: E402
from tutelage.tasks.can.live.stream import WindowStream  # noqa: E402
from tutelage.tasks.can.modules import BaseCANGraphModule, GATModule, VGAEModule  # noqa: E402
from tutelage.tasks.can.onnx_scorer import OnnxScorer  # noqa: E402
from tutelage.tasks.can.profile import TrafficProfile  # noqa: E402
from tutelage.training.export.onnx_file import TOLERANCE, to_onnx  # noqa: E402

WINDOW = 100
TURN = 100
PRESETS = ("teacher", "student", "student-small", "student-tiny", "vgae-teacher", "vgae-student")
JUDGED = "student"
TARGETS = {
    ("whole", "p50"): 150.0,
    ("whole", "p99"): 1000.0,
}
"""Microseconds for the student."""
FEATURES = ("NumPy features", "features")
Calls = dict[str, Callable[[int], object]]


def build(preset: str, profile: TrafficProfile, store: GraphStore) -> BaseCANGraphModule:
    config = build_config(CANConfig, [CANTask().preset(preset)], ())
    torch.manual_seed(0)
    module: BaseCANGraphModule
    if isinstance(config.model, GATConfig):
        module = GATModule(config.model, config.training, len(profile))
    else:
        assert isinstance(config.model, VGAEConfig)
        module = VGAEModule(config.model, config.training, len(profile))
    whole = store.batch(torch.arange(len(store)))
    module.input.fit([(whole.x, whole.edge_attr)])
    return module.eval()


def time_calls(calls: Calls, windows: int, turns: int) -> dict[str, dict[str, float]]:
    """Microseconds of single calls; forms take turns, after one that is not counted."""
    taken: dict[str, list[int]] = {name: [] for name in calls}
    for turn in range(-1, turns):
        for name, function in calls.items():
            for call in range(TURN):
                start = time.perf_counter_ns()
                function((turn * TURN + call) % windows)
                if turn >= 0:
                    taken[name].append(time.perf_counter_ns() - start)
    return {
        name: {f"p{p}": float(np.percentile(values, p)) / 1e3 for p in (50, 99)}
        for name, values in taken.items()
    }


def measure(
    preset: str, profile: TrafficProfile, graphs: Graphs, frames: Frames, turns: int
) -> dict[str, Any]:
    store = GraphStore.from_graphs([graphs])
    module = build(preset, profile, store)
    form = exportable(module)
    content = to_onnx(form)
    scorer = OnnxScorer(content, float(module.threshold))
    count = len(store)
    batches = [store.batch(torch.tensor([i])) for i in range(count)]
    tensors = [tuple(getattr(batch, name) for name in form.inputs) for batch in batches]
    arrays = [tuple(value.numpy() for value in sample) for sample in tensors]
    pieces = [frames[i * WINDOW : (i + 1) * WINDOW] for i in range(count)]
    blocks, features, whole = (
        WindowStream(profile, WINDOW, WINDOW, lone) for lone in (None, LoneWindow, LoneWindow)
    )
    compiled = CompiledScorer(module) if isinstance(module, GATModule) else None
    fastest = compiled or scorer
    each = [cut_graphs(graphs, i, i + 1) for i in range(count)]
    calls: Calls = {
        "PyG, eager": lambda i: module.scores(batches[i]),
        "plain PyTorch": lambda i: form.module(*tensors[i]),
        "onnxruntime": lambda i: scorer.score(*arrays[i]),
        "compiled": lambda i: fastest.scores(each[i])[0],
        "NumPy features": lambda i: blocks.push(pieces[i]),
        "features": lambda i: features.push(pieces[i]),
        "whole": lambda i: fastest.scores(whole.push(pieces[i]))[0],
    }
    with torch.inference_mode():
        expected = module.scores(store.batch(torch.arange(count))).numpy()
        off = {}
        for name in ("PyG, eager", "plain PyTorch", "onnxruntime", "compiled", "whole"):
            scores = np.array([float(calls[name](i)) for i in range(count)])  # type: ignore[arg-type]
            off[name] = float((np.abs(scores - expected) / np.maximum(abs(expected), 1)).max())
            assert off[name] <= TOLERANCE, (name, off[name])
        microseconds = time_calls(calls, count, turns)
    return {
        "parameters": sum(p.numel() for p in module.network.parameters()),
        "onnx_bytes": len(content),
        "largest_difference": off,
        "microseconds": microseconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--data", type=Path, help="a real capture in place of generated traffic")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)

    frames = read_frames(args.data)[0] if args.data else traffic(args.windows * WINDOW)
    frames = frames[: args.windows * WINDOW]
    profile = TrafficProfile.fit([frames[: len(frames) // 4]], WINDOW)
    graphs = build_graphs(frames, profile, WINDOW, WINDOW)
    store = GraphStore.from_graphs([graphs])
    models = {p: measure(p, profile, graphs, frames, args.turns) for p in args.presets}
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "onnxruntime": onnxruntime.__version__,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
    }
    result = {
        "machine": machine,
        "windows": len(store),
        "nodes_per_window": len(store.x) / len(store),
        "edges_per_window": len(store.edge_attr) / len(store),
        "ids": len(profile),
        "calls": args.turns * TURN,
        "models": models,
    }
    print(json.dumps(machine))
    sizes = f"{result['nodes_per_window']:.1f} nodes, {result['edges_per_window']:.1f} edges"
    print(
        f"windows of {WINDOW} frames, on average {sizes}; p50 / p99 of {result['calls']} calls, µs"
    )
    names = ("PyG, eager", "plain PyTorch", "onnxruntime", "compiled", *FEATURES, "whole")
    print(
        f"{'preset':14s}{'parameters':>11s}{'.onnx kB':>9s}" + "".join(f"{n:>16s}" for n in names)
    )
    for preset, model in models.items():
        cells = [model["microseconds"][name] for name in names]
        shown = "".join(f"{c['p50']:>8.0f} /{c['p99']:>6.0f}" for c in cells)
        print(f"{preset:14s}{model['parameters']:>11,}{model['onnx_bytes'] / 1e3:>9.0f}{shown}")
    asked = [
        Target(
            f"{JUDGED}, {name} {percentile}, µs",
            models[JUDGED]["microseconds"][name][percentile],
            "≤",
            target,
        )
        for (name, percentile), target in TARGETS.items()
        if JUDGED in models
    ]
    conclude(result, asked, args.json)


if __name__ == "__main__":
    main()
