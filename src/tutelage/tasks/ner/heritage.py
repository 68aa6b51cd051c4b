"""What a student can take of its teacher before it learns: layers, and what it knows of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.core.errors import ConfigError
from tutelage.tasks.ner.tokens.vocabulary import VocabularyCoder
from tutelage.training.restore import take_fitting

if TYPE_CHECKING:
    from tutelage.tasks.ner.modules import NERModule


def inherit(student: NERModule, teacher: NERModule) -> None:
    """Let a student begin with what it can use of its teacher.

    Of a teacher with its tokens it takes all tensors of the same name and shape: the embeddings,
    as many of the lowest layers as it has, the tags' layer. Of any other, a student that reads
    words takes what the teacher's embedding says of each.

    Raises:
        ConfigError: It has other tokens and reads no words, or is of another width.
    """
    embedding = student.network.body.embedding
    if student.coder.to_json() == teacher.coder.to_json():
        names = take_fitting(student.network, teacher.network)
        if any(p is embedding.weight and n in names for n, p in student.network.named_parameters()):
            return
    if not isinstance(student.coder, VocabularyCoder):
        said = "the teacher's tokens or the size of its embedding are others than the student's"
        hint = "Leave mode.start out, or take a student that reads words, or fewer layers of it."
        raise ConfigError(said, where="mode.start", hint=hint)
    _learn_words(embedding, word_vectors(teacher, student.coder.words))


def word_vectors(module: NERModule, words: Sequence[str]) -> Tensor:
    """Return (words, H) the mean of a network's embedding over the tokens of each word."""
    table = module.network.body.embedding.weight.detach()
    pieces = module.coder.pieces(words, len(table))
    ends = torch.from_numpy(pieces.counts).cumsum(0)
    begins = ends - torch.from_numpy(pieces.counts)
    ids = torch.from_numpy(pieces.ids).long().to(table.device)
    return F.embedding_bag(ids, table, begins.to(table.device), mode="mean")


def _learn_words(embedding: nn.Embedding, vectors: Tensor) -> None:
    """Set the embeddings of words to the principal components of what is known of them.

    They are scaled to a deviation of 1, which that of a fresh embedding is.

    Args:
        embedding: Of the special tokens, which stay as they are, then of W words.
        vectors: (W, H).
    """
    apart = (vectors - vectors.mean(0)).double()
    directions = torch.linalg.eigh(apart.T @ apart).eigenvectors.flip(1)
    shown = apart @ directions[:, : embedding.embedding_dim]
    scaled = (shown / shown.std()).to(embedding.weight.dtype)
    with torch.no_grad():
        embedding.weight[-len(vectors) :, : scaled.shape[1]] = scaled
