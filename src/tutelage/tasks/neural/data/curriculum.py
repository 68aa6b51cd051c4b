"""`NeuralCurriculumData`: stretches that can be drawn in any order, and how hard each is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.tasks.neural.batch import NeuralBatch
from tutelage.tasks.neural.data.chunks import chunk_contrast
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.split import TRAIN
from tutelage.tasks.neural.preprocessing import Preprocessing
from tutelage.training.curriculum import CurriculumData
from tutelage.training.loaders import ResumableLoader

_SCORED_AT_ONCE = 16


class NeuralCurriculumData(MultiDatasetDM, CurriculumData):
    """The recordings of a run with a curriculum; a sample is a stretch, or an image."""

    @property
    def measures(self) -> Mapping[str, Callable[[], Tensor]]:
        """`low_contrast`: the less a stretch's pixels differ, the harder it is."""
        table = self.tables[TRAIN]
        return {"low_contrast": lambda: -torch.from_numpy(chunk_contrast(self.sessions, table))}

    def batch_at(self, places: Tensor) -> NeuralBatch:
        """Return the training stretches at some places, a part for each session."""
        session = torch.from_numpy(self.tables[TRAIN].session)[places]
        return self.batch(self.tables[TRAIN], places[session.argsort(stable=True)])

    def train_dataloader(self) -> ResumableLoader[NeuralBatch]:
        """Batches of training stretches as the curriculum orders them."""
        return ResumableLoader(self.batch_at, self.order)

    def encoded_for(
        self, preprocessing: Mapping[str, object], places: Tensor
    ) -> Iterable[NeuralBatch]:
        """Return the same stretches for another run's model, in the order of ``places``.

        Raises:
            ConfigError: That run knows other sessions or units.
        """
        theirs = Preprocessing.from_json(preprocessing)
        if (apart := units_differ(theirs, self.learned)) is not None:
            raise ConfigError(f"that run's model is of other units: {apart}", where="mode.guide")
        parts = torch.split(places, _SCORED_AT_ONCE)
        return (self.batch(self.tables[TRAIN], part) for part in parts)


def units_differ(theirs: Preprocessing, ours: Preprocessing) -> str | None:
    """Say which session's units a model doesn't know in this order, if any."""
    if theirs.static != ours.static:
        return "one is of images, the other of movies"
    for name, card in ours.sessions.items():
        known = theirs.sessions.get(name)
        if known is None:
            return f"session {name} is missing"
        if known.unit_ids != card.unit_ids:
            return f"the units of session {name} differ"
    return None
