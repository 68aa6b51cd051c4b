"""Mode *curriculum*: from few and easy samples to many and hard ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict

import torch
from lightning.pytorch import Callback
from torch import Tensor

from tutelage.core.config import CurriculumMode
from tutelage.core.errors import ConfigError, DataError, UnknownNameError
from tutelage.core.files import write_json
from tutelage.core.records import Evaluation, Table
from tutelage.task import SupportsCurriculum
from tutelage.training.callbacks import CurriculumCallback
from tutelage.training.checkpoints import CheckpointManager
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.curriculum import Curriculum, CurriculumData, CurriculumOrder, plan
from tutelage.training.curriculum_figure import curriculum_figure
from tutelage.training.difficulty import Guide
from tutelage.training.modes.base import BATCH_SIZE, BaseTrainer
from tutelage.training.regularizers import ElasticWeightConsolidation, trained
from tutelage.training.samplers import Shard

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
            ConfigError: The task knows no curriculum, the guide can't say how hard a sample is, or
                a setting needs another one.
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
        together = [size * self.ranks.size for size in sizes]
        self.order = CurriculumOrder(self.curriculum, together, data.arrange)
        data.order = Shard(self.order, self.ranks.rank, self.ranks.size)

    def fit(self, module: TaskModule, data: TaskData) -> None:
        """Train, then let the penalty go."""
        super().fit(module, data)
        module.objective = None

    def evaluate(self, module: TaskModule, data: TaskData) -> Evaluation:
        """Score every test split; say beside it what the stages were."""
        found = super().evaluate(module, data)
        more = {
            "tables": (*found.tables, self._table()),
            "figures": (curriculum_figure(self.curriculum, self.order.sizes), *found.figures),
        }
        return found.model_copy(update=more)

    # ---- helpers

    def _callbacks(self, manager: CheckpointManager, monitor: str) -> list[Callback]:
        callback = CurriculumCallback(self.order, self.mode.memory.samples)
        return [*super()._callbacks(manager, monitor), callback]

    def _plan(self, data: CurriculumData, guides: list[Guide]) -> Curriculum:
        positives, normals = self._kinds(data)
        for scores in self._difficulty(data, guides, normals):
            normals = normals[scores.argsort(stable=True)]
        memory, epochs = self.mode.memory, self.config.training.max_epochs
        return Curriculum(
            stages=plan(self.mode, epochs, two_kinds=len(positives) > 0),
            max_epochs=epochs,
            positives=positives,
            normals=normals,
            seed=self.config.training.seed,
            buffer=memory.buffer,
            replay=memory.share if memory.name == "replay" else 0.0,
        )

    def _kinds(self, data: CurriculumData) -> tuple[Tensor, Tensor]:
        """Return the places of positive and of normal samples; all are normal if of one kind.

        Raises:
            DataError: There are two kinds, and none of one.
            ConfigError: Settings do nothing for samples of one kind.
        """
        positive = data.positives
        if positive is None:
            self._check_one_kind(data)
            places = torch.arange(data.train_size)
            return places[:0], places
        count = int(positive.sum())
        if count in (0, len(positive)):
            kind = "positive" if count else "normal"
            raise DataError(
                f"all {len(positive)} training samples are {kind}; a curriculum mixes two kinds",
                where=self.config.data.root,
            )
        return positive.nonzero().flatten(), (~positive).nonzero().flatten()

    def _check_one_kind(self, data: CurriculumData) -> None:
        """Refuse settings that do nothing where all samples are of one kind.

        Raises:
            ConfigError: A ratio is set, or nothing says what a stage should draw.
        """
        for name in sorted({"start_ratio", "end_ratio", "shape"} & self.mode.moved()):
            raise ConfigError(
                f"the samples of {self.task.name!r} are of one kind: there is no ratio to move",
                where=f"mode.{name}",
                hint=f"Leave mode.{name} out.",
            )
        arranges = type(data).arrange is not CurriculumData.arrange
        if not arranges and not self.mode.knows_difficulty:
            names = "".join(f"mode.measure={name}, " for name in data.measures)
            raise ConfigError(
                "nothing says which samples are easy and which are hard",
                where=self.task.name,
                hint=f"Set {names}or mode.guide=RUN." if names else "Set mode.guide=RUN.",
            )

    def _difficulty(
        self, data: CurriculumData, guides: list[Guide], places: Tensor
    ) -> Iterator[Tensor]:
        """Yield how hard the samples at some places are, where anything says so."""
        for guide in guides:
            settings = self.config.data.model_dump(mode="json", exclude={"root", "split_file"})
            prints = self.run.record.fingerprints
            content = [prints.data, prints.split, settings, self.task.name]
            yield guide.scores(data, places, content, self.cache)
        if (measure := self.mode.measure) is not None:
            if measure not in data.measures:
                raise UnknownNameError("measure", measure, data.measures, where="mode.measure")
            yield data.measures[measure]()[places]

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
                stage.evenness,
                size,
                steps * size,
            )
            for number, (stage, size) in enumerate(
                zip(self.curriculum.stages, self.order.sizes, strict=True), 1
            )
        )
        columns = (
            *("stage", "from epoch", "normal per positive", "difficulty", "evenness"),
            *("batch", "samples"),
        )
        return Table(title="Curriculum", columns=columns, rows=rows)
