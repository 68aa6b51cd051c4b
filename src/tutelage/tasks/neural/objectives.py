"""What trains a core before it hears of any response: the stimuli themselves."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.core.errors import ConfigError
from tutelage.tasks.neural.batch import NeuralBatch, SessionChunk
from tutelage.tasks.neural.models.config import Pretraining
from tutelage.tasks.neural.models.distributed import share_of_mean
from tutelage.tasks.neural.models.multi_dataset import MultiDatasetModel
from tutelage.tasks.neural.modules import NeuralModule
from tutelage.training.contracts import Objective, TaskModule


class StimulusPretraining(Objective):
    """Lets a core say what its features mean in pixels, before it hears of any response.

    `masked`: patches of the last frame are hidden and have to be filled in; `next_frame`: the frame
    that comes has to be foreseen from those before it. The target is the frame in squares of two by
    two to a place of the features, and the decoder is one linear layer, so that the core has to do
    the work.

    Args:
        config: Which, and how much is hidden.
        core_channels: Channels of the core's features.
        static: For images, which have no next frame.

    Raises:
        ConfigError: The next frame is asked for, of images.
    """

    def __init__(self, config: Pretraining, core_channels: int, static: bool) -> None:
        super().__init__()
        suited = "masked" if static else "next_frame"
        self.name = suited if config.name == "auto" else config.name
        if static and self.name == "next_frame":
            said = "images have no next frame"
            raise ConfigError(said, where="model.pretraining.name", hint="Use masked.")
        self.share, self.patch = config.masked_share, config.patch
        self.decoder = nn.Linear(core_channels, 4)

    def forward(self, module: TaskModule, batch: NeuralBatch) -> dict[str, Tensor]:
        """Return the mean squared error in standard deviations of pixels."""
        assert isinstance(module, NeuralModule)
        errors, counts = [], []
        for part in batch.parts:
            squares, seen = self._error(module.network, part)
            errors.append((squares * seen).sum())
            counts.append(seen.sum())
        return {"loss": torch.stack(errors).sum() / share_of_mean(torch.stack(counts).sum())}

    def _error(self, network: MultiDatasetModel, part: SessionChunk) -> tuple[Tensor, Tensor]:
        """Return squared errors (B, T, 2h, 2w) and which of them count."""
        frames = network.core.standardised(part.stimulus)
        signals = network.head(part.session).signals(part)
        length = part.responses.shape[1]
        if self.name == "masked":
            hidden = self._hidden(frames)
            shown = torch.where(hidden, 0.0, frames)
            said = self.decoder(network.core(shown, signals, length))
            return self._against(said, frames[:, -length:], hidden[:, -length:].to(frames.dtype))
        length = length - 1 if frames.shape[1] == network.core.context + length else length
        told = None if signals is None else signals[:, :-1]
        said = self.decoder(network.core(frames[:, :-1], told, length))
        target = frames[:, -length:]
        return self._against(said, target, torch.ones_like(target))

    def _hidden(self, frames: Tensor) -> Tensor:
        """Return (B, T, H, W) bool, patches drawn for each row, the same in all its frames."""
        height, width = (-(-size // self.patch) for size in frames.shape[2:])
        drawn = torch.rand(len(frames), 1, height, width, device=frames.device) < self.share
        whole = drawn.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)
        return whole[:, :, : frames.shape[2], : frames.shape[3]].expand_as(frames)

    def _against(self, said: Tensor, target: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        decoded = F.pixel_shuffle(said.permute(0, 1, 4, 2, 3), 2)[:, :, 0]
        size = (decoded.shape[2], decoded.shape[3])
        smaller = F.adaptive_avg_pool2d(target, size)
        return (decoded - smaller).square(), F.adaptive_avg_pool2d(counts, size)
