"""A run of each task is verified to the byte and made again to the bit; a tagger is shipped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import SMALL as CAN
from command import Tutelage
from test_fold_commands import own_data
from test_ner_command import SMALL as NER
from test_ner_command import letters

from tutelage import api
from tutelage.core.folds import write_split
from tutelage.core.store import RunStore
from tutelage.task import fold_split

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks" / "neural"))
from made_pairs import SMALL as MULTIMODAL  # noqa: E402
from made_sessions import image_arrays, write  # noqa: E402

SHORT = ("training.max_epochs=1", "training.accelerator=cpu")
NEURAL = ("model.convnet.channels=[4]", "model.convnet.kernels=[3]", "model.convnet.pools=[2]",
          "evaluation.bootstrap=20")  # fmt: skip
SETTINGS = {"can": CAN, "multimodal": MULTIMODAL, "ner": NER, "neural": NEURAL}


def data_of(task: str, folder: Path) -> tuple[str, ...]:
    if task == "neural":
        write(folder / "sessions", "a", image_arrays(0, images=60, repeats=10))
        return (f"data.root={folder / 'sessions'}",)
    return own_data(task, folder)


@contextmanager
def flipped(path: Path) -> Iterator[None]:
    """One bit of the byte in the middle of a file is changed, and put back."""
    content = path.read_bytes()
    place = len(content) // 2
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    yield
    path.write_bytes(content)


@pytest.mark.parametrize("task", sorted(SETTINGS))
def test_each_byte_that_a_run_depends_on_is_watched_and_each_bit_comes_again(
    tmp_path: Path, task: str
) -> None:
    data = (*SETTINGS[task], *SHORT, *data_of(task, tmp_path))
    found, config = api.configure(task, data)
    store = RunStore(tmp_path / "home")
    split = fold_split(found, config, store.cache(task), "stratified" if task == "can" else "kfold",
                       2)  # fmt: skip
    write_split(split, tmp_path / "split.json")
    folded = (*data, f"data.split_file={tmp_path / 'split.json'}", "data.fold=0")
    run = api.train(task, *folded, home=store.home)
    whole = api.verify(run)
    assert not whole.changed and not whole.unchecked
    read = [Path(check.path) for check in whole.checks if check.what == "data"]
    assert read
    watched = {
        "data": read[-1],
        "split": tmp_path / "split.json",
        "config": run.path / "config.json",
        "weights": run.path / "model.safetensors",
    }
    for what, path in watched.items():
        with flipped(path):
            changed = api.verify(run).changed
        assert (what, str(path)) in [(check.what, check.path) for check in changed]
    assert api.verify(run) == whole
    made = api.reproduce(run)
    assert made.weights.identical and not made.metrics and not made.differences


def test_a_tagger_is_shipped_from_old_and_new_texts(tutelage: Tutelage) -> None:
    letters(tutelage.folder / "old" / "a.jsonl", 60, 0)
    letters(tutelage.folder / "new" / "b.jsonl", 60, 1, "Name")
    tutelage.done("train", "ner", "data.root=old", *NER)
    settings = ("data.root=new", "final.combine=append", "final.export=onnx")
    gate = ("final.gate.metric=test/f1", "final.gate.minimum=0.2", "final.gate.latency_ms=200")
    told = tutelage.done("final", "@last", *settings, *gate, "--json").json
    assert told["passed"] is True and told["step"] == "train"
    (run,) = [path for path in tutelage.runs() if (path / "final.json").exists()]
    assert (run / "model.onnx").stat().st_size == told["exports"][0]["bytes"]  # type: ignore[index]
    assert tutelage("runs", "verify", run.name).code == 0
    (first,) = [path.name for path in tutelage.runs() if path != run]
    shown = tutelage.done("final", first, *settings, *gate)
    assert "<svg" in (run / "report.html").read_text()
    for line in (f"report   {run / 'report.html'}", f"next     tutelage predict {run.name} INPUT"):
        assert line in shown.out
    with flipped(run / "model.onnx"):
        result = tutelage("runs", "verify", run.name)
    assert result.code == 1 and "export: " in result.out and "model.onnx" in result.out
