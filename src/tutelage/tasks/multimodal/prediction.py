"""`tutelage predict`: embeddings of pictures and captions, or what is closest to a sentence."""

from __future__ import annotations

import numpy as np
import torch

from tutelage.core.records import Table
from tutelage.tasks.multimodal.datamodule import DataHandler
from tutelage.tasks.multimodal.evaluation import Evaluator
from tutelage.tasks.multimodal.module import TwoTowerModule


def predict(module: TwoTowerModule, data: DataHandler) -> tuple[Table, ...]:
    """Return a row for each picture and each caption with its embedding, or for each picture found.

    With `evaluation.query` the pictures closest to that sentence are listed, the closest first.
    """
    module.eval()
    evaluator = Evaluator(module, data)
    query = data.config.evaluation.query
    if query is not None:
        return (closest(evaluator, query, data.config.evaluation.nearest),)
    rows = np.arange(len(data.pairs))
    images = evaluator.embed_images(rows)
    texts = evaluator.embed_tokens(data.tokens)
    columns = ("kind", "name", "caption", *(f"e{i}" for i in range(images.shape[1])))
    pictures = [
        ("image", name, "", *vector)
        for name, vector in zip(data.pairs.names, images.tolist(), strict=True)
    ]
    captions = [
        ("text", data.pairs.names[image], caption, *vector)
        for image, caption, vector in zip(
            data.pairs.image_of, data.pairs.captions, texts.tolist(), strict=True
        )
    ]
    return (Table(title="embeddings", columns=columns, rows=(*pictures, *captions)),)


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
