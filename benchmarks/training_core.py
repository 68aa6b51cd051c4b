"""Claim: a step costs at most half of what Lightning's defaults add to a raw PyTorch loop.

Run: python benchmarks/training_core.py [--json FILE] [--rounds R] [--steps N] [--threads T]

Three loops over the same prebuilt batches, in one process, rotated by round: raw PyTorch;
Lightning's Trainer as it comes (CSV logger, bar, `self.log(prog_bar=True)`, ModelCheckpoint); and
`launch`, with metrics, bar (drawn as on a terminal) and checkpoints. A small MLP on batches of 32,
plain and with clipped gradients and a cosine schedule in all three; and a GAT on 256 graphs, where
a step may cost at most 5 % more than raw. Each figure is the median over stretches of 50 steps,
so that what happens once in 50 steps, such as writing metrics, counts.

With glibc, freed memory stays in the process, for all three loops: by default it is given back and
faulted in again, 5 to 15 MB a GAT step depending on what lies at the end of the heap, and that luck
costs more than what is measured here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

warnings.filterwarnings("ignore")
import lightning  # noqa: E402
import lightning.pytorch as pl  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402
from rich.console import Console  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.optim.lr_scheduler import CosineAnnealingLR  # noqa: E402
from torch_geometric.data import Batch, Data  # noqa: E402
from torch_geometric.nn import GATConv, global_mean_pool  # noqa: E402

from targets import Target, conclude  # noqa: E402
from tutelage.core.config import ModelConfig, RunConfig  # noqa: E402
from tutelage.core.overrides import build_config  # noqa: E402
from tutelage.core.records import AuditStamp, Evaluation  # noqa: E402
from tutelage.core.store import RunStore  # noqa: E402
from tutelage.task import Audit, ModelEntry, Task  # noqa: E402
from tutelage.training.allocator import keep_freed_memory  # noqa: E402
from tutelage.training.contracts import TaskData, TaskModule  # noqa: E402
from tutelage.training.launch import launch  # noqa: E402

SHARE_TARGET, GAT_TARGET = 0.5, 0.05
STRETCH, RATE = 50, 1e-3
RAW, LIGHTNING, OURS = "raw PyTorch", "Lightning's defaults", "tutelage"


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        )

    def forward(self, batch: Sequence[Tensor]) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])


class GAT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GATConv(11, 16, heads=4), GATConv(64, 16, heads=4)
        self.out = nn.Linear(64, 2)

    def forward(self, batch: Batch) -> Tensor:
        x = F.elu(self.first(batch.x, batch.edge_index))
        x = F.elu(self.second(x, batch.edge_index))
        return F.cross_entropy(
            self.out(global_mean_pool(x, batch.batch, batch.num_graphs)), batch.y
        )


def mlp_batches() -> list[object]:
    return [(torch.randn(32, 32), torch.randint(0, 10, (32,))) for _ in range(64)]


def graph(nodes: int) -> Data:
    edges = torch.randint(0, nodes, (2, 2 * nodes))
    return Data(x=torch.randn(nodes, 11), edge_index=edges, y=torch.randint(0, 2, (1,)))


def gat_batches() -> list[object]:
    sizes = torch.randint(20, 41, (8, 256)).tolist()
    return [Batch.from_data_list([graph(n) for n in row]) for row in sizes]


class Repeated:
    """``steps`` batches, a few fixed ones over and over."""

    def __init__(self, batches: Sequence[object], steps: int) -> None:
        self.batches, self.steps = batches, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[object]:
        return (self.batches[i % len(self.batches)] for i in range(self.steps))


@dataclass
class Clock:
    """When each step began: wall and CPU seconds."""

    wall: list[float]
    cpu: list[float]

    def tick(self) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())


@dataclass(frozen=True)
class Case:
    name: str
    network: Callable[[], nn.Module]
    batches: Sequence[object]
    steps: int
    full: bool = False
    """Whether gradients are clipped and the rate follows a cosine."""


def raw(case: Case, clock: Clock, folder: Path) -> None:
    network = case.network().train()
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = CosineAnnealingLR(optimizer, case.steps) if case.full else None
    for batch in Repeated(case.batches, case.steps):
        clock.tick()
        loss = network(batch)
        optimizer.zero_grad()
        loss.backward()
        if schedule is None:
            optimizer.step()
        else:
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()


class Plain(pl.LightningModule):
    """The module of a Lightning tutorial."""

    def __init__(self, case: Case, clock: Clock) -> None:
        super().__init__()
        self.network, self.case, self.clock = case.network(), case, clock

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.clock.tick()
        loss: Tensor = self.network(batch)
        self.log("train_loss", loss, prog_bar=True, batch_size=1)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), RATE)
        if not self.case.full:
            return optimizer
        schedule = CosineAnnealingLR(optimizer, self.case.steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def lightning_defaults(case: Case, clock: Clock, folder: Path) -> None:
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        default_root_dir=folder,
        logger=CSVLogger(folder),
        gradient_clip_val=1.0 if case.full else None,
    )
    trainer.fit(Plain(case, clock), Repeated(case.batches, case.steps))


class BenchData(TaskData):
    preprocessing: Mapping[str, object] = {}
    audit = AuditStamp(verdict="clean")
    train_size = 0

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case, self.train_size = case, case.steps

    def fit_module(self, module: TaskModule) -> None:
        return None

    def train_dataloader(self) -> Repeated:
        return Repeated(self.case.batches, self.case.steps)

    def val_dataloader(self) -> Repeated:
        return Repeated(self.case.batches, 1)

    def test_loaders(self) -> Mapping[str, Any]:
        return {}

    def batch_of_size(self, size: int) -> object:
        return self.case.batches[0]


class BenchModule(TaskModule):
    def __init__(self, config: RunConfig, case: Case, clock: Clock) -> None:
        super().__init__(config.training)
        self.network, self.clock = case.network(), clock

    def step(self, batch: Any) -> dict[str, Tensor]:
        self.clock.tick()
        return {"loss": self.network(batch)}

    def samples(self, batch: Any) -> int:
        return 1

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.network(batch), batch_size=1)


class BenchTask(Task[RunConfig]):
    """A task around prebuilt batches, so that `launch` can be measured as it is."""

    name: ClassVar = "bench"
    summary: ClassVar = "prebuilt batches"
    data_summary: ClassVar = "prebuilt batches"
    models: ClassVar = {"bench": ModelEntry("of the case", ("normal",))}
    headline: ClassVar = "loss"
    config_type = RunConfig

    def __init__(self, case: Case, clock: Clock) -> None:
        self.case, self.clock = case, clock

    def data_fingerprint(self, config: RunConfig) -> str:
        return self.case.name

    def datamodule(self, config: RunConfig, cache: Path, preprocessing: Any = None) -> TaskData:
        return BenchData(self.case)

    def build(self, config: RunConfig, preprocessing: Mapping[str, object]) -> TaskModule:
        return BenchModule(config, self.case, self.clock)

    def evaluate(self, config: RunConfig, module: TaskModule, data: TaskData) -> Evaluation:
        return Evaluation()

    def predict(self, module: TaskModule, data: TaskData) -> tuple[()]:
        return ()

    def audit(self, config: RunConfig, cache: Path) -> Audit:
        return Audit(AuditStamp(verdict="clean"), ())


def ours(case: Case, clock: Clock, folder: Path) -> None:
    settings = [
        *(f"training.learning_rate={RATE}", "training.optimizer=adam", "training.weight_decay=0"),
        *("training.max_epochs=1", "training.batch_size=1", "training.accelerator=cpu"),
        *("training.scheduler.warmup_fraction=0", "task=bench", "model.name=bench"),
    ]
    if not case.full:
        settings += ["training.scheduler.name=constant", "training.gradient_clip=null"]
    config = build_config(RunConfig, [{"model": ModelConfig(name="bench").model_dump()}], settings)
    with Path(os.devnull).open("w") as nowhere:
        console = Console(file=nowhere, force_terminal=True, width=100)
        launch(BenchTask(case, clock), config, RunStore(folder), console)


LOOPS = {RAW: raw, LIGHTNING: lightning_defaults, OURS: ours}


def stretches(moments: Sequence[float]) -> list[float]:
    """Seconds a step of each whole stretch; the first one warms up."""
    edges = moments[::STRETCH] if len(moments) > 3 * STRETCH else moments
    steps = STRETCH if len(moments) > 3 * STRETCH else 1
    return [(b - a) / steps for a, b in zip(edges[1:], edges[2:], strict=False)]


def measure(case: Case, rounds: int) -> dict[str, dict[str, float]]:
    """Median µs a step, wall and CPU, of each loop."""
    wall: dict[str, list[float]] = {name: [] for name in LOOPS}
    cpu: dict[str, list[float]] = {name: [] for name in LOOPS}
    names = list(LOOPS)
    for round_ in range(rounds):
        for k in range(len(names)):
            name, clock = names[(k + round_) % len(names)], Clock([], [])
            with (
                tempfile.TemporaryDirectory() as folder,
                Path(os.devnull).open("w") as nowhere,
                contextlib.redirect_stdout(nowhere),
                contextlib.redirect_stderr(nowhere),
            ):
                LOOPS[name](case, clock, Path(folder))
            wall[name] += stretches(clock.wall[: case.steps])
            cpu[name] += stretches(clock.cpu[: case.steps])
    return {
        name: {
            "wall_us": statistics.median(wall[name]) * 1e6,
            "wall_us_p25": statistics.quantiles(wall[name], n=4)[0] * 1e6,
            "cpu_us": statistics.median(cpu[name]) * 1e6,
        }
        for name in names
    }


def judge(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """Our overhead as a share of Lightning's, and of the raw step."""
    out = {}
    for unit in ("wall_us", "wall_us_p25", "cpu_us"):
        base, theirs, mine = (figures[name][unit] for name in (RAW, LIGHTNING, OURS))
        out[f"share_of_lightning_{unit}"] = (mine - base) / (theirs - base)
        out[f"over_raw_{unit}"] = mine / base - 1
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1000, help="of the MLP; the GAT takes 1/20")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    mlp = mlp_batches()
    cases = [
        Case("MLP, 32 samples", MLP, mlp, args.steps),
        Case("MLP, 32 samples, clipping and cosine", MLP, mlp, args.steps, full=True),
        Case("GAT, 256 graphs", GAT, gat_batches(), max(20, args.steps // 20)),
    ]
    result: dict[str, Any] = {
        "machine": {
            "cpus": os.cpu_count(),
            "load": os.getloadavg()[0],
            "freed_memory_kept": keep_freed_memory(),
            "threads": args.threads,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
        },
        "cases": {},
    }
    print(json.dumps(result["machine"]))
    for case in cases:
        figures = measure(case, args.rounds)
        verdict = judge(figures)
        result["cases"][case.name] = {"figures": figures, **verdict}
        print(f"== {case.name}, {case.steps} steps a round")
        for name, row in figures.items():
            over = row["cpu_us"] - figures[RAW]["cpu_us"]
            print(f"{name:22s}" + "".join(f" {k} {v:9.1f}" for k, v in row.items()), end="")
            print(f"  (+{over:.0f} CPU)")
        print("  ".join(f"{name} {value:.3f}" for name, value in verdict.items()), flush=True)
    plain, gat = (result["cases"][cases[i].name] for i in (0, 2))
    share, over = plain["share_of_lightning_cpu_us"], gat["over_raw_cpu_us"]
    asked = [
        Target("MLP, overhead as a share of Lightning's", share, "≤", SHARE_TARGET),
        Target("GAT, share of a raw step on top", over, "≤", GAT_TARGET),
    ]
    conclude(result, asked, args.json)


if __name__ == "__main__":
    main()
