"""A configuration is one frozen value, and each of its settings is explained."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from made_runs import can_config
from tutelage.cli.config_options import options
from tutelage.core.config import RunConfig
from tutelage.tasks.can.config import CANConfig


def test_a_configuration_can_not_be_changed() -> None:
    config = can_config()
    with pytest.raises(ValidationError, match="frozen"):
        config.training.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("config_type", [RunConfig, CANConfig])
def test_every_setting_is_explained(config_type: type[RunConfig]) -> None:
    silent = [option.path for option in options(config_type) if not option.help]
    assert silent == []


def test_defaults_are_valid() -> None:
    config = can_config()
    assert CANConfig.model_validate(config.model_dump(mode="json")) == config
