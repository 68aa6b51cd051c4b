"""`execution=azure`: the specification of an Azure Machine Learning job, written and read back."""

from __future__ import annotations

import os
import re
import shlex
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import yaml
from pydantic import BaseModel

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.core.execution import AzureExecution, Execution
from tutelage.core.files import atomic_file, digest_json, storage_errors, write_json
from tutelage.core.sections import Section
from tutelage.core.store import CONFIG, RunStore
from tutelage.core.tracking import Tracking
from tutelage.execution.command import build_training_command

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Azure's library about marshmallow's next version
    from azure.ai.ml import Input, Output, load_job
    from azure.ai.ml.entities import CommandJob, CommandJobLimits, Job
    from azure.ai.ml.sweep import SweepJob

if TYPE_CHECKING:
    from tutelage.execution.backend import Backend

_PLACE: Final = re.compile(r"(\$\{\{[^}]*\}\})")
"""What Azure puts a path or a value in the place of."""
HOME: Final = "${{outputs.home}}"
SPEC: Final = "job.yaml"


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A specification that was written.

    Args:
        path: The YAML file; what it uploads lies beside it or is named by its path.
        send: The command that sends it, once its user is logged in (``az login``).
        command: What the job runs.
    """

    path: Path
    send: str
    command: str


class Uploads(BaseModel):
    """What a job takes along.

    Attributes:
        files: Each input's name and its path here.
        overrides: The settings that name them there.
    """

    files: dict[str, Path]
    overrides: tuple[str, ...]


def write_command_spec(
    config: RunConfig, settings: AzureExecution, store: RunStore, tags: Mapping[str, str]
) -> JobSpec:
    """Write the job that trains a run, and read it back.

    Args:
        config: The run.
        settings: Where the job is to run, and where the specification goes.
        store: Where runs that the configuration names are found; the job takes them along.
        tags: What the job is for.

    Raises:
        RequestError: The specification can't say that, a run that is named can't be found, or the
            folder can't be written.
    """
    check(settings)
    folder = spec_folder(config, settings, "train")
    uploads = what_goes_along(config, store, folder)
    command = training_line(config.task, uploads.overrides, "result.json")
    job = command_job(command, settings, uploads, {"task": config.task, **config.run.tags, **tags})
    return write_spec(job, command, folder, settings, uploads)


def check(settings: AzureExecution) -> None:
    """Refuse what a specification can't say.

    Raises:
        ConfigError: Variables are to be passed: their values would stand in a file.
    """
    if settings.environment:
        hint = "Leave it out; give the job what it needs in its image or by a key vault."
        said = "a specification would show the variables' values to all who read it"
        raise ConfigError(said, where="execution.environment", hint=hint)


def spec_folder(config: RunConfig, settings: AzureExecution, kind: str) -> Path:
    """Return the folder of a job's specification, the same for the same settings."""
    digest = digest_json(config.model_dump(mode="json"))[:8]
    name = f"{kind}-{config.task}-{config.model.name}-{config.mode.name}-{digest}"
    return settings.folder.expanduser().absolute() / name


def what_goes_along(config: RunConfig, store: RunStore, folder: Path) -> Uploads:
    """Write a job's configuration; return it with the data, folds and runs that it names.

    Raises:
        RequestError: A run can't be found, or the folder can't be written.
    """
    files: dict[str, Path] = {"config": folder / CONFIG}
    overrides: list[str] = []
    for field, path in _paths(config, ""):
        name = field.replace(".", "_")
        files[name] = path.absolute()
        overrides.append(f"{field}=${{{{inputs.{name}}}}}")
    runs = config.named_runs()
    if config.run.initial_weights is not None:
        runs["run.initial_weights"] = (config.run.initial_weights,)
    for field, names in runs.items():
        places = []
        for number, run in enumerate(names):
            name = f"{field.replace('.', '_')}_{number}"
            files[name] = store.find(run).path.absolute()
            places.append(f"${{{{inputs.{name}}}}}")
        listed = isinstance(_value(config, field), tuple)
        overrides.append(f"{field}=[{','.join(places)}]" if listed else f"{field}={places[0]}")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, config.model_dump(mode="json", exclude={"execution"}))
    return Uploads(files=files, overrides=tuple(overrides))


def _paths(section: Section, before: str) -> Iterator[tuple[str, Path]]:
    """Yield each setting that is a path here: data, folds, weights.

    Raises:
        ConfigError: There are paths in a list.
    """
    for field in type(section).model_fields:
        value = getattr(section, field)
        if isinstance(value, Execution | Tracking):
            continue
        if isinstance(value, Path):
            yield f"{before}{field}", value
        elif isinstance(value, Section):
            yield from _paths(value, f"{before}{field}.")
        elif isinstance(value, tuple) and any(_holds_paths(one) for one in value):
            hint = "Put the data into one folder, and name that."
            said = "a specification takes no list of paths along"
            raise ConfigError(said, where=f"{before}{field}", hint=hint)


def _holds_paths(value: object) -> bool:
    return isinstance(value, Path) or (
        isinstance(value, Section) and next(_paths(value, ""), None) is not None
    )


def _value(config: RunConfig, field: str) -> object:
    part, _, name = field.partition(".")
    return getattr(getattr(config, part), name)


def training_line(task: str, overrides: Iterable[str], result: str) -> str:
    """Return the training command as a line of shell, in which Azure fills in the paths."""
    words = build_training_command(
        Path("${{inputs.config}}"),
        tuple(overrides),
        task=task,
        result=Path(f"{HOME}/{result}"),
        python="python",
    )
    return f"TUTELAGE_HOME={HOME} {' '.join(map(_quoted, words))}"


def _quoted(word: str) -> str:
    """Quote a word for the shell, but for what Azure fills in."""
    parts = _PLACE.split(word)
    return "".join(part if _PLACE.fullmatch(part) else shlex.quote(part) for part in parts if part)


def command_job(
    command: str, settings: AzureExecution, uploads: Uploads, tags: Mapping[str, str]
) -> CommandJob:
    """Return the job that runs a command.

    What it writes is uploaded at its end: the store that Azure mounts knows no file locks.
    """
    inputs = {
        name: Input(type="uri_folder" if path.is_dir() else "uri_file", path=str(path))
        for name, path in uploads.files.items()
    }
    limits = None if settings.timeout is None else CommandJobLimits(timeout=int(settings.timeout))
    return CommandJob(
        command=command,
        environment=settings.image,
        compute=settings.compute,
        inputs=inputs,
        outputs={"home": Output(type="uri_folder", mode="upload")},
        limits=limits,
        tags=dict(tags),
        display_name=f"tutelage-{tags.get('task', 'run')}",
        experiment_name=settings.experiment,
    )


def write_spec(
    job: Job, command: str, folder: Path, settings: AzureExecution, uploads: Uploads
) -> JobSpec:
    """Write a job's YAML, read it back with Azure's own reader, and compare.

    Raises:
        StorageError: The folder can't be written.
        RunFailedError: What is read back is not what was meant.
    """
    path = folder / SPEC
    with storage_errors(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path.unlink(missing_ok=True)
        job.dump(path)
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, file in uploads.files.items():  # the library takes paths for names of assets
            inside = file.parent == folder
            content["inputs"][name]["path"] = f"./{file.name}" if inside else str(file)
        with atomic_file(path) as written:
            written.write(yaml.safe_dump(content, sort_keys=False, width=10_000).encode())
        _compare(path, command, uploads)
    where = {
        "--subscription": settings.subscription,
        "--resource-group": settings.resource_group,
        "--workspace-name": settings.workspace,
    }
    words = ["az", "ml", "job", "create", "--file", str(path)]
    words += [word for key, value in where.items() if value is not None for word in (key, value)]
    return JobSpec(path, shlex.join(words), command)


def _compare(path: Path, command: str, uploads: Uploads) -> None:
    read = load_job(path)
    said = read.trial.command if isinstance(read, SweepJob) else read.command
    there = {n: Path(os.path.normpath(path.parent / one.path)) for n, one in read.inputs.items()}
    if said != command or there != uploads.files:
        hint = "Tell us, with the file: this is a fault of ours or of azure-ai-ml."
        raise RunFailedError("Azure's reader understands it otherwise", where=path, hint=hint)


def open_backend(settings: AzureExecution) -> Backend:
    """Refuse: a specification is written, and nobody here waits for its job.

    Raises:
        ConfigError: Always.
    """
    return _refuse(settings)


def _refuse(settings: AzureExecution) -> NoReturn:
    hint = "`tutelage train … execution=azure` writes it and says how to send it."
    said = "this place writes a job's specification, which Azure runs without us"
    raise ConfigError(said, where=f"execution={settings.name}", hint=hint)
