"""The registry of losses: a typo is an error, and so is an option that the loss does not have."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import nn

from tutelage.core.errors import ConfigError, suggest
from tutelage.core.registry import Registry

LOSSES: Registry[type[nn.Module]] = Registry("loss")


def register_loss(name: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Return a class decorator that files a loss under ``name``."""
    return LOSSES.register(name)


def get_loss(name: str, **options: object) -> nn.Module:
    """Make the loss called ``name``.

    Raises:
        UnknownNameError: There is no such loss.
        ConfigError: It has no such option.
    """
    loss = LOSSES.get(name)
    known = [p for p in inspect.signature(loss.__init__).parameters if p != "self"]
    for option in options:
        if option not in known:
            problem = f"the loss {name!r} has no option {option!r}"
            raise ConfigError(problem, hint=suggest(option, known))
    return loss(**options)
