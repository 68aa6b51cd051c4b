"""Zero-shot classification: a picture's category is the one whose prompts lie closest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tutelage.core.errors import ConfigError


def category_embeddings(
    categories: Sequence[str], prompts: Sequence[str], embed: Callable[[Sequence[str]], Tensor]
) -> Tensor:
    """Return (K, D) embeddings of categories, of unit length: the mean of all their prompts.

    Args:
        categories: K names; an underscore is read as a space.
        prompts: Texts in which ``{}`` stands for the name.
        embed: Returns (n, D) unit embeddings of n texts.

    Raises:
        ConfigError: A prompt has no ``{}``, or there is none.
    """
    wrong = [prompt for prompt in prompts if "{}" not in prompt]
    if wrong or not prompts:
        said = f"the prompt {wrong[0]!r} has no {{}}" if wrong else "there is no prompt"
        raise ConfigError(said, where="evaluation.prompts", hint="Write 'a picture of {}'.")
    names = [category.replace("_", " ") for category in categories]
    texts = [prompt.replace("{}", name) for name in names for prompt in prompts]
    embedded = embed(texts).view(len(names), len(prompts), -1).mean(1)
    return F.normalize(embedded, dim=1)


def zero_shot_metrics(
    images: Tensor, truth: NDArray[np.int64], categories: Tensor
) -> tuple[dict[str, float], dict[str, float]]:
    """Return accuracy, plain and as a mean over categories, and what the commonest one gets.

    Args:
        images: (N, D) of unit length.
        truth: (N,) number of each picture's category.
        categories: (K, D) of unit length.
    """
    predicted = (images @ categories.T).argmax(1).cpu()
    right = (predicted == torch.from_numpy(truth)).double().numpy()
    counts = np.bincount(truth, minlength=len(categories))
    by_category = np.bincount(truth, right, minlength=len(categories))[counts > 0]
    present = counts[counts > 0]
    metrics = {
        "zero_shot_accuracy": float(right.mean()),
        "zero_shot_balanced_accuracy": float((by_category / present).mean()),
    }
    commonest = {
        "zero_shot_accuracy": float(counts.max() / counts.sum()),
        "zero_shot_balanced_accuracy": 1 / len(present),
    }
    return metrics, commonest
