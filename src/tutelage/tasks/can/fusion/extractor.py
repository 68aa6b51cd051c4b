"""`FusionDataExtractor`: the state of each window, made of experts, rules and window statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tutelage.core.files import digest_bytes
from tutelage.core.fingerprint import source_digest
from tutelage.tasks.can.baseline import Rule
from tutelage.tasks.can.captures import Capture
from tutelage.tasks.can.datamodule import evaluation_loader
from tutelage.tasks.can.fusion.cache import FusionPredictionCache
from tutelage.tasks.can.fusion.outputs import output_columns, outputs
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.modules import BaseCANGraphModule

_WINDOW = ("alarming_experts", "nodes", "edges", "unknown_ids", "frames_per_second")


@dataclass(frozen=True, slots=True)
class NamedExpert:
    """An expert as the extractor knows it.

    Args:
        name: Its name.
        key: Its run's fingerprint and its weights' digest.
        module: The model, in evaluation.
    """

    name: str
    key: tuple[str, str]
    module: BaseCANGraphModule


@dataclass(frozen=True, slots=True)
class WindowStates:
    """T windows of a capture.

    Args:
        state: (T, S) float32.
        score: (T, E) float32, each expert's own score.
        alarm: (T, E) bool, whether it lies above the expert's threshold.
    """

    state: Tensor
    score: Tensor
    alarm: Tensor


class FusionDataExtractor:
    """Makes the state of windows: the same when a combiner is fitted and when it is used.

    Columns (see `columns`): the margin of each expert; what else it says (`outputs`); the share of
    experts that alarm; the score of each training-free rule; nodes, edges, share of nodes with an
    unknown id, frames a second. All but margins are on the scale sign(x) · log(1 + abs(x)).

    Args:
        experts: The experts in order.
        rules: The training-free rules, as fitted on the experts' training frames.
        cache: Keeps what experts and rules say; None computes it each time.
    """

    def __init__(
        self,
        experts: Sequence[NamedExpert],
        rules: Mapping[str, Rule],
        cache: FusionPredictionCache | None = None,
    ) -> None:
        self.experts, self.rules, self.cache = tuple(experts), dict(rules), cache

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a state."""
        margins = [f"{expert.name}.margin" for expert in self.experts]
        rest = [
            f"{expert.name}.{name}"
            for expert in self.experts
            for name in output_columns(expert.module)
            if name != "margin"
        ]
        return (*margins, *rest, *self.rules, *_WINDOW)

    def states(self, capture: Capture, store: GraphStore, windows: Tensor) -> WindowStates:
        """Return the states of some windows (T,) of a capture."""
        said = [self._said(expert, capture, store, windows) for expert in self.experts]
        score = torch.stack([one[:, 0] for one in said], dim=1)
        margin = torch.stack([one[:, 1] for one in said], dim=1)
        limits = torch.stack([e.module.threshold.detach().cpu() for e in self.experts])
        alarm = score > limits
        rest = [torch.cat([one[:, :1], one[:, 2:]], dim=1) for one in said]
        rules = self._rules(capture, store, windows)
        share = alarm.float().mean(dim=1, keepdim=True)
        others = torch.cat([*rest, rules, share, _statistics(store, windows)], dim=1)
        state = torch.cat([margin, others.sign() * others.abs().log1p()], dim=1)
        return WindowStates(torch.nan_to_num(state), score, alarm)

    def _said(
        self, expert: NamedExpert, capture: Capture, store: GraphStore, windows: Tensor
    ) -> Tensor:
        def compute() -> Tensor:
            device = expert.module.device
            with torch.inference_mode():
                parts = [
                    outputs(expert.module, batch.to(device)).cpu()
                    for batch in evaluation_loader(store, windows)
                ]
            return torch.cat(parts)

        content = _content(capture, store, windows)
        return self._kept([*expert.key, content], output_columns(expert.module), windows, compute)

    def _rules(self, capture: Capture, store: GraphStore, windows: Tensor) -> Tensor:
        def compute() -> Tensor:
            frames, chosen = capture.frames, windows.numpy()
            verdicts = [
                rule.windows(frames, store.window, store.stride).score[chosen]
                for rule in self.rules.values()
            ]
            return torch.from_numpy(np.stack(verdicts, axis=1))

        key = [[rule.to_json() for rule in self.rules.values()], _content(capture, store, windows)]
        return self._kept(key, tuple(self.rules), windows, compute)

    def _kept(
        self,
        key: Sequence[object],
        columns: Sequence[str],
        windows: Tensor,
        compute: Callable[[], Tensor],
    ) -> Tensor:
        """Return what ``compute`` makes, from the cache where there is one."""
        if self.cache is None:
            return compute().float()
        whole = [*key, source_digest()]
        return self.cache.table(whole, columns, len(windows), compute)


def _content(capture: Capture, store: GraphStore, windows: Tensor) -> list[object]:
    """What the scores of windows depend on beside the expert: the frames, and which of them."""
    chosen = digest_bytes(windows.numpy().tobytes())
    return [capture.digest, store.window, store.stride, chosen]


def _statistics(store: GraphStore, windows: Tensor) -> Tensor:
    """Return (T, 4): nodes, edges, share of nodes with an unknown id, frames a second."""
    first, stop = store.node_ptr[windows], store.node_ptr[windows + 1]
    unknown = torch.nn.functional.pad((store.id_index == 0).long().cumsum(0), (1, 0))
    nodes = (stop - first).float()
    share = (unknown[stop] - unknown[first]).float() / nodes
    seconds = (store.end_time[windows] - store.start_time[windows]).clamp(min=1e-6)
    rate = ((store.window - 1) / seconds).float()
    edges = store.edge_counts[windows].float()
    return torch.stack([nodes, edges, share, rate], dim=1)
