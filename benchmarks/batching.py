"""Claim: our batches of CAN graphs are bit-equal to PyG's and made at least 5 times as fast.

Run: python benchmarks/batching.py [--json FILE] [--data CAPTURE] [--graphs N] [--rounds R]

Peers, in the same process and on one thread: PyG's DataLoader over a list of Data, and over an
InMemoryDataset. Every variant is asserted equal to Batch.from_data_list before any is timed; the
rounds rotate through the variants, and medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

warnings.filterwarnings("ignore", message=".*torch.jit")
import torch_geometric  # noqa: E402
from torch_geometric.data import Batch, Data, InMemoryDataset  # noqa: E402
from torch_geometric.loader import DataLoader  # noqa: E402

from targets import Target, conclude  # noqa: E402
from traffic import traffic  # noqa: E402
from tutelage.tasks.can.graph_batch import GraphBatch  # noqa: E402
from tutelage.tasks.can.graph_store import GraphStore  # noqa: E402
from tutelage.tasks.can.graphs import build_graphs  # noqa: E402
from tutelage.tasks.can.ingest import read_frames  # noqa: E402
from tutelage.tasks.can.profile import TrafficProfile  # noqa: E402

TARGET = 5.0
WINDOW = 100


class InMemory(InMemoryDataset):
    """PyG's own packed data set."""

    def __init__(self, graphs: list[Data]) -> None:
        super().__init__(None)
        self.data, self.slices = self.collate(graphs)


def as_data(store: GraphStore) -> list[Data]:
    """The store's graphs as PyG objects; ``token`` since PyG renumbers what is named index."""
    node, edge = store.node_ptr.tolist(), store.edge_ptr.tolist()
    return [
        Data(
            x=store.x[node[i] : node[i + 1]].clone(),
            token=store.id_index[node[i] : node[i + 1]].long(),
            edge_index=store.edge_index[:, edge[i] : edge[i + 1]].long(),
            edge_attr=store.edge_attr[edge[i] : edge[i + 1]].clone(),
            y=store.y[i : i + 1].long(),
            window=torch.tensor([i]),
        )
        for i in range(len(store))
    ]


def assert_equal(ours: GraphBatch, theirs: Batch) -> None:
    for name in ("x", "edge_index", "edge_attr", "y", "batch", "ptr", "window"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine.dtype == other.dtype and torch.equal(mine, other), name
    assert torch.equal(ours.id_index, theirs.token)


def drain(batches: Iterator[object]) -> None:
    for _ in batches:
        pass


def variants(
    store: GraphStore, graphs: list[Data], size: int
) -> dict[str, Callable[[], Iterator[object]]]:
    memory, n = InMemory(graphs), len(store)
    return {
        "PyG DataLoader, list": lambda: iter(DataLoader(graphs, size, shuffle=True)),
        "PyG DataLoader, InMemoryDataset": lambda: iter(DataLoader(memory, size, shuffle=True)),
        "ours, shuffled": lambda: map(store.batch, torch.randperm(n).split(size)),
        "ours, shuffled, as PyG Batch": lambda: (
            store.batch(i).to_pyg() for i in torch.randperm(n).split(size)
        ),
        "ours, in order": lambda: map(store.batch, torch.arange(n).split(size)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", type=Path, help="a real capture in place of generated traffic")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    frames = read_frames(args.data)[0] if args.data else traffic(args.graphs * WINDOW)
    profile = TrafficProfile.fit([frames[: len(frames) // 4]], WINDOW)
    store = GraphStore.from_graphs([build_graphs(frames, profile, WINDOW, WINDOW)])
    graphs = as_data(store)
    for indices in (torch.randperm(len(store)), torch.arange(len(store))):
        for part in indices.split(args.batch_size):
            want = Batch.from_data_list([graphs[i] for i in part.tolist()])
            assert_equal(store.batch(part), want)

    makers = variants(store, graphs, args.batch_size)
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    names = list(makers)
    for name in names:
        drain(makers[name]())
    for round_ in range(args.rounds):
        for k in range(len(names)):
            name = names[(k + round_) % len(names)]
            start = time.process_time()
            drain(makers[name]())
            seconds[name].append(time.process_time() - start)

    batches = -(-len(store) // args.batch_size)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    peer = min(value for name, value in medians.items() if name.startswith("PyG"))
    result = {
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torch_geometric": torch_geometric.__version__,
            "threads": torch.get_num_threads(),
        },
        "graphs": len(store),
        "nodes_per_graph": len(store.x) / len(store),
        "edges_per_graph": len(store.edge_attr) / len(store),
        "batch_size": args.batch_size,
        "bit_equal": True,
        "cpu_ms_per_batch": {name: value / batches * 1e3 for name, value in medians.items()},
        "times_faster_than_fastest_peer": {
            name: peer / value for name, value in medians.items() if name.startswith("ours")
        },
    }
    print(json.dumps(result["machine"]))
    print(f"{len(store)} graphs, batches of {args.batch_size}, all bit-equal; CPU time, medians")
    for name, value in medians.items():
        print(f"{name:34s} {value / batches * 1e3:8.3f} ms/batch   x{peer / value:6.1f}")
    times = peer / medians["ours, shuffled"]
    faster = Target("shuffled batches, times as fast as PyG's", times, "≥", TARGET)
    conclude(result, [faster], args.json)


if __name__ == "__main__":
    main()
