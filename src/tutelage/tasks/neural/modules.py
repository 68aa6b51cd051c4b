"""`NeuralModule`: a multi-dataset model with its loss, its scores and its optimiser's groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from tutelage.core.config import DistillationMode
from tutelage.core.errors import ConfigError
from tutelage.tasks.neural.batch import NeuralBatch, SessionChunk
from tutelage.tasks.neural.evaluation.statistics import UnitStatistics
from tutelage.tasks.neural.losses import LOSSES, RateMatching, masked_sum
from tutelage.tasks.neural.models.config import MultiDatasetConfig, NeuralTraining
from tutelage.tasks.neural.models.distributed import share_of_mean
from tutelage.tasks.neural.models.multi_dataset import MultiDatasetModel, part_name
from tutelage.tasks.neural.preprocessing import Preprocessing
from tutelage.training.contracts import TaskModule
from tutelage.training.optimization import planned_steps
from tutelage.training.penalties import Penalties


class NeuralModule(TaskModule):
    """Predicts the responses of all sessions' units, densely in time.

    Args:
        config: The network and its loss.
        training: Optimiser, schedule and loop settings.
        learned: The sessions, and the scale of their stimuli.
    """

    validation_metrics: ClassVar = ("val/corr", "val/bps", "val/loss")
    default_monitor: ClassVar = "val/corr"
    network: MultiDatasetModel

    def __init__(
        self, config: MultiDatasetConfig, training: NeuralTraining, learned: Preprocessing
    ) -> None:
        super().__init__(training)
        self.neural_training, self.loss_name = training, config.loss
        self.network = MultiDatasetModel(config, learned.sessions, learned.static)
        self.core_taken_over = False
        self.set_statistics(learned)
        if config.freeze_core:
            self.network.core.requires_grad_(False)
            self.network.core_is_fixed = True
        self.penalties = Penalties(training.regularizers, self.network.named_parameters())
        self.mean_loss = MeanMetric()
        self.scores = nn.ModuleDict(
            {part_name(name): UnitStatistics(card.units) for name, card in learned.sessions.items()}
        )
        self.sessions = tuple(learned.sessions)
        self.feature_width = self.network.core.channels
        self._steps = 0

    def set_statistics(self, learned: Preprocessing) -> None:
        """Take the stimuli's scale from the training data; a core taken over keeps its own.

        The readouts' biases begin at the mean rates when they are made and are never set again.
        """
        if self.core_taken_over:
            return
        core = self.network.core
        core.stimulus_mean.fill_(learned.stimulus_mean)
        core.stimulus_std.fill_(learned.stimulus_std)

    @property
    def transferable(self) -> Mapping[str, nn.Module]:
        """The parts that another run may begin with, by their names."""
        return {"core": self.network.core}

    def taken_over(self, part: str) -> None:
        """Note that a part's weights are another run's."""
        self.core_taken_over = True
        if self.network.core_is_fixed:
            self.network.core.fix()

    def rates(self, chunk: SessionChunk) -> Tensor:
        """Return the expected responses (B, L, N) of one chunk, in the responses' units."""
        return self.rates_of(NeuralBatch((chunk,)))[0]

    def rates_of(self, batch: NeuralBatch) -> list[Tensor]:
        """Return the expected responses (B, L, N) of each part."""
        rates: list[Tensor] = self.network(batch.parts)
        return rates

    def step(self, batch: NeuralBatch) -> dict[str, Tensor]:
        """Return the mean loss over valid entries, and the price of the weights beside it."""
        found = {"loss": self.mean_loss_of(self.rates_of(batch), batch)}
        if (price := self.penalties.total(self.progress)) is not None:
            found = {"loss": found["loss"] + price, "penalty": price.detach()}
        return found

    def mean_loss_of(self, rates: list[Tensor], batch: NeuralBatch) -> Tensor:
        """Return the mean over valid entries of all parts, each with its session's weight."""
        sums, counts = [], []
        for rate, part in zip(rates, batch.parts, strict=True):
            entries = masked_sum(self.loss_name, rate, part.responses, part.valid)
            sums.append(part.weight * entries)
            counts.append(part.valid.sum())
        count = torch.stack(counts).sum().to(sums[0].dtype)
        loss: Tensor = torch.stack(sums).sum() / share_of_mean(count)
        return loss

    def outputs(self, batch: NeuralBatch) -> tuple[Tensor, Tensor]:
        """Return rates (M,) of all valid entries, and features (frames, C), means over places."""
        found = self.network.rates_and_features(batch.parts)
        pairs = zip(found, batch.parts, strict=True)
        rates = torch.cat([rate[part.valid] for (rate, _), part in pairs])
        features = torch.cat([each.mean((2, 3)).flatten(0, 1) for _, each in found])
        return rates, features.float()

    def task_loss(self, outputs: Tensor, batch: NeuralBatch) -> Tensor:
        """Return the loss of rates (M,) of all valid entries, the same as a step's."""
        entries = [part.valid.sum() for part in batch.parts]
        sums = [
            part.weight * LOSSES[self.loss_name](rate, part.responses[part.valid]).sum()
            for rate, part in zip(
                torch.split(outputs, [int(each) for each in entries]), batch.parts, strict=True
            )
        ]
        loss: Tensor = torch.stack(sums).sum() / share_of_mean(torch.stack(entries).sum().float())
        return loss

    def soft_targets(self, mode: DistillationMode) -> nn.Module:
        """Return the loss of (student's rates, teacher's rates): a divergence.

        Raises:
            ConfigError: A temperature is asked for, which rates don't have.
        """
        if "temperature" in mode.moved():
            hint = "Leave mode.temperature out."
            raise ConfigError("rates have no temperature", where="mode.temperature", hint=hint)
        return RateMatching(self.loss_name)

    def difficulty_scores(self, batch: NeuralBatch) -> Tensor:
        """Return (n,) mean loss of each stretch over its valid entries, in order."""
        means = []
        for rates, part in zip(self.rates_of(batch), batch.parts, strict=True):
            entry = LOSSES[self.loss_name](rates, part.responses).where(part.valid, 0.0)
            means.append(entry.sum((1, 2)) / part.valid.sum((1, 2)).clamp(min=1))
        return torch.cat(means)

    def samples(self, batch: NeuralBatch) -> int:
        """Frames that are predicted."""
        return batch.samples

    @property
    def progress(self) -> float:
        """Share of the run's steps that are done; 0 outside of one."""
        if self._trainer is None:
            return 0.0
        self._steps = self._steps or planned_steps(self)
        return min(1.0, self.trainer.global_step / self._steps)

    def parameter_groups(self) -> Iterator[tuple[Mapping[str, float], list[nn.Parameter]]]:
        """The core with its learning rate, and what belongs to sessions with another."""
        rates = self.neural_training
        core = {id(p) for p in self.network.core.parameters()}
        trained = [p for p in self.parameters() if p.requires_grad]
        yield {"lr": rates.head_rate}, [p for p in trained if id(p) not in core]
        if inner := [p for p in trained if id(p) in core]:
            yield {"lr": rates.core_rate}, inner

    def configure_optimizers(self) -> Any:
        """Build optimiser and schedule; proximal rules act after each of its steps."""
        built = super().configure_optimizers()
        self.penalties.hold(
            built[0][0] if isinstance(built, tuple) else built, lambda: self.progress
        )
        return built

    def validation_step(self, batch: NeuralBatch, batch_idx: int) -> None:
        """Take up each unit's sums."""
        for rate, part in zip(self.rates_of(batch), batch.parts, strict=True):
            entries = masked_sum(self.loss_name, rate, part.responses, part.valid)
            count = part.valid.sum()
            self.mean_loss.update(entries / count.clamp(min=1), count)
            self.score_of(part.session).update(rate, part.responses, part.valid)

    def on_validation_epoch_end(self) -> None:
        """Log scores from the pooled sums: the mean over a session's units, then over sessions."""
        self.log("val/loss", self.mean_loss.compute())
        self.mean_loss.reset()
        units = [self.score_of(session) for session in self.sessions]
        found = [scores.compute() for scores in units]
        for name in ("corr", "bps"):
            means = torch.stack([each[name].nanmean() for each in found])
            self.log(f"val/{name}", means.nanmean())
        for scores in units:
            scores.reset()

    def score_of(self, session: str) -> UnitStatistics:
        """Return the sums of a session's units in this validation."""
        found = self.scores[part_name(session)]
        assert isinstance(found, UnitStatistics)
        return found

    def kernels(self) -> dict[str, Tensor]:
        """Return the core's first filters, name to (F, lags, h, w), the oldest frame first."""
        kernels = self.network.core.frontend.kernels()
        return {"frontend": kernels} if kernels.numel() else {}

    def receptive_fields(self, session: str) -> Tensor:
        """Return (N, 2), row and column in stimulus pixels where each unit's readout is centred."""
        return self.network.head(session).readout.centres()


def build_module(
    config: MultiDatasetConfig, training: NeuralTraining, learned: Preprocessing
) -> NeuralModule:
    """Return the model that the options name, fresh."""
    return NeuralModule(config, training, learned)
