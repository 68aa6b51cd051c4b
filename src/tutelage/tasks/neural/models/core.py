"""`Core`: what all sessions share, from stimulus to features, dense in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.core.errors import ConfigError
from tutelage.tasks.neural.models.config import MultiDatasetConfig
from tutelage.tasks.neural.models.convnets import ConvLayer, ConvStack
from tutelage.tasks.neural.models.frontends import TemporalBasis, build_frontend
from tutelage.tasks.neural.models.geometry import Axis
from tutelage.tasks.neural.models.layers import ClipNorm
from tutelage.tasks.neural.models.modulators import ModulatorLayer, build_modulator
from tutelage.tasks.neural.models.recurrent import build_recurrent


class Core(nn.Module):
    """Frontend, convolutions, modulator and recurrent layer over contiguous frames.

    One pass gives the features of every frame of a chunk that has its history; nothing is computed
    twice, as it would be for overlapping windows.

    Args:
        config: The parts.
        static: For images rather than movies.

    Raises:
        ConfigError: A recurrent layer is asked for, for images.

    The buffers `stimulus_mean` and `stimulus_std` are a part of the core: who takes its weights
    over takes over what they were trained on.
    """

    stimulus_mean: Tensor
    stimulus_std: Tensor

    def __init__(self, config: MultiDatasetConfig, static: bool) -> None:
        super().__init__()
        frontend, convnet = config.parts(static)
        recurrent, modulator = config.recurrent, config.modulator.settled(behaviour=False)
        for part, name in (("recurrent", recurrent.name), ("modulator", modulator.name)):
            if static and name in ("convgru", "gru", "lstm"):
                said = f"model.{part}.name={name} needs movies; these sessions show images"
                raise ConfigError(said, hint=f"Leave model.{part} out.")
        self.context = frontend.context + convnet.context + modulator.context + recurrent.context
        self.has_state = recurrent.name != "none" or modulator.name == "convgru"
        self.register_buffer("stimulus_mean", torch.tensor(0.0))
        self.register_buffer("stimulus_std", torch.tensor(1.0))
        self.frontend = build_frontend(frontend)
        self.convnet = ConvStack(convnet, self.frontend.channels)
        self.channels = self.convnet.channels
        self.modulator: ModulatorLayer | None = None
        if modulator.name != "none":
            self.modulator = build_modulator(modulator, self.channels)
            self.channels = self.modulator.channels
        self.recurrent: nn.Module | None = None
        if recurrent.name != "none":
            size = (recurrent.channels, recurrent.kernel)
            self.recurrent = build_recurrent(recurrent.name, self.channels, *size)
            self.channels = recurrent.channels

    def axis(self, size: int) -> Axis:
        """Return where the features lie along a side of ``size`` pixels."""
        return self.convnet.axis(self.frontend.axis(Axis(size)))

    def fix(self) -> None:
        """Keep the moments of the norms, and drop nothing, in training too."""
        for part in self.modules():
            if isinstance(part, ClipNorm | ConvLayer):
                part.fixed = True

    def standardised(self, stimulus: Tensor) -> Tensor:
        """Return stimulus (B, 1, T, H, W) uint8 as frames (B, T, H, W) around 0."""
        frames = stimulus[:, 0].to(self.stimulus_mean.dtype)
        return (frames - self.stimulus_mean) / self.stimulus_std

    def _convolved(self, frames: Tensor) -> Tensor:
        """Return what the convolutions make of frames (b, T, H, W), (b, T', h, w, C).

        Temporal filters are learned through the first layer's filters, where frames are data: the
        gradient of every pixel, the dearest part of a step, is not needed for them then.
        """
        learns = torch.is_grad_enabled() and not frames.requires_grad
        if learns and self.convnet.mixes and isinstance(self.frontend, TemporalBasis):
            cosines = self.frontend.cosines(frames)
            clip: Tensor = self.convnet(cosines, self.frontend.weight)
        else:
            clip = self.convnet(self.frontend(frames))
        return clip

    def forward(
        self, frames: Tensor, signals: Tensor | None, length: int, rows: Tensor | None = None
    ) -> Tensor:
        """Return the features of the last frames.

        Args:
            frames: (b, C + L, H, W) standardised stimulus.
            signals: (B, C + L, M) of behaviour, where there is a modulator.
            length: L; there must be `context` frames before. A state begins at the first frame, so
                that more history lets it settle longer; without one, what is older is not read.
            rows: (B,) int64, which of the frames each stretch shows; null: those in its place. The
                norms count what is shown once, however many stretches show it.

        Returns:
            (B, L, h, w, `channels`).
        """
        if not self.has_state:
            frames = frames[:, -(length + self.context) :]
        clip = self._convolved(frames)
        if self.modulator is not None:
            assert signals is not None
            clip, rows = (clip if rows is None else clip.index_select(0, rows)), None
            clip = self.modulator(clip, signals[:, -clip.shape[1] :])
        if self.recurrent is not None:
            clip = self.recurrent(clip)
        features: Tensor = clip[:, -length:]
        return features if rows is None else features.index_select(0, rows)
