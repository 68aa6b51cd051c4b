"""`MultiDatasetModel`: one core, and for each session its adapter, readout and biases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.core.errors import ConfigError, DataError, UnknownNameError
from tutelage.tasks.neural.batch import SessionChunk
from tutelage.tasks.neural.models.adapter import AffineAdapter
from tutelage.tasks.neural.models.config import MultiDatasetConfig
from tutelage.tasks.neural.models.core import Core
from tutelage.tasks.neural.models.history import HistoryFilter
from tutelage.tasks.neural.models.readouts import READOUTS, ReadoutLayer
from tutelage.tasks.neural.preprocessing import SessionCard


def part_name(session: str) -> str:
    """Return a session's id as the name of a part of a module, which can't hold a dot."""
    return session.replace("%", "%25").replace(".", "%2E")


class SessionHead(nn.Module):
    """What belongs to one session alone.

    Args:
        config: The parts.
        card: The session's units, rates, stimulus and behaviour.
        core: What is read from.

    Raises:
        ConfigError: A modulator is asked for, and the session has no behaviour.
    """

    def __init__(self, config: MultiDatasetConfig, card: SessionCard, core: Core) -> None:
        super().__init__()
        rows, columns = core.axis(card.height), core.axis(card.width)
        self.readout: ReadoutLayer = READOUTS[config.readout.name](
            card.units, rows, columns, core.channels
        )
        self.bias = nn.Parameter(drive_of(torch.tensor(card.mean_rates), config.output).float())
        self.adapter = AffineAdapter() if config.adapter.name == "affine" else None
        self.history = None
        if config.history.lags:
            self.history = HistoryFilter(card.units, config.history.lags)
        self.behaviour = None
        if config.modulator.name != "none":
            if not card.behaviour:
                raise ConfigError(
                    f"model.modulator.name={config.modulator.name} needs behaviour, "
                    "and this session has none",
                    where=f"session {card.id}",
                    hint="Leave model.modulator out, or the session: data.leave_out.",
                )
            self.behaviour = nn.Linear(len(card.behaviour), config.modulator.width)

    def drive(self, features: Tensor, chunk: SessionChunk) -> Tensor:
        """Return the drive (B, L, N) of features (B, L, h, w, C)."""
        drive: Tensor = self.readout(features) + self.bias
        if self.history is not None:
            drive = drive + self.history(chunk.past, chunk.responses)
        return drive

    def signals(self, chunk: SessionChunk) -> Tensor | None:
        """Return what behaviour says, (B, C + L, M); null where there is no modulator.

        Raises:
            DataError: There is one, and the chunk comes without behaviour.
        """
        if self.behaviour is None:
            return None
        if chunk.behaviour is None:
            said = "the model has a modulator, and these data have no behaviour"
            raise DataError(said, where=f"session {chunk.session}")
        signals: Tensor = self.behaviour(chunk.behaviour.to(self.bias.dtype))
        return signals


class MultiDatasetModel(nn.Module):
    """One core for all sessions; a head for each.

    Args:
        config: The parts.
        cards: Each session's card by its id.
        static: For images rather than movies.

    Raises:
        ConfigError: A part needs what the sessions don't have.
    """

    def __init__(
        self, config: MultiDatasetConfig, cards: Mapping[str, SessionCard], static: bool
    ) -> None:
        super().__init__()
        behaviour = all(card.behaviour for card in cards.values())
        modulator = config.modulator.settled(behaviour)
        config = config.model_copy(update={"modulator": modulator})
        if static and config.history.lags:
            said = f"model.history.lags={config.history.lags} needs movies; images have no past"
            raise ConfigError(said, hint="Leave model.history out.")
        self.output = config.output
        self.core = Core(config, static)
        self.heads = nn.ModuleDict(
            {part_name(name): SessionHead(config, card, self.core) for name, card in cards.items()}
        )
        self.core_is_fixed = False

    def head(self, session: str) -> SessionHead:
        """Return a session's head.

        Raises:
            UnknownNameError: The model was not trained on that session.
        """
        name = part_name(session)
        if name not in self.heads:
            raise UnknownNameError("session", session, self.heads, where="the model")
        head = self.heads[name]
        assert isinstance(head, SessionHead)
        return head

    def forward(self, parts: Sequence[SessionChunk]) -> list[Tensor]:
        """Return the rates (B, L, N) of each part; parts of one shape pass the core together."""
        return [rates for rates, _ in self.rates_and_features(parts)]

    def rates_and_features(self, parts: Sequence[SessionChunk]) -> list[tuple[Tensor, Tensor]]:
        """Return rates (B, L, N) and the core's features (B, L, h, w, C) of each part."""
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for group in alike(parts):
            features = self.features([parts[i] for i in group])
            for i, each in zip(group, features, strict=True):
                found[i] = (rates_of(self._drive(each, parts[i]), self.output), each)
        return [found[i] for i in range(len(parts))]

    def features(self, parts: Sequence[SessionChunk]) -> tuple[Tensor, ...]:
        """Return the core's features (B, L, h, w, C) of each part; all are of one shape."""
        if parts[0].context < self.core.context:
            said = f"chunks have {parts[0].context} frames of history, this model needs "
            hint = f"Set model.least_context={self.core.context} for the model that is trained."
            raise ConfigError(f"{said}{self.core.context}", hint=hint)
        heads = [self.head(part.session) for part in parts]
        seen, rows = self._seen(heads, parts)
        told = [head.signals(part) for head, part in zip(heads, parts, strict=True)]
        signals = [each for each in told if each is not None]
        inputs = (seen, *signals)
        frozen = self.core_is_fixed and not any(each.requires_grad for each in inputs)
        with torch.no_grad() if frozen else nullcontext():
            joined = torch.cat(signals) if signals else None
            length = parts[0].responses.shape[1]
            features: Tensor = self.core(seen, joined, length, rows)
        return torch.split(features, [len(part.stimulus) for part in parts])

    def _seen(
        self, heads: Sequence[SessionHead], parts: Sequence[SessionChunk]
    ) -> tuple[Tensor, Tensor | None]:
        """Return the frames that the core has to see, and which of them each stretch shows."""
        adapters = [head.adapter for head in heads if head.adapter is not None]
        if adapters:
            frames = [self.core.standardised(part.stimulus) for part in parts]
            return torch.cat([f(x) for f, x in zip(adapters, frames, strict=True)]), None
        stimulus = torch.cat([part.stimulus for part in parts])
        first, rows = distinct([part.shown for part in parts])
        if first is not None:
            stimulus = stimulus.index_select(0, first)
        return self.core.standardised(stimulus), rows

    def _drive(self, features: Tensor, part: SessionChunk) -> Tensor:
        """Return a session's drive in full precision, whatever the core's."""
        head = self.head(part.session)
        with torch.autocast(features.device.type, enabled=False):
            return head.drive(features.to(head.bias.dtype), part)


def distinct(shown: Sequence[Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
    """Return the first stretch of each stimulus, and which stimulus each stretch shows.

    Args:
        shown: (B,) numbers of what the stretches of each part show, where that is known.

    Returns:
        (b,) and (B,) int64; nulls where nothing is known or nothing is shown twice.
    """
    known = [numbers for numbers in shown if numbers is not None]
    if len(known) < len(shown):
        return None, None
    numbers, rows = torch.unique(torch.cat(known), return_inverse=True)
    if len(numbers) == len(rows):
        return None, None
    place = torch.arange(len(rows), device=rows.device)
    first = rows.new_full(numbers.shape, len(rows)).scatter_reduce(0, rows, place, "amin")
    return first, rows


def alike(parts: Sequence[SessionChunk]) -> list[list[int]]:
    """Return the numbers of the parts in groups that one pass of the core can take."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, part in enumerate(parts):
        key = (part.stimulus.shape[1:], part.responses.shape[1])
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def rates_of(drive: Tensor, output: str) -> Tensor:
    """Return rates of drives, both (..., N)."""
    if output == "identity":
        return drive
    return drive.clamp(max=20).exp() if output == "exp" else F.softplus(drive)


def drive_of(rates: Tensor, output: str) -> Tensor:
    """Return the drive whose rate is given, so that a fresh readout begins at the mean rates."""
    if output == "identity":
        return rates
    rates = rates.double().clamp(min=1e-4)
    if output == "exp":
        return rates.log()
    return torch.where(rates > 20, rates, rates.clamp(max=math.log(1e8)).expm1().log())
