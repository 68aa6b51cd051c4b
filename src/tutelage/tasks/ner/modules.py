"""`NERModule`: a network that tags words, with its loss, its validation and its optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from tutelage.core.config import DistillationMode, Training
from tutelage.core.errors import ConfigError
from tutelage.losses import BaseSupervisedLoss, get_loss
from tutelage.tasks.ner.config import NERConfig
from tutelage.tasks.ner.heritage import inherit
from tutelage.tasks.ner.labels import Integers, LabelSet
from tutelage.tasks.ner.models.body import Body
from tutelage.tasks.ner.models.config import (
    BiLSTMConfig,
    PretrainedConfig,
    TaggerConfig,
    TransformerConfig,
    WordsConfig,
)
from tutelage.tasks.ner.models.tagger import Tagger
from tutelage.tasks.ner.preprocessing import Preprocessing
from tutelage.tasks.ner.teaching import WeighedSoftTargets
from tutelage.tasks.ner.tokens.batch import UNTAGGED, TokenBatch
from tutelage.tasks.ner.tokens.coders import Coder
from tutelage.training.contracts import TaskModule
from tutelage.training.ranks import concatenate_ranks


class NERModule(TaskModule):
    """Tags words; a sample is a window of a text.

    Args:
        config: Head, loss, and how the encoder learns.
        training: Optimiser, schedule and loop settings.
        body: From tokens to vectors.
        labels: The tags.
        coder: Turns words into the network's tokens.
    """

    validation_metrics: ClassVar = ("val/loss", "val/f1")
    default_monitor: ClassVar = "val/f1"
    network: Tagger

    def __init__(
        self,
        config: TaggerConfig,
        training: Training,
        body: Body,
        labels: LabelSet,
        coder: Coder,
    ) -> None:
        super().__init__(training)
        self.config, self.labels, self.coder = config, labels, coder
        self.network = Tagger(body, config, labels)
        options = {"gamma": config.focal_gamma} if config.loss == "focal" else {}
        loss = get_loss(config.loss, num_classes=len(labels.tags), **options)
        assert isinstance(loss, BaseSupervisedLoss)
        self.loss = loss
        self.feature_width = body.width
        self.held_out_starts: Integers = np.zeros(1, np.int64)
        """First word of each held-out text; entities of two texts never join."""
        self.begun = False
        """Whether the weights are not those of `build`: pretrained ones, or a run's."""
        self.register_load_state_dict_post_hook(_note_weights)  # type: ignore[no-untyped-call]
        self._freeze()
        self.mean_loss = MeanMetric()
        self._seen: list[Tensor] = []

    def _freeze(self) -> None:
        """Let the lowest levels keep their weights.

        Raises:
            ConfigError: There are not so many.
        """
        if not isinstance(self.config, PretrainedConfig):
            return
        levels = list(self.network.body.levels())
        if self.config.freeze_layers > len(levels):
            raise ConfigError(
                f"model.freeze_layers={self.config.freeze_layers}, but the encoder has "
                f"{len(levels)}: its embeddings and {len(levels) - 1} layers",
                hint=f"Give at most {len(levels)}.",
            )
        for parameter in (p for level in levels[: self.config.freeze_layers] for p in level):
            parameter.requires_grad_(False)

    # ---- what modes ask for

    def outputs(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """Return (W, C) logits and (W, H) features of the batch's words."""
        found: tuple[Tensor, Tensor] = self.network(
            batch.input_ids, batch.attention_mask, batch.characters, batch.position
        )
        return found

    def task_loss(self, outputs: Tensor, batch: TokenBatch) -> Tensor:
        """Return the loss of (W, C) logits against the batch's tags, a mean over its words.

        Words that only a teacher speaks of (see `UNTAGGED`) count nothing.
        """
        if self.network.crf is not None:
            return -self.network.likelihood(outputs, batch)
        labels = batch.labels
        if batch.untagged:
            tagged = labels != UNTAGGED
            outputs, labels = outputs[tagged], labels[tagged]
        loss: Tensor = self.loss(outputs, labels) if len(labels) else outputs.sum()
        return loss

    def step(self, batch: TokenBatch) -> dict[str, Tensor]:
        """Return the loss of the batch."""
        return {"loss": self.task_loss(self.outputs(batch)[0], batch)}

    def samples(self, batch: TokenBatch) -> int:
        """Words to tag in the batch, over which the loss is a mean."""
        return len(batch.labels)

    def log_probabilities(self, batch: TokenBatch) -> Tensor:
        """Return (W, C) log-probabilities of the tags of the batch's words."""
        return self.network.log_probabilities(self.outputs(batch)[0], batch)

    def teach(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """Return (W, C) log-probabilities and (W, H) features of a student's batch.

        Where tags alone are taught there are no features, H is 0.
        """
        if batch.lessons is not None:
            said = batch.lessons.of(self)[batch.word]
            return said, said.new_zeros(len(said), 0)
        own = batch if batch.taught is None else batch.taught
        logits, features = self.outputs(own)
        found = self.network.log_probabilities(logits, own)
        rows = batch.taught_rows
        return (found, features) if rows is None else (found[rows], features[rows])

    def inherit(self, teacher: TaskModule) -> None:
        """Take over the teacher's layers that fit, or what it knows of this network's words.

        Raises:
            ConfigError: It has other tokens, and this network reads no words.
        """
        assert isinstance(teacher, NERModule)
        inherit(self, teacher)

    def soft_targets(self, mode: DistillationMode) -> nn.Module:
        """Return the divergence of the words' tags, weighed as this network's loss weighs them.

        Raises:
            ConfigError: The tags are those of a CRF, which says of rows, not of words.
        """
        if self.network.crf is not None:
            hint = "Leave model.head out for the student; a teacher may have a CRF."
            raise ConfigError("a CRF can't learn from what is said of single words", hint=hint)
        return WeighedSoftTargets(mode.temperature, self.loss.class_weights)

    def difficulty_scores(self, batch: TokenBatch) -> Tensor:
        """Return (B,) the mean loss of the words of each window."""
        found = self.log_probabilities(batch)
        losses = -found.gather(1, batch.labels[:, None]).squeeze(1)
        sums = torch.zeros(batch.size, device=losses.device).index_add(0, batch.row, losses)
        return sums / torch.bincount(batch.row, minlength=batch.size)

    # ---- validation

    def validation_step(self, batch: TokenBatch, batch_idx: int) -> None:
        """Take up the batch's loss, and the tags of its words."""
        logits = self.outputs(batch)[0]
        self.mean_loss.update(self.task_loss(logits, batch), self.samples(batch))
        tags = self.network.log_probabilities(logits, batch).argmax(1)
        self._seen.append(torch.stack([batch.word, tags, batch.labels], 1))

    def on_validation_epoch_end(self) -> None:
        """Log the mean loss and the entity F1 over all held-out texts."""
        self.log("val/loss", self.mean_loss.compute())
        self.log("val/f1", self.held_out_f1())
        self.mean_loss.reset()

    def held_out_f1(self) -> float:
        """Return the entity F1 of the words taken up, by all processes, and forget them."""
        seen = concatenate_ranks(torch.cat(self._seen))
        self._seen.clear()
        word, tags, labels = seen.cpu().numpy().T
        order = np.argsort(word)
        return entity_f1(labels[order], tags[order], self.held_out_starts, self.labels)

    # ---- the optimiser

    def parameter_groups(self) -> Iterator[tuple[Mapping[str, float], list[nn.Parameter]]]:
        """Yield groups: each level at its rate, the uppermost first; vectors without decay."""
        inner: set[int] = set()
        levels = list(self.network.body.levels())
        for depth, level in enumerate(reversed(levels)):
            inner |= {id(p) for p in level}
            yield from _by_decay(level, self._rate(depth))
        yield from _by_decay([p for p in self.parameters() if id(p) not in inner], 1.0)

    def _rate(self, depth: int) -> float:
        """Return what a level's rate is of the training's, the uppermost level being 0."""
        if isinstance(self.config, PretrainedConfig):
            return self.config.encoder_rate * self.config.layer_decay**depth
        assert isinstance(self.config, WordsConfig)
        return self.config.body_rate


def _by_decay(
    parameters: list[nn.Parameter], rate: float
) -> Iterator[tuple[Mapping[str, float], list[nn.Parameter]]]:
    """Yield the trained matrices of some parameters, and the vectors, which have no decay."""
    trained = [p for p in parameters if p.requires_grad]
    matrices = [p for p in trained if p.ndim > 1]
    vectors = [p for p in trained if p.ndim <= 1]
    if matrices:
        yield {"lr": rate}, matrices
    if vectors:
        yield {"lr": rate, "weight_decay": 0.0}, vectors


def entity_f1(gold: Integers, tags: Integers, starts: Integers, labels: LabelSet) -> float:
    """Return the F1 of entities, of all types together; 0 where there are none."""
    found = [
        set(zip(*(part.tolist() for part in labels.decode(t, starts)), strict=True))
        for t in (gold, tags)
    ]
    total = len(found[0]) + len(found[1])
    return 2 * len(found[0] & found[1]) / total if total else 0.0


def _note_weights(module: nn.Module, _: Any) -> None:
    assert isinstance(module, NERModule)
    module.begun = True


def build_module(config: NERConfig, preprocessing: Mapping[str, Any]) -> NERModule:
    """Return the network that ``config`` names, fresh, shaped by ``preprocessing``.

    An encoder gets its pretrained weights from `NERDataModule.fit_module`, so that a finished run
    is rebuilt without the folder that they came from.

    Raises:
        DataError: This release of transformers doesn't have the encoder's architecture.
        ConfigError: A setting doesn't fit the encoder.
    """
    learned = Preprocessing.from_json(preprocessing)
    labels = LabelSet.from_json(learned.corpus["labels"])
    assert isinstance(config.model, TaggerConfig)
    body = _body(config.model, learned)
    return NERModule(config.model, config.training, body, labels, learned.coder)


def _body(model: TaggerConfig, learned: Preprocessing) -> Body:
    if isinstance(model, PretrainedConfig):
        from tutelage.tasks.ner.models.encoder import PretrainedEncoder  # transformers takes 3 s

        assert learned.encoder is not None
        return PretrainedEncoder(learned.encoder, model.keep_layers)
    from tutelage.tasks.ner.models.words import BiLSTM, SmallTransformer

    if isinstance(model, BiLSTMConfig):
        return BiLSTM(model, learned.coder.size)
    assert isinstance(model, TransformerConfig)
    return SmallTransformer(model, learned.coder.size)
