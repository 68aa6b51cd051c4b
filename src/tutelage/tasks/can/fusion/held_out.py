"""Held-out windows of the training captures as the states that combiners are fitted on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.tasks.can.baseline import recognises
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.fusion.cache import FOLDER, FusionPredictionCache
from tutelage.tasks.can.fusion.extractor import FusionDataExtractor, NamedExpert
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import build_graphs
from tutelage.tasks.can.modules import BaseCANGraphModule
from tutelage.tasks.can.rule_windows import benign_frames
from tutelage.training.fusion.expert import Expert
from tutelage.training.fusion.states import States


def held_out_states(data: CANGraphDataModule, experts: Sequence[Expert], cache: Path) -> States:
    """Return the validation windows of every training capture, which no expert trained on.

    A stretch ends with its capture and where a training window lies between two held-out ones.
    Where several vehicles train, the windows are there a second time as those of a stranger: what
    is known of normal traffic is another vehicle's (`strangers`).

    Raises:
        ConfigError: An expert is no detector of windows.
    """
    named = [_named(expert) for expert in experts]
    kept = FusionPredictionCache(cache / FOLDER)
    extractor = FusionDataExtractor(named, data.learned.rules, kept)
    found = [extractor.states(held.capture, held.store, held.windows) for held in data.held_out]
    windows = data.validation_windows
    as_known = States(
        state=torch.cat([part.state for part in found]),
        label=data.store.y[windows].long(),
        stretch=_stretches(windows, data.train_windows, data.store.capture),
        alarm=torch.cat([part.alarm for part in found]),
        columns=extractor.columns,
        experts=tuple(expert.name for expert in experts),
        gap=math.ceil(data.store.window / data.store.stride),
    )
    strange = strangers(data, named)
    if not strange:
        return as_known
    state, alarm = (torch.cat(part) for part in zip(*strange, strict=True))
    return replace(as_known, elsewhere=(replace(as_known, state=state, alarm=alarm),))


def strangers(
    data: CANGraphDataModule, experts: Sequence[NamedExpert]
) -> list[tuple[Tensor, Tensor]]:
    """Return state and alarms of the held-out windows of each capture as those of a stranger.

    Features, ids and rules are relative to another one of the vehicles that trained, as if
    it alone had. The experts' weights have seen the vehicle all the same, so that a true stranger
    may look worse, but it is looked at through the same glasses.

    Returns:
        (T, S) and (T, E) for each capture; nothing where all captures are of one vehicle.
    """
    found = []
    for held in data.held_out:
        own = benign_frames(held.capture.frames)
        others = (v for v in data.learned.vehicles if not recognises(v.profile, own))
        if (other := next(others, None)) is None:
            return []
        tokens = np.zeros(len(other.profile) + 1, np.int32)
        tokens[1:] = data.learned.profile.id_index(other.profile.ids)
        store = held.store
        graphs = build_graphs(held.capture.frames, other.profile, store.window, store.stride)
        strange = GraphStore.from_graphs([replace(graphs, id_index=tokens[graphs.id_index])])
        extractor = FusionDataExtractor(experts, other.rules)
        seen = extractor.states(held.capture, strange, held.windows)
        found.append((seen.state, seen.alarm))
    return found


def _named(expert: Expert) -> NamedExpert:
    where = f"mode.experts={expert.run}"
    module = expert.module
    if not isinstance(module, BaseCANGraphModule):
        raise ConfigError("this run's model is no detector of windows", where=where)
    return NamedExpert(expert.name, (expert.fingerprint, expert.weights), module)


def _stretches(windows: Tensor, train: Tensor, capture: Tensor) -> Tensor:
    """Number the stretches (n,) of held-out windows, ascending."""
    between = torch.searchsorted(train, windows).diff() != 0
    other = capture[windows].diff() != 0
    return torch.nn.functional.pad((between | other).long().cumsum(0), (1, 0))


def keep_held_out(data: CANGraphDataModule, rows: Tensor) -> None:
    """Leave to ``data`` the held-out windows of some rows (m,) of `held_out_states` alone."""
    counts = [len(held.windows) for held in data.held_out]
    kept = torch.zeros(sum(counts), dtype=torch.bool)
    kept[rows] = True
    parts = zip(data.held_out, torch.split(kept, counts), strict=True)
    data.held_out = [
        replace(held, windows=held.windows[mask]) for held, mask in parts if mask.any()
    ]
