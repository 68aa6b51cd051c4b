"""Mode *fusion*: combine finished runs on samples that none was trained on; compare ways to."""

from __future__ import annotations

import logging

from tutelage.core.config import FusionMode
from tutelage.core.errors import ConfigError
from tutelage.core.records import INITIAL_WEIGHTS, Evaluation, Figure, Table
from tutelage.core.store import Run
from tutelage.task import SupportsBlending, SupportsFusion
from tutelage.training.blending.data import BlendData
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.fusion.data import FusionData
from tutelage.training.fusion.expert import restore_experts
from tutelage.training.fusion.fusible import Fusible
from tutelage.training.modes.base import BaseTrainer

log = logging.getLogger(__name__)


class FusionTrainer(BaseTrainer):
    """Trains one combiner in the loop, cross-fits all of them, and says which won."""

    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()

    def prepare(self) -> TaskData:
        """Look at the experts before any work, then at what they say of held-out samples."""
        mode = self.config.mode
        assert isinstance(mode, FusionMode)
        if not isinstance(self.task, (SupportsFusion, SupportsBlending)):
            raise ConfigError(f"the task {self.task.name!r} has no fusion")
        runs = self.parents["expert"]
        self._check(runs)
        experts = restore_experts(self.task, runs)
        base, training = super().prepare(), self.config.training
        if isinstance(self.task, SupportsBlending):
            opinions = self.task.opinions(base, experts, self.cache)
            return BlendData(base, opinions, experts, mode, training)
        states = self.task.fusion_states(base, experts, self.cache)
        data = FusionData(base, states, experts, mode, training)
        self.task.keep_held_out(base, data.unseen)
        return data

    def _check(self, runs: tuple[Run, ...]) -> None:
        """Refuse what can't be combined, by what the records say.

        Raises:
            ConfigError: A run is named twice, is itself a fusion, or was trained on other data, now
                or before it went on from another run's weights.
        """
        ids = [run.id for run in runs]
        for run in runs:
            where = f"mode.experts={run.id}"
            if ids.count(run.id) > 1:
                raise ConfigError(
                    "this run is named twice", where=where, hint="Name each expert once."
                )
            if run.record.mode == self.config.mode.name:
                hint = "Name the runs that it was made from, and others beside them."
                raise ConfigError("this run is itself a fusion", where=where, hint=hint)
        apart = {p.run for p in self.run.record.parents if not p.same_data}
        for run in runs:
            began = [p for p in run.record.parents if p.role == INITIAL_WEIGHTS]
            if run.id in apart or any(not parent.same_data for parent in began):
                raise ConfigError(
                    "this run was trained on other data, or with other settings of data: which "
                    "samples it has not seen is unknown",
                    where=f"mode.experts={run.id}",
                    hint=f"Use its data.* settings ({run.path / 'config.json'}), or train an "
                    "expert on these data.",
                )

    def size_batch(self, module: TaskModule, data: TaskData) -> None:
        """Measure a batch size where something is trained."""
        if not _learns(module) and self.config.training.batch_size == "auto":
            return
        super().size_batch(module, data)

    def fit(self, module: TaskModule, data: TaskData) -> None:
        """Run the loop, unless the combiner has nothing to learn by steps."""
        if _learns(module):
            super().fit(module, data)
        module.eval()

    def calibrate(self, module: TaskModule, data: TaskData) -> None:
        """Compare all ways of combining the experts on held-out training data."""
        assert isinstance(data, Fusible)
        self.tables, self.figures = data.compare(module)

    def evaluate(self, module: TaskModule, data: TaskData) -> Evaluation:
        """Score the test splits; add the comparison on held-out training data."""
        assert isinstance(data, Fusible)
        found = self.task.evaluate(self.config, module, data.base)
        more = {
            "tables": (*self.tables, *found.tables),
            "figures": (*self.figures, *found.figures),
        }
        return found.model_copy(update=more)


def _learns(module: TaskModule) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
