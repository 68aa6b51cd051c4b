"""Jobs for Azure Machine Learning: a training or a study, written as a specification to send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError
from tutelage.core.execution import AzureExecution, Execution
from tutelage.core.store import RunStore
from tutelage.execution.backends import place_module

if TYPE_CHECKING:
    from tutelage.execution.backends.azure import JobSpec
    from tutelage.hpo.plan import StudyPlan


def training_spec(config: RunConfig, store: RunStore, purpose: str = "train") -> JobSpec:
    """Write the job that trains a run; nothing is sent.

    Args:
        config: The run, with ``execution=azure``.
        store: Where runs that it names are found.
        purpose: What the job is for, as a tag: ``train``, ``refit`` or ``final``.

    Raises:
        RequestError: Azure's library isn't installed, or the specification can't say that.
    """
    settings = _azure(config.execution)
    place_module(settings.name)
    from tutelage.execution.backends.azure import write_command_spec

    return write_command_spec(config, settings, store, {"purpose": purpose})


def study_spec(plan: StudyPlan) -> JobSpec:
    """Write a study as a sweep; nothing is sent.

    Raises:
        RequestError: Azure's library isn't installed, or a sweep can't say that.
    """
    settings = _azure(plan.base.execution)
    place_module(settings.name)
    from tutelage.hpo.azure_sweep import write_sweep_spec

    return write_sweep_spec(plan, settings)


def _azure(settings: Execution) -> AzureExecution:
    if isinstance(settings, AzureExecution):
        return settings
    hint = "Set execution=azure, execution.compute=… and execution.image=…"
    raise ConfigError("a specification is Azure's", where="execution.name", hint=hint)
