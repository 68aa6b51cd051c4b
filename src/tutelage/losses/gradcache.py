"""GradCache: one loss over a batch whose activations would not fit, with the exact gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from tutelage.core.errors import ConfigError


def grad_cache(encoder: nn.Module, *inputs: Tensor, chunk_size: int) -> Tensor:
    """Return the embeddings of a batch that is encoded in parts, keeping no activations.

    Backward encodes each part again, under the random state that it had, and goes through it with
    its share of the gradient (Gao et al. 2021, https://arxiv.org/abs/2101.06983). The loss sees
    all embeddings at once, in one backward pass: its own parameters, the temperature first, get
    their gradient once, and gradients are those of the whole batch. Memory for activations is
    that of one part; time is one forward pass more.

    Args:
        encoder: From ``inputs`` to (n, d) embeddings, item by item: no layer may mix items.
        inputs: Tensors of one length N, such as token ids and their mask.
        chunk_size: Items encoded at once.

    Returns:
        (N, d) embeddings with their graph.

    Raises:
        ConfigError: ``chunk_size`` is not positive, or the encoder, in training, normalises over
            the batch.
    """
    if chunk_size < 1:
        raise ConfigError(f"parts of {chunk_size} items", hint="Give chunk_size of 1 or more.")
    n = len(inputs[0])
    if chunk_size >= n:
        whole: Tensor = encoder(*inputs)
        return whole
    for name, module in encoder.named_modules():
        if isinstance(module, _BatchNorm) and module.training:
            problem = f"{name} normalises over the batch: in parts its gradients are others"
            raise ConfigError(problem, hint="Take layer or group normalisation, or whole batches.")
    parts = zip(*(torch.split(x, chunk_size) for x in inputs), strict=True)
    return torch.cat([checkpoint(encoder, *part, use_reentrant=False) for part in parts])
