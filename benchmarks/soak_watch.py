"""Claim: a watch on a bus of 8,000 frames a second loses none, and its memory stays flat.

Run: python benchmarks/soak_watch.py [--seconds N] [--rate N] [--engine compiled|onnx|torch]
     [--calibration none|prefix] [--json FILE]

A thread sends simulated traffic onto a virtual bus at the given rate, as evenly as it can; the
watch runs a student of random weights (they don't matter to time) in the same process. Both share
one interpreter, so latencies are upper bounds of what a bus of its own gives. With calibration the
stream's first ten seconds are learned from and not judged. Fails if a frame is lost, a window is
missing, anything is compiled while frames arrive, or memory grows by more than 32 MiB after the
first tenth, or, where that is later, after twice the time of calibration.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import can
import psutil
import torch
from numba.core.event import install_recorder

warnings.filterwarnings("ignore", message=".*torch.jit")
from tutelage.core.overrides import build_config  # noqa: E402
from tutelage.tasks.can import CANTask  # noqa: E402
from tutelage.tasks.can.config import CANConfig  # noqa: E402
from tutelage.tasks.can.frames import Frames  # noqa: E402
from tutelage.tasks.can.live.opening import open_watch  # noqa: E402
from tutelage.tasks.can.live.watch import CANWatch  # noqa: E402
from tutelage.tasks.can.modules import BaseCANGraphModule  # noqa: E402
from tutelage.tasks.can.preprocessing import Preprocessing  # noqa: E402
from tutelage.tasks.can.simulator import simulate_capture  # noqa: E402

CHANNEL = f"soak {os.getpid()}"
MIB = 1 << 20
GROWTH = 32
"""MiB by which memory may grow after the first tenth."""
LEARNING = 10.0
"""Seconds of `evaluation.calibration_seconds`."""
TICK = 0.001
PATIENCE = 20.0
"""Seconds that the last frames may take to arrive."""


@dataclass
class Sender:
    """Sends messages at an even rate, over and over; what a busy machine delays, it catches up."""

    messages: list[can.Message]
    rate: float
    seconds: float
    memory: list[float] = field(default_factory=list)
    sent: int = 0

    def run(self, watch: CANWatch) -> None:
        process = psutil.Process()
        start, total = time.perf_counter(), int(self.seconds * self.rate)
        with can.Bus(interface="virtual", channel=CHANNEL) as bus:
            while self.sent < total:
                elapsed = time.perf_counter() - start
                for _ in range(min(total, int(elapsed * self.rate)) - self.sent):
                    bus.send(self.messages[self.sent % len(self.messages)])
                    self.sent += 1
                if len(self.memory) <= 100 * elapsed / self.seconds:
                    self.memory.append(process.memory_info().rss / MIB)
                time.sleep(TICK)
            end = time.perf_counter() + PATIENCE
            while int(str(watch.summary()["frames"])) < self.sent and time.perf_counter() < end:
                time.sleep(TICK)
        watch.stop()


def messages_of(frames: Frames) -> list[can.Message]:
    return [
        can.Message(arbitration_id=number, is_extended_id=False, data=payload.tobytes()[:dlc])
        for number, dlc, payload in zip(
            frames.arbitration_id.tolist(), frames.dlc.tolist(), frames.payload, strict=True
        )
    ]


def student(usual: Frames, engine: str, calibration: str) -> CANWatch:
    """A watch with a student that never alarms."""
    settings = (f"evaluation.calibration={calibration}",)
    config = build_config(CANConfig, [CANTask().preset("student")], settings)
    learned = Preprocessing.fit([usual], config.data.window, {}, 0.0)
    torch.manual_seed(0)
    module = CANTask().build(config, learned.to_json())
    assert isinstance(module, BaseCANGraphModule)
    module.eval().threshold.fill_(2.0)
    return open_watch(config, module, learned, f"virtual:{CHANNEL}", Path(), engine)


def soak(seconds: float, rate: float, engine: str, calibration: str) -> dict[str, object]:
    usual = simulate_capture("hatchback", seed=1, seconds=20, attack=None).frames
    torch.set_num_threads(1)
    with student(usual, engine, calibration) as watch:
        sender = Sender(messages_of(usual), rate, seconds)
        thread = threading.Thread(target=sender.run, args=(watch,), daemon=True)
        thread.start()
        with install_recorder("numba:compile") as late:
            list(watch.verdicts())
        thread.join()
        counts = watch.summary()
    learning = 2 * LEARNING / seconds if calibration != "none" else 0.0
    begun = max(1, int(max(0.1, learning) * len(sender.memory)))
    settled = sender.memory[begun:] or sender.memory[-1:]
    return {
        **counts,
        "engine": engine,
        "compiled_late": len(late.buffer),
        "sent": sender.sent,
        "sent_per_second": round(sender.sent / seconds),
        "memory_mib": round(settled[-1], 1),
        "memory_growth_mib": round(settled[-1] - settled[0], 1),
    }


def failures(found: dict[str, object]) -> list[str]:
    sent, growth = int(str(found["sent"])), float(str(found["memory_growth_mib"]))
    wrong = []
    if found["frames"] != sent or found["dropped"]:
        wrong.append(f"{sent} frames sent, {found['frames']} taken, {found['dropped']} dropped")
    learned = -(-int(str(found["calibration_frames"])) // 100)
    if found["windows"] != sent // 100 - learned:
        wrong.append(f"{found['windows']} windows of {sent // 100 - learned}")
    if found["compiled_late"]:
        wrong.append("windows waited for what was compiled")
    if growth > GROWTH:
        wrong.append(f"memory grew by {growth} MiB")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=8000)
    parser.add_argument("--engine", choices=("compiled", "onnx", "torch"), default="compiled")
    parser.add_argument("--calibration", choices=("none", "prefix"), default="none")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    asked = arguments.seconds, arguments.rate, arguments.engine, arguments.calibration
    found = soak(*asked)
    for name, value in found.items():
        print(f"{name:20} {value}")
    if arguments.json:
        held = 0 if failures(found) else found["frames"]
        row = {"what": "frames on a virtual bus", "tried": found["sent"], "held": held}
        rows = [row | {"seconds": arguments.seconds} | found]
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    for wrong in failures(found):
        print(f"FAILED: {wrong}", file=sys.stderr)
    return 1 if failures(found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
