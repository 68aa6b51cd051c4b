"""Mode *curriculum*: from few and easy normal samples for each positive to many and hard."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict

from lightning.pytorch import Callback

from tutelage.core.config import CurriculumMode
from tutelage.core.errors import ConfigError, DataError
from tutelage.core.files import write_json
from tutelage.core.records import Evaluation, Table
from tutelage.task import SupportsCurriculum
from tutelage.training.callbacks import CurriculumCallback
from tutelage.training.checkpoints import CheckpointManager
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.curriculum import Curriculum, CurriculumData, CurriculumOrder, plan
from tutelage.training.difficulty import Guide
from tutelage.training.modes.base import BATCH_SIZE, BaseTrainer
from tutelage.training.regularizers import ElasticWeightConsolidation, trained

log = logging.getLogger(__name__)


class CurriculumTrainer(BaseTrainer):
    """Draws each epoch's samples by a plan of stages; everything else is the template's."""

    curriculum: Curriculum

    @property
    def mode(self) -> CurriculumMode:
        """The settings of this mode."""
        mode = self.config.mode
        assert isinstance(mode, CurriculumMode)
        return mode

    def prepare(self) -> TaskData:
        """Read and split the data; plan what each epoch draws.

        Raises:
            ConfigError: The task knows no curriculum, the guide gives no anomaly scores, or a
                setting needs another one.
            DataError: All training samples are of one kind.
        """
        if not isinstance(self.task, SupportsCurriculum):
            raise ConfigError(f"the task {self.task.name!r} has no curriculum")
        if self.mode.resize_batch and self.config.training.batch_size != "auto":
            hint = "Set training.batch_size=auto, or leave mode.resize_batch out."
            raise ConfigError("mode.resize_batch needs a batch size that is measured", hint=hint)
        guides = [Guide(self.task, run) for run in self.parents.get("guide", ())]
        data: CurriculumData = self.task.curriculum_data(self.config, self.cache)
        data.setup("fit")
        self.curriculum = self._plan(data, guides)
        data.mix = self.curriculum.sample()
        return data

    def build(self, data: TaskData) -> TaskModule:
        """Make the model; where `ewc` is asked for, with its penalty as a part of the loss."""
        module = super().build(data)
        if self.mode.memory.name == "ewc":
            count = sum(parameter.numel() for parameter in trained(module))
            module.objective = ElasticWeightConsolidation(count, self.mode.memory.weight)
        return module

    def size_batch(self, module: TaskModule, data: TaskData) -> None:
        """Set the batch size of each stage: one for all, or each measured on its own mix."""
        assert isinstance(data, CurriculumData)
        if self.mode.resize_batch:
            sizes = self._sizes(module, data)
        else:
            super().size_batch(module, data)
            sizes = [data.batch_size] * len(self.curriculum.stages)
        self.order = data.order = CurriculumOrder(self.curriculum, sizes)

    def fit(self, module: TaskModule, data: TaskData) -> None:
        """Train, then let the penalty go."""
        super().fit(module, data)
        module.objective = None

    def evaluate(self, module: TaskModule, data: TaskData) -> Evaluation:
        """Score every test split; say beside it what the stages were."""
        found = super().evaluate(module, data)
        return found.model_copy(update={"tables": (*found.tables, self._table())})

    # ---- helpers

    def _callbacks(self, manager: CheckpointManager, monitor: str) -> list[Callback]:
        callback = CurriculumCallback(self.order, self.mode.memory.samples)
        return [*super()._callbacks(manager, monitor), callback]

    def _plan(self, data: CurriculumData, guides: list[Guide]) -> Curriculum:
        positive = data.positives
        normals = (~positive).nonzero().flatten()
        if not 0 < len(normals) < len(positive):
            kind = "normal" if len(normals) else "positive"
            raise DataError(
                f"all {len(positive)} training samples are {kind}; a curriculum mixes two kinds",
                where=self.config.data.root,
            )
        for guide in guides:
            settings = self.config.data.model_dump(mode="json", exclude={"root"})
            content = [self.run.record.fingerprints.data, settings, self.task.name]
            scores = guide.scores(data, normals, content, self.cache)
            normals = normals[scores.argsort(stable=True)]
        memory, epochs = self.mode.memory, self.config.training.max_epochs
        return Curriculum(
            stages=plan(self.mode, epochs),
            max_epochs=epochs,
            positives=positive.nonzero().flatten(),
            normals=normals,
            seed=self.config.training.seed,
            buffer=memory.buffer,
            replay=memory.share if memory.name == "replay" else 0.0,
        )

    def _sizes(self, module: TaskModule, data: CurriculumData) -> list[int]:
        """Return each stage's size: as found before in this run, or measured.

        All are measured before training: a probe is a fork, which a GPU in use would not survive.
        """
        chosen = self.run.path / BATCH_SIZE
        if not chosen.exists():
            found = []
            for number, stage in enumerate(self.curriculum.stages, 1):
                data.mix = self.curriculum.draw(stage.first_epoch, self.curriculum.size)
                log.info("stage %d: measuring the batch size", number)
                found.append(asdict(stage) | asdict(self._measured(module, data)))
            write_json(chosen, {"stages": found})
        stages = json.loads(chosen.read_text(encoding="utf-8"))["stages"]
        return [int(stage["size"]) for stage in stages]

    def _table(self) -> Table:
        steps = len(self.order)
        rows = tuple(
            (
                number,
                stage.first_epoch + 1,
                stage.ratio,
                f"{stage.easiest:.0%} to {stage.hardest:.0%}",
                size,
                steps * size,
            )
            for number, (stage, size) in enumerate(
                zip(self.curriculum.stages, self.order.sizes, strict=True), 1
            )
        )
        columns = ("stage", "from epoch", "normal per positive", "difficulty", "batch", "samples")
        return Table(title="Curriculum", columns=columns, rows=rows)
