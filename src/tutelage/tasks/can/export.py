"""What of a CAN detector is exported: its network for one window, and windows to check it by."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.tasks.can.datamodule import CANGraphDataModule, TestCapture
from tutelage.tasks.can.graph_batch import GraphBatch
from tutelage.tasks.can.graphs import EDGE_FEATURES, NODE_FEATURES
from tutelage.tasks.can.models import VGAE, GATWithJK
from tutelage.tasks.can.models.window import WindowGAT, WindowVGAE
from tutelage.tasks.can.modules import BaseCANGraphModule, VGAEModule
from tutelage.tasks.can.onnx_scorer import INPUTS, OUTPUT
from tutelage.training.export.form import Exportable

AXES = {
    "x": {0: "nodes"},
    "id_index": {0: "nodes"},
    "edge_index": {1: "edges"},
    "edge_attr": {0: "edges"},
}
CHECKED_WINDOWS = 256
"""Windows of each capture, at most, on which the export is compared with the trained model."""


def window_network(module: BaseCANGraphModule) -> nn.Module:
    """Return the module's network for one window at a time, with the same weights."""
    network = module.network
    if isinstance(module, VGAEModule):
        assert isinstance(network, VGAE)
        return WindowVGAE(network, module.id_weight).eval()
    assert isinstance(network, GATWithJK)
    return WindowGAT(network).eval()


def exportable(module: BaseCANGraphModule, data: CANGraphDataModule | None = None) -> Exportable:
    """Return a detector for export, with windows of ``data`` to check it by.

    Args:
        module: The trained detector.
        data: Captures; null leaves the check to the caller.
    """
    module = module.cpu().eval()
    samples: list[tuple[Tensor, ...]] = []
    expected: list[Tensor] = []
    facts: dict[str, float | int | str] = {"threshold": float(module.threshold)}
    if data is not None:
        facts["window"] = data.learned.profile.window
        for test in (test for tests in data.tests.values() for test in tests):
            windows = _spread(test)
            with torch.inference_mode():
                expected += list(module.scores(test.store.batch(windows))[:, None].clone())
            samples += (_inputs(test.store.batch(windows[i : i + 1])) for i in range(len(windows)))
    example = (
        torch.zeros(3, len(NODE_FEATURES)),
        torch.zeros(3, dtype=torch.int64),
        torch.tensor([[0, 1, 2, 2, 0], [1, 2, 0, 2, 2]]),
        torch.zeros(5, len(EDGE_FEATURES)),
    )
    return Exportable(
        module=window_network(module),
        inputs=INPUTS,
        output=OUTPUT,
        axes=AXES,
        example=example,
        samples=samples,
        expected=expected,
        facts=facts,
    )


def _inputs(window: GraphBatch) -> tuple[Tensor, ...]:
    return tuple(getattr(window, name) for name in INPUTS)


def _spread(test: TestCapture) -> Tensor:
    """Return up to `CHECKED_WINDOWS` windows, evenly over time, and those of extreme size."""
    windows = test.windows
    step = -(-len(windows) // CHECKED_WINDOWS)
    size = test.store.node_counts[windows]
    extreme = windows[torch.stack([size.argmin(), size.argmax()])]
    chosen = torch.cat([windows[::step], extreme])
    return torch.from_numpy(np.unique(chosen.numpy()))
