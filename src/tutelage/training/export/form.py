"""`Exportable`: what a task gives to be exported: a module, its inputs, and samples to check by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn


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
    """

    module: nn.Module
    inputs: tuple[str, ...]
    output: str
    axes: Mapping[str, Mapping[int, str]]
    example: tuple[Tensor, ...]
    samples: Sequence[tuple[Tensor, ...]]
    expected: Sequence[Tensor]
    facts: Mapping[str, float | int | str]
