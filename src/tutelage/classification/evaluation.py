"""How well classes are told: accuracy and F1 beside baselines, by class, and the mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.classification.data import ClassificationDataModule, Learned
from tutelage.classification.module import Batch, ClassifierModule
from tutelage.core.blocks import Blocks, blocks_of, pack_blocks
from tutelage.core.records import Evaluation, Table
from tutelage.training.export.form import Exportable, Quality, Results

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_CHECKED: Final = 256
"""Test examples, evenly chosen, that an export is compared on."""
MOST_SHOWN: Final = 30
"""Classes up to which all mistakes are shown as one table."""


@torch.inference_mode()
def probabilities(module: ClassifierModule, data: ClassificationDataModule) -> Floats:
    """Return (n, k) what a model says of each test example."""
    module.eval()
    loader: Iterable[Batch] = data.test_loaders()[data.test_name]
    moved = (data.transfer_batch_to_device(batch, module.device, 0) for batch in loader)
    found = [module.network(x).double().softmax(1).cpu() for x, _ in moved]
    return torch.cat(found).numpy()


def evaluate(module: ClassifierModule, data: ClassificationDataModule) -> Evaluation:
    """Score the test examples, beside the most common class and the nearest class mean."""
    split, learned, rows = data.test_name, data.learned, data.test_rows
    truth = data.examples.labels[rows]
    said = probabilities(module, data)
    guess = said.argmax(1)
    arrays = data.examples.x[rows].reshape(len(rows), -1)
    scores = _scores(truth, guess, learned) | {"log_loss": _log_loss(said, truth)}
    baselines = {
        "most common class": np.full(len(rows), int(np.argmax(learned.counts))),
        "nearest class mean": _nearest(arrays, learned),
    }
    confusion = _confusion(truth, guess, len(learned.classes))
    return Evaluation(
        metrics=_of_split(split, scores),
        baselines={n: _of_split(split, _scores(truth, g, learned)) for n, g in baselines.items()},
        tables=(_mistakes(confusion, learned),),
        files=pack_blocks(_accuracy_blocks(split, truth, guess, arrays)),
    )


def prediction_table(module: ClassifierModule, data: ClassificationDataModule) -> Table:
    """Return a row for each test example: its number, its class, and how likely that is."""
    said = probabilities(module, data)
    best, names = said.argmax(1), data.learned.classes
    likely = said.max(1)
    rows = tuple(
        (row, names[at], share)
        for row, at, share in zip(
            data.test_rows.tolist(), best.tolist(), likely.tolist(), strict=True
        )
    )
    columns = ("example", "class", "probability")
    return Table(title=data.source_name, columns=columns, rows=rows)


def exportable(module: ClassifierModule, data: ClassificationDataModule) -> Exportable:
    """Return the network, arrays in and logits out, with test examples to check it by."""
    module = module.cpu().eval()
    rows = data.test_rows[:: -(-len(data.test_rows) // MOST_CHECKED)]
    x = data.x[torch.from_numpy(rows)]
    with torch.inference_mode():
        expected = module.network(x).clone()
    quality = None
    if data.examples.y is not None:
        truth = data.examples.labels[rows]

        def accuracy(results: Results) -> float:
            return float(np.mean([r[0].argmax() == y for r, y in zip(results, truth, strict=True)]))

        quality = Quality("accuracy", accuracy)
    return Exportable(
        module=module.network,
        inputs=("x",),
        output="logits",
        axes={"x": {0: "examples"}},
        example=(x[:1].repeat(2, *(1 for _ in data.learned.shape)),),
        samples=[(x[n : n + 1],) for n in range(len(x))],
        expected=[expected[n : n + 1] for n in range(len(x))],
        facts={f"class {n}": name for n, name in enumerate(data.learned.classes)},
        quality=quality,
    )


def _accuracy_blocks(
    split: str, truth: Ints, guess: Ints, arrays: NDArray[np.float32]
) -> tuple[Blocks, ...]:
    items = [truth.tobytes(), arrays.tobytes()]
    right = truth == guess
    return blocks_of(f"{split}/accuracy", "examples", right, np.ones(len(right)), items)


def _of_split(split: str, scores: dict[str, float]) -> dict[str, float]:
    return {f"{split}/{name}": value for name, value in scores.items()}


def _confusion(truth: Ints, guess: Ints, classes: int) -> Ints:
    """Return (k, k) how many of each true class (rows) were called what (columns)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, guess), 1)
    return counts


def _scores(truth: Ints, guess: Ints, learned: Learned) -> dict[str, float]:
    """Return accuracy and the mean F1 of the classes that are there, and each one's parts."""
    confusion = _confusion(truth, guess, len(learned.classes))
    hits, there, called = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    f1 = 2 * hits / np.maximum(there + called, 1)
    scores = {"accuracy": float(hits.sum() / len(truth)), "macro_f1": float(f1[there > 0].mean())}
    for at in np.flatnonzero(there).tolist():
        name = learned.classes[at]
        scores[f"{name}/accuracy"] = float(hits[at] / there[at])
        scores[f"{name}/f1"] = float(f1[at])
        if called[at]:
            scores[f"{name}/precision"] = float(hits[at] / called[at])
    return scores


def _log_loss(said: Floats, truth: Ints) -> float:
    chosen = said[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean())


def _nearest(arrays: NDArray[np.float32], learned: Learned) -> Ints:
    """Return (n,) the class whose mean array is nearest; none without training examples."""
    means = np.asarray(learned.means)
    away = (means**2).sum(1) - 2 * arrays.astype(np.float64) @ means.T
    away[:, np.asarray(learned.counts) == 0] = np.inf
    nearest: Ints = away.argmin(1)
    return nearest


def _mistakes(confusion: Ints, learned: Learned) -> Table:
    """Return what was called what: all of it where classes are few, else the commonest mistakes."""
    names = learned.classes
    if len(names) <= MOST_SHOWN:
        cells = zip(names, confusion.tolist(), strict=True)
        note = "Rows: the true class. Columns: what the model called it."
        rows = tuple((name, *counts) for name, counts in cells)
        return Table(title="Confusion", columns=("", *names), rows=rows, note=note, heat=True)
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    worst = np.argsort(-wrong, axis=None, kind="stable")[:MOST_SHOWN]
    pairs = ((*divmod(int(at), len(names)), int(wrong.flat[at])) for at in worst)
    listed = tuple((names[true], names[called], n) for true, called, n in pairs if n)
    return Table(title="Commonest mistakes", columns=("class", "called", "times"), rows=listed)
