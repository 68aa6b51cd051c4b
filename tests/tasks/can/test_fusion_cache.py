"""The cache of experts' scores: found by content, checked, rebuilt when damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tutelage.tasks.can.fusion.cache import FusionPredictionCache

NAMES = ("score", "margin")


class Computed:
    """Makes a table and counts how often."""

    def __init__(self, value: float = 1.0) -> None:
        self.times, self.value = 0, value

    def __call__(self) -> Tensor:
        self.times += 1
        return self.value / 3 * torch.arange(10).reshape(5, 2)


def test_what_was_computed_once_is_read_to_the_last_bit(tmp_path: Path) -> None:
    make = Computed()
    first = FusionPredictionCache(tmp_path).table(["run", "data"], NAMES, 5, make)
    again = FusionPredictionCache(tmp_path).table(["run", "data"], NAMES, 5, make)
    assert make.times == 1 and first.equal(again) and again.dtype == torch.float32
    assert [path.suffix for path in tmp_path.iterdir()] == [".arrow"]


def test_another_run_data_column_or_number_of_windows_is_another_table(tmp_path: Path) -> None:
    make, cache = Computed(), FusionPredictionCache(tmp_path)
    cache.table(["run", "data"], NAMES, 5, make)
    cache.table(["other", "data"], NAMES, 5, make)
    cache.table(["run", "other"], NAMES, 5, make)
    cache.table(["run", "data"], ("score", "entropy"), 5, make)
    assert make.times == 4 and len(list(tmp_path.iterdir())) == 4


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    at = content.index((1 / 3 * torch.arange(10)[2]).numpy().tobytes())
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda content: b"", lambda content: b"nonsense"])
def test_a_damaged_file_is_noticed_and_rebuilt(
    tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    make, cache = Computed(), FusionPredictionCache(tmp_path)
    first = cache.table(["run"], NAMES, 5, make)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with caplog.at_level(logging.WARNING):
        again = cache.table(["run"], NAMES, 5, make)
    assert make.times == 2 and again.equal(first)
    assert "is damaged" in caplog.text and file.name in caplog.text
    assert cache.table(["run"], NAMES, 5, make).equal(first) and make.times == 2
