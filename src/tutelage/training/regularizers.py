"""Terms that are added to a task's own loss while a model trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from tutelage.training.contracts import Objective, TaskModule


class ElasticWeightConsolidation(Objective):
    """The task's loss, and a price on moving the weights that earlier samples depend on.

    The penalty is ``weight / 2 * sum(fisher * (parameters - anchor) ** 2)``. It is a part of the
    loss, so that it acts before the optimiser's step; the buffers are a part of each checkpoint.

    Args:
        parameters: How many numbers the module trains.
        weight: Weight of the penalty.

    Source: Kirkpatrick et al. 2017, https://doi.org/10.1073/pnas.1611835114; with one sum over all
        stages and the newest anchor (Schwarz et al. 2018, https://arxiv.org/abs/1805.06370).
    """

    fisher: Tensor
    anchor: Tensor

    def __init__(self, parameters: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("fisher", torch.zeros(parameters))
        self.register_buffer("anchor", torch.zeros(parameters))

    def forward(self, module: TaskModule, batch: Any) -> dict[str, Tensor]:
        """Return the module's scalars, its loss with the penalty, and the penalty alone."""
        found = module.step(batch)
        moved = parameters_to_vector(trained(module)) - self.anchor
        penalty = 0.5 * self.weight * (self.fisher * moved.square()).sum()
        return found | {"loss": found["loss"] + penalty, "penalty": penalty.detach()}

    def consolidate(self, module: TaskModule, samples: Iterable[Any]) -> None:
        """Hold on to what the weights are now, by how much each matters to these samples.

        That is the diagonal of the empirical Fisher information: the mean of the squared gradient
        of the loss of one sample. Neither gradients nor random generators change.

        Args:
            module: In training.
            samples: Batches of a single sample each.
        """
        parameters = trained(module)
        total, count = torch.zeros_like(self.fisher), 0
        with in_evaluation(module), torch.enable_grad():
            for sample in samples:
                loss = module.step(sample)["loss"]
                grads = torch.autograd.grad(loss, parameters, allow_unused=True)
                known = zip(grads, parameters, strict=True)
                flat = [torch.zeros_like(p) if g is None else g for g, p in known]
                total += parameters_to_vector(flat).detach().square()
                count += 1
        self.fisher += total / count
        self.anchor.copy_(parameters_to_vector(parameters).detach())


def trained(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that training changes."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


@contextmanager
def in_evaluation(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation, and each of its parts back to what it was."""
    before = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.backends.cudnn.flags(enabled=False):  # its RNNs refuse gradients in evaluation
            yield
    finally:
        for part, training in before.items():
            part.training = training
