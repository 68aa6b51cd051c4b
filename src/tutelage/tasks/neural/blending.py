"""`NeuralBlend`: several models' rates, averaged with weights that may be each unit's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from tutelage.core.blends import BlendConfig
from tutelage.core.errors import ConfigError
from tutelage.tasks.neural.batch import SessionChunk
from tutelage.tasks.neural.data.curriculum import units_differ
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.split import VALIDATION
from tutelage.tasks.neural.evaluation.predictions import Predictions, predict
from tutelage.tasks.neural.models.blends import MeanRates, UnitWeightedRates, WeightedRates
from tutelage.tasks.neural.models.config import MultiDatasetConfig, NeuralTraining
from tutelage.tasks.neural.modules import NeuralModule
from tutelage.tasks.neural.preprocessing import Preprocessing
from tutelage.training.blending.blends import make_blend
from tutelage.training.blending.likelihoods import of_counts
from tutelage.training.blending.module import BlendModule
from tutelage.training.blending.opinions import OpinionBatch, Opinions
from tutelage.training.fusion.expert import Expert

STRETCH = 60
"""Frames of a trial that stay in one fold."""
BLENDS: tuple[BlendConfig, ...] = (MeanRates(), WeightedRates(), UnitWeightedRates())


class NeuralBlend(BlendModule):
    """Predicts the mean of its experts' rates, weighed as the blend says.

    Args:
        config: The blend.
        training: Optimiser, schedule and loop settings.
        learned: The sessions and their units.
        experts: The models to blend.
    """

    def __init__(
        self,
        config: BlendConfig,
        training: NeuralTraining,
        learned: Preprocessing,
        experts: Sequence[NeuralModule],
    ) -> None:
        units = [card.units for card in learned.sessions.values()]
        kinds = {kind.name: kind for kind in BLENDS} | {config.name: config}
        makers = {
            name: partial(make_blend, kind, len(experts), sum(units), 0, of_counts)
            for name, kind in kinds.items()
        }
        super().__init__(training, experts, makers, config.name)
        firsts = np.cumsum([0, *units[:-1]]).tolist()
        self.first_unit = dict(zip(learned.sessions, firsts, strict=True))

    def rates(self, chunk: SessionChunk) -> Tensor:
        """Return the expected responses (B, L, N) of one chunk."""
        said = [expert.rates(chunk) for expert in self.experts]  # type: ignore[operator]
        outputs = torch.stack(said, dim=-1).flatten(0, 2)[..., None]
        units = torch.arange(chunk.responses.shape[-1], device=outputs.device)
        key = (units + self.first_unit[chunk.session]).expand_as(said[0]).flatten()
        batch = OpinionBatch(
            outputs, chunk.responses.flatten(), key, outputs.new_zeros(len(key), 0)
        )
        blended: Tensor = self.network(batch)
        return blended.view(said[0].shape)

    def kernels(self) -> dict[str, Tensor]:
        """Return no filters: each expert has its own."""
        return {}


def build_blend(
    config: BlendConfig, training: NeuralTraining, preprocessing: Mapping[str, Any]
) -> NeuralBlend:
    """Return a blend with its experts, all fresh.

    Args:
        config: The blend.
        training: Optimiser, schedule and loop settings.
        preprocessing: What the run learned, and the experts' cards under ``experts``.
    """
    learned = Preprocessing.from_json(preprocessing)
    adapter = TypeAdapter(MultiDatasetConfig)
    models = [adapter.validate_python(card["model"]) for card in preprocessing["experts"]]
    experts = [NeuralModule(model, training, learned) for model in models]
    return NeuralBlend(config, training, learned, experts)


def opinions_of(data: MultiDatasetDM, experts: Sequence[Expert], cache: Path) -> Opinions:
    """Return what experts say of each valid response of the validation frames.

    Args:
        data: The recordings.
        experts: The models, in order.
        cache: Not used: what experts say is quickly said again.

    Raises:
        ConfigError: An expert is of other units.
    """
    modules: list[NeuralModule] = []
    for expert in experts:
        assert isinstance(expert.module, NeuralModule)
        theirs = Preprocessing.from_json(expert.preprocessing)
        if (apart := units_differ(theirs, data.learned)) is not None:
            hint = "Combine runs that were trained on the same sessions."
            raise ConfigError(apart, where=f"mode.experts={expert.run}", hint=hint)
        modules.append(expert.module)
    parts, first_unit, first_group = [], 0, 0
    for place, session in enumerate(data.sessions):
        said = [predict(data, VALIDATION, place, each.rates, each.device) for each in modules]
        rows, units = np.nonzero(said[0].valid)
        groups = _groups(said[0])
        rates = np.stack([each.rates[rows, units] for each in said], axis=1)[..., None]
        parts.append(
            (
                torch.from_numpy(rates),
                torch.from_numpy(said[0].responses[rows, units]),
                torch.from_numpy(units + first_unit),
                torch.from_numpy(groups[rows] + first_group),
            )
        )
        first_unit, first_group = first_unit + session.units, first_group + int(groups.max()) + 1
    outputs, target, key, group = (torch.cat(each) for each in zip(*parts, strict=True))
    names = [f"{session.id}/{unit}" for session in data.sessions for unit in session.unit_ids]
    state = torch.zeros(len(key), 0)
    labels = tuple(expert.name for expert in experts)
    return Opinions(outputs, target, key, group, state, labels, tuple(names))


def _groups(of: Predictions) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return what never stands in two folds: each row's image, or its stretch of a trial."""
    session = of.session
    if session.static:
        images = session.stimulus[of.rows].reshape(len(of.rows), -1)
        return np.unique(images, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    _, first, trial = np.unique(session.trial, return_index=True, return_inverse=True)
    stretch = (of.rows - first[trial[of.rows]]) // STRETCH
    pairs = np.stack([trial[of.rows], stretch])
    return np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)
