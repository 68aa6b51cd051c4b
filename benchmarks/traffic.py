"""Generated CAN traffic that benchmarks share, so that none needs real captures."""

from __future__ import annotations

import numpy as np

from tutelage.tasks.can.frames import Frames


def traffic(n: int, seed: int = 0) -> Frames:
    """Periodic messages of 45 ids with jitter, counters, slow signals and a few injected frames."""
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.choice(0x7FF, 45, replace=False)).astype(np.uint32)
    period = rng.choice([0.01, 0.02, 0.05, 0.1, 0.2], 45, p=[0.3, 0.3, 0.2, 0.15, 0.05])
    seconds = n / (1 / period).sum() * 1.1
    parts = [np.arange(rng.uniform(0, p), seconds, p) for p in period]
    owner = np.repeat(np.arange(45), [len(p) for p in parts])
    when = np.concatenate(parts) + rng.normal(0, 2e-4, len(owner))
    order = np.argsort(when)[:n]
    owner, when = owner[order], when[order]
    payload = rng.integers(0, 256, (45, 8)).astype(np.uint8)[owner]
    payload[:, 0] = np.arange(n) >> 6
    payload[:, 3] += rng.integers(0, 4, n).astype(np.uint8)
    label = (rng.random(n) < 0.002).astype(np.int8)
    payload[label == 1] = rng.integers(0, 256, (int(label.sum()), 8))
    return Frames(1.5e9 + when, ids[owner], np.full(n, 8, np.uint8), payload, label)
