"""Folds as a person trains them, for every task: each has scores and predictions of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from command import SMALL as CAN
from command import Tutelage, assert_refused
from test_ner_command import SMALL as NER
from test_ner_command import letters
from test_neural_command import EMBEDDED as NEURAL

from tutelage import api
from tutelage.core.folds import Split, SplitKind, write_split
from tutelage.core.store import RunStore
from tutelage.task import fold_split
from tutelage.tasks.can.simulator import simulate_capture, write_csv

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks" / "multimodal"))
from made_pairs import SMALL as MULTIMODAL  # noqa: E402
from made_pairs import make_folder  # noqa: E402

SHORT = ("training.max_epochs=1", "training.accelerator=cpu")
PLAIN = ("evaluation.drawn_sessions=0", "evaluation.bootstrap=10", "data.simulated_sessions=1")
SETTINGS = {"can": CAN, "multimodal": MULTIMODAL, "ner": NER, "neural": (*NEURAL, *PLAIN)}
HEADLINE = {"can": "f1", "multimodal": "recall@10", "ner": "f1", "neural": "corr"}


def own_data(task: str, folder: Path) -> tuple[str, ...]:
    """Data of one's own for the tasks that need little ones."""
    if task == "ner":
        letters(folder / "letters" / "a.jsonl", 80, 0)
        return (f"data.root={folder / 'letters'}",)
    if task == "multimodal":
        return (f"data.root={make_folder(folder / 'mine')}",)
    if task == "can":
        for seed, attack in enumerate((None, "dos")):
            path = folder / "drives" / "train_01" / f"{attack or 'attack-free'}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            made = simulate_capture("hatchback", seed=seed, seconds=12, attack=attack)
            write_csv(made.frames, path)
        return (f"data.root={folder / 'drives'}", "data.embargo_seconds=0.2")
    return ()


def dealt(tutelage: Tutelage, task: str, settings: Sequence[str]) -> Split:
    found, config = api.configure(task, settings)
    kind: SplitKind = "stratified" if task == "can" else "kfold"
    return fold_split(found, config, RunStore(tutelage.home).cache(task), kind, 2)


def told(run: Path) -> list[Mapping[str, object]]:
    """What a fold's run kept of its predictions."""
    lines = run / "out_of_fold.jsonl"
    if lines.exists():
        return [json.loads(line) for line in lines.read_text().splitlines()]
    return parquet.read_table(run / "out_of_fold.parquet").to_pylist()


@pytest.mark.parametrize("task", sorted(SETTINGS))
def test_two_folds_train_apart_and_tell_of_every_unit_once(tutelage: Tutelage, task: str) -> None:
    settings = (*SETTINGS[task], *SHORT, *own_data(task, tutelage.folder))
    split = dealt(tutelage, task, settings)
    write_split(split, tutelage.folder / "split.json")
    folds = (*settings, "data.split_file=split.json")
    for fold in range(2):
        value = tutelage.done("train", task, *folds, f"data.fold={fold}", "--json").json
        metrics = value["metrics"]
        assert isinstance(metrics, dict)
        assert f"held_out/{HEADLINE[task]}" in metrics
        assert not [name for name in metrics if name.startswith("test")]
    units = [{row["fold_unit"] for row in told(run)} for run in tutelage.runs()]
    assert sorted(map(sorted, units)) == sorted(sorted(split.held_out(fold)) for fold in range(2))  # type: ignore[type-var]


def test_a_fold_that_is_not_there_or_of_other_data_is_refused(tutelage: Tutelage) -> None:
    settings = (*CAN, *own_data("can", tutelage.folder))
    write_split(dealt(tutelage, "can", settings), tutelage.folder / "split.json")
    folded = ("train", "can", *settings, "data.split_file=split.json")
    assert_refused(tutelage(*folded, "data.fold=2"), "there is no fold 2", "from 0 to 1")
    (tutelage.folder / "drives" / "train_01" / "dos.csv").rename(tutelage.folder / "dos.csv")
    assert_refused(tutelage(*folded, "data.fold=0"), "from other data", "are not there", "Deal")
    content = json.loads((tutelage.folder / "split.json").read_text())
    content["fold_of"][0][0] = 1 - content["fold_of"][0][0]
    (tutelage.folder / "split.json").write_text(json.dumps(content))
    assert_refused(tutelage(*folded, "data.fold=0"), "changed after it was dealt")
