"""Image towers from the library timm, where it can be imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tutelage.core.errors import ConfigError, RequestError, UnknownNameError
from tutelage.tasks.multimodal.config import TimmConfig
from tutelage.tasks.multimodal.towers.layers import FeatureTower


class TimmTower(FeatureTower):
    """A network of timm without its classifier.

    Args:
        config: Which network, and a file of its weights.

    Raises:
        RequestError: timm, or the torchvision that it needs, can't be imported.
        UnknownNameError: timm has no such network.
        ConfigError: The weights are missing, damaged or another network's.
    """

    def __init__(self, config: TimmConfig) -> None:
        super().__init__()
        timm = imported_timm()
        known = timm.list_models()
        if config.architecture not in known:
            raise UnknownNameError("network of timm", config.architecture, known)
        self.body: nn.Module = timm.create_model(config.architecture, num_classes=0)
        self.out_width = int(self.body.num_features)
        if config.weights is not None:
            load_weights(self.body, config.weights)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, out_width) features of standardised (B, 3, S, S) pictures."""
        features: Tensor = self.body(images)
        return features


def imported_timm() -> Any:
    """Import timm.

    Raises:
        RequestError: It, or what it needs, can't be imported.
    """
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        hint = (
            "timm needs a torchvision built for this torch, which Tutelage does not install. "
            "model=convnet and model=vit need neither."
        )
        said = f"model=timm: timm can't be imported: {error}"
        raise RequestError(said, hint=hint) from error
    return timm


def load_weights(body: nn.Module, path: Path) -> None:
    """Load a safetensors file; the classifier's weights, which are not there, are left out.

    Raises:
        ConfigError: The file is missing, damaged or of another network.
    """
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        hint = "Give a safetensors file; pickled weights are not read."
        raise ConfigError(f"the weights can't be read: {error}", where=path, hint=hint) from error
    wanted = body.state_dict()
    missing = [k for k, v in wanted.items() if k not in found or found[k].shape != v.shape]
    if missing:
        said = f"lacks {len(missing)} of the network's tensors, such as {missing[0]!r}"
        raise ConfigError(said, where=path, hint="Is it another architecture's file?")
    body.load_state_dict({name: found[name] for name in wanted})
