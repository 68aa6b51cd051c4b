"""`EnhancedCANGraphDataModule`: training windows in any mix, and as other models see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from tutelage.tasks.can.datamodule import CANGraphDataModule, evaluation_loader
from tutelage.tasks.can.graph_batch import GraphBatch
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.splits import CaptureSplit
from tutelage.training.curriculum import CurriculumData
from tutelage.training.loaders import ResumableLoader


class EnhancedCANGraphDataModule(CANGraphDataModule, CurriculumData):
    """The data of one CAN run with a curriculum; attacked windows are the positive samples."""

    def _collect_training(
        self, splits: Sequence[CaptureSplit], stores: Sequence[GraphStore]
    ) -> None:
        """Keep the captures that the joined store holds, in its order, for `encoded_for`."""
        self._captures = [s.capture for s in splits if s.train.any() or s.validation.any()]
        super()._collect_training(splits, stores)

    @property
    def positives(self) -> Tensor:
        """(n,) bool, whether there is an attack in each training window."""
        return self.store.y[self.train_windows] == 1

    def batch_at(self, places: Tensor) -> GraphBatch:
        """Return the training windows at some places as one batch."""
        return self.store.batch(self.train_windows[places])

    def train_dataloader(self) -> ResumableLoader[GraphBatch]:
        """Batches of training windows as the curriculum orders them."""
        return ResumableLoader(self.batch_at, self.order)

    def encoded_for(
        self, preprocessing: Mapping[str, object], places: Tensor
    ) -> Iterable[GraphBatch]:
        """Return the same windows with the vocabulary and baselines of another run.

        Raises:
            ConfigError: That run has windows of another length.
        """
        learned = Preprocessing.from_json(preprocessing)
        self._check_window(learned)
        store = GraphStore.concatenate([self._graphs(c, learned) for c in self._captures])
        return evaluation_loader(store, self.train_windows[places])

    @property
    def _drawn(self) -> Tensor:
        return self.train_windows[self.mix]
