"""Claim: a core from other sessions serves a session left out as well as one of its own.

Run: python benchmarks/neural_transfer.py --data RECORDINGS [--home DIR] [--seeds N]
     [--sessions IDS] [--few N] [--json FILE] [SETTING ...]

``RECORDINGS`` is what `data.root` takes, as the folder of macaque V4 sessions (Cowley et al. 2023).
For each seed one model is trained on all sessions, beside the Gabor-energy ridge. Then each session
is left out of a core's training once, and readouts for it are trained upon that core, frozen
(*transfer*), upon a random frozen core (*random*), and with a core of their own (*alone*): with all
its training images, and with ``--few`` of them. All scores are means over the session's units of
the correlation with held-out responses, to images that no model was trained on; *demeaned* after
each recording block's mean was taken from both sides.

Runs in ``--home`` are reused: an interrupted benchmark goes on. All settings but those typed behind
are the defaults; a seed is `training.seed`, the split stays.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tutelage  # noqa: E402
from targets import Target, conclude  # noqa: E402
from tutelage.core.store import Run  # noqa: E402
from tutelage.tasks.neural.config import NeuralData  # noqa: E402
from tutelage.tasks.neural.sessions.read import read_sessions  # noqa: E402

ALONE, TRANSFER, RANDOM = "alone", "transfer", "random"
RIDGE = "gabor_ridge"
SCORES = ("corr", "corr_block_demeaned")
PLAIN = ("evaluation.baselines=false", "evaluation.bootstrap=0", "evaluation.drawn_sessions=0")
WANTED = {"all": 0.98, "few": 1.05}
"""Least correlation of a transfer over that of training alone, with all images and with few."""
WANTED_CORR = 0.51
Rows = Mapping[str, float]
"""Correlation by way of training."""


@dataclass(frozen=True)
class Bench:
    """Trains what a table needs, or finds it.

    Args:
        data: The recordings.
        home: Where runs live.
        settings: Further settings of every run.
    """

    data: Path
    home: Path
    settings: Sequence[str]
    seconds: dict[str, float] = field(default_factory=dict)

    def train(self, seed: int, *settings: str) -> Run:
        """Return a finished run."""
        common = (f"data.root={self.data}", f"training.seed={seed}", "training.accelerator=cpu")
        policy = "run.policy=resume_if_incomplete"
        run = tutelage.train("neural", *common, policy, *self.settings, *settings, home=self.home)
        self.seconds[run.id] = run.record.seconds.get("total", 0.0)
        return run

    def left_out(self, seed: int, session: str, few: int) -> dict[str, Rows]:
        """Return the correlations of each way, with all images and with few."""
        core = self.train(seed, f"data.leave_out=[{session}]", *PLAIN)
        ways = {
            ALONE: (),
            TRANSFER: (f"model.core_from={core.id}", "model.freeze_core=true"),
            RANDOM: ("model.freeze_core=true",),
        }
        found: dict[str, Rows] = {}
        for name, rows in (("all", ()), ("few", (f"data.train_rows={few}",))):
            runs = {
                way: self.train(seed, f"data.only=[{session}]", *own, *rows, *PLAIN)
                for way, own in ways.items()
            }
            found[name] = {way: run.record.metrics["test/corr"] for way, run in runs.items()}
            told = "  ".join(f"{way} {value:.4f}" for way, value in found[name].items())
            print(f"seed {seed}  {session}  {name:3s}  {told}  {ratio(found[name])}", flush=True)
        return found


def ratio(rows: Rows) -> str:
    """Say what a transfer reaches of training alone, and a random core."""
    shares = [rows[way] / rows[ALONE] for way in (TRANSFER, RANDOM)]
    return f"transfer {shares[0]:.3f}, random {shares[1]:.3f} of alone"


def together(bench: Bench, seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """Train on all sessions; print the mean correlations beside the ridge's."""
    found: dict[str, dict[str, float]] = {}
    for seed in seeds:
        record = bench.train(seed, "evaluation.drawn_sessions=0").record
        scores = {name: record.metrics[f"test/{name}"] for name in SCORES}
        ridge = {f"{RIDGE} {name}": record.baselines[RIDGE][f"test/{name}"] for name in SCORES}
        found[str(seed)] = scores | ridge
        told = "  ".join(f"{name} {value:.4f}" for name, value in found[str(seed)].items())
        print(f"seed {seed}  all sessions  {told}", flush=True)
    return found


def spread(values: Sequence[float]) -> str:
    """Return a mean, and from where to where."""
    return f"{statistics.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def summary(found: Mapping[str, Mapping[str, Mapping[str, Rows]]], few: int) -> dict[str, float]:
    """Print means over sessions, and their spread over seeds; return the shares of training alone.

    Args:
        found: By seed, session and amount.
        few: Images that *few* stands for.
    """
    shares: dict[str, float] = {}
    for amount, wanted in WANTED.items():
        means = [
            {
                way: statistics.mean(each[amount][way] for each in sessions.values())
                for way in (ALONE, TRANSFER, RANDOM)
            }
            for sessions in found.values()
        ]
        print(f"{amount if amount == 'all' else few} training images:")
        for way in (ALONE, TRANSFER, RANDOM):
            of_alone = [each[way] / each[ALONE] for each in means]
            print(f"  {way:9s} corr {spread([each[way] for each in means])}"
                  f"   of alone {spread(of_alone)}")  # fmt: skip
            shares[f"{amount} {way}"] = statistics.mean(of_alone)
        singles = [
            each[amount][TRANSFER] / each[amount][ALONE]
            for sessions in found.values()
            for each in sessions.values()
        ]
        print(f"  transfer of alone, each session and seed: {spread(singles)}; wanted {wanted}")
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, help="where runs live; a temporary folder without it")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sessions", help="ids to leave out in turn, with commas; all without it")
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("settings", nargs="*", metavar="SETTING")
    args = parser.parse_args()
    seeds = range(args.seeds)
    with tempfile.TemporaryDirectory() as temporary:
        home = args.home or Path(temporary)
        bench = Bench(args.data, home, args.settings)
        every = read_sessions(NeuralData(root=args.data), home / "cache")
        names = args.sessions.split(",") if args.sessions else [each.id for each in every]
        print(f"{platform.processor() or platform.machine()}, one thread, {len(every)} sessions")
        whole = together(bench, seeds)
        found: dict[str, dict[str, dict[str, Rows]]] = {}
        for seed in seeds:
            found[str(seed)] = {}
            for name in names:
                found[str(seed)][name] = bench.left_out(seed, name, args.few)
        for name in (*SCORES, *(f"{RIDGE} {each}" for each in SCORES)):
            wanted = f"; wanted {WANTED_CORR}" if name == SCORES[0] else ""
            print(
                f"all sessions, {name}: {spread([each[name] for each in whole.values()])}{wanted}"
            )
        shares = summary(found, args.few)
        print(f"{len(bench.seconds)} runs, {sum(bench.seconds.values()):.0f} s of training")
    corr = statistics.mean(each[SCORES[0]] for each in whole.values())
    asked = [Target("all sessions, corr", corr, "≥", WANTED_CORR)]
    for amount, wanted in WANTED.items():
        share = shares[f"{amount} {TRANSFER}"]
        asked.append(Target(f"transfer as a share of alone, {amount} images", share, "≥", wanted))
    conclude({"together": whole, "left_out": found, "shares": shares}, asked, args.json)


if __name__ == "__main__":
    main()
