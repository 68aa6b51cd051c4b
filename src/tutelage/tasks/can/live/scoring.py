"""What scores windows while they come: a protocol, and the trained network itself as one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import Graphs
from tutelage.tasks.can.modules import BaseCANGraphModule


class Scorer(Protocol):
    """Gives windows scores; one above ``threshold`` speaks for an attack."""

    threshold: np.float32

    def scores(self, graphs: Graphs) -> NDArray[np.float32]:
        """Return the score (G,) of each window; larger is more suspicious."""


class TorchScorer:
    """The trained network in PyTorch, all windows at once.

    In batches of `tutelage.tasks.can.datamodule.EVALUATION_BATCH` from the first window on, its
    scores are those of ``tutelage predict`` to the last bit; in other batches they may differ in
    the last digit, as matrix products are then summed in another order.

    Args:
        module: The trained module.
    """

    def __init__(self, module: BaseCANGraphModule) -> None:
        self._module = module.eval()
        self.threshold = np.float32(module.threshold.item())

    def scores(self, graphs: Graphs) -> NDArray[np.float32]:
        """Return the score (G,) of each window."""
        store = GraphStore.from_graphs([graphs])
        batch = store.batch(torch.arange(len(store))).to(self._module.device)
        with torch.inference_mode():
            found: NDArray[np.float32] = self._module.scores(batch).float().cpu().numpy()
        return found
