"""An LSTM as one operator: PyTorch's exporter would unroll it to one length of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


@torch.library.custom_op("tutelage::lstm", mutates_args=())
def _lstm(inputs: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    """Return the outputs (T, B, H) of one layer and direction over ``inputs`` (T, B, I).

    Args:
        inputs: (T, B, I).
        weight: (1, 4H, I) of gates input, output, forget, cell, the order of ONNX.
        recurrent: (1, 4H, H).
        bias: (1, 8H), those of the inputs and those of the recurrence.
    """
    size = recurrent.shape[2]
    hidden = cell = inputs.new_zeros(inputs.shape[1], size)
    total = bias[0, : 4 * size] + bias[0, 4 * size :]
    found = []
    for step in inputs:
        gates = step @ weight[0].T + hidden @ recurrent[0].T + total
        enter, leave, keep, new = gates.split(size, 1)
        cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        found.append(hidden)
    return torch.stack(found)


@_lstm.register_fake
def _shape(inputs: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    return inputs.new_empty(inputs.shape[0], inputs.shape[1], recurrent.shape[2])


class OneOperatorLSTM(nn.Module):
    """The same as a unidirectional `nn.LSTM` of one layer, batch first, as one operator.

    Args:
        layer: Whose weights it has.
    """

    weight: Tensor
    recurrent: Tensor
    bias: Tensor

    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        parts = (_reordered(layer.get_parameter(name).detach()) for name in names)
        weight, recurrent, bias, more = parts
        self.register_buffer("weight", weight[None])
        self.register_buffer("recurrent", recurrent[None])
        self.register_buffer("bias", torch.cat([bias, more])[None])

    def forward(self, inputs: Tensor) -> tuple[Tensor, None]:
        """Return (B, T, H) outputs of (B, T, I), and no state."""
        steps: Tensor = _lstm(inputs.transpose(0, 1), self.weight, self.recurrent, self.bias)
        return steps.transpose(0, 1), None


def _reordered(part: Tensor) -> Tensor:
    """Bring PyTorch's gates (input, forget, cell, output) into the order of ONNX."""
    enter, keep, new, leave = part.chunk(4)
    return torch.cat([enter, leave, keep, new])


def translations() -> Mapping[Callable[..., object], Callable[..., object]]:
    """Return how the operator is written in ONNX.

    Raises:
        ImportError: onnxscript is not installed.
    """
    from onnxscript import opset20

    op: Any = opset20

    def written(inputs: Any, weight: Any, recurrent: Any, bias: Any) -> Any:
        size = recurrent.shape[2]
        outputs, _, _ = op.LSTM(inputs, weight, recurrent, bias, hidden_size=size)
        return op.Squeeze(outputs, op.Constant(value_ints=[1]))

    return {torch.ops.tutelage.lstm.default: written}


def with_one_operator(module: nn.Module) -> nn.Module:
    """Replace each LSTM in a module by the same as one operator; return the module."""
    for name, part in list(module.named_children()):
        if isinstance(part, nn.LSTM):
            setattr(module, name, OneOperatorLSTM(part))
        else:
            with_one_operator(part)
    return module
