"""Layers with a state that goes on from frame to frame: ConvGRU, GRU and LSTM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.tasks.neural.models.layers import ClipConv


class ConvGRU(nn.Module):
    """A gated recurrent unit whose products are convolutions (Ballas et al. 2016, 1511.06432).

    The frame's part of all gates is computed for all frames at once; the state's part goes from
    frame to frame, as it must.

    Args:
        inputs: Channels in.
        channels: Channels of the state.
        kernel: Height and width of the filters, odd.
    """

    def __init__(self, inputs: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.channels = channels
        self.from_input = ClipConv(inputs, 3 * channels, kernel)
        self.gates = ClipConv(channels, 2 * channels, kernel, bias=False)
        self.candidate = ClipConv(channels, channels, kernel, bias=False)

    def forward(self, clip: Tensor) -> Tensor:
        """Return the states (B, T, H, W, channels) over clip (B, T, H, W, inputs), from zero."""
        driven = self.from_input(clip)
        state = driven.new_zeros(*driven.shape[:1], 1, *driven.shape[2:4], self.channels)
        states = []
        for frame in driven.split(1, dim=1):
            update, reset, new = frame.chunk(3, dim=-1)
            held_update, held_reset = self.gates(state).chunk(2, dim=-1)
            gate = torch.sigmoid(update + held_update)
            kept = torch.sigmoid(reset + held_reset) * state
            state = torch.lerp(torch.tanh(new + self.candidate(kept)), state, gate)
            states.append(state)
        return torch.cat(states, dim=1)


class PlaceRecurrence(nn.Module):
    """A GRU or LSTM at each place by itself, with the same weights everywhere.

    Args:
        cell: The recurrent layer, batch first.
        channels: Channels of its state.
    """

    def __init__(self, cell: nn.GRU | nn.LSTM, channels: int) -> None:
        super().__init__()
        self.cell, self.channels = cell, channels

    def forward(self, clip: Tensor) -> Tensor:
        """Return the states (B, T, H, W, channels) over clip (B, T, H, W, inputs), from zero."""
        batch, length, height, width, _ = clip.shape
        places = clip.permute(0, 2, 3, 1, 4).flatten(0, 2)
        states, _ = self.cell(places)
        grid = states.reshape(batch, height, width, length, self.channels)
        moved: Tensor = grid.permute(0, 3, 1, 2, 4).contiguous()
        return moved


def build_recurrent(name: str, inputs: int, channels: int, kernel: int) -> nn.Module:
    """Return the layer called ``name``, of *convgru*, *gru* and *lstm*."""
    if name == "convgru":
        return ConvGRU(inputs, channels, kernel)
    kind = nn.GRU if name == "gru" else nn.LSTM
    return PlaceRecurrence(kind(inputs, channels, batch_first=True), channels)
