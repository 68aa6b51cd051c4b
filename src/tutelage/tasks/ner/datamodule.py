"""`NERDataModule`: texts in, batches of tokens out, tokenised once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from tutelage.core.config import AutoencoderMode, DistillationMode
from tutelage.core.errors import DataError
from tutelage.core.records import AuditStamp
from tutelage.losses import BaseSupervisedLoss
from tutelage.tasks.ner.config import NERConfig
from tutelage.tasks.ner.corpus import Corpus, load_corpus
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.learned import Learned
from tutelage.tasks.ner.models.config import PretrainedConfig, TaggerConfig, WordsConfig
from tutelage.tasks.ner.models.folder import check_length, find_encoder
from tutelage.tasks.ner.modules import NERModule
from tutelage.tasks.ner.predictions import WHOLE, Tagger, WordProbabilities
from tutelage.tasks.ner.preprocessing import Preprocessing
from tutelage.tasks.ner.pretraining import PretrainingOrder, TeachingOrder, with_own_texts
from tutelage.tasks.ner.teaching import Lessons
from tutelage.tasks.ner.tokens.batch import UNTAGGED, TokenBatch
from tutelage.tasks.ner.tokens.coders import Coder
from tutelage.tasks.ner.tokens.store import EncodedTexts, TokenCache, encode_texts, with_teacher
from tutelage.tasks.ner.tokens.vocabulary import VocabularyCoder
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.length_batches import LengthBatchSampler, length_batches
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.sizable import TYPICAL_DRAWS

EVALUATION_BATCH: Final = 32
_ANY_CUT: Final = (128, 32)


@runtime_checkable
class TagsTexts(Protocol):
    """A model that reads texts by itself, such as a fusion."""

    def tag(self, documents: Sequence[Document]) -> WordProbabilities:
        """Return what it says of the words of some texts."""
        ...


class NERDataModule(TaskData):
    """The data of one token-classification run.

    Args:
        config: The whole run.
        cache: Folder of tokenised texts.
        preprocessing: What an earlier run learned; with it every text tests, else it is learned
            from the training texts.
    """

    def __init__(
        self, config: NERConfig, cache: Path, preprocessing: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.config, self.cache = config, cache
        self._given = None if preprocessing is None else Preprocessing.from_json(preprocessing)
        self._ready = False
        self.batch_size = EVALUATION_BATCH
        self.corpus: Corpus
        self.learned: Learned
        self.known: Preprocessing
        self.train: EncodedTexts
        self.validation: EncodedTexts
        self._taught: EncodedTexts | None = None
        self._lessons: Lessons | None = None
        self._everything: EncodedTexts | None = None  # what trains, then what has no tags
        self.readers: tuple[Mapping[str, Any], ...] = ()
        """What each expert of a fusion learned before it trained."""

    def setup(self, stage: str) -> None:
        """Read, split, learn the tokens, tokenise."""
        if self._ready:
            return
        data = self.config.data
        if self._given is None:
            self.corpus = with_own_texts(load_corpus(data), self.config)
            self.learned = self.corpus.learned
            self.known = self._learn()
        else:
            self.known = self._given
            self.learned = Learned.from_json(self.known.corpus)
            self.corpus = load_corpus(data, self.learned)
        self._tokenise()
        if stage == "fit":
            self._require_words()
        self._ready = True

    def _tokenise(self) -> None:
        texts = self._tokens(self.known)
        self.train = texts.load(self.corpus.train, self.labels)
        self.validation = texts.load(self.corpus.validation, self.labels)
        if self.corpus.unlabelled and self._given is None:
            self._everything = self._all(texts)

    def _all(self, texts: TokenCache) -> EncodedTexts:
        """Return what trains, then what has no tags."""
        found = texts.load((*self.corpus.train, *self.corpus.unlabelled), self.labels)
        tags = found.labels.copy()
        tags[len(self.train.labels) :] = UNTAGGED
        return replace(found, labels=tags)

    def _tokens(self, known: Preprocessing) -> TokenCache:
        return TokenCache(self.cache / "tokens", known.coder, known.frame)

    def _learn(self, known: Sequence[str] = ()) -> Preprocessing:
        """Learn how words become tokens.

        Args:
            known: Words of which a student is told what they are like, in texts or not.

        Raises:
            ConfigError: The settings name no encoder, or longer windows than it takes.
            DataError: An encoder's folder holds nothing that can be used.
        """
        model, corpus = self.config.model, self.learned.to_json()
        if not isinstance(model, TaggerConfig):  # a fusion's experts read, each its own tokens
            return Preprocessing(corpus, VocabularyCoder([], 1), *_ANY_CUT)
        cut = model.max_length, model.shared
        if isinstance(model, PretrainedConfig):
            from tutelage.tasks.ner.tokens.subwords import SubwordCoder

            folder = find_encoder(model)
            check_length(folder, model.max_length)
            coder: Coder = SubwordCoder(folder.tokenizer, folder.pad)
            return Preprocessing(corpus, coder, *cut, folder.config, folder.digest())
        assert isinstance(model, WordsConfig)
        texts = (*self.corpus.train, *self.corpus.unlabelled)
        words = (word for document in texts for word in document.word_texts())
        vocabulary = VocabularyCoder.learn(words, model.min_count, model.word_bytes, known)
        return Preprocessing(corpus, vocabulary, *cut)

    def _require_words(self) -> None:
        needed = {"training": self.train, "validation": self.validation}
        if self.config.data.fold == "all":
            del needed["validation"]
        for name, texts in needed.items():
            if not len(texts):
                hint = "Name texts with words and entities, or hold out more of them."
                raise DataError(
                    f"no word is left for {name}", where=self.config.data.root, hint=hint
                )

    @property
    def labels(self) -> LabelSet:
        """The tags."""
        return self.learned.labels

    @property
    def coder(self) -> Coder:
        """Turns words into tokens."""
        return self.known.coder

    def taught_by(self, teacher: Preprocessing) -> None:
        """Let training batches hold what a teacher says of their words.

        Where features are taught, they hold their words in the teacher's tokens, if these are
        others than the student's. A student that begins with its teacher knows its words.
        """
        mode = self.config.mode
        assert isinstance(mode, DistillationMode)
        if mode.start == "teacher":
            self.known = self._learn(teacher.coder.whole_words())
            self._tokenise()
        own = read = self._shown
        if teacher.coder.to_json() != self.coder.to_json() or teacher.frame != self.known.frame:
            read = self._all(self._tokens(teacher))
        if not mode.feature_weight:
            self._lessons = Lessons(read)
        elif read is not own:
            self._taught = read

    @property
    def _shown(self) -> EncodedTexts:
        """What training may show: texts with tags, then texts without any."""
        return self.train if self._everything is None else self._everything

    @property
    def preprocessing(self) -> Mapping[str, object]:
        """Tags, tokens, and the encoder's configuration, as JSON values."""
        return {**self.known.to_json(), **({"readers": self.readers} if self.readers else {})}

    @property
    def audit(self) -> AuditStamp:
        """What the corpus says of itself."""
        return self.corpus.stamp

    def fit_module(self, module: TaskModule) -> None:
        """Give the module pretrained weights where it has none yet, and the tags' weights."""
        assert isinstance(module, NERModule)
        module.held_out_starts = self.validation.starts[:-1]
        model = self.config.model
        if isinstance(model, PretrainedConfig) and not module.begun:
            from tutelage.tasks.ner.models.encoder import PretrainedEncoder

            assert isinstance(module.network.body, PretrainedEncoder)
            module.network.body.load(find_encoder(model))
        assert isinstance(model, TaggerConfig)
        if model.tag_weights != "none":
            assert isinstance(module.loss, BaseSupervisedLoss)
            counts = self.train.tag_counts(len(self.labels.tags)).clamp(min=1).double()
            balanced = counts.sum() / (len(counts) * counts)
            weights = balanced.sqrt() if model.tag_weights == "sqrt" else balanced
            module.loss.class_weights.copy_(weights)

    # ---- loaders

    def train_dataloader(self) -> ResumableLoader[TokenBatch]:
        """Shuffled batches of windows of like length; at first of untagged texts too, if any."""
        order = LengthBatchSampler(
            self.train.lengths,
            self.batch_size,
            self.config.training.seed,
            rank=self.rank,
            world_size=self.world_size,
        )
        if self._everything is None:
            return ResumableLoader(self.train_batch, order)
        mode, lengths = self.config.mode, self._everything.lengths
        if isinstance(mode, AutoencoderMode):
            epochs = mode.pretraining_epochs(self.config.training.max_epochs)
            both = PretrainingOrder(lengths, order, epochs)
            return ResumableLoader(self.train_batch, both)
        return ResumableLoader(self.train_batch, TeachingOrder(lengths, order.repeated(2)))

    def train_batch(self, windows: Tensor) -> TokenBatch:
        """Return some training windows as one batch, for a teacher too where there is one."""
        batch = replace(self._shown.batch(windows), untagged=self._everything is not None)
        if self._lessons is not None:
            return replace(batch, lessons=self._lessons)
        return batch if self._taught is None else with_teacher(batch, self._taught)

    def val_dataloader(self) -> EvalLoader[TokenBatch]:
        """This process's share of the held-out windows, the shortest first."""
        return evaluation_loader(self.validation, self.rank, self.world_size)

    def test_loaders(self) -> Mapping[str, EvalLoader[TokenBatch]]:
        """One loader for each test split with words."""
        texts = self._tokens(self.known)
        encoded = {
            name: texts.load(documents, self.labels)
            for name, documents in self.corpus.tests.items()
        }
        return {name: evaluation_loader(texts) for name, texts in encoded.items() if len(texts)}

    def encoded(self, documents: Sequence[Document]) -> EncodedTexts:
        """Return any texts as this run's tokens."""
        return encode_texts(documents, self.labels, self.coder, self.known.frame)

    def tagger(self, module: TaskModule) -> Tagger:
        """Return what a model says of the words of any texts."""
        if isinstance(module, TagsTexts):
            return module.tag
        assert isinstance(module, NERModule)

        def tag(documents: Sequence[Document]) -> WordProbabilities:
            return tag_texts(module, self.encoded(documents))

        return tag

    # ---- the batch-size optimiser's questions

    @property
    def train_size(self) -> int:
        """Training windows."""
        return len(self.train)

    def _parts(self, size: int) -> Sequence[Tensor]:
        count = max(1, self.train_size // size)
        parts = length_batches(self.train.lengths.numpy(), count)
        return [torch.from_numpy(part) for part in parts]

    def batch_of_size(self, size: int) -> TokenBatch:
        """The batch with the most places that an epoch with so many texts a step can have."""
        lengths, parts = self.train.lengths, self._parts(size)
        part = max(parts, key=lambda p: len(p) * int(lengths[p].max()))
        times = max(1, size // self.train_size)
        return self._probed(part.repeat(times))

    def typical_batch_of_size(self, size: int, draw: int) -> TokenBatch:
        """A batch of an epoch with so many texts a step: of short, middling or long ones."""
        parts = self._parts(size)
        return self._probed(parts[(2 * draw + 1) * len(parts) // (2 * TYPICAL_DRAWS)])

    def _probed(self, windows: Tensor) -> TokenBatch:
        """Return a batch of which a teacher is asked anew, as a probe has no time for all texts."""
        batch, lessons = self.train.batch(windows), self._lessons
        read = self._taught if lessons is None else lessons.texts
        return batch if read is None or read is self._shown else with_teacher(batch, read)


def evaluation_loader(
    texts: EncodedTexts, rank: int = 0, world_size: int = 1
) -> EvalLoader[TokenBatch]:
    """Batches of windows of like length, the shortest first; as many for each process."""
    order = LengthBatchSampler(
        texts.lengths, EVALUATION_BATCH, seed=0, shuffle=False, rank=rank, world_size=world_size
    )
    return EvalLoader(texts.batch, order)


@torch.inference_mode()
def tag_texts(module: NERModule, texts: EncodedTexts) -> WordProbabilities:
    """Return what a model says of each word of tokenised texts.

    Every word is told of once, by the window that it counts in.
    """
    total = len(texts.labels)
    probabilities = np.zeros((total, len(module.labels.tags)), np.float32)
    for batch in evaluation_loader(texts) if len(texts) else ():
        found = module.log_probabilities(batch.to(module.device)).exp().cpu().numpy()
        probabilities[batch.word.numpy()] = found
    document = np.repeat(np.arange(len(texts.starts) - 1), np.diff(texts.starts))
    word = np.arange(total) - texts.starts[document]
    context = np.full(total, WHOLE, np.int64)
    return WordProbabilities(document, word, probabilities, context)
