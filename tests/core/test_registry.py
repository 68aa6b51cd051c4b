"""Registries file things under names and refuse names they do not hold."""

from __future__ import annotations

import pytest

from tutelage.core.errors import ConfigError, UnknownNameError
from tutelage.core.registry import Registry


def test_what_is_registered_is_found_and_listed_in_order() -> None:
    registry: Registry[int] = Registry("number")
    assert registry.register("two")(2) == 2
    registry.register("one")(1)
    assert (registry.get("two"), list(registry), len(registry)) == (2, ["one", "two"], 2)
    assert "one" in registry and "three" not in registry


def test_a_name_can_be_taken_once() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("one")(1)
    with pytest.raises(ConfigError, match="number 'one' is registered twice"):
        registry.register("one")(2)
    assert registry.get("one") == 1


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("seven")(7)
    with pytest.raises(UnknownNameError, match="unknown number 'sevn'\n.*'seven'"):
        registry.get("sevn")
