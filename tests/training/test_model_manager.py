"""Weights and card rebuild a model exactly; anything that does not fit is refused and listed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tutelage.core.errors import CheckpointError
from tutelage.training.model_card import ModelCard, TensorInfo, read_card
from tutelage.training.model_manager import CardInfo, ModelManager

INFO = CardInfo("can", "gat", {"hidden": 4}, {"vocabulary": {0x1A0: 1}, "scale": float("inf")}, 1)


class Tied(nn.Module):
    """An embedding whose weight is the output layer's too."""

    def __init__(self, hidden: int = 4, tie: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.out = nn.Linear(hidden, 10, bias=False)
        if tie:
            self.out.weight = self.embed.weight


def saved(folder: Path, hidden: int = 4) -> Tied:
    torch.manual_seed(1)
    net = Tied(hidden)
    ModelManager.save_state_dict(net, folder, INFO)
    return net


@pytest.mark.parametrize("source", [".", "model.safetensors"])
def test_a_model_comes_back_bit_for_bit_and_tied_weights_stay_tied(
    source: str, tmp_path: Path
) -> None:
    net, other = saved(tmp_path), Tied()
    card = ModelManager.load_state_dict(tmp_path / source, other)
    for name, value in net.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert other.out.weight is other.embed.weight
    assert card.tied == {"out.weight": "embed.weight"}
    assert "out.weight" not in load_file(tmp_path / "model.safetensors")


def test_tied_weights_load_into_a_model_that_does_not_tie_them(tmp_path: Path) -> None:
    net, other = saved(tmp_path), Tied(tie=False)
    ModelManager.load_state_dict(tmp_path, other)
    assert torch.equal(other.out.weight, net.embed.weight)
    assert other.out.weight is not other.embed.weight


def test_the_card_tells_what_is_needed_to_build_the_model_again(tmp_path: Path) -> None:
    saved(tmp_path)
    card = read_card(tmp_path)
    assert (card.task, card.model, card.config) == ("can", "gat", {"hidden": 4})
    assert card.preprocessing == {"vocabulary": {"416": 1}, "scale": "Infinity"}
    assert card.tensors["embed.weight"] == TensorInfo(shape=(10, 4), dtype="float32")


def test_a_compiled_model_is_stored_as_the_model_that_was_compiled(tmp_path: Path) -> None:
    net = Tied()
    ModelManager.save_state_dict(torch.compile(net, backend="eager"), tmp_path, INFO)
    assert "embed.weight" in load_file(tmp_path / "model.safetensors")
    ModelManager.load_state_dict(tmp_path, torch.compile(Tied(), backend="eager"))


def test_every_difference_of_a_model_of_another_shape_is_listed_and_none_is_loaded(
    tmp_path: Path,
) -> None:
    saved(tmp_path)
    other = nn.ModuleDict({"embed": nn.Embedding(10, 3), "extra": nn.Linear(2, 2, bias=False)})
    other["norm"] = nn.BatchNorm1d(4).double()
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        ModelManager.load_state_dict(tmp_path, other)
    message = str(caught.value)
    assert "missing: extra.weight float32[2, 2]" in message
    assert "unexpected: out.weight float32[10, 4]" in message
    assert "differs: embed.weight is float32[10, 4], the model has float32[10, 3]" in message
    assert "differs: norm.weight is float32[4], the model has float64[4]" in message
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def alter(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | changes))


def flip(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


BROKEN = {
    "altered": (flip, "differs from its card's digest"),
    "truncated": (truncate, "differs from its card's digest|truncated"),
    "pickled": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04\x95" + bytes(30)),
        "a Python pickle",
    ),
    "zipped": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"PK\x03\x04" + bytes(30)),
        "torch.save",
    ),
    "missing": (lambda folder: (folder / "model.safetensors").unlink(), "missing"),
    "no card": (lambda folder: (folder / "model.json").unlink(), "card is missing"),
    "card no JSON": (lambda folder: (folder / "model.json").write_text("{"), "card: Expecting"),
    "card of something else": (
        lambda folder: (folder / "model.json").write_text("[]"),
        "no model card",
    ),
    "card with a key too many": (lambda folder: alter(folder, colour=1), "its colour is wrong"),
    "card of a newer version": (
        lambda folder: alter(folder, schema_version=4),
        "version 4; this Tutelage reads up to 3",
    ),
    "card that ties to nothing": (
        lambda folder: alter(folder, tied={"out.weight": "gone"}),
        "ties tensors that are missing",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_folder_is_refused_clearly(name: str, tmp_path: Path) -> None:
    saved(tmp_path)
    spoil, words = BROKEN[name]
    spoil(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        ModelManager.load_state_dict(tmp_path, Tied())


def test_a_card_of_version_1_is_migrated_on_reading(tmp_path: Path) -> None:
    net = saved(tmp_path)
    path = tmp_path / "model.json"
    card = json.loads(path.read_text())
    card["schema_version"], card["sha"] = 1, card.pop("digest")
    del card["preprocessing"], card["preprocessing_version"]
    path.write_text(json.dumps(card))
    other = Tied()
    read = ModelManager.load_state_dict(tmp_path, other)
    assert isinstance(read, ModelCard)
    assert (read.schema_version, read.preprocessing, read.preprocessing_version) == (3, {}, 1)
    assert torch.equal(other.embed.weight, net.embed.weight)


def test_the_size_of_a_model_counts_tied_weights_once() -> None:
    net = Tied()
    net.norm.requires_grad_(False)
    info = ModelManager.get_model_info(net)
    assert (info.class_name, info.parameters, info.trainable) == ("Tied", 40 + 8, 40)
    assert info.bytes == (40 + 8 + 8) * 4 + 8
    assert str(info.tensors["embed.weight"]) == "float32[10, 4]"


def test_a_lazy_layer_that_was_never_run_is_refused(tmp_path: Path) -> None:
    net = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(CheckpointError, match="0.weight of Sequential holds no tensor"):
        ModelManager.save_state_dict(net, tmp_path, INFO)


class Kind(Enum):
    DOS = "dos"


@dataclass
class Point:
    x: float
    kind: Kind


def test_values_become_json_that_is_the_same_each_time() -> None:
    value = {
        Kind.DOS: Point(math.nan, Kind.DOS),
        3: torch.tensor([[1.5, -math.inf]]),
        "scalar": torch.tensor(2),
        "array": np.float32(0.5),
        "flag": np.bool_(True),
        "path": Path("a") / "b",
        "set": {"b", "a"},
        "bytes": b"\x01\xff",
        "time": datetime(2024, 1, 2, tzinfo=UTC),
        "dtype": torch.bfloat16,
        "card": TensorInfo(shape=(2,), dtype="int8"),
        "none": None,
    }
    plain = ModelManager.sanitize_for_json(value)
    assert plain == {
        "dos": {"x": "NaN", "kind": "dos"},
        "3": [[1.5, "-Infinity"]],
        "scalar": 2,
        "array": 0.5,
        "flag": True,
        "path": "a/b",
        "set": ["a", "b"],
        "bytes": "01ff",
        "time": "2024-01-02T00:00:00+00:00",
        "dtype": "bfloat16",
        "card": {"shape": [2], "dtype": "int8"},
        "none": None,
    }
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [object()]}, r"a\[0\] is a builtins.object"),
        ({"a": 1j}, "a is a builtins.complex"),
        ({1: "x", "1": "y"}, "two keys that read '1'"),
    ],
)
def test_a_value_without_a_form_in_json_is_named_by_its_place(value: object, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        ModelManager.sanitize_for_json(value)
