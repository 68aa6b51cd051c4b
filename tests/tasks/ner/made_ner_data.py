"""A small set of labelled texts in files, and the data of a run on it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from tutelage.core.overrides import build_config
from tutelage.tasks.ner.config import NERConfig
from tutelage.tasks.ner.datamodule import NERDataModule
from tutelage.tasks.ner.modules import NERModule, build_module

NAMES, PLACES = ("Anna", "Otto", "Mary", "Kurt", "Ida"), ("Berlin", "Paris", "Rome", "Oslo")
VERBS = ("lives in", "likes", "comes from", "goes to")
SMALL = (
    "model.word_embedding=8",
    "model.byte_embedding=4",
    "model.byte_channels=8",
    "model.hidden=8",
    "training.batch_size=8",
    "training.learning_rate=0.02",
    "evaluation.bootstrap=0",
)


def write_texts(folder: Path) -> Path:
    """Write train, dev and test in CoNLL's form: who is where."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = list(product(NAMES, VERBS, PLACES))
    dealt = {"dev": texts[3::7], "test": texts[5::7]}
    parts = {"train": [t for t in texts if all(t not in part for part in dealt.values())]} | dealt
    for name, chosen in parts.items():
        lines = []
        for who, what, where in chosen:
            lines.append(f"{who}\tB-person")
            lines += [f"{word}\tO" for word in what.split()]
            lines += [f"{where}\tB-place", ".\tO", ""]
        (folder / f"{name}.conll").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def ner_config(root: Path, *overrides: str) -> NERConfig:
    """The configuration of a run on such files."""
    return build_config(NERConfig, [], [f"data.root={root}", *overrides])


def made_data(root: Path, cache: Path, *overrides: str) -> tuple[NERDataModule, NERModule]:
    """Data ready to train on, and a fresh module for them."""
    config = ner_config(root, *overrides)
    data = NERDataModule(config, cache)
    data.setup("fit")
    data.batch_size = 8
    module = build_module(config, data.preprocessing)
    data.fit_module(module)
    return data, module.eval()
