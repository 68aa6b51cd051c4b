"""Real seeds: small files as the readers' own writers, and other tools, make them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing.formats import odd_column

_HCRL = "1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R\n1478198376.389636,018f,2,fe,5b,T\n"
_OTIDS = (
    "Timestamp: 1479121434.850202        ID: 0350    000    DLC: 8    05 28 84 66 6d 00 00 a2\n"
    "Timestamp: 1479121434.850423        ID: 02c0    100    DLC: 0\n"
    "Timestamp: 1479121434.850977        ID: 0430    000    DLC: 2    00 01\n"
)
_CSV = "timestamp,arbitration_id,data_field,attack\n1.5,0C9,8407,0\n1.6,1F334455,,1\n"


def _frames(count: int = 12) -> Any:
    from tutelage.tasks.can.simulator import simulate_capture

    return simulate_capture("hatchback", seed=0, seconds=2, attack=None).frames[:count]


def _written(folder: Path, name: str, write: Callable[[Path], object]) -> bytes:
    path = folder / name
    write(path)
    data = path.read_bytes()
    path.unlink()
    return data


def candump(folder: Path) -> list[bytes]:
    from tutelage.tasks.can.simulator import write_candump

    real = "(1436509052.249713) can0 044#2A366C2BBA\n(1436509052.25) can0 5E1#R\n"
    real += "(1436509052.26) vcan1 1F334455#0102030405060708\n"
    return [_written(folder, "x", lambda p: write_candump(_frames(), p)), real.encode()]


def road(folder: Path) -> list[bytes]:
    (folder / "capture.log").write_bytes(candump(folder)[0])
    entry = {
        "injection_interval": [0.001, 0.01],
        "injection_id": "0x0D0",
        "injection_data_str": "X" * 16,
    }
    return [json.dumps({"capture": {**entry, "on_dyno": True}, "other": entry}).encode()]


def can_csv(folder: Path) -> list[bytes]:
    from tutelage.tasks.can.simulator import write_csv

    return [_written(folder, "x", lambda p: write_csv(_frames(), p)), _CSV.encode()]


def hcrl(folder: Path) -> list[bytes]:
    return [_HCRL.encode(), _HCRL.replace("R", "0").replace("T", "1").encode()]


def otids(folder: Path) -> list[bytes]:
    return [_OTIDS.encode()]


def can_columns(random: Random) -> dict[str, Any]:
    """Columns of a table of frames, some of them of another type."""
    import pyarrow as pa

    rows = random.choice((0, 1, 3, 3, 3))
    usual = {
        "timestamp": lambda: pa.array([0.5 * i for i in range(rows)]),
        random.choice(("arbitration_id", "id")): lambda: pa.array([0x100] * rows, pa.uint32()),
        "data_field": lambda: pa.array(["00ff"] * rows),
        random.choice(("attack", "label", "other")): lambda: pa.array([0] * rows, pa.uint8()),
    }
    return {name: odd_column(random, make, rows) for name, make in usual.items()}


def _table(columns: dict[str, Any], metadata: dict[bytes, bytes] | None = None) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), out)
    return out.getvalue()


def can_parquet(folder: Path) -> list[bytes]:
    frames = _frames()
    texts = [bytes(p[:n]).hex() for p, n in zip(frames.payload, frames.dlc, strict=True)]
    columns = {"timestamp": frames.timestamp, "id": frames.arbitration_id, "data_field": texts}
    return [_table(columns | {"label": frames.label.clip(0)})]


def _messages() -> list[Any]:
    import can

    kinds = [{}, {"is_remote_frame": True}, {"is_extended_id": False}, {"is_error_frame": True}]
    return [
        can.Message(1.5 + n / 10, 0x123 + n, data=b"" if k.get("is_remote_frame") else b"\1\2", **k)
        for n, k in enumerate(kinds[:3])
    ]


def _log(folder: Path, name: str, **settings: object) -> bytes:
    import can

    def write(path: Path) -> None:
        with can.Logger(path, **settings) as logger:
            for message in _messages():
                logger.on_message_received(message)

    return _written(folder, name, write)


def asc(folder: Path) -> list[bytes]:
    fd = "   0.5 CANFD   1 Rx        123                                0 0 8  8 01 02 03 04 05 06 07 08\n"
    text = "date Wed Sep 27 10:38:52 am 2017\nbase hex  timestamps absolute\n"
    text += "Begin Triggerblock Wed Sep 27 10:38:52 am 2017\n 0.0 Start of measurement\n"
    text += " 0.5 1 123 Rx d 2 01 02 Length = 1 BitCount = 2 ID = 3\n 0.6 1 1F334455x Rx r\n"
    return [_log(folder, "x.asc"), (text + "End TriggerBlock\n").encode(), (text + fd).encode()]


def blf(folder: Path) -> list[bytes]:
    return [_log(folder, "x.blf", compression_level=0), _log(folder, "x.blf")]


def trc(folder: Path) -> list[bytes]:
    old = ";##########\n;   Start time: 1.1.2020 10:00:00.000\n;\n     1)      1.3  Rx  0300  8  00 01 02 03 04 05 06 07\n"
    return [_log(folder, "x.trc"), old.replace(";##", ";$FILEVERSION=1.1\n;##").encode()]


def mf4(folder: Path) -> list[bytes]:
    return [_log(folder, "x.mf4")]


def conll(folder: Path) -> list[bytes]:
    germeval = "# http://x [2009]\n1\tSchau\tO\tO\n2\tBerlin\tB-LOC\tO\n3\t!\tO\tO\n"
    bioes = "Ada S-PER\nin O\nNew B-LOC\nYork E-LOC\n\nx O\n"
    four = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\nPeter NNP I-NP I-PER\n"
    return [bioes.encode(), four.encode(), germeval.encode(), b"Paris\tcity\nis\tO\nbig\tO\n"]


def _records() -> list[object]:
    return [
        {"text": "Ada lives in Oslo", "label": [[0, 3, "person"], [13, 17, "place"]], "id": 1},
        {"text": "Ada", "spans": [{"start": 0, "end": 3, "label": "person"}], "answer": "accept",
         "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0}]},
        {"content": "Ada B", "annotation": [{"label": ["p"], "points": [{"start": 0, "end": 2, "text": "Ada"}]}]},
        {"data": {"text": "Ada"}, "annotations": [{"result": [{"value": {"start": 0, "end": 3, "labels": ["p"]}}]}]},
        {"tokens": ["Ada", "lives"], "ner_tags": ["B-person", "O"]},
        {"text": "plain", "entities": []},
    ]  # fmt: skip


def jsonl(folder: Path) -> list[bytes]:
    return ["\n".join(map(json.dumps, _records())).encode() + b"\n"]


def json_texts(folder: Path) -> list[bytes]:
    return [json.dumps(_records()).encode(), json.dumps(_records()[3:4], indent=1).encode()]


def plain(folder: Path) -> list[bytes]:
    return ["A line.\n\nAnother — with signs 😀\n東京 ไทย\n".encode()]


def ner_columns(random: Random) -> dict[str, Any]:
    import pyarrow as pa

    rows = random.choice((0, 1, 3, 3))
    tokens = pa.array([["Ada", "B"]] * rows, pa.list_(pa.string()))
    usual = {
        random.choice(("tokens", "text")): lambda: tokens,
        random.choice(("ner_tags", "tags", "label")): lambda: pa.array([["B-p", "O"]] * rows, pa.list_(pa.string())),
        "id": lambda: pa.array(list("abc")[:rows]),
    }  # fmt: skip
    return {name: odd_column(random, make, rows) for name, make in usual.items()}


_NAMES = ["O", "B-person", "I-person"]
_FEATURES = {
    "tokens": {"_type": "List"},
    "ner_tags": {"feature": {"_type": "ClassLabel", "names": _NAMES}},
}


def ner_parquet(folder: Path) -> list[bytes]:
    columns = {"tokens": [["Ada", "L"], ["x"]], "ner_tags": [[1, 2], [0]]}
    metadata = {b"huggingface": json.dumps({"info": {"features": _FEATURES}}).encode()}
    return [_table(columns, metadata), _table({"text": ["Ada", "B"]})]


def arrow_state(folder: Path) -> list[bytes]:
    import pyarrow as pa

    table = pa.table({"tokens": [["Ada", "L"], ["x"]], "ner_tags": [[1, 2], [0]]})
    for name, content in (
        ("data", table),
        ("indices", pa.table({"indices": pa.array([1, 0], pa.uint64())})),
    ):
        with (
            pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file,
            pa.ipc.new_stream(file, content.schema) as writer,
        ):
            writer.write_table(content)
    (folder / "dataset_info.json").write_text(json.dumps({"features": _FEATURES}))
    state = {
        "_data_files": [{"filename": "data.arrow"}],
        "_indices_data_files": [{"filename": "indices.arrow"}],
    }
    return [json.dumps(state | {"_split": "train", "_format_type": None}).encode()]


def _tokenizer() -> str:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##n", "anna", "b"]
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.add_special_tokens(words[:5])
    return str(made.to_str())


def _encoder() -> dict[str, object]:
    return {
        "model_type": "bert", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 64,
        "pad_token_id": 0, "architectures": ["BertForTokenClassification"], "hidden_act": "gelu",
    }  # fmt: skip


def _encoder_folder(folder: Path) -> None:
    import torch

    from tutelage.training.tensorfile import write_tensors

    (folder / "tokenizer.json").write_text(_tokenizer())
    (folder / "config.json").write_text(json.dumps(_encoder()))
    write_tensors(folder / "model.safetensors", {"x": torch.zeros(1)}, {})


def encoder_config(folder: Path) -> list[bytes]:
    _encoder_folder(folder)
    return [json.dumps(_encoder()).encode()]


def tokenizer(folder: Path) -> list[bytes]:
    _encoder_folder(folder)
    return [_tokenizer().encode()]


def _movie() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "stimulus": random.integers(0, 256, (6, 1, 3, 3), dtype=np.uint8),
        "responses": random.poisson(0.8, (6, 2)).astype(np.float32) + 1,
        "valid": np.ones((6, 2), bool), "trial": np.repeat([0, 1], 3), "rate_hz": np.array(10.0),
        "behaviour": random.normal(size=(6, 1)).astype(np.float32), "unit_ids": np.array(["a", "b"]),
        "behaviour_names": np.array(["pupil"]), "session": np.array("s"), "animal": np.array("ada"),
        "part": np.array(["train"] * 4 + ["test"] * 2), "block": np.arange(6) // 3,
    }  # fmt: skip


def _images() -> dict[str, Any]:
    movie = _movie()
    return {"images": movie["stimulus"][:, 0], "responses": movie["responses"], "monkey": np.array("WE"),
            "session": np.array("1"), "bin_ms": np.array(100)}  # fmt: skip


def npz(folder: Path) -> list[bytes]:
    found = []
    for save, arrays in ((np.savez, _movie()), (np.savez_compressed, _images())):
        out = io.BytesIO()
        save(out, **arrays)
        found.append(out.getvalue())
    return found


def hdf5(folder: Path) -> list[bytes]:
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, array in _movie().items():
            if array.dtype.kind == "U":
                file.create_dataset(name, data=np.char.encode(array) if array.shape else str(array))
            elif array.shape:
                file.create_dataset(name, data=array, chunks=True, compression="gzip")
            else:
                file.attrs[name] = array
    return [out.getvalue()]


def nwb(folder: Path) -> list[bytes]:
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.file import Subject
    from pynwb.image import ImageSeries

    file = NWBFile("a test", "test", datetime(2026, 1, 1, tzinfo=UTC), session_id="day1")
    file.subject = Subject(subject_id="eve", species="Macaca mulatta", sex="U", age="P4Y")
    frames = np.zeros((6, 3, 3), np.uint8)
    file.add_stimulus(
        ImageSeries(name="movie", data=frames, unit="n.a.", rate=10.0, starting_time=1.0)
    )
    for unit in range(2):
        file.add_unit(
            id=unit, spike_times=np.array([1.05, 1.3]), obs_intervals=np.array([[0.0, 9.0]])
        )
    file.add_trial(start_time=1.0, stop_time=1.3)
    module = file.create_processing_module("behavior", "what it did")
    module.add(
        TimeSeries(name="speed", data=np.arange(9.0), unit="cm/s", timestamps=np.arange(9) / 5)
    )

    def write(path: Path) -> None:
        with NWBHDF5IO(path, "w") as out:
            out.write(file, cache_spec=False)

    return [_written(folder, "x.nwb", write)]


def session_yaml(folder: Path) -> list[bytes]:
    np.savez(folder / "one.npz", **_images())
    movie = _movie() | {
        "times": np.arange(6) / 10,
        "u1": np.array([0.05, 0.33]),
        "stim": _movie()["stimulus"],
    }
    np.savez(folder / "two.npz", **movie)
    (folder / "more").mkdir(exist_ok=True)
    (folder / "more" / "a.yaml").write_text("file: ../one.npz\n")
    two = "id: two\nanimal: bob\nfile: two.npz\narrays: {stimulus: stim}\nframe_times: times\n"
    two += "spike_times:\n  a: u1\ncut_to_shortest: true\nrate_hz: 10\ntarget_rate_hz: 10\n"
    return [b"file: one.npz\nunits: [u000]\n", two.encode(), b"sessions: more\nrate_hz: 20\n",
            b"sessions: [more/a.yaml]\n"]  # fmt: skip


def image(kind: str) -> Callable[[Path], list[bytes]]:
    """Return what makes small pictures of a kind."""

    def make(folder: Path) -> list[bytes]:
        from PIL import Image

        grey = Image.fromarray(np.arange(300, dtype=np.uint16).astype(np.uint8).reshape(15, 20))
        found = []
        for mode in ("RGB", "L", "P", "RGBA", "CMYK", "1"):
            out = io.BytesIO()
            if (kind, mode) in {("JPEG", "P"), ("JPEG", "RGBA"), ("PNG", "CMYK"), ("GIF", "CMYK"),
                                ("BMP", "CMYK"), ("WEBP", "CMYK"), ("WEBP", "1"), ("WEBP", "P")}:  # fmt: skip
                continue
            settings = {"compression": "tiff_lzw"} if (kind, mode) == ("TIFF", "RGB") else {}
            grey.convert("RGB").convert(mode).save(out, kind, **settings)
            found.append(out.getvalue())
        return found

    return make


def _pictures(folder: Path) -> None:
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(image("PNG")(folder)[0])


def captions_csv(folder: Path) -> list[bytes]:
    _pictures(folder)
    one = 'image,caption,category,split\na.png,a car,thing,train\nb.png,"a, red one",thing,test\n'
    return [one.encode(), b"file_name;text\na.png;x\nb.png;y\n"]


def captions_jsonl(folder: Path) -> list[bytes]:
    _pictures(folder)
    rows = [{"image": "a.png", "caption": ["a car", "x"], "language": "en"},
            {"image": "b.png", "caption": "y", "split": "val", "group": 3}]  # fmt: skip
    return ["\n".join(map(json.dumps, rows)).encode()]


def caption_columns(random: Random) -> dict[str, Any]:
    import pyarrow as pa

    rows = random.choice((0, 1, 2, 2))
    usual = {
        "image": lambda: pa.array(["a.png", "b.png"][:rows]),
        "caption": lambda: pa.array(["x", "y"][:rows]),
        random.choice(("split", "group", "category")): lambda: pa.array(["train", "test"][:rows]),
    }
    return {name: odd_column(random, make, rows) for name, make in usual.items()}


def captions_parquet(folder: Path) -> list[bytes]:
    _pictures(folder)
    return [_table({"image": ["a.png", "b.png"], "caption": ["x", "y"]})]


def _tar(members: Iterable[tuple[str, bytes]], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def shard(folder: Path) -> list[bytes]:
    picture = image("PNG")(folder)[0]
    members = [("1.png", picture), ("1.txt", b"a car"), ("1.cls", b"3"), ("x/2.png", picture),
               ("x/2.json", b'{"caption": ["a", "b"], "category": "c"}')]  # fmt: skip
    return [
        _tar(members, form)
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)
    ]


def overrides(folder: Path) -> list[bytes]:
    typed = (
        "training.max_epochs=5", "model=gat", "model={name: gat, hidden: 8}", "data.root=x", "mode=autoencoder",
        "training.scheduler={name: cosine, restarts: 1}", "run.tags.a=b", "data.columns.label=x",
        "evaluation.operating_points=[1, 2]", "training.learning_rate=1e-3", "training.precision=16",
    )  # fmt: skip
    return [text.encode() for text in typed]


_SETTINGS = """model: {name: gat, hidden: 8, heads: 2}
training:
  max_epochs: 5
  learning_rate: 1e-3
  scheduler: {name: cosine, restarts: 1}
data:
  window: 50
  columns:
    label: attack
run:
  tags: {customer: acme}
"""


def settings_yaml(folder: Path) -> list[bytes]:
    aliased = b"mode: autoencoder\nmodel: vgae\ntraining: {max_epochs: &a 2, seed: *a}\n"
    return [_SETTINGS.encode(), b"training: &a\n  max_epochs: 5\nmodel: gat\n", aliased]


def settings_json(folder: Path) -> list[bytes]:
    from tutelage.tasks.can.config import CANConfig

    return [CANConfig().model_dump_json().encode(), b'{"model": "gat", "training": {"seed": 3}}']


def recipe(folder: Path) -> list[bytes]:
    made = """task: can
summary: Two stages.
common:
  training: {max_epochs: 2}
stages:
  teacher:
    model: {name: gat, hidden: 8}
  student:
    mode: {name: distillation, teacher: teacher}
    grid: {model.hidden: [4, 8], training.seed: [0, 1]}
"""
    return [made.encode(), b"task: ner\nstages:\n  one: {}\n  two: {training: {seed: 1}}\n"]


def space(folder: Path) -> list[bytes]:
    made = """summary: What is varied.
epochs: 3
parameters:
  training.learning_rate: {type: loguniform, min: 1e-4, max: 1e-2}
  model.hidden: {values: [8, 16]}
  model.heads: {type: int, min: 2, max: 8, step: 2, when: {model.hidden: 16}}
"""
    return [made.encode()]


def study_settings(folder: Path) -> list[bytes]:
    made = """hpo:
  trials: 4
  sampler: {name: tpe, startup_trials: 2}
  pruner: asha
  folds: 3
  fold_pruner: {name: wilcoxon, p_value: 0.3}
training: {seed: 1}
"""
    return [made.encode()]


def split(folder: Path) -> list[bytes]:
    from tutelage.core.folds import Split, write_split

    made = Split(task="can", kind="grouped", folds=2, repeats=2, units=tuple("abcd"),
                 groups=tuple("xxyz"), fold_of=((0, 0, 1, 1), (1, 1, 0, 1)))  # fmt: skip
    return [_written(folder, "x.json", lambda p: write_split(made, p))]


def _run(folder: Path) -> Any:
    """A finished run that nobody trained."""
    from tutelage.core.config import RunConfig
    from tutelage.core.records import (
        Artifact,
        AuditStamp,
        Figure,
        Fingerprints,
        Line,
        Panel,
        Parent,
        Table,
        now,
    )
    from tutelage.core.store import RunStore
    from tutelage.tasks.can.config import CANConfig

    config: RunConfig = CANConfig()
    prints = Fingerprints(run="one", config="c", data="d", source="s", parents=("p",))
    parents = (Parent(run="20260101-000000-000-can-gat-normal-ab12", role="teacher"),)
    run = RunStore(folder / "made").create(config, prints, parents)
    run.update(
        status="finished", finished=now(), metrics={"test/f1": 0.5}, baselines={"rule": {"test/f1": 0.4}},
        tables=(Table(title="t", columns=("a", "b"), rows=(("x", 1.5), ("y", None))),),
        figures=(Figure(title="f", panels=(Panel(title="p", lines=(Line(name="l", values=(1.0, None)),)),)),),
        artifacts={"notes": Artifact(path="capture.txt", digest="0")}, audit=AuditStamp(verdict="clean"),
        seconds={"total": 1.0}, warnings=("w",),
    )  # fmt: skip
    return run


def run_config(folder: Path) -> list[bytes]:
    return [(_run(folder).path / "config.json").read_bytes()]


def record(folder: Path) -> list[bytes]:
    from tutelage.core.files import digest_file

    (folder / "capture.txt").write_bytes(b"x")
    text = (_run(folder).path / "record.json").read_text()
    return [
        text.replace('"digest": "0"', f'"digest": "{digest_file(folder / "capture.txt")}"').encode()
    ]


def inputs(folder: Path) -> list[bytes]:
    (folder / "a.csv").write_bytes(b"x")
    made = {"schema_version": 1, "data": {"a.csv": "0", "b/c.csv": "1"}, "package": {"task.py": "2"},
            "elsewhere": {str(folder / "a.csv"): "3"}}  # fmt: skip
    return [json.dumps(made).encode()]


def metrics(folder: Path) -> list[bytes]:
    rows = "0,10,train/loss,0.5,1.0\n0,20,val/loss,0.4,2.0\n0,20,learning_rate,0.001,2.0\n"
    return [f"epoch,step,metric,value,seconds\n{rows}{rows.replace('0,', '1,', 1)}".encode()]


def manifest(folder: Path) -> list[bytes]:
    from tutelage.core.records import Environment

    made = {
        "run": "r", "task": "can", "model": "gat", "mode": "normal", "source": {"run": "x"}, "asked": {"formats": ["onnx"]},
        "settings": {}, "lineage": [{"run": "a", "child": "b", "role": "teacher", "fingerprint": None}],
        "hashes": {"data": "d"}, "environment": Environment.here().model_dump(mode="json"), "metrics": {"f1": 0.5},
        "gates": [{"what": "size", "limit": 1.0, "value": None, "passed": False}], "passed": False,
        "exports": [{"path": "model.onnx", "digest": "0", "format": "onnx", "bytes": 3}],
    }  # fmt: skip
    return [json.dumps(made).encode()]


def result(folder: Path) -> list[bytes]:
    made = {"run": "/x/run", "origin": "new", "kind": "DataError", "cause": None, "problem": "p",
            "where": None, "hint": "h"}  # fmt: skip
    return [json.dumps(made).encode(), json.dumps(made | {"kind": "UnknownNameError"}).encode()]


def study_record(folder: Path) -> list[bytes]:
    made = {
        "id": "s", "task": "can", "status": "finished", "created": "2026-01-01T00:00:00Z", "fingerprint": "f",
        "study_name": "n", "hpo": {"trials": 2}, "base": {}, "space": {"parameters": {}}, "data": "d",
        "metric": "f1", "direction": "maximize", "chosen": 0, "refits": [{"seed": 0, "run": "r", "metrics": {"f1": 1}}],
    }  # fmt: skip
    return [json.dumps(made).encode()]


def study_trials(folder: Path) -> list[bytes]:
    trial = {
        "number": 0, "status": "complete", "params": {"x": 1}, "value": 0.5, "started": "2026-01-01T00:00:00Z",
        "folds": [{"fold": 0, "run": "r", "value": 0.5, "best_epoch": 1, "seconds": 1.0}],
        "failures": [{"fold": 0, "kind": "oom", "said": "x"}],
    }  # fmt: skip
    return [json.dumps({"schema_version": 1, "trials": [trial]}).encode()]


def journal(folder: Path) -> list[bytes]:
    from optuna.distributions import FloatDistribution

    from tutelage.hpo.ledger import FOLDS, Ledger, open_storage

    place = folder / "journal"
    place.mkdir()
    ledger = Ledger(open_storage("journal", place), "study", "maximize")
    number = ledger.begin({"host": "h", "pid": 1})
    ledger.ask(number, {"x": 0.25}, {"x": 0.25}, {"x": FloatDistribution(0.0, 1.0)})
    ledger.report(number, 1, 0.5)
    ledger.note(number, FOLDS, [{"fold": 0, "run": "r", "value": 0.5}])
    ledger.tell(number, "complete", 0.75)
    return [(place / "study.journal").read_bytes()]


def _tensors() -> dict[str, Any]:
    import torch

    return {
        "a.weight": torch.ones(2, 3),
        "b": torch.arange(4),
        "c": torch.ones(2, dtype=torch.float16),
    }


def weights(folder: Path) -> list[bytes]:
    from tutelage.training.tensorfile import write_tensors

    made = _written(folder, "x", lambda p: write_tensors(p, _tensors(), {"format": "pt"}))
    (folder / "other.safetensors").write_bytes(made)
    return [made]


def checkpoint(folder: Path) -> list[bytes]:
    import torch

    from tutelage.training.state import save_tree

    tree = {
        "state_dict": _tensors(), "epoch": 1, "loops": {"x": [1, 2.5, None, True, float("nan")]}, 3: (1, 2),
        "size": torch.Size([2, 3]), "bytes": b"\0\1", "set": {1, 2}, "array": np.arange(3.0), "one": np.float32(2),
        "big": 2**70, "nested": {(1, "a"): frozenset({1})},
    }  # fmt: skip
    return [_written(folder, "x", lambda p: save_tree(p, tree))]


def marker(folder: Path) -> list[bytes]:
    from tutelage.training.checkpoint_files import TutelageCheckpointIO

    path = folder / "step-0000000001.safetensors"
    TutelageCheckpointIO().save_checkpoint(
        {"state_dict": _tensors(), "global_step": 1, "epoch": 0}, path
    )
    return [path.with_suffix(".json").read_bytes()]


def _card(task: str, config: Any, preprocessing: dict[str, object]) -> bytes:
    plain = json.loads(json.dumps(preprocessing))
    from tutelage.task import load_task
    from tutelage.training.model_card import ModelCard

    return ModelCard(
        task=task, model="m", config=config.model_dump(mode="json"), preprocessing=plain,
        preprocessing_version=load_task(task).preprocessing_version, digest="0", bytes=1,
        tensors={}, tied={},
    ).model_dump_json().encode()  # fmt: skip


def can_card(folder: Path) -> list[bytes]:
    from tutelage.tasks.can.config import CANConfig
    from tutelage.tasks.can.preprocessing import Preprocessing

    learned = Preprocessing.fit([_frames(2000)], 20, {"d": "x"}, 0.2)
    return [_card("can", CANConfig(), learned.to_json())]


def ner_card(folder: Path) -> list[bytes]:
    from tutelage import api

    (folder / "texts").mkdir(exist_ok=True)
    (folder / "texts" / "a.conll").write_text("Ada B-person\nlives O\nin O\nOslo B-place\n\n" * 8
                                              + "".join(f"Kurt{i} B-person\nis{i} O\n\n" for i in range(30)))  # fmt: skip
    task, config = api.configure("ner", ("model.hidden=4", f"data.root={folder / 'texts'}"))
    data = task.datamodule(config, folder / "cache", None)
    data.setup("fit")
    return [_card("ner", config, dict(data.preprocessing))]


def neural_card(folder: Path) -> list[bytes]:
    from dataclasses import replace

    from tutelage.tasks.neural.config import NeuralConfig
    from tutelage.tasks.neural.preprocessing import Preprocessing, SessionCard

    card = SessionCard(
        "s", "ada", ("a", "b"), 16, 16, (0.5, 0.25), 30.0, ("pupil",), (0.5,), (1.0,)
    )
    known = Preprocessing({"s": card, "t": replace(card, id="t")}, False, 100.0, 50.0, {"s": "d"})
    return [_card("neural", NeuralConfig(), known.to_json())]


def multimodal_card(folder: Path) -> list[bytes]:
    from tutelage.tasks.multimodal.config import MultimodalConfig
    from tutelage.tasks.multimodal.preprocessing import Preprocessing, packed_looks

    seen = packed_looks(np.arange(4, dtype=np.uint64))
    known = Preprocessing(
        64, "crop", (1.0, 2.0, 3.0), (1.0, 1.0, 1.0), {"kind": "bytes"}, seen, ("a",)
    )
    return [_card("multimodal", MultimodalConfig(), known.to_json())]


def card(folder: Path) -> list[bytes]:
    from tutelage.tasks.multimodal.config import MultimodalConfig

    made = json.loads(_card("multimodal", MultimodalConfig(), {"a": 1}))
    made |= {"tensors": {"w": {"shape": [2, 3], "dtype": "float32"}}, "tied": {"v": "w"}}
    old = {
        k: v
        for k, v in made.items()
        if k not in ("digest", "preprocessing", "preprocessing_version")
    }
    return [json.dumps(made).encode(), json.dumps(old | {"sha": "0", "schema_version": 1}).encode()]


def export_card(folder: Path) -> list[bytes]:
    from tutelage.core.files import digest_bytes

    (folder / "model.onnx").write_bytes(b"model")
    made = {
        "run": "r", "task": "can", "model": "gat", "opset": 18, "exporter": "x", "parameters": 3, "bytes": 5,
        "digest": digest_bytes(b"model"), "inputs": {"x": {"dtype": "float32", "shape": ["n", 3]}}, "outputs": {},
        "preprocessing_digest": "0", "facts": {"threshold": 0.5, "unit": "s"},
        "parity": {"samples": 1, "largest_difference": 0.0, "tolerance": 1e-5, "runtime": "x"},
        "latency": [{"engine": "torch", "shape": [1], "calls": 3, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0}],
    }  # fmt: skip
    return [json.dumps(made).encode()]
