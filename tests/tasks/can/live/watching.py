"""A small detector, traffic, and a watch on it, for tests of live detection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import can
import numpy as np
import torch

from tutelage.tasks.can import CANTask
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import build_graphs
from tutelage.tasks.can.live.opening import open_watch
from tutelage.tasks.can.live.watch import CANWatch
from tutelage.tasks.can.modules import BaseCANGraphModule
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.simulator import simulate_capture


@dataclass(frozen=True)
class Detector:
    """An untrained detector whose scaler and threshold fit some traffic."""

    config: CANConfig
    module: BaseCANGraphModule
    learned: Preprocessing

    def watch(
        self,
        source: Path | str,
        every: bool = False,
        batch: int | None = None,
        engine: str = "torch",
    ) -> CANWatch:
        parts = self.config, self.module, self.learned
        cache = Path(source).parent / "cache"
        return open_watch(*parts, str(source), cache, engine, batch, every)


def drive(seed: int = 0, seconds: float = 6, attack: str | None = "dos") -> Frames:
    return simulate_capture("hatchback", seed=seed, seconds=seconds, attack=attack).frames


def detector(config: CANConfig) -> Detector:
    """A detector that knows attack-free traffic and alarms on half of the attacked."""
    torch.manual_seed(0)
    usual = drive(seed=1, attack=None)
    learned = Preprocessing.fit([usual], config.data.window, {}, 0.0)
    module = CANTask().build(config, learned.to_json())
    assert isinstance(module, BaseCANGraphModule)
    data = config.data
    graphs = build_graphs(usual, learned.profile, data.window, data.stride)
    module.input.fit([(torch.from_numpy(graphs.x), torch.from_numpy(graphs.edge_attr))])
    module.eval()
    store = GraphStore.from_graphs(
        [build_graphs(drive(), learned.profile, data.window, data.stride)]
    )
    with torch.inference_mode():
        scores = module.scores(store.batch(torch.arange(len(store))))
    module.threshold.fill_(float(np.median(scores.numpy())))
    return Detector(config, module, learned)


def send(bus: can.BusABC, frames: Frames) -> None:
    for time, number, dlc, payload in zip(
        frames.timestamp.tolist(),
        frames.arbitration_id.tolist(),
        frames.dlc.tolist(),
        frames.payload,
        strict=True,
    ):
        data = payload.tobytes()[:dlc]
        message = can.Message(time, number, is_extended_id=False, data=data)
        bus.send(message)
