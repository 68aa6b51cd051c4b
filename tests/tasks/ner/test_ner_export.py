"""What is exported says what was trained, and is refused where it doesn't."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from made_encoders import save_encoder
from made_ner_data import SMALL, made_data, write_texts
from transformers import AutoModelForTokenClassification, AutoTokenizer

from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.core.files import digest_json
from tutelage.tasks.ner.datamodule import NERDataModule
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.evaluation import predict_entities
from tutelage.tasks.ner.export import exportable
from tutelage.tasks.ner.hub import save_for_transformers
from tutelage.tasks.ner.models.lstm_operator import OneOperatorLSTM
from tutelage.tasks.ner.modules import NERModule, entity_f1
from tutelage.tasks.ner.predictions import gold_tags, word_starts
from tutelage.tasks.ner.serve.engine import Engine
from tutelage.training.export.card import ExportCard
from tutelage.training.export.onnx_file import export_onnx, hold
from tutelage.training.export.runtime import open_session

Made = tuple[NERDataModule, NERModule]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def encoder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = save_encoder(tmp_path_factory.mktemp("encoder"))
    chosen = ("model=encoder", f"model.path={folder}", "model.max_length=32")
    return made_data(root, tmp_path_factory.mktemp("cache"), *chosen)


@pytest.fixture(scope="module")
def bilstm(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made_data(root, tmp_path_factory.mktemp("cache"), *SMALL)


def write(made: Made, path: Path, format: str = "onnx") -> ExportCard:
    data, module = made
    origin = {"run": "r", "task": "ner", "model": "m", "parameters": 1, "preprocessing_digest": ""}
    return export_onnx(exportable(module, data), path, format=format, **origin)  # type: ignore[arg-type]


def test_an_lstm_as_one_operator_says_the_same() -> None:
    layer = torch.nn.LSTM(5, 4, batch_first=True)
    inputs = torch.randn(3, 7, 5)
    assert torch.allclose(OneOperatorLSTM(layer)(inputs)[0], layer(inputs)[0], atol=1e-6)


def test_the_file_takes_windows_of_any_number_and_length(bilstm: Made, tmp_path: Path) -> None:
    card = write(bilstm, tmp_path / "m.onnx")
    assert card.parity.largest_difference < 1e-5
    assert card.kept is not None and card.kept.exported == card.kept.trained
    assert {row.engine for row in card.latency} == {"torch", "onnx"}
    data, module = bilstm
    batch = data.train.batch(torch.arange(6))
    assert batch.attention_mask is not None and batch.characters is not None
    feeds = {
        "input_ids": batch.input_ids.numpy(),
        "attention_mask": batch.attention_mask.numpy(),
        "characters": batch.characters.numpy(),
    }
    (logits,) = open_session((tmp_path / "m.onnx").read_bytes()).run(None, feeds)
    expected = module.outputs(batch)[0].detach().numpy()
    found = logits.reshape(-1, logits.shape[2])[batch.position.numpy()]
    assert np.allclose(found, expected, atol=1e-5)


def test_integers_are_smaller_and_their_loss_is_told(encoder: Made, tmp_path: Path) -> None:
    data, module = encoder
    form = exportable(module, data)
    assert form.quality is not None
    worth = form.quality.of([one.numpy() for one in form.expected])
    card = write(encoder, tmp_path / "m.onnx", "onnx-int8")
    assert card.format == "onnx-int8" and card.parity.tolerance is None
    assert card.parity.largest_difference > 0
    assert card.kept is not None and card.kept.trained == worth
    assert card.kept.exported >= worth - 0.02


def test_a_file_that_lost_too_much_is_refused(bilstm: Made) -> None:
    data, module = bilstm
    form = exportable(module, data)
    assert form.quality is not None
    best = best_logits(data)
    held = hold(form.quality, [one.numpy() for one in best], best, "r")
    assert held.trained == held.exported == 1.0
    with pytest.raises(RunFailedError, match="more than 0.02 is lost"):
        hold(form.quality, [np.roll(one.numpy(), 1, axis=2) for one in best], best, "r")


def best_logits(data: NERDataModule) -> list[torch.Tensor]:
    """Logits (1, T, C) of each test window that are right."""
    texts = data.encoded([d for documents in data.corpus.tests.values() for d in documents])
    found = []
    for window in range(len(texts)):
        batch = texts.batch(torch.tensor([window]))
        logits = torch.zeros(batch.input_ids.numel(), len(data.labels.tags))
        logits[batch.position, batch.labels] = 9.0
        found.append(logits[None])
    return found


def test_the_folder_opens_in_transformers_with_the_same_logits(
    encoder: Made, tmp_path: Path
) -> None:
    data, module = encoder
    parity = save_for_transformers(module, data, tmp_path)
    assert parity.largest_difference <= 1e-5
    model = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    document = data.corpus.tests["test"][0]
    encoded = tokenizer(document.word_texts(), is_split_into_words=True, return_tensors="pt")
    logits = model(**encoded).logits[0]
    batch = data.encoded([document]).batch(torch.tensor([0]))
    assert encoded["input_ids"].tolist() == batch.input_ids.tolist()
    assert torch.allclose(logits[batch.position], module.outputs(batch)[0], atol=1e-5)
    assert list(model.config.id2label.values()) == list(data.labels.tags)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "bert"


def test_a_network_that_transformers_has_not_is_refused(bilstm: Made, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none that transformers has"):
        save_for_transformers(bilstm[1], bilstm[0], tmp_path)


def test_a_file_with_a_crf_serves_what_the_crf_says(
    root: Path, tmp_path: Path, encoder: Made
) -> None:
    data, module = made_data(root, tmp_path, *SMALL, "model.head=crf")
    assert module.network.crf is not None
    torch.manual_seed(3)
    torch.nn.init.normal_(module.network.crf.scores, std=3)  # strong, so that it decides
    torch.nn.init.normal_(module.network.classifier.weight)
    card = write((data, module), tmp_path / "m.onnx")
    table = torch.tensor(json.loads(str(card.facts["transitions"])))
    assert torch.equal(table, module.network.crf.table())
    documents = data.corpus.tests["test"]
    expected = data.tagger(module)(documents)
    plain = expected_without_crf(module, data, documents)
    assert (expected.probabilities.argmax(1) != plain.argmax(1)).mean() > 0.2
    card = card.model_copy(update={"preprocessing_digest": digest_json(data.preprocessing)})
    model = (tmp_path / "m.onnx").read_bytes()
    engine = Engine(data.config, data.preprocessing, model, card)
    found = [[(e.start, e.end, e.label) for e in one] for one in engine.find(texts_of(documents))]
    scored = predict_entities(data.tagger(module), documents, data.learned, data.config.evaluation)
    assert found == [[(s.span.start, s.span.end, s.span.label) for s in one] for one in scored]
    assert card.kept is not None and card.kept.trained == pytest.approx(
        entity_f1(
            gold_tags(documents, data.labels),
            expected.probabilities.argmax(1),
            word_starts(documents),
            data.labels,
        )
    )


def texts_of(documents: Sequence[Document]) -> list[str]:
    return [document.text for document in documents]


def expected_without_crf(
    module: NERModule, data: NERDataModule, documents: Sequence[Document]
) -> np.ndarray:
    crf, module.network.crf = module.network.crf, None
    found = data.tagger(module)(documents).probabilities
    module.network.crf = crf
    return found


def test_transformers_has_no_tagger_with_a_crf(root: Path, tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "encoder")
    chosen = ("model=encoder", f"model.path={folder}", "model.max_length=32", "model.head=crf")
    data, module = made_data(root, tmp_path / "cache", *chosen)
    with pytest.raises(ConfigError, match="no tagger with a CRF"):
        save_for_transformers(module, data, tmp_path / "hf")
