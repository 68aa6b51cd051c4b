"""Processes that train a tagger together share the held-out texts, and find the score of one."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from made_ner_data import SMALL, made_data, write_texts
from torch import distributed as dist

from tutelage.tasks.ner.datamodule import NERDataModule
from tutelage.tasks.ner.modules import NERModule

FEW = 4
"""Windows of a batch, so that each process has several."""


def scored(data: NERDataModule, module: NERModule) -> tuple[float, float, int]:
    """F1 and loss on the held-out texts, and how many words this process looked at."""
    words = 0
    with torch.inference_mode():
        for number, batch in enumerate(data.val_dataloader()):
            module.validation_step(batch, number)
            words += len(batch.word)
    return module.held_out_f1(), float(module.mean_loss.compute()), words


def one_of_two(
    rank: int, meeting: Path, data: NERDataModule, module: NERModule, pipe: Connection
) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    data.rank, data.world_size = rank, 2
    pipe.send(scored(data, module))
    dist.destroy_process_group()


def test_two_processes_score_half_the_held_out_texts_each_and_agree_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutelage.tasks.ner.datamodule.EVALUATION_BATCH", FEW)
    torch.manual_seed(1)
    data, module = made_data(write_texts(tmp_path / "texts"), tmp_path / "cache", *SMALL)
    torch.nn.init.normal_(module.network.classifier.weight, std=4)
    f1, loss, words = scored(data, module)
    module.mean_loss.reset()
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    both = [
        context.Process(target=one_of_two, args=(rank, tmp_path / "meet", data, module, end))
        for rank, (_, end) in enumerate(pipes)
    ]
    for process in both:
        process.start()
    found = [end.recv() for end, _ in pipes]
    for process in both:
        process.join()
    assert [one[0] for one in found] == [f1, f1] and f1 > 0
    assert [one[1] for one in found] == pytest.approx([loss, loss], rel=1e-5)
    assert sum(one[2] for one in found) == words and all(one[2] < words for one in found)
