"""The stack of attention layers that every CAN network has."""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

from torch import nn
from torch_geometric.nn import GATv2Conv
from torch_geometric.nn.conv import MessagePassing

from tutelage.tasks.can.config import GATConfig, VGAEConfig
from tutelage.tasks.can.graphs import EDGE_FEATURES


def attention_layers(
    config: GATConfig | VGAEConfig, channels: int, edge_features: bool = True
) -> nn.ModuleList:
    """Return `config.layers` GATv2 layers (Brody et al. 2022), the first of ``channels`` inputs."""
    width = config.hidden * config.heads
    layers = [
        GATv2Conv(
            channels if i == 0 else width,
            config.hidden,
            heads=config.heads,
            edge_dim=len(EDGE_FEATURES) if edge_features else None,
        )
        for i in range(config.layers)
    ]
    _remove_generated_code(layers[0])
    return nn.ModuleList(layers)


def _remove_generated_code(layer: MessagePassing) -> None:
    """Remove what PyG wrote to generate the methods of a layer's class, once they are imported.

    For the first layer of a class in a process, `torch_geometric.template.module_from_template`
    writes a module into the temporary folder, imports it and leaves it there.
    """
    folder = Path(tempfile.gettempdir())
    for method in (layer.propagate, layer.edge_updater):
        name = method.__module__
        source = Path(sys.modules[name].__file__ or "")
        if source.parent != folder or not source.name.startswith(f"{name}_"):
            continue  # PyG's own code, where it could not generate any
        compiled = Path(cache_from_source(str(source)))
        for file in (source, compiled):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # other programs keep theirs there too
            compiled.parent.rmdir()
