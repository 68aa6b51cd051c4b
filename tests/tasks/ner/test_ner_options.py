"""Every setting of a tagger, its texts and its scores does something; none is forgotten here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from made_encoders import save_encoder
from made_ner_data import SMALL, made_data, write_texts

from tutelage.core.errors import DataError
from tutelage.core.overrides import build_config
from tutelage.tasks.ner.config import NERConfig, NERData, NEREvaluation
from tutelage.tasks.ner.corpus import load_corpus
from tutelage.tasks.ner.evaluation import evaluate
from tutelage.tasks.ner.masking import MaskedTokens
from tutelage.tasks.ner.models.config import (
    BiLSTMConfig,
    EncoderConfig,
    Pretraining,
    TransformerConfig,
)

ALL = {
    "dropout": "0.5",
    "head": "crf",
    "loss": "focal",
    "focal_gamma": "3",
    "class_weights": "balanced",
    "max_length": "20",
    "stride": "2",
}
WORDS = {
    "word_embedding": "9",
    "byte_embedding": "5",
    "byte_channels": "7",
    "word_bytes": "4",
    "min_count": "50",
    "word_dropout": "0.9",
    "body_rate": "0.5",
    "hidden": "16",
    "layers": "3",
}
ENCODER = {"encoder_rate": "0.5", "layer_decay": "0.5", "freeze_layers": "1", "keep_layers": "1"}
MODELS: dict[str, dict[str, str]] = {
    "bilstm": ALL | WORDS,
    "transformer": ALL | WORDS | {"heads": "2"},
    "encoder": ALL | ENCODER | {"path": "other"},
}
CONFIGS = {"bilstm": BiLSTMConfig, "transformer": TransformerConfig, "encoder": EncoderConfig}
NEEDS = {"focal_gamma": "model.loss=focal", "layer_decay": "model.encoder_rate=1"}
CASES = [(model, name) for model, settings in MODELS.items() for name in settings]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options")
    texts = write_texts(folder / "texts") / "train.conll"
    long = ["Anna\tB-person", *["likes\tO"] * 40, "Oslo\tB-place", ""]
    texts.write_text(texts.read_text() + "\n".join(long))
    save_encoder(folder / "encoder")
    save_encoder(folder / "other", hidden=32)
    return folder


def learned_by(place: Path, model: str, *settings: str) -> object:
    """What a step of training is: shapes, windows, loss, gradients and rates."""
    chosen = [s for s in SMALL if model != "encoder" or not s.startswith("model.")]
    if model == "encoder":
        chosen.append(f"model.path={place / 'encoder'}")
    torch.manual_seed(0)
    data, module = made_data(
        place / "texts",
        place / "cache",
        f"model={model}",
        *chosen,
        "model.max_length=32",
        "model.stride=8",
        *settings,
    )
    module.train()
    torch.manual_seed(0)
    loss = module.step(data.train_batch(torch.arange(6)))["loss"]
    loss.backward()
    rates = {id(p): dict(rate) for rate, group in module.parameter_groups() for p in group}
    weights = [
        (name, tuple(p.shape), None if p.grad is None else float(p.grad.norm()), rates.get(id(p)))
        for name, p in module.named_parameters()
    ]
    return len(data.train), data.train.windows.first.tolist(), float(loss.detach()), weights


@pytest.mark.parametrize(("model", "name"), CASES, ids=map(".".join, CASES))
def test_every_setting_of_a_network_changes_a_step_of_training(
    place: Path, model: str, name: str
) -> None:
    value = str(place / "other") if name == "path" else MODELS[model][name]
    first = [NEEDS[name]] if name in NEEDS else []
    base = learned_by(place, model, *first)
    assert base == learned_by(place, model, *first)
    assert base != learned_by(place, model, *first, f"model.{name}={value}")


@pytest.mark.parametrize("model", MODELS)
def test_no_setting_of_a_network_is_forgotten(model: str) -> None:
    assert set(MODELS[model]) == set(CONFIGS[model].model_fields) - {"name"}


@pytest.mark.parametrize("setting", ["masked_share=0.6", "replaced_share=0.5"])
def test_settings_of_masked_words_change_what_is_hidden(place: Path, setting: str) -> None:
    data, module = made_data(place / "texts", place / "cache", *SMALL)
    name, value = setting.split("=")
    found = []
    for settings in (Pretraining(), Pretraining.model_validate({name: float(value)})):
        torch.manual_seed(0)
        batch = data.train.batch(torch.arange(40))
        hidden, targets = MaskedTokens(module, settings).hide(batch)
        found.append((hidden.input_ids.tolist(), targets.tolist()))
    assert found[0] != found[1]
    assert set(Pretraining.model_fields) == {"masked_share", "replaced_share", "root"}


NOTES = ("data.root=notes.jsonl",)
DATA: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "embedded": ((), ("data.embedded=wnut17",)),
    "resumes": ((), ("data.resumes=12",)),
    "resume_seed": ((), ("data.resume_seed=1",)),
    "columns": (NOTES, ("data.columns.group=author",)),
    "scheme": (NOTES, ("data.scheme=bioes",)),
    "rename": (NOTES, ("data.rename={name: person}",)),
    "validation_fraction": (NOTES, ("data.validation_fraction=0.4",)),
    "test_fraction": (NOTES, ("data.test_fraction=0.4",)),
    "split_seed": (NOTES, ("data.split_seed=1",)),
    "near_duplicate": (NOTES, ("data.near_duplicate=0.3",)),
    "cross_split": (("data.root=twice",), ("data.cross_split=keep",)),
    "bad_share": (("data.root=wrong.jsonl",), ("data.bad_share=1",)),
    "combine": (NOTES, ("data.combine.name=combined", "data.combine.root=older.jsonl")),
}
# held by every test, by test_ner_folds.py and by test_hostile_files.py
ELSEWHERE = {"root", "split_file", "fold", "links"}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    notes = [note(f"note {n} of Ada for {n % 7} days", n) for n in range(40)]
    (folder / "notes.jsonl").write_text("\n".join(notes))
    (folder / "older.jsonl").write_text("\n".join(note(f"Ada saw {n} dogs", n) for n in range(9)))
    outside = json.dumps({"text": "x", "label": [[0, 9, "name"]]})
    (folder / "wrong.jsonl").write_text("\n".join([*notes, outside]))
    for part, chosen in (("train", notes[:20]), ("dev", notes[20:25]), ("test", notes[:3])):
        (folder / "twice").mkdir(exist_ok=True)
        (folder / "twice" / f"{part}.jsonl").write_text("\n".join(chosen))
    return folder


def note(text: str, number: int) -> str:
    start = text.index("Ada")
    label = [[start, start + 3, "name"]]
    return json.dumps({"text": text, "label": label, "author": f"a{number % 4}"})


def read(sets: Path, settings: Sequence[str]) -> object:
    """What becomes of the texts: who trains, who tests, with which tags."""
    placed = [setting.replace("root=", f"root={sets}/") for setting in settings]
    try:
        corpus = load_corpus(build_config(NERConfig, [], placed).data)
    except DataError as error:
        return str(error)
    parts = {"train": corpus.train, "validation": corpus.validation, **corpus.tests}
    texts = {part: [(d.text, d.spans) for d in documents] for part, documents in parts.items()}
    return texts, corpus.learned.labels.tags


@pytest.mark.parametrize("name", DATA)
def test_every_setting_of_the_texts_changes_who_learns_what(sets: Path, name: str) -> None:
    root, setting = DATA[name]
    base = ["data.embedded=resumes", "data.resumes=15", *root]
    assert read(sets, base) != read(sets, [*base, *setting])


def test_no_setting_of_the_texts_is_forgotten() -> None:
    assert set(DATA) == set(NERData.model_fields) - ELSEWHERE


@pytest.mark.parametrize("setting", ["decoding=argmax", "bootstrap=20", "errors=1"])
def test_every_setting_of_the_scores_changes_them(place: Path, setting: str) -> None:
    torch.manual_seed(0)
    data, module = made_data(place / "texts", place / "cache", *SMALL)
    torch.nn.init.normal_(module.network.classifier.weight, std=4)
    name, value = setting.split("=")
    base = NEREvaluation(bootstrap=0)
    moved = base.model_copy(update={name: value if name == "decoding" else int(value)})
    scored = [evaluate(data.tagger(module), data.corpus, one) for one in (base, moved)]
    assert scored[0] != scored[1]
    assert set(NEREvaluation.model_fields) == {"decoding", "bootstrap", "errors"}
