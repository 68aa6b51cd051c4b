"""Crafted files are refused: none runs code, leaves its folder or takes the memory."""

from __future__ import annotations

import json
import resource
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

import crafted
from made_runs import finish_run
from tutelage import api
from tutelage.core.errors import RequestError
from tutelage.core.folds import read_split
from tutelage.core.inputs import read_inputs
from tutelage.core.overrides import parse_yaml, read_settings
from tutelage.core.recipes import read_recipe
from tutelage.core.store import Run, RunStore
from tutelage.hpo.ledger import Ledger, open_storage
from tutelage.hpo.results import StudyFolder
from tutelage.hpo.space import check_space, read_space
from tutelage.report.curves import curves_of
from tutelage.task import load_task
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.ingest import find_captures, read_frames
from tutelage.tasks.multimodal.data.captions import read_captions
from tutelage.tasks.multimodal.data.decode import decode_entry
from tutelage.tasks.multimodal.data.entries import Entry, find_sources, read_entries, shard_entries
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.models.encoder import token_classifier
from tutelage.tasks.ner.sets import read_set
from tutelage.tasks.neural.sessions.hdf5 import read_hdf5
from tutelage.tasks.neural.sessions.npz import read_npz
from tutelage.training.export.runtime import open_session
from tutelage.training.model_card import read_card
from tutelage.training.state import load_tree
from tutelage.training.tensorfile import open_tensors

ROWS = 50_000_000
SECONDS = 20


@contextmanager
def bounded(size: int = 1 << 30) -> Iterator[None]:
    """Let at most so much more memory be taken, and not much time."""
    said = Path("/proc/self/status").read_text()
    taken = next(int(line.split()[1]) << 10 for line in said.splitlines() if "VmData" in line)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (taken + size, before[1]))
    began = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert time.process_time() - began < SECONDS


def refused(read: Callable[[], object], *words: str) -> None:
    """Reading ends in one of our errors that ask for another request, with the words in it."""
    with bounded(), pytest.raises(RequestError) as caught:
        read()
    assert caught.value.exit_code == 2
    for word in words:
        assert word in str(caught.value), str(caught.value)


def tensors(path: Path) -> None:
    with open_tensors(path) as reader:
        for name in reader.keys():  # noqa: SIM118
            reader.get_tensor(name)


# Settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (crafted.BOMB, "more than 50000 values"),
        ("a: &a [*a]\n", "within what it names"),
        ("x: " + crafted.DEEP, "nested too deeply"),
        ("!!python/object/apply:os.system [id]", "constructor"),
        ("x: !!bool perhaps\n", "is no bool"),
        ('x: "\\ud800"\n', "half of a character"),
        ("x: " + "9" * 5000, "4300 digits"),
        ("# " + "x" * (1 << 20), "more than 1048576 bytes"),
    ],
    ids=["aliases", "itself", "deep", "code", "tag", "half a character", "number", "long"],
)
def test_yaml_of_a_stranger_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    refused(lambda: read_settings(tmp_path / "a.yaml"), words)


def test_a_million_keys_are_refused_before_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({f"k{n}": n for n in range(1_000_000)}))
    refused(lambda: read_settings(tmp_path / "a.json"), "more than 1048576 bytes")
    with bounded(), pytest.raises(ValueError, match="more than 50000 values"):
        parse_yaml(f"[{'1,' * 60_000}]")


def test_a_recipe_of_endless_stages_is_refused(tmp_path: Path) -> None:
    axes = {f"model.x{n}": list(range(100)) for n in range(9)}
    made = {"task": "can", "stages": {"one": {"grid": axes}}}
    (tmp_path / "a.json").write_text(json.dumps(made))
    refused(lambda: read_recipe(tmp_path / "a.json"), "1000000000000000000 stages")


def test_a_search_space_of_endless_values_lists_none_of_them(tmp_path: Path) -> None:
    path, task = tmp_path / "a.json", load_task("can")
    ranges = {"training.seed": {"type": "int", "min": 0, "max": 2**40}}
    (path).write_text(json.dumps({"parameters": {"model.hidden": ranges["training.seed"]}}))
    with bounded():
        space = read_space(str(path), task)
    assert len(space.parameters["model.hidden"].grid or ()) == 2**40 + 1
    (path).write_text(json.dumps({"parameters": {"x": {"type": "int", "min": 0, "max": 10**30}}}))
    refused(lambda: check_space(read_space(str(path), task), task, CANConfig()), "less than or")


def test_a_split_of_endless_folds_is_refused(tmp_path: Path) -> None:
    made = {
        "kind": "kfold",
        "folds": 10**12,
        "units": ["a", "b"],
        "fold_of": [[0, 1]],
        "digest": "",
    }
    (tmp_path / "s.json").write_text(json.dumps(made))
    refused(lambda: read_split(tmp_path / "s.json"), "1000000000000 folds of 2 units")


# Runs and studies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("record.json", lambda folder: Run(folder).record),
        ("config.json", lambda folder: Run(folder).settings),
        ("inputs.json", lambda folder: read_inputs(folder / "inputs.json")),
        ("model.json", read_card),
        ("split.json", lambda folder: read_split(folder / "split.json")),
        ("study.json", lambda folder: StudyFolder(folder).record),
        ("trials.json", lambda folder: StudyFolder(folder).trials),
        ("metrics.csv", lambda folder: curves_of(Run(folder))),
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", [crafted.DEEP, "9" * 200_000, '{"id": "\\ud800"}', "\0", "[1]"])
def test_a_damaged_file_of_a_run_is_refused(
    tmp_path: Path, name: str, read: Callable[[Path], object], text: str
) -> None:
    (tmp_path / name).write_text(f"step,value\n{text}\n" if name == "metrics.csv" else text)
    refused(lambda: read(tmp_path), name)


@pytest.mark.parametrize("place", ["/etc/passwd", "../../../etc/passwd", "a/../../b", ""])
def test_a_record_names_no_file_outside_its_run(tmp_path: Path, place: str) -> None:
    run = finish_run(RunStore(tmp_path))
    record = json.loads((run.path / "record.json").read_text())
    record["artifacts"] = {"x": {"path": place, "digest": "0"}}
    (run.path / "record.json").write_text(json.dumps(record))
    refused(run.verify_artifacts, "leads out of its folder")
    made = {"data": {place: "0"}}
    (tmp_path / "inputs.json").write_text(json.dumps(made))
    refused(lambda: read_inputs(tmp_path / "inputs.json"))


def test_a_record_leads_out_of_its_run_by_no_link_and_names_no_other_folder(tmp_path: Path) -> None:
    run = finish_run(RunStore(tmp_path / "home"))
    record = json.loads((run.path / "record.json").read_text())
    (run.path / "link").symlink_to("/etc/passwd")
    record["artifacts"] = {"x": {"path": "link", "digest": "0"}}
    (run.path / "record.json").write_text(json.dumps(record))
    refused(run.verify_artifacts, "leads out of the run's folder")
    record["parents"] = [{"run": "../elsewhere/run", "role": "teacher"}]
    (run.path / "record.json").write_text(json.dumps(record))
    refused(lambda: run.record, "parents.0.run")


def test_files_without_an_end_are_not_read(tmp_path: Path) -> None:
    crafted.pipe(tmp_path / "config.json")
    refused(lambda: Run(tmp_path).settings, "no regular file")
    crafted.pipe(tmp_path / "model.safetensors")
    refused(lambda: tensors(tmp_path / "model.safetensors"))
    crafted.pipe(tmp_path / "capture.log")
    refused(lambda: read_frames(tmp_path / "capture.log"), "no regular file")
    (tmp_path / "capture.csv").symlink_to("/dev/zero")
    refused(lambda: read_frames(tmp_path / "capture.csv"), "no regular file")
    entry = Entry("a", crafted.pipe(tmp_path / "a.png"), ())
    assert "no regular file" in str(decode_entry(entry, 8, "crop"))
    refused(lambda: read_npz(crafted.pipe(tmp_path / "a.npz")), "no regular file")


def test_a_damaged_journal_of_a_study_is_refused(tmp_path: Path) -> None:
    for line in ('{"op_code": 0}', '{"op_code": 99, "worker_id": 1}', "[]", "{", "7"):
        (tmp_path / "study.journal").write_text(line + "\n")
        refused(lambda: Ledger(open_storage("journal", tmp_path), "s", "maximize").trials())


# Models --------------------------------------------------------------------------------------


def test_crafted_weights_are_refused(tmp_path: Path) -> None:
    refused(lambda: tensors(crafted.safetensors_giant(tmp_path / "a")))
    refused(lambda: tensors(crafted.safetensors_overlapping(tmp_path / "a")))
    big = {"x": {"dtype": "F32", "shape": [crafted.HUGE], "data_offsets": [0, 4 * crafted.HUGE]}}
    refused(lambda: tensors(crafted.safetensors_with(tmp_path / "a", big)))


@pytest.mark.parametrize(
    "tree",
    [
        "[" * 2000 + "]" * 2000,
        '{"a": "t0", "dtype": "O", "shape": [1], "scalar": false}',
        '{"a": "t0", "dtype": "|V999999999999", "shape": [], "scalar": false}',
        '{"z": [1e300]}',
        '{"s": [[]]}',
        '{"t": "none"}',
        '{"d": [[[], 1]]}',
        '{"call": "os.system"}',
    ],
)
def test_a_crafted_checkpoint_is_refused(tmp_path: Path, tree: str) -> None:
    entry = {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}
    metadata = {"format": "tutelage-tree", "version": "1", "tree": tree}
    path = crafted.safetensors_with(
        tmp_path / "a", {"__metadata__": metadata, "t0": entry}, bytes(8)
    )
    refused(lambda: load_tree(path), "its structure can't be read")


def test_an_onnx_file_takes_no_weights_from_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    for place in (str(tmp_path / "secret"), "../secret", "secret"):
        content = crafted.onnx_with_outside(place)
        with pytest.raises(RequestError, match="can't run this model"):
            open_session(content)


@pytest.mark.parametrize("task", ["can", "ner", "neural", "multimodal"])
def test_a_card_of_another_model_builds_nothing(task: str) -> None:
    found, config = api.configure(task)
    for value in ({}, {"sessions": 3}, {"coder": {"kind": "words", "words": 1}}, {"profile": []}):
        refused(lambda value=value: found.build(config, value))  # type: ignore[misc]


def test_an_encoder_larger_than_any_is_not_built() -> None:
    for wrong in ({"vocab_size": 10**12}, {"hidden_size": "8"}, {"num_hidden_layers": 10**6}):
        refused(lambda wrong=wrong: token_classifier({"model_type": "bert"} | wrong))  # type: ignore[misc]


# Data ----------------------------------------------------------------------------------------


def test_an_npz_runs_nothing_and_unpacks_to_no_more_than_memory_holds(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    refused(lambda: read_npz(crafted.npz_pickle(tmp_path / "a.npz", canary)), "allow_pickle=False")
    assert not canary.exists()
    refused(lambda: read_npz(crafted.npz_bomb(tmp_path / "a.npz")), "without compression")
    header = crafted.npy_header((crafted.HUGE,))
    refused(lambda: read_npz(crafted.npz_with(tmp_path / "a.npz", images=header)), "shorter than")


def test_an_hdf5_file_takes_nothing_from_other_files(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret.h5", tmp_path / "a.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.arange(3)
    (tmp_path / "raw").write_bytes(bytes(24))
    for kind in ("link", "storage", "virtual", "within"):
        with h5py.File(path, "w") as file:
            if kind == "link":
                file["responses"] = h5py.ExternalLink(str(secret), "/x")
            elif kind == "storage":
                at = [(str(tmp_path / "raw"), 0, 24)]
                file.create_dataset("responses", (3,), "f8", external=at)
            elif kind == "virtual":
                layout = h5py.VirtualLayout((3,), "i8")
                layout[:] = h5py.VirtualSource(str(secret), "x", (3,))
                file.create_virtual_dataset("responses", layout)
            else:
                file.create_group("a")["b"] = h5py.ExternalLink(str(secret), "/x")
        refused(lambda: read_hdf5(path), "leads to another file")
    with h5py.File(path, "w") as file:
        file.create_dataset("responses", (crafted.HUGE,), "f8", chunks=(1000,))
    refused(lambda: read_hdf5(path), "more than 200 times")


def test_pictures_are_neither_bombs_nor_programs(tmp_path: Path) -> None:
    with bounded():
        bomb = decode_entry(Entry("a", crafted.png_bomb(tmp_path / "a.png"), ()), 8, "crop")
        program = decode_entry(Entry("a", crafted.postscript(tmp_path / "b.png"), ()), 8, "crop")
    assert "pixels" in str(bomb)
    assert program == "is no picture of a known kind"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "link.png", "inner/x.png"])
def test_captions_name_no_picture_outside_their_folder(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "link.png").symlink_to("/etc/passwd")
    (root / "inner").symlink_to("/etc")
    (root / "captions.csv").write_text(f"image,caption\n{name},x\n")
    refused(lambda: read_entries(find_sources(root), {}), "leads out of", "data.links=anywhere")
    (root / "captions.csv").write_text("image,caption\na.png,x\n")
    assert read_entries(find_sources(root), {})[0].path == root / "a.png"


def test_links_out_of_a_folder_of_data_are_followed_only_where_that_is_said(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "data"
    for folder in (outside, root):
        folder.mkdir()
    (outside / "a.log").write_text("(1.5) can0 123#00\n")
    (outside / "a.conll").write_text("Ada B-person\nx O\n")
    (root / "drive.log").symlink_to(outside / "a.log")
    (root / "loop").symlink_to(root)
    (root / "again").symlink_to(tmp_path)
    refused(lambda: find_captures(root), "leads out of", "data.links=anywhere")
    assert len(find_captures(root, "anywhere")) == 2
    (root / "texts.conll").symlink_to(outside / "a.conll")
    refused(lambda: read_set(NERData(), root), "leads out of")


def test_a_tar_holds_nothing_but_its_own_files(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    odd = [crafted.member("1.png", kind, "/etc/passwd") for kind in kinds]
    refused(lambda: shard_entries(crafted.tar_with(path, *odd)), "holds no picture")
    (entry,) = shard_entries(crafted.tar_sparse(path))
    assert (entry.path, entry.captions) == (path, ())
    away = [
        crafted.member("../../x.png", tarfile.REGTYPE),
        crafted.member("/x.png", tarfile.REGTYPE),
    ]
    with bounded():
        found = shard_entries(crafted.tar_with(path, *away))
    assert {entry.path for entry in found} == {path}
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_rows_that_only_a_parquet_file_says_to_have_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    crafted.parquet_bomb(path, {"image": "a.png", "caption": "x", "text": "Ada"}, 3_000_000)
    refused(lambda: read_captions(path, {}), "more than 200 times")
    refused(lambda: read_set(NERData(), path), "more than 200 times")
    frames = {"timestamp": 1.0, "id": 1, "data_field": "00", "label": 0}
    refused(lambda: read_frames(crafted.parquet_bomb(path, frames, ROWS)), "more than 200 times")


def test_an_arrow_folder_names_no_file_outside_it(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for state in (
        {"_data_files": [{"filename": "../../etc/passwd"}]},
        {"_data_files": [{"filename": "/etc/passwd"}]},
        {"_data_files": [{"filename": 3}]},
        {"_data_files": 3},
        {"_data_files": ["x"]},
    ):
        (folder / "state.json").write_text(json.dumps(state))
        refused(lambda: read_set(NERData(), folder), "state.json")
