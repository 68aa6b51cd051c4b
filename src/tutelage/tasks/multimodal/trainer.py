"""`MultimodalTrainer`: mode normal with a schedule of stages."""

from __future__ import annotations

from lightning.pytorch import Callback

from tutelage.core.records import Evaluation
from tutelage.tasks.multimodal.config import MultimodalConfig
from tutelage.tasks.multimodal.module import TwoTowerModule
from tutelage.tasks.multimodal.stages import StageCallback, stages_table
from tutelage.training.callbacks import without_empty_hooks
from tutelage.training.checkpoints import CheckpointManager
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.modes.normal import NormalTrainer


class MultimodalTrainer(NormalTrainer):
    """The common template, in which towers rest and learn by `training.stages`.

    Such as: both towers rest while projections learn; then a queue of negatives; then all of it at
    a tenth of the rate. A stage is a function of the epoch, so that a killed run goes on in it.
    """

    def fit(self, module: TaskModule, data: TaskData) -> None:
        """Train, then let the last stage go: a run that resumes behind it never enters it."""
        super().fit(module, data)
        assert isinstance(module, TwoTowerModule)
        module.enter((), 0)
        module.eval()

    def evaluate(self, module: TaskModule, data: TaskData) -> Evaluation:
        """Score every test split; say beside it what the stages were."""
        assert isinstance(self.config, MultimodalConfig)
        found = super().evaluate(module, data)
        training = self.config.training
        table = stages_table(training.stages, training.max_epochs)
        return found.model_copy(update={"tables": (*found.tables, table)})

    def _callbacks(self, manager: CheckpointManager, monitor: str) -> list[Callback]:
        assert isinstance(self.config, MultimodalConfig)
        callback = without_empty_hooks(StageCallback(self.config.training.stages))
        return [callback, *super()._callbacks(manager, monitor)]
