"""Claim: our losses take at most 1.05 times the fastest peer's CPU time, the large ones in 250 MB.

Run: python benchmarks/losses.py [--json FILE] [--rounds R] [--only LOSS] [--limit-gb G]

Peers, in the same run: lightly, pytorch-metric-learning, open_clip, and plain torch. Each works
in a child of its own whose memory is limited; forward and backward of float32 embeddings, d = 256,
on one thread. The children of one loss take turns; medians of CPU time are compared, over several
children each where a turn takes milliseconds. Memory is the growth of the child's peak resident
set. Values and gradients are checked to agree.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "losses"))
import loss_peers  # noqa: E402

from targets import Target, conclude  # noqa: E402
from tutelage.losses import get_loss  # noqa: E402

TARGET = 1.05
TARGET_MB = 250.0
WIDTH = 256
SIZES = (4096, 16384)
LARGE = ("clip", "siglip", "nt_xent", "supcon")
"""Losses over all pairs: measured at the larger size as well."""
HEADLINE = ("clip", "nt_xent", "supcon")

CHEAP = ("vicreg", "barlow_twins")
"""Losses that have no matrix of all pairs: their turns are milliseconds."""
CHILDREN = 5
"""Times as many turns and processes for these: where memory lies in one is a matter of luck."""

T = 0.07
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


def ours(name: str, **options: object) -> Loss:
    loss = get_loss(name, **options)
    if name == "supcon":
        return lambda a, b, labels: loss(a, b, ids=labels).loss
    return lambda a, b, labels: loss(a, b).loss


def plain_clip(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    logits, own = unit(a) @ unit(b).T / T, torch.arange(len(a))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def plain_siglip(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    logits = unit(a) @ unit(b).T * 10 - 10
    return -F.logsigmoid((2 * torch.eye(len(a)) - 1) * logits).sum() / len(a)


def plain_nt_xent(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    z, n = unit(torch.cat([a, b])), len(a)
    logits = (z @ z.T / T).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(2 * n).roll(n))


def plain_supcon(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    z, y = unit(torch.cat([a, b])), torch.cat([labels, labels])
    own = torch.eye(len(z), dtype=torch.bool)
    logits = (z @ z.T / T).masked_fill(own, -torch.inf)
    positive = (y[:, None] == y) & ~own
    log_p = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(~positive, 0)
    return -(log_p.sum(1) / positive.sum(1)).mean()


def plain_vicreg(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    n, d = a.shape
    off = ~torch.eye(d, dtype=torch.bool)
    loss = 25 * F.mse_loss(a, b)
    for x in (a, b):
        loss = loss + 12.5 * F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean()
        centred = x - x.mean(0)
        loss = loss + (centred.T @ centred / (n - 1))[off].pow(2).sum() / d
    return loss


def plain_barlow(a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
    x, y = (F.batch_norm(z, None, None, training=True) for z in (a, b))
    c = x.T @ y / len(a)
    off = ~torch.eye(len(c), dtype=torch.bool)
    return (c.diagonal() - 1).pow(2).sum() + 5e-3 * c[off].pow(2).sum()


def lightly(name: str, **options: object) -> Loss:
    loss = getattr(loss_peers.lightly_loss(), name)(**options)
    return lambda a, b, labels: loss(a, b)


def metric_learning(name: str) -> Loss:
    losses = loss_peers.metric_learning_losses()
    if name == "VICRegLoss":
        vicreg = losses.VICRegLoss()
        return lambda a, b, labels: vicreg(a, ref_emb=b)
    loss = getattr(losses, name)(temperature=T)
    if name == "SupConLoss":
        return lambda a, b, labels: loss(torch.cat([a, b]), torch.cat([labels, labels]))
    alone = losses.SelfSupervisedLoss(loss)
    return lambda a, b, labels: alone(a, b)


def open_clip(name: str) -> Loss:
    loss = getattr(loss_peers.open_clip_loss(), name)()
    if name == "ClipLoss":
        return lambda a, b, labels: loss(unit(a), unit(b), torch.tensor(1 / T))
    scale, bias = torch.tensor(10.0), torch.tensor(-10.0)
    return lambda a, b, labels: loss(unit(a), unit(b), scale, bias)


CONTENDERS: dict[str, dict[str, Callable[[], Loss]]] = {
    "clip": {
        "ours": lambda: ours("clip"),
        "open_clip": lambda: open_clip("ClipLoss"),
        "plain torch": lambda: plain_clip,
    },
    "siglip": {
        "ours": lambda: ours("siglip"),
        "open_clip": lambda: open_clip("SigLipLoss"),
        "plain torch": lambda: plain_siglip,
    },
    "nt_xent": {
        "ours": lambda: ours("nt_xent", temperature=T),
        "lightly": lambda: lightly("NTXentLoss", temperature=T),
        "metric-learning": lambda: metric_learning("NTXentLoss"),
        "plain torch": lambda: plain_nt_xent,
    },
    "supcon": {
        "ours": lambda: ours("supcon", temperature=T),
        "metric-learning": lambda: metric_learning("SupConLoss"),
        "plain torch": lambda: plain_supcon,
    },
    "dcl": {
        "ours": lambda: ours("dcl", temperature=T),
        "lightly": lambda: lightly("DCLLoss", temperature=T),
    },
    "vicreg": {
        "ours": lambda: ours("vicreg"),
        "lightly": lambda: lightly("VICRegLoss"),
        "metric-learning": lambda: metric_learning("VICRegLoss"),
        "plain torch": lambda: plain_vicreg,
    },
    "barlow_twins": {
        "ours": lambda: ours("barlow_twins"),
        "lightly": lambda: lightly("BarlowTwinsLoss"),
        "plain torch": lambda: plain_barlow,
    },
}


# The child: one contender, a turn for each line that it reads.


def megabytes(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"this system does not say {field}: run the benchmark on Linux")


def child(name: str, contender: str, n: int) -> None:
    torch.set_num_threads(1)
    loss = CONTENDERS[name][contender]()
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(n, WIDTH, generator=generator)
    b = (a + torch.randn(n, WIDTH, generator=generator)).requires_grad_()
    a.requires_grad_()
    labels = torch.arange(n) % 64
    loss(a[:256], b[:256], labels[:256]).backward()
    for _ in sys.stdin:
        a.grad = b.grad = None
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        before, start = megabytes("VmRSS"), time.process_time()
        value = loss(a, b, labels)
        value.backward()
        seconds = time.process_time() - start
        peak = megabytes("VmHWM") - before
        assert a.grad is not None
        turn = {"cpu_s": seconds, "mb": peak, "loss": value.item(), "norm": a.grad.norm().item()}
        print(json.dumps(turn), flush=True)


# The parent: it starts the contenders of one loss, lets them take turns, and compares.


class Contender:
    """A child and what it has measured."""

    def __init__(self, name: str, contender: str, n: int, limit: int) -> None:
        command = [sys.executable, __file__, "--child", name, contender, str(n)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
        self.turns: list[dict[str, float]] = []
        self.failure = ""

    def turn(self) -> None:
        """Measure once, unless it has failed before."""
        assert self.process.stdin and self.process.stdout and self.process.stderr
        if self.failure:
            return
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            self.turns.append(json.loads(line))
        else:
            said = self.process.stderr.read().strip().splitlines() or ["killed"]
            self.failure = said[-1][:160]

    def end(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()

    def result(self) -> dict[str, object]:
        if self.failure:
            return {"failed": self.failure}
        last = self.turns[-1]
        return {
            "cpu_ms": statistics.median(turn["cpu_s"] for turn in self.turns) * 1e3,
            "peak_mb": max(turn["mb"] for turn in self.turns),
            "loss": last["loss"],
            "gradient_norm": last["norm"],
        }


def measure(name: str, n: int, rounds: int, limit: int) -> dict[str, dict[str, object]]:
    children = {
        (c, number): Contender(name, c, n, limit)
        for number in range(CHILDREN if name in CHEAP else 1)
        for c in CONTENDERS[name]
    }
    order = list(children)
    for round_ in range(rounds):
        for k in range(len(order)):
            children[order[(k + round_) % len(order)]].turn()
    for one in children.values():
        one.end()
    results = {}
    for c in CONTENDERS[name]:
        same = [one for (contender, _), one in children.items() if contender == c]
        same[0].turns = [turn for one in same for turn in one.turns]
        results[c] = same[0].result()
    for key in ("loss", "gradient_norm"):
        values = [float(str(r[key])) for r in results.values() if key in r]
        assert max(values) - min(values) <= 1e-4 * max(map(abs, values)), (name, key, values)
    return results


def ratio_of(results: dict[str, dict[str, object]]) -> float | None:
    """Our CPU time over the fastest peer's; none where no peer finished, nan where we did not."""
    mine = results["ours"]
    peers = [float(str(r["cpu_ms"])) for c, r in results.items() if c != "ours" and "cpu_ms" in r]
    if "cpu_ms" not in mine:
        return float("nan")
    return float(str(mine["cpu_ms"])) / min(peers) if peers else None


def asked_of(name: str, n: int, results: dict[str, dict[str, object]]) -> list[Target]:
    """What is asked of a loss at a size: time beside peers', and memory where it is large."""
    ratio, asked = ratio_of(results), []
    if ratio is not None:
        asked.append(Target(f"{name}, {n:,}, times the fastest peer's", ratio, "≤", TARGET))
    if n == max(SIZES) and name in HEADLINE:
        peak = float(str(results["ours"].get("peak_mb", "nan")))
        asked.append(Target(f"{name}, {n:,}, MB", peak, "≤", TARGET_MB))
    return asked


def show(name: str, n: int, results: dict[str, dict[str, object]], found: float | None) -> None:
    for contender, r in results.items():
        if "failed" in r:
            print(f"{name:13s} {n:6d} {contender:26s} failed: {r['failed']}", flush=True)
        else:
            print(
                f"{name:13s} {n:6d} {contender:26s} {r['cpu_ms']:9.1f} ms {r['peak_mb']:9.1f} MB",
                flush=True,
            )
    ratio = "no peer finished" if found is None else f"x{found:.2f}"
    print(f"{'':13s} {'':6s} ours / fastest peer: {ratio}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns at N = 4096")
    parser.add_argument("--large-rounds", type=int, default=1, help="turns at N = 16384")
    parser.add_argument("--only", choices=list(CONTENDERS), help="one loss alone")
    parser.add_argument("--limit-gb", type=float, default=8.0, help="address space of a child")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    limit = int(args.limit_gb * 2**30)
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": 1,
        "limit_gb": args.limit_gb,
    }
    print(json.dumps(machine))
    print(f"forward and backward, d = {WIDTH}, CPU time, medians; growth of the peak resident set")
    rows, asked = [], []
    for n in SIZES:
        for name in CONTENDERS:
            rounds = args.rounds if n == min(SIZES) else args.large_rounds * (name in LARGE)
            if args.only not in (None, name) or not rounds:
                continue
            if name in CHEAP:
                rounds *= CHILDREN
            results = measure(name, n, rounds, limit)
            ratio = ratio_of(results)
            show(name, n, results, ratio)
            asked += asked_of(name, n, results)
            rows.append({"loss": name, "n": n, "d": WIDTH, "contenders": results, "ratio": ratio})
    conclude({"machine": machine, "rows": rows}, asked, args.json)


if __name__ == "__main__":
    main()
