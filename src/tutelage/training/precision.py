"""The arithmetic of training: Lightning's, in double precision also for batches of frozen data."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

from lightning.pytorch.plugins.precision import DoublePrecision, MixedPrecision, Precision
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor


@runtime_checkable
class Dataclass(Protocol):
    """An instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class DoubleBatches(DoublePrecision):
    """Double precision for batches of any kind; Lightning's own refuses frozen dataclasses."""

    def convert_input(self, data: Any) -> Any:
        """Return the batch with its floating tensors in 64 bits; the batch itself stays."""
        return apply_to_collection(data, (Tensor, Dataclass), self._in_double)

    def _in_double(self, part: Tensor | Dataclass) -> Tensor | Dataclass:
        if isinstance(part, Tensor):
            return part.double() if part.is_floating_point() else part
        changed = {f.name: self.convert_input(getattr(part, f.name)) for f in fields(part)}
        return replace(part, **changed)


def arithmetic(precision: str, device: str) -> Precision:
    """Return the arithmetic that `training.precision` names, for a kind of device.

    Args:
        precision: ``"64"``, ``"32"``, ``"bf16"`` or ``"16"``.
        device: ``"cpu"`` or ``"cuda"``.
    """
    match precision:
        case "64":
            return DoubleBatches()
        case "bf16":
            return MixedPrecision("bf16-mixed", device)
        case "16":
            return MixedPrecision("16-mixed", device)
        case _:
            return Precision()
