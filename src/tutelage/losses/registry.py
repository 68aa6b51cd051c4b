"""The registry of losses: a typo is an error, and so is an option that the loss does not have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from tutelage.core.errors import ConfigError, suggest
from tutelage.core.registry import Registry
from tutelage.losses.base import BaseContrastiveLoss

_Kind = inspect.Parameter
L = TypeVar("L", bound=type[nn.Module])


@dataclass(frozen=True)
class LossEntry:
    """A loss as it is registered.

    Args:
        name: Its key, in snake case.
        loss: The class.
        formula: What it computes, on one line of plain text.
        paper: Where it was proposed, as a link.
        aliases: Other names of the same loss.
    """

    name: str
    loss: type[nn.Module]
    formula: str
    paper: str
    aliases: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The first line of the class's documentation."""
        return (inspect.getdoc(self.loss) or "").partition("\n")[0]

    @property
    def family(self) -> str:
        """The folder of `tutelage.losses` that it is in, or the package that brought it."""
        module = self.loss.__module__.split(".")
        return module[2] if module[:2] == ["tutelage", "losses"] else module[0]

    @property
    def options(self) -> dict[str, object]:
        """Each option and its default; `inspect.Parameter.empty` where it has none."""
        parameters = inspect.signature(self.loss.__init__).parameters
        return {
            name: parameter.default
            for name, parameter in parameters.items()
            if name != "self" and parameter.kind not in (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD)
        }


LOSSES: Registry[LossEntry] = Registry("loss")
"""Every loss, under its name and under each alias."""


def register_loss(
    name: str, *, formula: str = "", paper: str = "", aliases: Sequence[str] = ()
) -> Callable[[L], L]:
    """Return a class decorator that files a loss under ``name`` and its ``aliases``.

    Raises:
        ConfigError: One of the names is taken.
    """

    def decorate(loss: L) -> L:
        entry = LossEntry(name, loss, formula, paper, tuple(aliases))
        for key in (name, *aliases):
            if key in LOSSES:
                raise ConfigError(f"the loss {key!r} is registered twice")
        for key in (name, *aliases):
            LOSSES.register(key)(entry)
        return loss

    return decorate


def get_loss(name: str, **options: object) -> nn.Module:
    """Make the loss called ``name``.

    Raises:
        UnknownNameError: There is no such loss.
        ConfigError: It has no such option, or needs one that is not given.
    """
    entry = LOSSES.get(name)
    known = entry.options
    for option in options:
        if option not in known:
            problem = f"the loss {name!r} has no option {option!r}"
            raise ConfigError(problem, hint=suggest(option, known))
    needed = [o for o, default in known.items() if default is inspect.Parameter.empty]
    if missing := [option for option in needed if option not in options]:
        problem = f"the loss {name!r} needs {' and '.join(map(repr, missing))}"
        raise ConfigError(problem, hint=f"Give get_loss({name!r}, {missing[0]}=...).")
    return entry.loss(**options)


def two_tower_loss(name: str, **options: object) -> BaseContrastiveLoss:
    """Make the loss called ``name``.

    Raises:
        UnknownNameError: There is no such loss.
        ConfigError: It is no loss of two towers, or has no such option.
    """
    loss = get_loss(name, **options)
    if not isinstance(loss, BaseContrastiveLoss):
        raise ConfigError(f"{name!r} is no loss of two towers", hint="Take clip, siglip or vicreg.")
    return loss
