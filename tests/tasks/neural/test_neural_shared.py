"""What several sessions saw passes the core once, with the losses of passing it often."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_sessions import movie_arrays, write
from neural_chunks import card, chunk, learned

from tutelage.core.errors import ConfigError
from tutelage.core.overrides import build_config
from tutelage.tasks.neural.batch import NeuralBatch
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.chunks import ChunkTable
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.sampling import SharedStimulusBatchSampler
from tutelage.tasks.neural.data.split import TRAIN
from tutelage.tasks.neural.models.config import MultiDatasetConfig, NeuralTraining
from tutelage.tasks.neural.modules import NeuralModule

SMALL = ("convnet.channels=[5,6]", "convnet.kernels=[5,3]", "convnet.frames=[2]")
NETWORKS = {
    "taps": SMALL,
    "film": (*SMALL, "modulator.name=film"),
    "state": (*SMALL, "recurrent.name=gru", "recurrent.warmup=2"),
    "state of behaviour": (*SMALL, "modulator.name=convgru", "modulator.warmup=2"),
    "gabor energies": ("frontend.name=gabor", "frontend.stride=2"),
    "adapter": (*SMALL, "adapter.name=affine"),
}


def made(options: tuple[str, ...]) -> tuple[NeuralModule, NeuralBatch]:
    """A network, and a batch in which three stimuli were shown to two sessions, in other orders."""
    config = build_config(MultiDatasetConfig, [], options)
    cards = (card("a", 3, behaviour=2), card("b", 4, behaviour=1))
    torch.manual_seed(1)
    module = NeuralModule(config, NeuralTraining(), learned(*cards))
    one, other = (chunk(each, 3, config.context, 6, seed=i) for i, each in enumerate(cards))
    order = torch.tensor([2, 0, 1])
    other = replace(other, stimulus=one.stimulus[order], shown=order + 7)
    return module.double(), NeuralBatch((replace(one, shown=torch.arange(3) + 7), other))


def loss_and_gradients(module: NeuralModule, batch: NeuralBatch) -> dict[str, torch.Tensor]:
    module.zero_grad()
    loss = module.step(batch)["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    named = module.named_parameters()
    return {"loss": loss.detach()} | {n: p.grad.clone() for n, p in named if p.grad is not None}


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS.keys())
def test_what_is_shown_twice_gives_the_loss_and_gradients_of_passing_it_twice(
    options: tuple[str, ...],
) -> None:
    module, batch = made(options)
    apart = NeuralBatch(tuple(replace(part, shown=None) for part in batch.parts))
    expected, found = loss_and_gradients(module, apart), loss_and_gradients(module, batch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", ["taps", "film", "adapter"])
def test_the_convolutions_see_each_stimulus_once(name: str) -> None:
    module, batch = made(NETWORKS[name])
    seen: list[int] = []
    module.network.core.convnet.register_forward_hook(lambda *call: seen.append(len(call[2])))
    module.step(batch)
    assert seen == [6 if name == "adapter" else 3]  # through adapters, each session sees its own


def table(seed: int = 0) -> ChunkTable:
    """Stretches of three sessions: 20 stimuli shown to all, some twice to one, and 9 to one."""
    random = np.random.default_rng(seed)
    shown = np.concatenate([random.permutation(20), random.permutation(25), np.arange(20), [3, 4]])
    shown = np.concatenate([shown, [90, 91, 92, 93]])
    session = np.repeat(np.arange(3), [20, 25, 26])
    start = np.arange(len(shown), dtype=np.int64)
    zeros = np.zeros(len(shown), np.int64)
    return ChunkTable(session, start, start + 1, zeros, zeros + 99, (1, 1, 1), 0, shown)


def test_a_batch_has_every_sessions_answers_to_its_stimuli_and_an_epoch_every_stretch() -> None:
    held, order = table(), SharedStimulusBatchSampler(table(), 4, seed=5)
    assert held.shown is not None
    for epoch in (0, 3):
        batches = order.batches(epoch)
        assert len(batches) == len(order)
        assert sorted(torch.cat(list(batches)).tolist()) == list(range(len(held)))
        for batch in batches:
            session = held.session[batch.numpy()]
            assert (np.diff(session) >= 0).all()
            shown = held.shown[batch.numpy()]
            assert len(np.unique(shown)) <= 4
            for stimulus in set(shown.tolist()) & set(range(5, 20)):
                assert session[shown == stimulus].tolist() == [0, 1, 2]
    again = SharedStimulusBatchSampler(table(), 4, seed=5)
    assert all(map(torch.equal, order.batches(3), again.batches(3)))
    assert not all(map(torch.equal, order.batches(3), again.batches(4)))


def test_processes_share_stimuli_and_never_divide_one() -> None:
    held = table()
    alone = SharedStimulusBatchSampler(held, 4, seed=5).batches(2)
    ranks = [SharedStimulusBatchSampler(held, 2, 5, rank, 2) for rank in range(2)]
    assert held.shown is not None
    for i, batch in enumerate(alone):
        parts = [each.shard(each.batches(2)[i]) for each in ranks]
        assert sorted(torch.cat(parts).tolist()) == sorted(batch.tolist())
        stimuli = [set(each.stimulus[p].tolist()) for each, p in zip(ranks, parts, strict=True)]
        assert not stimuli[0] & stimuli[1]
        assert abs(len(stimuli[0]) - len(stimuli[1])) <= 1


def recordings(folder: Path, shared: bool, *settings: str) -> MultiDatasetDM:
    """Two recordings of the same movies in another order, or each of its own."""
    first, other = (movie_arrays(seed) for seed in range(2))
    if shared:
        trials = np.roll(first["stimulus"].reshape(12, 20, 1, 8, 8), 5, axis=0)
        other["stimulus"] = trials.reshape(-1, 1, 8, 8)
    for seed, arrays in enumerate((first, other)):
        write(folder / "data", f"s{seed}", arrays)
    typed = (
        *(f"data.root={folder / 'data'}", "data.batches=shared", "data.chunk_frames=6"),
        "model.frontend={name: temporal, lags: 4, channels: 2}",
        *("model.convnet={channels: [3], kernels: [3], pools: [1]}", *settings),
    )
    data = MultiDatasetDM(build_config(NeuralConfig, [], typed), folder / "cache")
    data.batch_size = 4
    data.setup("fit")
    return data


def test_shared_stimuli_are_found_by_their_bytes_whatever_their_order(tmp_path: Path) -> None:
    data = recordings(tmp_path, shared=True)
    for batch in data.train_dataloader():
        one, other = batch.parts
        assert one.shown is not None and other.shown is not None
        assert sorted(one.shown.tolist()) == sorted(other.shown.tolist())
        for number, stimulus in zip(one.shown.tolist(), one.stimulus, strict=True):
            assert torch.equal(other.stimulus[other.shown == number][0], stimulus)
    assert len(data.train_dataloader()) == -(-len(data.tables[TRAIN]) // 8)
    largest = data.batch_of_size(5)
    assert [part.stimulus.shape[0] for part in largest.parts] == [5, 5]
    assert all(part.shown is not None for part in largest.parts)


def test_sessions_that_share_nothing_are_refused_and_so_is_another_order(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no two sessions show the same[\s\S]*batches=mixed"):
        recordings(tmp_path, shared=False).train_dataloader()
    with pytest.raises(ConfigError, match="mode=curriculum"):
        recordings(tmp_path, True, "mode=curriculum")
