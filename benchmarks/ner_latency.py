"""Claim: a window of 128 tokens takes an 8-bit file at most a third of what it takes PyTorch.

One window at a time on one thread, in PyTorch, in the ONNX file and in its 8-bit form; calls take
turns, `TURN` each, so that all see the machine in the same moods. Milliseconds on the wall, which
other work stretches, and of CPU time, which it hardly does. A form that is missing in the run's
folder is exported first, which holds it to the model's logits or F1 on the test texts.

    TUTELAGE_HOME=… python benchmarks/ner_latency.py RUN [--calls 200] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from targets import Target, conclude
from tutelage import api
from tutelage.task import load_task
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.corpus import load_corpus
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.export import full_mask, token_network
from tutelage.tasks.ner.modules import NERModule
from tutelage.tasks.ner.preprocessing import Preprocessing
from tutelage.tasks.ner.tokens.store import encode_texts
from tutelage.training.export.runtime import open_session, read_exported
from tutelage.training.model_card import read_preprocessing
from tutelage.training.restore import restore_module

FORMS = ("onnx", "onnx-int8")
TURN, WARM = 10, 10
TIMES = 3.0


def forms_of(name: str) -> tuple[dict[str, Callable[[], object]], dict[str, object]]:
    """Return each form's call for one and the same window, and what is known of the forms."""
    run, task = api.load_run(name), load_task("ner")
    module = restore_module(task, run)
    assert isinstance(module, NERModule)
    known = Preprocessing.from_json(read_preprocessing(run.path, task))
    text = " ".join(document.text for document in load_corpus(NERData()).tests["test"][:60])
    encoded = encode_texts([Document.of_text("", text)], module.labels, known.coder, known.frame)
    longest = int(encoded.lengths.argmax())
    batch = encoded.batch(torch.tensor([longest]))
    network = token_network(module)
    inputs = {"input_ids": batch.input_ids, "attention_mask": full_mask(batch)}
    if batch.characters is not None:
        inputs["characters"] = batch.characters
    calls: dict[str, Callable[[], object]] = {"torch": partial(network, *inputs.values())}
    facts: dict[str, object] = {"run": run.id, "tokens": batch.input_ids.shape[1]}
    fed = {key: value.numpy() for key, value in inputs.items()}
    for form in FORMS:
        file = run.path / ("model.onnx" if form == "onnx" else "model-int8.onnx")
        if not file.exists():
            api.export(run, format=form)
        content, card = read_exported(file)
        calls[form] = partial(open_session(content).run, None, fed)
        facts[f"{form} f1"] = None if card.kept is None else card.kept.exported
        facts["f1"] = None if card.kept is None else card.kept.trained
    return calls, facts


def timed(calls: dict[str, Callable[[], object]], times: int) -> dict[str, np.ndarray]:
    """Return (times, 2) milliseconds of each form's calls, on the wall and of CPU time."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(WARM):
            call()
    for _ in range(0, times, TURN):
        for name, call in calls.items():
            for _ in range(TURN):
                wall, spent = time.perf_counter(), time.process_time()
                call()
                spent, wall = time.process_time() - spent, time.perf_counter() - wall
                found[name].append((1e3 * wall, 1e3 * spent))
    return {name: np.array(rows) for name, rows in found.items()}


def main() -> None:
    """Print what each form takes, and how many times less than PyTorch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    calls, facts = forms_of(options.run)
    with torch.inference_mode():
        times = timed(calls, options.calls)
    facts |= {"cpu": platform.machine(), "load": load, "torch": torch.__version__}
    facts |= {"onnxruntime": onnxruntime.__version__}
    print("  ".join(f"{key} {value}" for key, value in facts.items()))
    torch_wall, torch_spent = np.median(times["torch"], axis=0)
    rows = {}
    for name, each in times.items():
        p50, p95, p99 = np.quantile(each[:, 0], (0.5, 0.95, 0.99))
        spent = float(np.median(each[:, 1]))
        rows[name] = {
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "cpu_p50_ms": spent,
            "times_less": torch_wall / p50,
            "times_less_cpu": torch_spent / spent,
        }
        print(f"{name:10}", "  ".join(f"{key} {value:.3g}" for key, value in rows[name].items()))
    less = float(rows["onnx-int8"]["times_less"])
    asked = Target("8-bit file, times less than PyTorch", less, "≥", TIMES)
    conclude({"machine": facts, "rows": rows}, [asked], options.json)


if __name__ == "__main__":
    main()
