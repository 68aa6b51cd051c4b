"""The batch-size optimiser on real modules: what it chooses, survives, refuses and leaves alone."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import psutil
import pytest
import torch
from torch.utils.data import TensorDataset, default_collate

from tutelage.core.errors import ConfigError, DataError, RunFailedError
from tutelage.training.batch_optimizer import (
    BatchSizeChoice,
    BatchSizeOptimizer,
    BatchSizeOptions,
)
from tutelage.training.probe import find_optimizers
from tutelage.training.probe_memory import available_host_bytes, cgroup_room
from tutelage.training.sizable import TYPICAL_DRAWS, SizableGraphs, WorstCaseBatches, graph_cost

QUICK = BatchSizeOptions(max_size=64, steps=6, rounds=2, budget_s=1.0, timeout_s=60)

PATIENT = BatchSizeOptions(min_size=8, max_size=64, steps=6, rounds=2, budget_s=20.0)


class Classifier(pl.LightningModule):
    """A small classifier that calls ``at_step(batch size)`` in each training step."""

    def __init__(self, at_step: Callable[[int], object] = lambda size: None) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 2)
        )
        self.at_step = at_step

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:
        self.at_step(len(batch[0]))
        return {"loss": torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters())


@pytest.fixture(scope="module")
def samples() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.randn(300, 8, generator=generator), torch.randint(2, (300,), generator=generator)
    )


def choose(
    module: Classifier, samples: TensorDataset, options: BatchSizeOptions = QUICK
) -> BatchSizeChoice:
    return BatchSizeOptimizer(options).optimize_with_datasets(module, samples, default_collate)


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_a_choice_explains_itself_and_is_json(samples: TensorDataset) -> None:
    choice = choose(Classifier(), samples)
    assert choice.size in [row.size for row in choice.table]
    assert f"{choice.size} is the smallest size within 3%" in choice.reason
    assert choice.budget is None
    assert 0 < choice.peak_bytes_predicted <= choice.memory_limit_bytes
    assert json.loads(json.dumps(asdict(choice), allow_nan=False))["size"] == choice.size


def test_weights_gradients_mode_and_random_state_stay_untouched(samples: TensorDataset) -> None:
    module = Classifier().eval()
    features, labels = samples[:32]
    module.training_step([features, labels], 0)["loss"].backward()
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    gradients = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    choose(module, samples)
    assert not module.training
    assert all(torch.equal(weights[name], value) for name, value in module.state_dict().items())
    assert all(
        torch.equal(before, p.grad)
        for before, p in zip(gradients, module.parameters(), strict=True)
        if p.grad is not None
    )
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


def test_no_process_file_or_descriptor_is_left(
    samples: TensorDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    children, files = psutil.Process().children(), open_files()
    choose(Classifier(), samples)
    with pytest.raises(RunFailedError):
        choose(Classifier(lambda size: os.abort()), samples)
    assert psutil.Process().children() == children
    assert open_files() == files
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_computed_on_all_threads_can_be_forked_again_and_again(
    samples: TensorDataset,
) -> None:
    square = torch.randn(600, 600)
    for _ in range(3):
        (square @ square).sum()
        choose(Classifier(lambda size: square @ square), samples)
    assert torch.isfinite((square @ square).sum())


def test_a_step_that_can_not_allocate_is_survived_by_a_smaller_size(samples: TensorDataset) -> None:
    def greedy(size: int) -> None:
        if size > 16:
            torch.empty(1 << 50, dtype=torch.uint8)

    choice = choose(Classifier(greedy), samples, PATIENT)
    assert choice.size <= 16
    assert [row.size for row in choice.table if row.out_of_memory] == [32]
    assert "32 did not fit in memory" in choice.reason


def test_a_child_that_the_system_kills_is_survived_by_a_smaller_size(
    samples: TensorDataset,
) -> None:
    def killed(size: int) -> None:
        if size > 8:
            os.kill(os.getpid(), signal.SIGKILL)

    choice = choose(Classifier(killed), samples, PATIENT)
    assert choice.size <= 8
    assert [row.size for row in choice.table if row.out_of_memory] == [16]


def test_memory_that_grows_with_the_batch_ends_the_search_inside_the_margin(
    samples: TensorDataset,
) -> None:
    share = available_host_bytes() // 50

    def hungry(size: int) -> None:
        torch.ones(size * share // 16, dtype=torch.uint8)

    options = BatchSizeOptions(max_size=64, steps=3, rounds=1, budget_s=40.0, processes=50)
    choice = choose(Classifier(hungry), samples, options)
    assert choice.memory_limit_bytes <= share * 0.9
    assert choice.size < 16
    assert choice.size * share // 16 <= choice.peak_bytes_predicted <= choice.memory_limit_bytes
    assert "would not fit in memory with the margin" in choice.reason


def test_an_error_says_so_when_even_the_smallest_size_does_not_fit(samples: TensorDataset) -> None:
    module = Classifier(lambda size: torch.empty(1 << 50, dtype=torch.uint8))
    with pytest.raises(RunFailedError, match="no batch size fits: a step at size 2 ran out"):
        choose(module, samples)


def test_a_step_that_raises_is_reported_with_its_own_words(samples: TensorDataset) -> None:
    def broken(size: int) -> None:
        raise ValueError("the sprocket is missing")

    with pytest.raises(RunFailedError, match="exit code 1 in a training step at") as caught:
        choose(Classifier(broken), samples)
    assert "ValueError: the sprocket is missing" in str(caught.value)


def test_a_step_that_crashes_is_reported_with_its_signal(samples: TensorDataset) -> None:
    with pytest.raises(RunFailedError, match="SIGABRT in a training step at batch size 2"):
        choose(Classifier(lambda size: os.abort()), samples)


def test_a_step_that_hangs_is_stopped_and_reported(samples: TensorDataset) -> None:
    children = psutil.Process().children()
    options = BatchSizeOptions(max_size=4, timeout_s=0.5)
    with pytest.raises(RunFailedError, match="no answer in 0.5 s"):
        choose(Classifier(lambda size: threading.Event().wait()), samples, options)
    assert psutil.Process().children() == children


class Graph:
    """A graph as far as its size goes."""

    def __init__(self, num_nodes: int, num_edges: int) -> None:
        self.num_nodes, self.num_edges = num_nodes, num_edges


def test_graphs_are_sized_by_nodes_and_edges_of_their_worst_batch() -> None:
    graphs = [Graph(n, 3 * n) for n in [*range(1, 41), 500, 700]]

    def collate(items: list[Graph]) -> list[torch.Tensor]:
        return [torch.randn(len(items), 8), torch.zeros(len(items), dtype=torch.int64)]

    options = BatchSizeOptions(max_size=8, steps=3, rounds=1)
    choice = BatchSizeOptimizer(options).optimize_with_datasets(Classifier(), graphs, collate)
    largest = sorted((4 * graph.num_nodes for graph in graphs), reverse=True)
    assert choice.budget == sum(largest[: choice.size])


def test_graphs_may_take_half_the_memory_that_other_data_may(samples: TensorDataset) -> None:
    graphs = WorstCaseBatches([Graph(5, 5)] * 9, lambda items: samples[: len(items)], graph_cost)
    assert isinstance(graphs, SizableGraphs)
    options = BatchSizeOptions(max_size=4, steps=3, rounds=1)
    half = BatchSizeOptimizer(options).optimize_with_datamodule(Classifier(), graphs)
    full = choose(Classifier(), samples, options)
    assert half.memory_limit_bytes / full.memory_limit_bytes == pytest.approx(0.5, rel=0.2)


class Told:
    """Data whose batches tell what they were asked for."""

    train_size = 8

    def batch_of_size(self, size: int) -> list[torch.Tensor]:
        return self.batch(size, -1)

    def typical_batch_of_size(self, size: int, draw: int) -> list[torch.Tensor]:
        return self.batch(size, draw)

    @staticmethod
    def batch(size: int, draw: int) -> list[torch.Tensor]:
        return [torch.full((size, 8), float(draw)), torch.zeros(size, dtype=torch.int64)]


class Telling(Classifier):
    """Writes which batch each step took, and takes 32 MiB for the worst case, 256 for others."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log_file = log

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:
        draw = int(batch[0][0, 0])
        with self.log_file.open("a") as log:
            log.write(f"{draw} ")
        torch.ones((32 if draw < 0 else 256) << 20, dtype=torch.uint8)
        return super().training_step(batch, batch_idx)


def test_the_worst_case_is_weighed_and_typical_batches_are_timed_in_turn(tmp_path: Path) -> None:
    options = BatchSizeOptions(max_size=2, steps=4, rounds=1, budget_s=20.0)
    module = Telling(tmp_path / "log")
    choice = BatchSizeOptimizer(options).optimize_with_datamodule(module, Told())
    steps = [int(draw) for draw in module.log_file.read_text().split()]
    timed = steps[2:-2]
    assert steps[:2] == steps[-2:] == [-1, -1]
    assert timed == [k % TYPICAL_DRAWS for k in range(len(timed))]
    assert len(timed) == choice.table[0].steps >= TYPICAL_DRAWS  # whatever the time they take
    assert 32 << 20 <= choice.table[0].peak_bytes < 256 << 20


def test_an_empty_training_set_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        BatchSizeOptimizer().optimize_with_datasets(Classifier(), [], default_collate)


def test_the_available_memory_respects_the_address_space_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    room = 1 << 28
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + room, hard))
    try:
        available = available_host_bytes()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert 0 < available <= room


@pytest.mark.parametrize(
    ("limit", "usage", "cache"),
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_a_cgroup_leaves_its_limit_less_what_it_uses_and_can_not_reclaim(
    tmp_path: Path, limit: str, usage: str, cache: str
) -> None:
    (tmp_path / limit).write_text("1000\n")
    (tmp_path / usage).write_text("400\n")
    (tmp_path / "memory.stat").write_text(f"anon 300\n{cache} 100\n")
    assert list(cgroup_room(tmp_path)) == [700]


@pytest.mark.system
def test_a_cgroup_without_a_limit_sets_none(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert list(cgroup_room(tmp_path)) == []


def test_a_fresh_interpreter_probes_as_well(tmp_path: Path) -> None:
    children = psutil.Process().children()
    program = tmp_path / "serve.py"
    program.write_text(
        textwrap.dedent("""
        def build():
            import torch
            from tutelage.training.probe import TrainingWork
            from tutelage.training.sizable import SampledBatches

            class Module(torch.nn.Linear):
                automatic_optimization = True

                def training_step(self, batch, batch_idx):
                    print("chatter on stdout")
                    return self(batch).square().mean()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), 0.1)

                def transfer_batch_to_device(self, batch, device, index):
                    return batch.to(device)

            data = SampledBatches(torch.randn(40, 6), torch.stack)
            return TrainingWork(Module(6, 1), data, torch.device("cpu"))

        from tutelage.training.probe import serve_standard_streams
        serve_standard_streams(build)
        """)
    )
    options = BatchSizeOptions(steps=3, rounds=1, budget_s=1.0)
    choice = BatchSizeOptimizer(options).optimize_with_command([sys.executable, str(program)])
    assert {row.size for row in choice.table} <= {2, 4, 8, 16, 32}
    assert psutil.Process().children() == children


def test_a_command_that_fails_is_reported_with_its_words() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such run')"]
    with pytest.raises(RunFailedError, match="while it prepared") as caught:
        BatchSizeOptimizer().optimize_with_command(command)
    assert "no such run" in str(caught.value)


def test_a_command_that_does_not_exist_is_reported() -> None:
    with pytest.raises(RunFailedError, match="can't be started"):
        BatchSizeOptimizer().optimize_with_command(["/no/such/program"])


def test_a_module_with_manual_optimisation_is_refused(samples: TensorDataset) -> None:
    module = Classifier()
    module.automatic_optimization = False
    with pytest.raises(RunFailedError) as caught:
        choose(module, samples)
    assert "manual optimisation can't be probed" in str(caught.value)


def test_optimisers_are_found_in_every_form_that_lightning_takes() -> None:
    one = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.ConstantLR(one)
    for form in (one, [one], {"optimizer": one}, [{"optimizer": one}], ([one], [schedule])):
        assert list(find_optimizers(form)) == [one]
    assert list(find_optimizers([one, one])) == [one, one]
    with pytest.raises(ConfigError, match="no optimiser"):
        list(find_optimizers(None))


def test_an_unknown_device_is_refused(samples: TensorDataset) -> None:
    with pytest.raises(ConfigError, match="can't be probed on 'meta'"):
        BatchSizeOptimizer(device="meta").optimize_with_datasets(
            Classifier(), samples, default_collate
        )


@pytest.mark.parametrize(
    "wrong", [{"min_size": 0}, {"max_size": 1}, {"tolerance": 1.0}, {"safety_factor": 0.0}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        BatchSizeOptions(**wrong)  # type: ignore[arg-type]
