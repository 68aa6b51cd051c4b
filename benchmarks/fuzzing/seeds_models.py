"""Real seeds of weights, checkpoints and cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.seeds_shared import frames, written


def _tensors() -> dict[str, Any]:
    import torch

    return {
        "a.weight": torch.ones(2, 3),
        "b": torch.arange(4),
        "c": torch.ones(2, dtype=torch.float16),
    }


def weights(folder: Path) -> list[bytes]:
    from tutelage.training.tensorfile import write_tensors

    made = written(folder, "x", lambda p: write_tensors(p, _tensors(), {"format": "pt"}))
    (folder / "other.safetensors").write_bytes(made)
    return [made]


def checkpoint(folder: Path) -> list[bytes]:
    import torch

    from tutelage.training.state import save_tree

    tree = {
        "state_dict": _tensors(),
        "epoch": 1,
        "loops": {"x": [1, 2.5, None, True, float("nan")]},
        3: (1, 2),
        "size": torch.Size([2, 3]),
        "bytes": b"\0\1",
        "set": {1, 2},
        "array": np.arange(3.0),
        "one": np.float32(2),
        "big": 2**70,
        "nested": {(1, "a"): frozenset({1})},
    }
    return [written(folder, "x", lambda p: save_tree(p, tree))]


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

    return (
        ModelCard(
            task=task,
            model="m",
            config=config.model_dump(mode="json"),
            preprocessing=plain,
            preprocessing_version=load_task(task).preprocessing_version,
            digest="0",
            bytes=1,
            tensors={},
            tied={},
        )
        .model_dump_json()
        .encode()
    )


def can_card(folder: Path) -> list[bytes]:
    from tutelage.tasks.can.config import CANConfig
    from tutelage.tasks.can.preprocessing import Preprocessing

    learned = Preprocessing.fit([frames(2000)], 20, {"d": "x"}, 0.2)
    return [_card("can", CANConfig(), learned.to_json())]


def ner_card(folder: Path) -> list[bytes]:
    from tutelage import api

    (folder / "texts").mkdir(exist_ok=True)
    (folder / "texts" / "a.conll").write_text(
        "Ada B-person\nlives O\nin O\nOslo B-place\n\n" * 8
        + "".join(f"Kurt{i} B-person\nis{i} O\n\n" for i in range(30))
    )
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
        "run": "r",
        "task": "can",
        "model": "gat",
        "opset": 18,
        "exporter": "x",
        "parameters": 3,
        "bytes": 5,
        "digest": digest_bytes(b"model"),
        "inputs": {"x": {"dtype": "float32", "shape": ["n", 3]}},
        "outputs": {},
        "preprocessing_digest": "0",
        "facts": {"threshold": 0.5, "unit": "s"},
        "parity": {"samples": 1, "largest_difference": 0.0, "tolerance": 1e-5, "runtime": "x"},
        "latency": [
            {
                "engine": "torch",
                "shape": [1],
                "calls": 3,
                "p50_ms": 1.0,
                "p95_ms": 1.0,
                "p99_ms": 1.0,
            }
        ],
    }
    return [json.dumps(made).encode()]
