"""Settings of the blends, which are models of mode *fusion* that any task may offer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tutelage.core.config import ModelConfig


class BlendConfig(ModelConfig):
    """A model that blends experts' outputs."""


class MeanBlendConfig(BlendConfig):
    """All experts count alike."""

    name: Literal["mean"] = "mean"
    """Averages the experts' outputs; learns nothing."""


class WeightedBlendConfig(BlendConfig):
    """Each expert has a weight."""

    name: Literal["weighted"] = "weighted"
    """A weight for each expert."""


class KeyedBlendConfig(BlendConfig):
    """Each expert has a weight for each unit, direction or kind of row."""

    name: Literal["keyed"] = "keyed"
    """A weight for each expert and key, drawn towards the weights that all keys share."""
    shrinkage: float = Field(default=0.01, ge=0)
    """How strongly a key's weights are drawn towards the shared ones."""


class GatedBlendConfig(BlendConfig):
    """A network sets the weights for each row."""

    name: Literal["gated"] = "gated"
    """A network reads the weights off each row's state, such as how sure the experts are."""
    hidden: int = Field(default=16, ge=1)
    """Units of the gate's hidden layer."""
