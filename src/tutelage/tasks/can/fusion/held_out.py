"""Held-out windows of the training captures as the states that combiners are fitted on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.fusion.cache import FOLDER, FusionPredictionCache
from tutelage.tasks.can.fusion.extractor import FusionDataExtractor, NamedExpert
from tutelage.tasks.can.modules import BaseCANGraphModule
from tutelage.training.fusion.expert import Expert
from tutelage.training.fusion.states import States


def held_out_states(data: CANGraphDataModule, experts: Sequence[Expert], cache: Path) -> States:
    """Return the validation windows of every training capture, which no expert trained on.

    A stretch ends with its capture and where a training window lies between two held-out ones.

    Raises:
        ConfigError: An expert is no detector of windows.
    """
    extractor = FusionDataExtractor(
        [_named(expert) for expert in experts],
        data.learned.rules,
        FusionPredictionCache(cache / FOLDER),
    )
    found = [extractor.states(held.capture, held.store, held.windows) for held in data.held_out]
    windows = data.validation_windows
    overlap = math.ceil(data.store.window / data.store.stride)
    return States(
        state=torch.cat([part.state for part in found]),
        label=data.store.y[windows].long(),
        stretch=_stretches(windows, data.train_windows, data.store.capture),
        alarm=torch.cat([part.alarm for part in found]),
        columns=extractor.columns,
        experts=tuple(expert.name for expert in experts),
        gap=overlap,
    )


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
