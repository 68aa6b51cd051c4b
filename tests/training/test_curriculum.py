"""A run with a curriculum: what it sees, remembers and measures, and that it resumes exactly."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from tiny_task import (
    Batch,
    OnStep,
    TinyConfig,
    TinyCurriculumData,
    TinyModule,
    TinyTask,
    crash_at,
    length,
    same_bits,
    sample,
    tiny,
    train,
    weights,
)

from tutelage.core.config import CurriculumMode, Memory, RunConfig
from tutelage.core.errors import ConfigError, DataError, RequestError, RunFailedError, StoreError
from tutelage.core.store import METRICS, Run, RunStore
from tutelage.report.curves import read_history
from tutelage.task import ModelEntry, SupportsCurriculum, Task
from tutelage.training.checkpoints import TutelageCheckpointIO, find_valid
from tutelage.training.curriculum import Stage
from tutelage.training.launch import launch

EPOCHS = 8
FAST = ("training.accelerator=cpu", f"training.max_epochs={EPOCHS}", "mode=curriculum")
GUIDE = ("training.accelerator=cpu", "mode=autoencoder", "model=reconstructor")
SHORT = ("training.max_epochs=4",)
AUTO = ("training.batch_size=auto", "mode.resize_batch=true", "mode.stages=2")
SIZES = ("training.batch_sizing.min_size=8", "training.batch_sizing.max_size=16")
RESUME = "run.policy=resume_if_incomplete"


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with a finished autoencoder run, and the setting that names it."""
    home = tmp_path_factory.mktemp("guided")
    return home, f"mode.guide={train(home, *GUIDE).run.id}"


# ---- a run


def seen_by_epoch(seen: dict[int, list[Batch]]) -> OnStep:
    """Note each batch by its epoch; batches of one belong to the memory."""

    def note(module: TinyModule, batch: Batch) -> None:
        if module._trainer is not None and len(batch[1]) > 1:
            seen[module.trainer.current_epoch].append(batch)

    return note


def test_training_sees_the_ratio_of_each_epoch(tmp_path: Path) -> None:
    seen: dict[int, list[Batch]] = defaultdict(list)
    run = train(tmp_path, *FAST, on_step=seen_by_epoch(seen)).run
    labels = [torch.cat([y for _, y in seen[epoch]]) for epoch in range(EPOCHS)]
    assert [len(y) for y in labels] == [80] * EPOCHS  # 70 samples, in full batches of 16
    assert [int(y.sum()) for y in labels] == [40, 40, 16, 16, 10, 10, 7, 7]
    (table,) = run.record.tables
    assert [row[:3] for row in table.rows] == [(1, 1, 1), (2, 3, 4), (3, 5, 7), (4, 7, 10)]


def hardness(run: Run, x: torch.Tensor) -> torch.Tensor:
    """The anomaly scores that a guide gives to samples (n, 8)."""
    module = TinyModule(tiny(*GUIDE), [0.0] * 8, lambda module, batch: None)
    module.load_state_dict(weights(run))
    with torch.inference_mode():
        return module.eval().errors((x, x))


def test_a_guide_gives_easy_normal_samples_first_and_hard_ones_last(
    guided: tuple[Path, str],
) -> None:
    home, guide = guided
    seen: dict[int, list[Batch]] = defaultdict(list)
    run = train(home, *FAST, guide, on_step=seen_by_epoch(seen)).run
    (parent,) = run.record.parents
    assert (parent.role, parent.same_data) == ("guide", True)
    teacher = RunStore(home).find(parent.run)
    x, y = sample(70, 1)
    middle = float(hardness(teacher, x[y == 0]).median())
    drawn = [hardness(teacher, torch.cat([x[y == 0] for x, y in seen[epoch]])) for epoch in (0, 7)]
    assert float(drawn[0].max()) <= middle <= float(drawn[1].min())


def test_the_guide_scores_once_and_damaged_scores_are_made_again(
    guided: tuple[Path, str], tmp_path: Path
) -> None:
    home, guide = guided
    first = train(home, *FAST, guide).run
    (file,) = home.rglob("difficulty/*.safetensors")
    written = file.stat().st_mtime_ns
    again = train(home, *FAST, guide, "run.policy=force_new").run
    assert file.stat().st_mtime_ns == written and same_bits(first, again)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert same_bits(first, train(home, *FAST, guide, "run.policy=force_new").run)
    assert file.read_bytes() != bytes(content)
    train(home, *FAST, guide, "data.samples=60")
    assert len(list(home.rglob("difficulty/*.safetensors"))) == 2  # other samples, other scores


OPTIONS = {
    "start_ratio": "mode.start_ratio=2",
    "end_ratio": "mode.end_ratio=5",
    "shape": "mode.shape=geometric",
    "stages": "mode.stages=3",
    "ramp_fraction": "mode.ramp_fraction=0.25",
    "guide": "mode.guide=null",
    "easiest_share": "mode.easiest_share=0.3",
    "hardest_share": "mode.hardest_share=0.3",
    "draw": "mode.draw=weighted",
}
MEMORY = {
    "name": ("replay", "mode.memory.name=ewc"),
    "buffer": ("replay", "mode.memory.buffer=4"),
    "share": ("replay", "mode.memory.share=0.5"),
    "weight": ("ewc", "mode.memory.weight=1000"),
    "samples": ("ewc", "mode.memory.samples=8"),
}


def test_every_option_is_tried_below() -> None:
    apart = {"name", "resize_batch", "memory", "measure"}  # each has a test of its own
    assert OPTIONS.keys() == CurriculumMode.model_fields.keys() - apart
    assert MEMORY.keys() == Memory.model_fields.keys()


@cache
def last_weights(home: Path, *overrides: str) -> dict[str, torch.Tensor]:
    """The weights after the last step, whichever checkpoint was the best."""
    last: dict[str, torch.Tensor] = {}

    def keep(module: TinyModule, batch: Batch) -> None:
        last.update({name: value.clone() for name, value in module.network.state_dict().items()})

    train(home, *FAST, *SHORT, *overrides, "run.policy=force_new", on_step=keep)
    return last


def alike(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_changes_what_is_learned(guided: tuple[Path, str], option: str) -> None:
    home, guide = guided
    assert not alike(last_weights(home, guide, OPTIONS[option]), last_weights(home, guide))


@pytest.mark.parametrize("option", MEMORY)
def test_each_option_of_memory_changes_what_is_learned(
    guided: tuple[Path, str], option: str
) -> None:
    home, guide = guided
    memory, change = MEMORY[option]
    plain = last_weights(home, guide, f"mode.memory.name={memory}")
    assert not alike(last_weights(home, guide, f"mode.memory.name={memory}", change), plain)
    assert not alike(last_weights(home, guide), plain)  # and memory=none is another again


# ---- samples of one kind

ONE_KIND = (*FAST, "data.kinds=1")
BY_LENGTH = "mode.measure=length"


def lengths(seen: dict[int, list[Batch]], epoch: int) -> torch.Tensor:
    """How far from the origin the samples of an epoch lay."""
    return length(torch.cat([x for x, _ in seen[epoch]]))


def test_a_measure_gives_easy_samples_first_and_hard_ones_last(tmp_path: Path) -> None:
    seen: dict[int, list[Batch]] = defaultdict(list)
    run = train(tmp_path, *ONE_KIND, BY_LENGTH, on_step=seen_by_epoch(seen)).run
    middle = length(sample(70, 1)[0]).median()
    assert lengths(seen, 0).max() <= middle <= lengths(seen, 7).min()
    (table,) = run.record.tables
    assert [row[2:5] for row in table.rows][::3] == [
        (None, "0% to 50%", 1),
        (None, "50% to 100%", 1),
    ]


def test_a_measure_drawn_by_weight_ends_with_all_samples_alike(tmp_path: Path) -> None:
    seen: dict[int, list[Batch]] = defaultdict(list)
    train(tmp_path, *ONE_KIND, BY_LENGTH, "mode.draw=weighted", on_step=seen_by_epoch(seen))
    whole = length(sample(70, 1)[0])
    assert lengths(seen, 0).mean() < whole.mean() - whole.std() / 4
    assert set(lengths(seen, 7).tolist()) == set(whole.tolist())


def test_a_finished_classifier_can_be_the_guide(tmp_path: Path) -> None:
    teacher = train(tmp_path, "training.accelerator=cpu", "training.max_epochs=1").run
    seen: dict[int, list[Batch]] = defaultdict(list)
    train(tmp_path, *ONE_KIND, f"mode.guide={teacher.id}", on_step=seen_by_epoch(seen))
    module = TinyTask().build(tiny(), {"mean": [0.0] * 8}).eval()
    module.load_state_dict(weights(teacher))
    with torch.inference_mode():
        loss = [module.difficulty_scores(batch) for batch in (sample(70, 1), *seen[0])]
    assert torch.cat(loss[1:]).max() <= loss[0].median()


def test_what_an_epoch_draws_is_put_into_batches_as_the_data_say(tmp_path: Path) -> None:
    class Sorted(TinyCurriculumData):
        def arrange(
            self, places: torch.Tensor, size: int, stage: Stage, epoch: int
        ) -> Sequence[torch.Tensor]:
            return torch.split(places.sort(descending=stage.progress == 1).values, size)

    class SortedTask(TinyTask):
        def curriculum_data(self, config: TinyConfig, cache: Path) -> Sorted:
            return Sorted(config, None)

    seen: dict[int, list[Batch]] = defaultdict(list)
    launch(SortedTask(seen_by_epoch(seen)), tiny(*ONE_KIND), RunStore(tmp_path))
    x = sample(70, 1)[0]
    whole = torch.cat([x, x[:10]])  # 80 are drawn
    for epoch in (0, 7):
        places = [int((x == row).all(1).nonzero()) for batch, _ in seen[epoch] for row in batch]
        assert places == sorted(places, reverse=epoch == 7) and len(places) == len(whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("mode.measure=lenght",), "unknown measure 'lenght'"),
        ((), "nothing says which samples are easy"),
        ((BY_LENGTH, "mode.end_ratio=3"), "there is no ratio to move"),
        ((BY_LENGTH, "mode.guide=run"), "give one of them"),
    ],
)
def test_what_would_do_nothing_for_samples_of_one_kind_is_refused(
    tmp_path: Path, settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        train(tmp_path, *ONE_KIND, *settings)
    assert not [run for run in RunStore(tmp_path).runs() if run.record.status == "finished"]


# ---- memory


def test_the_penalty_is_a_part_of_the_loss_once_a_stage_has_ended(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST, "mode.memory.name=ewc").run
    penalty = [value for _, value in read_history(run.path / METRICS)["epoch/penalty"]]
    assert penalty[:2] == [0, 0] and min(penalty[2:]) > 0
    assert not any(name.startswith("objective") for name in weights(run))


def test_a_heavy_penalty_holds_the_weights_that_earlier_stages_depend_on(tmp_path: Path) -> None:
    steady = ("training.optimizer=sgd", "training.gradient_clip=null", "training.weight_decay=0")
    moved = {}
    for weight in (0.001, 300.0):
        ewc = ("mode.memory.name=ewc", f"mode.memory.weight={weight}", "mode.stages=2")
        run = train(tmp_path, *FAST, *steady, *ewc).run
        history = read_history(run.path / METRICS)["epoch/penalty"]
        moved[weight] = history[-1][1] / weight
    assert 0 < moved[300.0] < 0.5 * moved[0.001]


# ---- batch sizes


def test_each_stages_batch_size_is_measured_on_its_own_mix_written_down_and_used(
    tmp_path: Path,
) -> None:
    seen: dict[int, list[Batch]] = defaultdict(list)
    note, probed = seen_by_epoch(seen), tmp_path / "probed"

    def look(module: TinyModule, batch: Batch) -> None:
        note(module, batch)
        if module._trainer is None:  # in the child that measures
            with probed.open("a") as file:
                file.write(f"{float(batch[1].float().mean())}\n")

    run = train(tmp_path, *FAST, *AUTO, *SIZES, on_step=look).run
    shares = [float(line) for line in probed.read_text().splitlines()]
    assert shares[0] > 0.4 and shares[-1] < 0.2 and shares == sorted(shares, key=lambda s: s < 0.2)
    stages = json.loads((run.path / "batch_size.json").read_text())["stages"]
    assert [(stage["first_epoch"], stage["ratio"]) for stage in stages] == [(0, 1), (6, 10)]
    assert all([row["size"] for row in stage["table"]] == [8, 16] for stage in stages)
    sizes = [{len(y) for _, y in seen[epoch]} for epoch in range(EPOCHS)]
    assert sizes == [{stages[0]["size"]}] * 6 + [{stages[1]["size"]}] * 2


def test_a_resumed_run_goes_on_with_the_sizes_that_were_written_down(tmp_path: Path) -> None:
    settings = (*FAST, *AUTO, *SIZES, RESUME)

    def crash(module: TinyModule, batch: Batch) -> None:
        if module._trainer is not None:
            raise RuntimeError("lightning struck")

    with pytest.raises(RunFailedError, match="lightning struck"):
        train(tmp_path, *settings, on_step=crash)
    (run,) = RunStore(tmp_path).runs()
    found = json.loads((run.path / "batch_size.json").read_text())
    for stage, size in zip(found["stages"], (5, 11), strict=True):
        stage["size"] = size
    (run.path / "batch_size.json").write_text(json.dumps(found))
    seen: dict[int, list[Batch]] = defaultdict(list)
    train(tmp_path, *settings, on_step=seen_by_epoch(seen))
    sizes = [{len(y) for _, y in seen[epoch]} for epoch in range(EPOCHS)]
    assert sizes == [{5}] * 6 + [{11}] * 2


def test_an_automatic_size_without_resizing_is_one_for_all_stages(tmp_path: Path) -> None:
    seen: dict[int, list[Batch]] = defaultdict(list)
    one = ("training.batch_size=auto", "training.max_epochs=2")
    run = train(tmp_path, *FAST, *SIZES, *one, on_step=seen_by_epoch(seen)).run
    chosen = json.loads((run.path / "batch_size.json").read_text())["size"]
    assert {len(y) for batches in seen.values() for _, y in batches} == {chosen}


# ---- resuming


@pytest.mark.parametrize("memory", ["none", "replay", "ewc"])
@pytest.mark.parametrize("crash", [4, 10, 23])  # 5 steps an epoch: 10 is where a stage begins
def test_a_broken_run_ends_with_the_bits_of_the_whole_one(
    guided: tuple[Path, str], tmp_path: Path, memory: str, crash: int
) -> None:
    home, guide = guided
    settings = (*FAST, guide, f"mode.memory.name={memory}", "training.checkpoints.every_n_steps=2")
    whole = train(home, *settings).run
    guide_run = RunStore(home).find(whole.record.parents[0].run)
    settings = (*settings, f"mode.guide={guide_run.path}", RESUME)
    with pytest.raises(RunFailedError):
        train(tmp_path, *settings, on_step=crash_at(crash, RuntimeError("lightning struck")))
    resumed = train(tmp_path, *settings)
    assert resumed.origin == "resumed"
    assert same_bits(resumed.run, whole)  # the best, which may be older than the crash
    last, unbroken = newest(resumed.run), newest(whole)
    assert last.keys() == unbroken.keys()
    assert all(torch.equal(last[name], unbroken[name]) for name in last)
    assert ("objective.fisher" in last) == (memory == "ewc")


def newest(run: Run) -> dict[str, torch.Tensor]:
    """The tensors of a run's newest checkpoint."""
    path = find_valid(run.checkpoints)
    assert path is not None
    state = TutelageCheckpointIO().load_checkpoint(path)["state_dict"]
    assert isinstance(state, dict)
    return state


# ---- refusals


def test_measured_sizes_for_stages_need_a_size_that_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.batch_size=auto"):
        train(tmp_path, *FAST, "mode.resize_batch=true")
    assert not RunStore(tmp_path).runs()


def test_samples_of_one_kind_alone_are_no_curriculum(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all 1 training samples are"):
        train(tmp_path, *FAST, "data.samples=1")


def test_a_task_without_a_curriculum_is_refused(tmp_path: Path) -> None:
    members = {name: value for name, value in vars(TinyTask).items() if name != "curriculum_data"}
    promises = {"classifier": ModelEntry("one hidden layer", ("curriculum",))}
    bare = type("Bare", (Task,), members | {"models": promises})
    task: Task[RunConfig] = bare()
    assert not isinstance(task, SupportsCurriculum)
    with pytest.raises(ConfigError, match="has no curriculum"):
        launch(task, tiny(*FAST), RunStore(tmp_path))


def test_a_guide_that_is_not_there_is_refused_before_any_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run 'missing'"):
        train(tmp_path, *FAST, "mode.guide=missing")
    assert not RunStore(tmp_path).runs()
