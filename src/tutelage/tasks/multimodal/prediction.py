"""`tutelage predict`: embeddings of pictures and captions, or what is closest to a sentence."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.core.records import Table
from tutelage.tasks.multimodal.datamodule import DataHandler
from tutelage.tasks.multimodal.evaluation import Evaluator
from tutelage.tasks.multimodal.folds import unit_names
from tutelage.tasks.multimodal.module import TwoTowerModule


def predict(module: TwoTowerModule, data: DataHandler) -> tuple[Table, ...]:
    """Return a row for each picture and each caption with its embedding, or for each picture found.

    With `evaluation.query` the pictures closest to that sentence are listed, the closest first. In
    a fold it is the held-out pictures and captions that have rows.
    """
    module.eval()
    evaluator = Evaluator(module, data)
    query = data.config.evaluation.query
    if query is not None and not data.in_fold:
        return (closest(evaluator, query, data.config.evaluation.nearest),)
    pairs, rows = data.pairs, predicted_rows(data)
    spoken = data.captions_of(rows)
    images = evaluator.embed_images(rows)
    texts = evaluator.embed_tokens(data.tokens[torch.from_numpy(spoken)])
    columns = ("kind", "name", "caption", *(f"e{i}" for i in range(images.shape[1])))
    pictures = [
        ("image", pairs.names[row], "", *vector)
        for row, vector in zip(rows, images.tolist(), strict=True)
    ]
    captions = [
        ("text", pairs.names[pairs.image_of[row]], pairs.captions[row], *vector)
        for row, vector in zip(spoken, texts.tolist(), strict=True)
    ]
    return (Table(title="embeddings", columns=columns, rows=(*pictures, *captions)),)


def predicted_rows(data: DataHandler) -> NDArray[np.int64]:
    """Return the pictures that have embeddings: all, or in a fold those that are held out."""
    return data.test_rows if data.in_fold else np.arange(len(data.pairs))


def predicted_units(data: DataHandler) -> list[str]:
    """Return the unit of each row of `predict` in a fold."""
    names, rows = unit_names(data.pairs, data.looks), predicted_rows(data)
    spoken = data.pairs.image_of[data.captions_of(rows)]
    return [names[row] for row in (*rows.tolist(), *spoken.tolist())]


def closest(evaluator: Evaluator, query: str, count: int) -> Table:
    """Return the pictures closest to a sentence: rank, name, cosine similarity, a caption."""
    pairs = evaluator.data.pairs
    images = evaluator.embed_images(np.arange(len(pairs)))
    similarity = images @ evaluator.embed_sentences([query])[0]
    best = torch.argsort(similarity, descending=True, stable=True)[:count].tolist()
    captions = [
        pairs.captions[int(pairs.first_caption[row])] if pairs.captions_of[row] else ""
        for row in best
    ]
    rows = tuple(
        (rank, pairs.names[row], float(similarity[row]), caption)
        for rank, (row, caption) in enumerate(zip(best, captions, strict=True), 1)
    )
    return Table(title=query, columns=("rank", "picture", "similarity", "caption"), rows=rows)
