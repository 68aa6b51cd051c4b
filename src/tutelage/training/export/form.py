"""`Exportable`: what a task gives to be exported: a module, its inputs, and samples to check by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Results = Sequence[NDArray[np.float32]]
"""What a model says of each sample, in order."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a model's results are on the samples that it is checked by.

    Args:
        name: The metric.
        of: Its value, larger is better, from the results of all samples.
        allowed_drop: How much of it an approximate form may lose.
    """

    name: str
    of: Callable[[Results], float]
    allowed_drop: float = 0.02


@dataclass(frozen=True, slots=True)
class Exportable:
    """A model in the form in which it leaves Tutelage, for one sample at a time.

    Args:
        module: Takes the inputs, by place, and returns one tensor; in evaluation.
        inputs: Their names.
        output: The result's name.
        axes: Of each input that has some, the names of its axes of no fixed length, by number.
        example: Inputs of some lengths above 1, which tell types and ranks and nothing else.
        samples: Real inputs.
        expected: What the trained model itself, in the form in which it was evaluated, says of
            each sample.
        facts: What a user of the file has to know, such as the alarm threshold.
        quality: How good results are; forms of less precision are held to it.
        trained: The model whose calls are timed, where ``module`` is a form made for the exporter.
        translations: How operators of the module's own are written with those of ONNX.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    output: str
    axes: Mapping[str, Mapping[int, str]]
    example: tuple[Tensor, ...]
    samples: Sequence[tuple[Tensor, ...]]
    expected: Sequence[Tensor]
    facts: Mapping[str, float | int | str]
    quality: Quality | None = None
    trained: nn.Module | None = None
    translations: Mapping[Callable[..., object], Callable[..., object]] | None = None
