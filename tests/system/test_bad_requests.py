"""Each bad request: one clear message, exit code 2, and no run left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from command import COMMAND, SMALL, Shared, Tutelage, assert_refused, obey_permissions

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.simulator import simulate_capture, write_csv

Damage = Callable[[list[str]], list[str]]


@pytest.fixture(scope="module")
def frames() -> Frames:
    """A few seconds of labelled traffic with an attack."""
    return simulate_capture("hatchback", seed=1, seconds=4, attack="dos").frames


def refused(tutelage: Tutelage, *arguments: object, words: tuple[str, ...]) -> None:
    """The request is refused with the words, and leaves no run."""
    assert_refused(tutelage(*arguments), *words)
    assert tutelage.runs() == []


# ---- settings


@pytest.mark.parametrize(("arguments", "words"), [
    (("train", "cam"), ("unknown task 'cam'", "Did you mean 'can'?")),
    (("train", "can", "mode=autoencder"), ("unknown mode", "Did you mean 'autoencoder'?")),
    (("train", "can", "model=gta"), ("unknown model", "Did you mean 'gat'?")),
    (("train", "can", "--preset", "techer"), ("unknown preset", "'teacher'")),
    (("train", "can", "training.max_epoch=3"), ("training.max_epoch", "'max_epochs'")),
    (("train", "can", "trainign.max_epochs=3"), ("trainign", "'training'")),
    (("train", "can", "data.columns.lable=x"), ("data.columns.lable", "'label'")),
    (("train", "can", "model.latent=8"), ("model.latent",)),
    (("train", "can", "training.max_epochs=three"), ("training.max_epochs='three'", "a whole")),
    (("train", "can", "training.max_epochs=0"), ("training.max_epochs=0", "1")),
    (("train", "can", "training.optimizer=adamm"), ("training.optimizer", "'adamw'")),
    (("train", "can", "training=5"), ("training=5", "training.seed=VALUE")),
    (("train", "can", "training.max_epochs"), ("is not a setting", "section.field=value")),
    (("train", "can", "run.policy=resume"), ("run.policy", "resume_if_incomplete")),
    (("train", "can", "mode=autoencoder"), ("'autoencoder'", "'gat'", "model=vgae")),
    (("train", "can", "model=vgae"), ("'normal'", "'vgae'")),
    (("train", "can", "training.monitor=val/f2"), ("val/f2", "val/f1")),
    (("train", "can", "run.policy=continue_from_previous"), ("no finished run",)),
    (("train", "can", "--config", "absent.yaml"), ("absent.yaml", "no such file")),
    (("audit", "cam"), ("unknown task 'cam'", "Did you mean 'can'?")),
    (("evaluate", "@last"), ("no run '@last'", "tutelage train")),
    (("evaluate", "some-run"), ("no run 'some-run'",)),
    (("predict", "some-run", "drive.log"), ("no run 'some-run'",)),
], ids=lambda value: "-".join(value[1:]).replace("/", ".") if len(value) > 1 else "")  # fmt: skip
def test_a_wrong_name_or_value_is_named_beside_the_right_ones(
    tutelage: Tutelage, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(tutelage, *arguments, words=words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("setting", ["training.accelerator=gpu", "training.precision=16"])
def test_a_device_that_is_not_there_is_refused(tutelage: Tutelage, setting: str) -> None:
    refused(tutelage, "train", "can", *SMALL, setting, words=(setting, "GPU"))


@pytest.mark.parametrize("arguments", [
    ("trian", "can"),
    ("train",),
    ("train", "can", "--jsn"),
    ("predict",),
], ids=lambda arguments: "-".join(arguments))  # fmt: skip
def test_a_wrong_command_line_is_refused(tutelage: Tutelage, arguments: tuple[str, ...]) -> None:
    result = tutelage(*arguments, command=(COMMAND,))
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err and "--help says what it takes" in result.err


@pytest.mark.parametrize(("name", "content", "words"), [
    ("open.yaml", "training: {max_epochs: 1\n", ("open.yaml", "line 2, column 1", "of line 1")),
    ("twice.yaml", "training:\n  max_epochs: 1\n  max_epochs: 2\n", ("'max_epochs'", "twice")),
    ("twice.json", '{"training": {"max_epochs": 1, "max_epochs": 2}}', ("'max_epochs'", "twice")),
    ("list.yaml", "- training\n", ("list.yaml", "holds no settings")),
    ("other.yaml", "task: cam\n", ("of task=cam, not can", "tutelage train cam")),
    ("newer.yaml", "schema_version: 99\n", ("newer.yaml", "99")),
    ("object.yaml", "data: !!python/object/apply:os.system [id]\n", ("object.yaml",)),
    ("binary.yaml", "\x00\x01", ("binary.yaml",)),
], ids=lambda value: value if isinstance(value, str) and "." in value else "")  # fmt: skip
def test_a_wrong_settings_file_is_refused(
    tutelage: Tutelage, name: str, content: str, words: tuple[str, ...]
) -> None:
    (tutelage.folder / name).write_text(content)
    refused(tutelage, "train", "can", "--config", name, words=words)


# ---- data


def put(path: Path, value: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value.encode() if isinstance(value, str) else value)


@pytest.mark.parametrize("command", ["train", "audit"])
@pytest.mark.parametrize("kind", ["missing", "empty", "dangling", "other", "loop"])
def test_a_root_without_captures_is_refused(tutelage: Tutelage, kind: str, command: str) -> None:
    root = tutelage.folder / "captures"
    said = "captures"
    if kind == "empty":
        root.mkdir()
        said = "empty"
    elif kind == "dangling":
        root.symlink_to("nowhere")
    elif kind == "loop":
        root.symlink_to(root)
    elif kind == "other":
        put(root / "notes.md", "no capture")
    refused(tutelage, command, "can", "data.root=captures", words=(str(root), said))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_unreadable_root_is_refused(tutelage: Tutelage, frames: Frames, kind: str) -> None:
    root = tutelage.folder / "captures"
    root.mkdir()
    write_csv(frames, root / "DoS.csv")
    locked = root if kind == "folder" else root / "DoS.csv"
    locked.chmod(0)
    try:
        result = tutelage("train", "can", "data.root=captures", prepare=obey_permissions)
    finally:
        locked.chmod(0o755)
    assert_refused(result, str(locked), "can't be read", "ermission")
    assert tutelage.runs() == []


def test_a_home_without_permission_is_refused(tutelage: Tutelage) -> None:
    tutelage.home.mkdir(mode=0o500)
    result = tutelage("train", "can", *SMALL, prepare=obey_permissions)
    assert_refused(result, str(tutelage.home), "can't be written", "ermission")


def bad_hex(lines: list[str]) -> list[str]:
    time, identifier, data, label = lines[10].split(",")
    lines[10] = ",".join([time, identifier, "ZZ" + data[2:], label])
    return lines


def no_label(lines: list[str]) -> list[str]:
    return [line.rpartition(",")[0] for line in lines]


def nul_bytes(lines: list[str]) -> list[str]:
    lines[10] = lines[10][:4] + "\0\0" + lines[10][4:]
    return lines


def far_back(lines: list[str]) -> list[str]:
    time = float(lines[9].partition(",")[0])
    lines[10] = f"{time - 0.0101:.6f},{lines[10].partition(',')[2]}"
    return lines


@pytest.mark.parametrize(("damage", "words"), [
    (bad_hex, (".csv:11:", "bad hex byte 'ZZ'", "1 bad line")),
    (no_label, (".csv:", "no label column", "timestamp, arbitration_id, data_field",
                "data.columns.label=NAME")),
    (nul_bytes, (".csv:11:", "2 NUL bytes")),
    (far_back, (".csv:11:", "time runs backwards by 10.1", "10 ms")),
    (lambda lines: lines[:1], (".csv:", "holds no frames")),
    (lambda lines: [], (".csv:", "empty")),
    (lambda lines: [*lines[:300], lines[300][:15]], (".csv:301:", "truncated line?")),
    (lambda lines: ["time,id,payload,attack", *lines[1:]],
     (".csv", "data.columns.timestamp=time data.columns.data_field=payload")),
    (lambda lines: ["timestamp,arbitration_id,data_field,ATTACK", *lines[1:]],
     (".csv", "no label column", "data.columns.label=ATTACK?")),
    (lambda lines: lines[:50], ("captures", "holds a window of 100 frames", "longest has 49")),
    (lambda lines: [lines[0], *(line[:-1] + "0" for line in lines[1:])],
     ("captures", "are benign", "model=vgae")),
    (lambda lines: [lines[0], *(line[:-1] + "1" for line in lines[1:])],
     ("DoS.csv", "benign", "are labelled attacks")),
], ids=["bad-hex", "no-label", "nul", "backwards", "no-frames", "nothing", "truncated",
        "other-columns", "other-case", "short", "all-benign", "all-attack"])  # fmt: skip
def test_a_damaged_capture_is_refused_with_its_line(
    tutelage: Tutelage, frames: Frames, damage: Damage, words: tuple[str, ...]
) -> None:
    path = tutelage.folder / "captures" / "DoS.csv"
    path.parent.mkdir()
    write_csv(frames, path)
    lines = damage(path.read_text().splitlines())
    put(path, "\n".join(lines) + "\n" if lines else "")
    refused(tutelage, "train", "can", *SMALL, "data.root=captures", words=words)


def test_a_parquet_file_of_other_columns_is_refused(tutelage: Tutelage) -> None:
    root = tutelage.folder / "captures"
    root.mkdir()
    pq.write_table(pa.table({"speed": [1, 2], "note": ["a", "b"]}), root / "drive.parquet")
    words = ("drive.parquet", "timestamp", "speed, note", "data.columns.timestamp=NAME")
    refused(tutelage, "train", "can", "data.root=captures", words=words)


@pytest.mark.parametrize("content", [b"PAR1 and then nothing of the kind PAR1", b"\x93NUMPY\x01"])
def test_a_file_of_no_known_format_is_refused(tutelage: Tutelage, content: bytes) -> None:
    put(tutelage.folder / "captures" / "drive.parquet", content)
    refused(tutelage, "train", "can", "data.root=captures", words=("drive.parquet",))


def test_only_one_bad_capture_among_good_ones_is_refused_too(
    tutelage: Tutelage, frames: Frames
) -> None:
    root = tutelage.folder / "captures"
    root.mkdir()
    write_csv(frames, root / "DoS.csv")
    put(root / "other.csv", "\n".join(bad_hex((root / "DoS.csv").read_text().splitlines())))
    refused(tutelage, "train", "can", *SMALL, "data.root=captures", words=("other.csv:11:",))


def test_a_foreign_file_among_captures_is_refused_with_how_to_leave_it_out(
    tutelage: Tutelage, frames: Frames
) -> None:
    put(tutelage.folder / "captures" / "speeds.csv", "speed,note\n1,a\n")
    write_csv(frames, tutelage.folder / "captures" / "DoS.csv")
    words = ("speeds.csv", "speed, note", "move it out of the folder")
    refused(tutelage, "audit", "can", "data.root=captures", words=words)


# ---- runs and storage


@pytest.mark.parametrize("command", ["train", "audit"])
@pytest.mark.parametrize("kind", ["file", "below-a-file", "nowhere"])
def test_a_home_that_can_not_be_written_is_refused(
    tutelage: Tutelage, kind: str, command: str
) -> None:
    blocked = tutelage.folder / "blocked"
    blocked.write_text("a file")
    home = {"file": blocked, "below-a-file": blocked / "runs", "nowhere": Path("/proc/nowhere")}
    result = tutelage(command, "can", *SMALL[:1], environment={"TUTELAGE_HOME": str(home[kind])})
    assert_refused(result, str(home[kind]), "can't be written")


@pytest.mark.parametrize("mode", [None, 0o000, 0o400], ids=["below-a-file", "closed", "no-search"])
def test_a_home_that_can_not_be_read_is_not_taken_for_an_empty_one(
    tutelage: Tutelage, shared: Shared, mode: int | None
) -> None:
    tutelage.copy_from(shared.tutelage)
    if mode is None:
        tutelage.home = tutelage.runs()[0] / "config.json" / "runs"
    else:
        tutelage.home.chmod(mode)
    result = tutelage("runs", "list", prepare=obey_permissions)
    if mode is not None:
        tutelage.home.chmod(0o755)
    assert_refused(result, str(tutelage.home), "Permission denied" if mode is not None else "Not a")


@pytest.mark.parametrize(("overrides", "words"), [
    (("training.max_epochs=3",), ("'training.max_epochs=3'", "Only data.")),
    (("data.windw=3",), ("data.windw", "'window'")),
    (("data.window=50",), ("data.window=50", "window of 100")),
    (("data.root=absent",), ("absent", "no such")),
    (("window",), ("is not a setting",)),
])  # fmt: skip
def test_a_finished_run_is_not_evaluated_with_wrong_settings(
    shared: Shared, overrides: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_refused(shared.tutelage("evaluate", "@last", *overrides), *words)


def test_unlabelled_captures_are_predicted_not_evaluated(shared: Shared, tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    write_csv(simulate_capture("estate", seed=1, seconds=2).frames, path)
    path.write_text("\n".join(no_label(path.read_text().splitlines())) + "\n")
    result = shared.tutelage("evaluate", "@last", f"data.root={path}")
    assert_refused(result, str(path), "no window is labelled", "tutelage predict")


def test_predicting_absent_or_short_input_is_refused(shared: Shared, tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    absent = shared.tutelage("predict", "@last", path)
    assert_refused(absent, str(path), "no such", "Name the data's path")
    assert "data.root" not in absent.err
    write_csv(simulate_capture("estate", seed=1, seconds=2).frames[:40], path)
    assert_refused(shared.tutelage("predict", "@last", path), str(path), "100 frames", "has 40")
