"""A study as an Azure Machine Learning sweep: each trial trains every fold and tells their mean."""

from __future__ import annotations

import json
import math
import re
import shlex
import warnings
from typing import Final

from tutelage.core.errors import ConfigError
from tutelage.core.execution import AzureExecution
from tutelage.core.folds import write_split
from tutelage.execution.backends.azure import (
    HOME,
    JobSpec,
    check,
    command_job,
    spec_folder,
    training_line,
    what_goes_along,
    write_spec,
)
from tutelage.hpo.parameters import Choice, IntLogUniform, LogUniform, Parameter, Uniform
from tutelage.hpo.plan import StudyPlan
from tutelage.task import fold_split

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Azure's library about marshmallow's next version
    from azure.ai.ml import sweep

_SAMPLERS: Final = {
    **dict.fromkeys(("tpe", "gp", "cmaes"), "bayesian"),
    **dict.fromkeys(("random", "qmc"), "random"),
    "grid": "grid",
}
"""Azure's sampler in the place of each of ours."""
_MOST_VALUES: Final = 1000
_PLAIN: Final = re.compile(r"[\w.+/@-]+")
SPLIT: Final = "split.json"


def write_sweep_spec(plan: StudyPlan, settings: AzureExecution) -> JobSpec:
    """Write the sweep that tries a study's trials, and read it back.

    Azure chooses the trials and gives none up; `hpo.pruner`, `selection` and `refit` are not asked.

    Raises:
        RequestError: A sweep can't say that, or the folder can't be written.
    """
    check(settings)
    if plan.hpo.folds == 1:
        hint = "Deal the training pool into folds: hpo.folds=3."
        raise ConfigError("a sweep compares trials by folds", where="hpo.folds", hint=hint)
    space = {_key(name): varied_by_azure(name, one) for name, one in plan.space.parameters.items()}
    folder = spec_folder(plan.base, settings, "sweep")
    hpo = plan.hpo
    dealt = (hpo.split, hpo.folds, hpo.repeats, hpo.seed)
    split = fold_split(plan.task, plan.base, plan.store.cache(plan.task.name), *dealt)
    uploads = what_goes_along(plan.base, plan.store, folder)
    write_split(split, folder / SPLIT)
    uploads.files["data_split_file"] = folder / SPLIT
    command = _trial(plan, uploads.overrides)
    tags = {"task": plan.task.name, "purpose": "study", **plan.base.run.tags}
    trial = command_job(command, settings, uploads, tags)
    job = sweep.SweepJob(
        trial=trial,
        compute=settings.compute,
        inputs=trial.inputs,
        outputs=trial.outputs,
        display_name=trial.display_name,
        experiment_name=settings.experiment,
        tags=tags,
        search_space=space,
        sampling_algorithm=_SAMPLERS[hpo.sampler.name],
        objective=sweep.Objective(goal=plan.direction, primary_metric=f"held_out/{plan.metric}"),
        limits=_limits(plan),
    )
    return write_spec(job, command, folder, settings, uploads)


def _trial(plan: StudyPlan, named: tuple[str, ...]) -> str:
    """Return what a trial runs: the training command for each fold, then the mean of the scores."""
    varied = [f"{name}=${{{{search_space.{_key(name)}}}}}" for name in plan.space.parameters]
    folds = range(plan.hpo.total_folds)
    results = [f"result-{fold}.json" for fold in folds]
    lines = [
        training_line(
            plan.task.name,
            (*named, "data.split_file=${{inputs.data_split_file}}", f"data.fold={fold}", *varied),
            result,
        )
        for fold, result in zip(folds, results, strict=True)
    ]
    told = " ".join(f"{HOME}/{result}" for result in results)
    metric = shlex.quote(f"held_out/{plan.metric}")
    return " && ".join((*lines, f"python -m tutelage.execution.scores {metric} {told}"))


def _limits(plan: StudyPlan) -> sweep.SweepJobLimits:
    hpo = plan.hpo
    each = None if hpo.trial_timeout is None else hpo.trial_timeout * hpo.total_folds
    return sweep.SweepJobLimits(
        max_total_trials=plan.trials,
        max_concurrent_trials=min(hpo.workers, plan.trials),
        timeout=None if hpo.timeout is None else math.ceil(hpo.timeout),
        trial_timeout=None if each is None else math.ceil(each),
    )


def _key(name: str) -> str:
    """Return a parameter's name as Azure takes it: letters, digits and underscores."""
    return name.replace(".", "__")


def varied_by_azure(name: str, parameter: Parameter) -> object:
    """Return Azure's description of how a parameter is varied.

    Raises:
        ConfigError: Azure has none.
    """
    if parameter.when:
        hint = "Take its condition out, or search here: execution=ray, slurm or subprocess."
        raise ConfigError("a sweep knows no conditions", where=f"{name}: when", hint=hint)
    if isinstance(parameter, LogUniform):  # Azure takes the bounds' logarithms
        return sweep.LogUniform(math.log(parameter.min), math.log(parameter.max))
    if isinstance(parameter, IntLogUniform):
        return sweep.QLogUniform(math.log(parameter.min), math.log(parameter.max), 1)
    if isinstance(parameter, Uniform) and parameter.step is None:
        return sweep.Uniform(parameter.min, parameter.max)
    values = parameter.values if isinstance(parameter, Choice) else parameter.grid or ()
    if len(values) > _MOST_VALUES:
        hint = "Take a larger step."
        raise ConfigError(f"a sweep takes no {len(values)} values", where=name, hint=hint)
    return sweep.Choice([_word(name, value) for value in values])


def _word(name: str, value: object) -> str | int | float:
    """Return a value as it can stand in a line of shell.

    Raises:
        ConfigError: It can't.
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float) or (isinstance(value, str) and _PLAIN.fullmatch(value)):
        return value
    hint = "Search it here: execution=ray, slurm or subprocess."
    raise ConfigError(f"a sweep can't pass {value!r}", where=name, hint=hint)
