"""`OnnxScorer`: an exported detector that scores one window at a time, through onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import CheckpointError
from tutelage.tasks.can.graphs import Graphs
from tutelage.training.export.runtime import open_session, read_exported

if TYPE_CHECKING:
    from tutelage.tasks.can.modules import BaseCANGraphModule

INPUTS = ("x", "id_index", "edge_index", "edge_attr")
OUTPUT = "score"


class OnnxScorer:
    """Scores windows on one thread; PyTorch is not imported for it.

    Args:
        model: Content of an exported file.
        threshold: A window with a score above it raises an alarm.
    """

    def __init__(self, model: bytes, threshold: float) -> None:
        self.threshold: np.float32 = np.float32(threshold)
        self._run = open_session(model).run
        self._outputs = [OUTPUT]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Load an exported file, after a check of its digest.

        Raises:
            RequestError: onnxruntime is not installed.
            CheckpointError: The file or its card is missing, altered, or no CAN detector.
        """
        content, card = read_exported(path)
        if tuple(card.inputs) != INPUTS or "threshold" not in card.facts:
            inputs = ", ".join(card.inputs)
            raise CheckpointError(
                f"is no CAN detector: its inputs are {inputs}",
                where=path,
                hint="Export a CAN run: tutelage export RUN.",
            )
        return cls(content, float(card.facts["threshold"]))

    @classmethod
    def of(cls, module: BaseCANGraphModule) -> Self:
        """Export a trained detector in memory, which takes seconds.

        Raises:
            RequestError: The extra ``onnx`` is not installed.
        """
        from tutelage.tasks.can.export import exportable
        from tutelage.training.export.onnx_file import to_onnx

        return cls(to_onnx(exportable(module)), float(module.threshold))

    def score(
        self,
        x: NDArray[np.float32],
        id_index: NDArray[np.integer[Any]],
        edge_index: NDArray[np.integer[Any]],
        edge_attr: NDArray[np.float32],
    ) -> np.float32:
        """Return the score of one window, as `BaseCANGraphModule.scores` gives it.

        Args:
            x: (N, F) node features.
            id_index: (N,) numbers in the vocabulary; of type int64 they are not copied.
            edge_index: (2, E) node numbers within the window; of type int64 they are not copied.
            edge_attr: (E, K) edge features.
        """
        feeds = {
            "x": x,
            "id_index": id_index.astype(np.int64, copy=False),
            "edge_index": edge_index.astype(np.int64, copy=False),
            "edge_attr": edge_attr,
        }
        result: np.float32 = self._run(self._outputs, feeds)[0][0]
        return result

    def scores(self, graphs: Graphs) -> NDArray[np.float32]:
        """Return (G,) the score of each window, one after the other."""
        id_index = graphs.id_index.astype(np.int64)
        edge_index = graphs.edge_index.astype(np.int64)
        node, edge = graphs.node_ptr.tolist(), graphs.edge_ptr.tolist()
        values = [
            self.score(
                graphs.x[node[i] : node[i + 1]],
                id_index[node[i] : node[i + 1]],
                edge_index[:, edge[i] : edge[i + 1]],
                graphs.edge_attr[edge[i] : edge[i + 1]],
            )
            for i in range(len(graphs))
        ]
        return np.array(values, np.float32)
