"""Claim: at least 1.5 times the non-padding tokens a CPU-second of Hugging Face's `Trainer`.

Both train all-MiniLM-L6-v2 on WNUT-17's training texts in 32 bits, with the same learning rate,
schedule, clipping and number of texts for each optimiser step (ours on average: a batch is of as
many tokens as another). That all else is the same is compared before the first step. Each has a
process of its own, set up as it comes; they take turns of `ROUND` steps, so that both see the
machine in the same moods, and the ratio is of the medians of their turns. Tokens are those that
are no padding; seconds are CPU seconds of training alone, without the first steps, evaluation and
set-up. F1 is that of entities on the test texts, by one function for both. Two trainings differ by
their draws, so that it takes several seeds to tell whether the two are apart: the mean difference
stands beside its interval of 95 % (Student's t over seeds).

    python benchmarks/ner_training.py [--seeds 0,1,2] [--epochs 1] [--threads 1] [--json FILE]

Seeds that FILE has are taken from it, so that an interrupted row goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import warnings
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles

import numpy as np
import torch
import transformers

from ner_sides import SIDES, Turns, differences, labelled, our_config, prepared
from seed_interval import apart
from targets import Target, conclude
from tutelage.tasks.ner.labels import Integers, LabelSet
from tutelage.tasks.ner.predictions import gold_tags, word_starts

TIMES = 1.5


def side(name: str, seed: int, options: argparse.Namespace, pipe: Connection) -> None:
    """Train as one of the two, and tell what came of it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    pipe.send(SIDES[name](options.epochs, seed, options.texts, Turns(pipe)))


def in_turns(seed: int, options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Let both train, a turn each, until both are done."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    found: dict[str, dict[str, object]] = {}
    for name in SIDES:
        pipes[name], theirs_end = context.Pipe()
        context.Process(target=side, args=(name, seed, options, theirs_end), daemon=True).start()
        theirs_end.close()  # so that a process that fails ends the other's wait
    while waiting := [name for name in SIDES if name not in found]:
        for name in waiting:
            pipes[name].send(None)
            if (said := pipes[name].recv()) is not None:
                found[name] = said
    return found


def counts_of(gold: Integers, tags: Integers, starts: Integers, labels: LabelSet) -> Integers:
    """Return (texts, 3): right, predicted and true entities of each text."""
    found = [labels.decode(part, starts) for part in (gold, tags)]
    sets = [
        set(zip(f.first.tolist(), f.stop.tolist(), f.kind.tolist(), strict=True)) for f in found
    ]
    counts = np.zeros((len(starts), 3), np.int64)
    for column, entities in enumerate((sets[0] & sets[1], sets[1], sets[0])):
        firsts = np.array([first for first, _, _ in entities], np.int64)
        texts = np.searchsorted(starts, firsts, side="right") - 1
        counts[:, column] = np.bincount(texts, minlength=len(starts))
    return counts


def f1_of(counts: Integers) -> float:
    """F1 of the entities of some texts."""
    right, said, true = counts.sum(0).tolist()
    return 2 * right / max(1, said + true)


def row_of(said: Mapping[str, object], score: float) -> dict[str, float]:
    """What is printed and kept of one of the two."""
    speeds = said["speeds"]
    assert isinstance(speeds, list)
    low, middle, high = quantiles(speeds, n=4)
    numbers = {name: float(said[name]) for name in ("padding", "texts_a_step", "steps")}  # type: ignore[arg-type]
    return numbers | {
        "tokens_a_cpu_second": middle,
        "lower_quartile": low,
        "upper_quartile": high,
        "turns": len(speeds),
        "test_f1": score,
    }


def seed_row(seed: int, options: argparse.Namespace) -> dict[str, object]:
    """Let both train by a seed; return what came of each."""
    load = os.getloadavg()[0]
    said = in_turns(seed, options)
    with tempfile.TemporaryDirectory() as cache:
        data = prepared(our_config(1, 0), Path(cache), options.texts)
    documents, labels = labelled(data), data.labels
    gold, starts = gold_tags(documents, labels), word_starts(documents)
    rows: dict[str, object] = {"load": round(load, 1)}
    for name, one in said.items():
        tags = np.array(one["tags"], np.int64)
        rows[name] = row_of(one, f1_of(counts_of(gold, tags, starts, labels)))
    return rows


def print_seed(seed: str, row: Mapping[str, Mapping[str, float]]) -> float:
    """Print both of a seed; return our F1 less theirs."""
    for name in SIDES:
        numbers = "  ".join(f"{key} {value:.4g}" for key, value in row[name].items())
        print(f"seed {seed} {name:22} {numbers}")
    one, other = (row[name] for name in SIDES)
    ratio = one["tokens_a_cpu_second"] / other["tokens_a_cpu_second"]
    less = one["test_f1"] - other["test_f1"]
    print(
        f"seed {seed} ratio {ratio:.2f}, test F1 apart by {less:+.4f}, load {row['load']}",
        flush=True,
    )
    return less


def main() -> None:
    """Print both for each seed, the ratio, and how far apart they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", default="0,1,2", help="with commas between")
    parser.add_argument("--texts", type=int, help="training texts; by default all")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    unequal = differences(options.texts)
    print(f"before the first step the two differ in: {', '.join(unequal) or 'nothing'}", flush=True)
    kept = options.json is not None and options.json.exists()
    rows = json.loads(options.json.read_text())["seeds"] if kept else {}
    machine = {"cpu": platform.processor() or platform.machine(), "torch": torch.__version__}
    machine |= {"transformers": transformers.__version__}
    for seed in options.seeds.split(","):
        rows[seed] = rows.get(seed) or seed_row(int(seed), options)
        if options.json:
            options.json.write_text(json.dumps({"machine": machine, "seeds": rows}, indent=1))
    differs = [print_seed(seed, row) for seed, row in rows.items()]
    speeds = [[row[name]["tokens_a_cpu_second"] for row in rows.values()] for name in SIDES]
    ratios = [one / other for one, other in zip(*speeds, strict=True)]
    print(f"ratio of tokens a CPU-second: {min(ratios):.2f} to {max(ratios):.2f}")
    print(f"test F1 {apart(differs)}")
    print("  ".join(f"{key} {value}" for key, value in machine.items()))
    asked = Target("tokens a CPU-second, times Trainer's, least seed", min(ratios), "≥", TIMES)
    conclude({"machine": machine, "seeds": rows}, [asked], options.json)


if __name__ == "__main__":
    main()
