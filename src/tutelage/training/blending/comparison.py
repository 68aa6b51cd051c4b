"""Which blend won on rows that none was fitted on, in a table and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tutelage.core.blocks import ratios
from tutelage.core.records import Table
from tutelage.training.blending.opinions import Opinions
from tutelage.training.fusion.comparison import EXPERT

_DRAWS = 1000
_TAILS = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Judged:
    """A kind of blend on rows that it was not fitted on.

    Args:
        name: The kind.
        loss: (n,) its loss on each row.
        weights: (n, E) how much each expert counted.
    """

    name: str
    loss: Tensor
    weights: Tensor


def comparison_table(
    opinions: Opinions,
    alone: Mapping[str, Tensor],
    judged: Sequence[Judged],
    chosen: str,
    seed: int,
) -> Table:
    """Rank blends and experts by their mean loss, and say in words which won.

    Args:
        opinions: The held-out rows.
        alone: Each expert's loss on each row, (n,).
        judged: The blends.
        chosen: The kind that the run is about.
        seed: Of the bootstrap.
    """
    experts = sorted(((float(loss.mean()), name) for name, loss in alone.items()))
    best_expert = experts[0][1]
    blends = sorted(judged, key=lambda one: float(one.loss.mean()))
    everyone = {f"{EXPERT}{name}": loss for name, loss in alone.items()}
    everyone |= {one.name: one.loss for one in blends}
    ranked = sorted(everyone.items(), key=lambda item: float(item[1].mean()))
    rows = []
    for name, loss in ranked:
        low, high = gain(alone[best_expert], loss, opinions.group, seed)
        rows.append((name, float(loss.mean()), low, high))
    return Table(
        title="Blends and experts on held-out training data, cross-fitted",
        columns=("who", "loss", "gain, low", "gain, high"),
        rows=tuple(rows),
        note=verdict(opinions, alone[best_expert], best_expert, blends, chosen, seed),
    )


def gain(reference: Tensor, loss: Tensor, group: Tensor, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of how much smaller a mean loss is, by a bootstrap of groups.

    Args:
        reference: (n,) losses to be better than.
        loss: (n,) losses.
        group: (n,) which rows belong together.
        seed: Of the draws.
    """
    place = np.unique(group.numpy(), return_inverse=True)[1]
    better = np.bincount(place, (reference - loss).double().numpy())
    rows = np.bincount(place)
    means = ratios(np.array([[better, rows]], np.float64), _DRAWS, seed)
    low, high = np.percentile(means, _TAILS)
    return float(low), float(high)


def verdict(
    opinions: Opinions,
    reference: Tensor,
    expert: str,
    blends: Sequence[Judged],
    chosen: str,
    seed: int,
) -> str:
    """Say which blend won, whether it beats the best expert, and where this run's stands."""
    best = blends[0]
    low, high = gain(reference, best.loss, opinions.group, seed)
    mean = float((reference - best.loss).mean())
    interval = f"{mean:.4g} less loss a row than {expert} (95 % interval {low:.4g} to {high:.4g})"
    if low > 0:
        said = f"Fusion helps: {best.name} won, {interval}."
    elif mean > 0:
        said = f"Fusion may help, but not beyond chance: {best.name} won, {interval}."
    else:
        said = f"Fusion does not help here: the best blend, {best.name}, has {interval}."
    place = [one.name for one in blends].index(chosen)
    if place:
        said += f" This run's {chosen} is number {place + 1} of {len(blends)} blends."
    return f"{said} Chosen by these losses alone, never by a test."


def weight_table(opinions: Opinions, judged: Sequence[Judged]) -> Table:
    """Mean weight of each expert in each blend, and of how many keys each is the favourite."""
    rows = []
    keys = len(opinions.keys)
    for one in judged:
        held = torch.zeros(keys, len(opinions.experts)).index_add_(0, opinions.key, one.weights)
        favourite = held.argmax(dim=1).bincount(minlength=len(opinions.experts))
        rows.append((one.name, *one.weights.mean(dim=0).tolist(), *favourite.tolist()))
    return Table(
        title="Weights of the experts, cross-fitted",
        columns=("blend", *opinions.experts, *(f"{name}: keys led" for name in opinions.experts)),
        rows=tuple(rows),
    )
