"""The networks: padding changes nothing, every option acts, and folders are read with care."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from made_encoders import few_texts, save_encoder
from pydantic import ValidationError
from transformers import AutoModel

from tutelage.core.errors import ConfigError, DataError
from tutelage.core.overrides import build_config
from tutelage.tasks.ner.config import NERConfig
from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.learned import Learned
from tutelage.tasks.ner.models.encoder import PretrainedEncoder
from tutelage.tasks.ner.models.folder import read_folder, weights_digest
from tutelage.tasks.ner.modules import NERModule, build_module
from tutelage.tasks.ner.preprocessing import Preprocessing
from tutelage.tasks.ner.tokens.coders import Coder
from tutelage.tasks.ner.tokens.store import EncodedTexts, Frame, encode_texts
from tutelage.tasks.ner.tokens.subwords import SubwordCoder
from tutelage.tasks.ner.tokens.vocabulary import VocabularyCoder

LABELS = LabelSet.of(["person", "place", "firm"])
SMALL = ("model.word_embedding=6", "model.byte_embedding=4", "model.byte_channels=5")
SCRATCH = {
    "bilstm": ("model=bilstm", "model.hidden=7", "model.layers=2", *SMALL),
    "transformer": ("model=transformer", "model.hidden=8", "model.heads=2", *SMALL),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def learned(config: NERConfig) -> Preprocessing:
    told = Learned.from_texts(few_texts(), (), "iob2", data="", split="")
    corpus = told.to_json() | {"labels": LABELS.to_json()}
    if config.model.name != "encoder":
        words = [word for one in few_texts() for word in one.word_texts()]
        return Preprocessing(corpus, VocabularyCoder.learn(words, 1, 12), 64, 4)
    assert config.model.path is not None
    found = read_folder(config.model.path)
    coder = SubwordCoder(found.tokenizer, found.pad)
    return Preprocessing(corpus, coder, 64, 4, found.config, found.digest())


def made(*overrides: str, seed: int = 0) -> tuple[NERModule, EncodedTexts]:
    """A fresh module, in training, and a few texts as it takes them."""
    config = build_config(NERConfig, [], overrides)
    torch.manual_seed(seed)
    known = learned(config)
    module = build_module(config, known.to_json())
    return module, encoded(known.coder)


def encoded(coder: Coder) -> EncodedTexts:
    return encode_texts(few_texts(), LABELS, coder, Frame.of(coder, 64, 4))


def gradients(module: NERModule, texts: EncodedTexts) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    module.zero_grad()
    module.step(texts.batch(torch.arange(3)))["loss"].backward()
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", ["bilstm", "transformer", "encoder"])
@pytest.mark.parametrize("head", ["softmax", "crf"])
def test_what_a_window_is_padded_with_changes_nothing(name: str, head: str, folder: Path) -> None:
    chosen = SCRATCH.get(name, ("model=encoder", f"model.path={folder}"))
    module, texts = made(*chosen, f"model.head={head}")
    module.eval()
    with torch.no_grad():
        together = module.log_probabilities(texts.batch(torch.arange(3)))
        alone = [module.log_probabilities(texts.batch(torch.tensor([i]))) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize("name", ["bilstm", "transformer"])
def test_a_word_is_seen_by_its_neighbours_on_both_sides(name: str) -> None:
    module, texts = made(*SCRATCH[name])
    module.eval()
    batch = texts.batch(torch.tensor([0]))
    assert batch.characters is not None
    before = module.outputs(batch)[0].detach()
    batch.characters[0, 2, :2] = 60
    changed = (module.outputs(batch)[0].detach() - before).abs().amax(1) > 1e-7
    assert changed.tolist() == [True] * 5


def test_word_dropout_hides_words_but_not_their_bytes() -> None:
    module, texts = made(*SCRATCH["bilstm"], "model.word_dropout=0.99", "model.dropout=0")
    batch = texts.batch(torch.arange(3))
    torch.manual_seed(0)
    hidden = module.outputs(batch)[0]
    module.eval()
    shown = module.outputs(batch)[0]
    batch.input_ids.fill_(1)
    unknown = module.outputs(batch)[0]
    near = [(hidden - other).abs().mean() for other in (unknown, shown)]
    assert near[0] < 0.2 * near[1]


def test_the_encoder_begins_with_the_folders_weights_and_no_others(folder: Path) -> None:
    module, texts = made("model=encoder", f"model.path={folder}", seed=5)
    body = module.network.body
    assert isinstance(body, PretrainedEncoder)
    theirs = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    batch = texts.batch(torch.arange(3))
    theirs.eval(), body.eval()
    expected = theirs(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
    assert not torch.allclose(body(batch.input_ids, batch.attention_mask), expected)
    body.load(read_folder(folder))
    assert torch.equal(body(batch.input_ids, batch.attention_mask), expected)


def test_fewer_layers_are_the_lowest_ones(folder: Path) -> None:
    module, _ = made("model=encoder", f"model.path={folder}", "model.keep_layers=1")
    body = module.network.body
    assert isinstance(body, PretrainedEncoder) and len(body.layers) == 1
    body.load(read_folder(folder))
    theirs = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    mine = body.layers[0].state_dict()
    assert all(torch.equal(v, mine[k]) for k, v in theirs.encoder.layer[0].state_dict().items())


def test_frozen_levels_are_the_embeddings_and_the_lowest_layers(folder: Path) -> None:
    module, texts = made("model=encoder", f"model.path={folder}", "model.freeze_layers=2")
    trained = gradients(module, texts)
    assert any("layer.1." in name for name in trained)
    assert not any("layer.0." in name or "embeddings" in name for name in trained)
    grouped = {id(p) for _, group in module.parameter_groups() for p in group}
    assert grouped == {id(p) for p in module.parameters() if p.requires_grad}


def test_more_frozen_levels_than_there_are_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="has 3: its embeddings and 2 layers"):
        made("model=encoder", f"model.path={folder}", "model.freeze_layers=4")


def test_each_layer_learns_at_a_share_of_the_rate_above_it(folder: Path) -> None:
    module, _ = made(
        "model=encoder", f"model.path={folder}", "model.layer_decay=0.5", "model.encoder_rate=0.1"
    )
    rates = {id(p): factors["lr"] for factors, group in module.parameter_groups() for p in group}
    found = {name: rates[id(p)] for name, p in module.named_parameters()}
    assert found["network.body.body.embeddings.word_embeddings.weight"] == pytest.approx(0.025)
    assert found["network.body.body.encoder.layer.0.output.dense.weight"] == pytest.approx(0.05)
    assert found["network.body.body.encoder.layer.1.output.dense.weight"] == pytest.approx(0.1)
    assert found["network.classifier.weight"] == 1.0


def test_norms_and_biases_have_no_weight_decay(folder: Path) -> None:
    module, _ = made("model=encoder", f"model.path={folder}")
    decay = {id(p): f.get("weight_decay", 1.0) for f, g in module.parameter_groups() for p in g}
    for name, parameter in module.named_parameters():
        assert decay[id(parameter)] == (1.0 if parameter.ndim > 1 else 0.0), name


@pytest.mark.parametrize("option", ["model.loss=focal", "model.head=crf", "model.focal_gamma=0.5"])
def test_options_of_the_loss_change_its_gradient(option: str) -> None:
    base = ("model.loss=focal",) if "gamma" in option else ()
    plain, texts = made(*SCRATCH["bilstm"], *base)
    other, _ = made(*SCRATCH["bilstm"], *base, option)
    name = "network.classifier.weight"
    assert not torch.allclose(gradients(plain, texts)[name], gradients(other, texts)[name])


def test_a_crf_with_a_loss_of_its_own_or_windows_all_shared_are_refused() -> None:
    for wrong in (["model.head=crf", "model.loss=focal"], ["model.stride=64"]):
        with pytest.raises((ConfigError, ValidationError)):
            build_config(NERConfig, [], wrong)


def test_a_crf_says_nothing_of_tags_that_can_not_be(folder: Path) -> None:
    module, texts = made(*SCRATCH["bilstm"], "model.head=crf")
    module.eval()
    found = module.log_probabilities(texts.batch(torch.tensor([0]))).detach().exp()
    inside = [i for i, tag in enumerate(LABELS.tags) if tag.startswith("I-")]
    assert float(found[0, inside].sum()) < 1e-6  # no entity goes on at the beginning
    assert torch.allclose(found.sum(1), torch.ones(5), atol=1e-5)


def test_a_module_is_rebuilt_without_the_folder_it_came_from(tmp_path: Path) -> None:
    source = save_encoder(tmp_path / "source")
    module, texts = made("model=encoder", f"model.path={source}")
    card = learned(build_config(NERConfig, [], ["model=encoder", f"model.path={source}"])).to_json()
    for file in source.iterdir():
        file.unlink()
    config = build_config(NERConfig, [], ["model=encoder", f"model.path={source}"])
    again = build_module(config, json.loads(json.dumps(card)))
    again.load_state_dict(module.state_dict())
    assert again.begun and not module.begun
    module.eval(), again.eval()
    batch = texts.batch(torch.arange(3))
    assert torch.equal(module.outputs(batch)[0], again.outputs(batch)[0])


def broken(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.unlink() if content is None else path.write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tokenizer__json": None}, "no tokenizer.json"),
        ({"config__json": None}, "config.json: is missing"),
        ({"config__json": "[]"}, "no JSON object"),
        ({"config__json": '{"auto_map": {}}'}, "code of its own"),
        ({"model__safetensors": None}, "has no weights"),
        ({"model__safetensors": None, "pytorch_model__bin": "x"}, "which can run code"),
        ({"model__safetensors": None, "model__safetensors__index__json": "{}"}, "no weight_map"),
    ],
)
def test_a_folder_that_lacks_something_is_refused(
    tmp_path: Path, files: dict[str, str | None], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_folder(broken(save_encoder(tmp_path / "encoder"), **files))


def test_a_pickled_folder_is_told_how_to_be_converted_elsewhere(tmp_path: Path) -> None:
    folder = broken(save_encoder(tmp_path), model__safetensors=None, pytorch_model__bin="x")
    with pytest.raises(DataError) as raised:
        read_folder(folder)
    assert "save_pretrained" in str(raised.value.hint)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder, other = save_encoder(tmp_path / "a"), save_encoder(tmp_path / "b", hidden=24)
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    body = PretrainedEncoder(read_folder(folder).config)
    with pytest.raises(DataError, match="can't be read"):
        body.load(read_folder(folder))


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no encoder of model_type 'nothing'"):
        PretrainedEncoder({"model_type": "nothing"})


def test_other_weights_are_other_data(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path)
    config = build_config(NERConfig, [], ["model=encoder", f"model.path={folder}"])
    first = weights_digest(config.model)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert weights_digest(config.model) != first
    assert weights_digest(build_config(NERConfig, [], []).model) is None


def test_an_encoder_without_a_folder_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs the folder"):
        weights_digest(build_config(NERConfig, [], ["model=encoder"]).model)
