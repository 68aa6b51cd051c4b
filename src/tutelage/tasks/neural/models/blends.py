"""Settings of the blends, which average several models' rates."""

from __future__ import annotations

from pydantic import Field

from tutelage.core.blends import KeyedBlendConfig, MeanBlendConfig, WeightedBlendConfig
from tutelage.core.config import Section


class _Chunked(Section):
    """How much history the experts of a blend see."""

    least_context: int = Field(default=24, ge=0)
    """Frames of history in front of a movie's chunks: as many as the most that an expert needs."""

    @property
    def context(self) -> int:
        """C: frames of history in front of a movie's first predicted frame."""
        return self.least_context


class MeanRates(MeanBlendConfig, _Chunked):
    """All experts' rates count alike."""


class WeightedRates(WeightedBlendConfig, _Chunked):
    """Each expert's rates have a weight."""


class UnitWeightedRates(KeyedBlendConfig, _Chunked):
    """Each expert's rates have a weight for each unit."""
