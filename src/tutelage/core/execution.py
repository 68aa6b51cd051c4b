"""`execution.*`: where a run is executed, a section for each place; no part of the fingerprint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from tutelage.core.sections import Section, as_word, tag_or

_VARIABLE: Final = re.compile(r"[A-Za-z_*?][A-Za-z0-9_*?]*")


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("name variables, such as HF_HOME or WANDB_*, not their values")
    return name


class Execution(Section):
    """A place where runs are executed."""

    name: str
    """The place's name."""


class InProcessExecution(Execution):
    """In the process that asks."""

    name: Literal["in-process"] = "in-process"


class ElsewhereExecution(Execution):
    """A place that is not the process that asks."""

    environment: tuple[Annotated[str, AfterValidator(_variable)], ...] = ()
    """Environment variables, or patterns such as WANDB_*, that the run sees besides those that it
    needs; a secret passes by its full name alone."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds after which the run's whole process tree is ended; null for no limit."""


class SubprocessExecution(ElsewhereExecution):
    """In a process of its own that ends with the one that asks."""

    name: Literal["subprocess"] = "subprocess"


class WorkerExecution(ElsewhereExecution):
    """In a child of a warm process that holds torch and the task in memory already (Linux)."""

    name: Literal["worker"] = "worker"


class RayExecution(ElsewhereExecution):
    """On a Ray cluster, or on a Ray of its own on this machine."""

    name: Literal["ray"] = "ray"
    address: str | None = None
    """The cluster, such as ray://host:10001, or auto; null starts a Ray on this machine."""
    cpus: float = Field(default=1.0, gt=0)
    """Cores that a run reserves."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs that a run reserves, also a share of one."""
    local_cpus: int | None = Field(default=None, ge=1)
    """Cores of the Ray that is started on this machine; null takes all."""


class SlurmExecution(ElsewhereExecution):
    """As a job of a Slurm cluster, whose nodes see the same TUTELAGE_HOME."""

    name: Literal["slurm"] = "slurm"
    executor: Literal["slurm", "local", "debug"] = "slurm"
    """`slurm`: a cluster; `local`: processes of this machine in its place; `debug`: in the process
    that asks."""
    partition: str | None = None
    """Partition to queue in; null takes the cluster's own choice."""
    minutes: int = Field(default=60, ge=1)
    """Time limit that Slurm is told."""
    cpus: int = Field(default=1, ge=1)
    """Cores of a job."""
    gpus: int = Field(default=0, ge=0)
    """GPUs of a job."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory of a job in GB; null takes the cluster's own choice."""
    requeues: int = Field(default=3, ge=0)
    """How often a job that reaches `minutes` is put back in the queue, to go on from its last
    checkpoint."""
    options: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z-]*(=.+)?$")], ...] = ()
    """More of sbatch's options, by their long names: [account=lab, qos=long, exclusive]."""


class AzureExecution(ElsewhereExecution):
    """As the specification of an Azure Machine Learning job: written, not sent."""

    name: Literal["azure"] = "azure"
    compute: str = Field(min_length=1)
    """Name of the compute target."""
    image: str = Field(min_length=1)
    """Environment that the job runs in: a registered one, as azureml:NAME:VERSION, or a container
    image, with tutelage installed."""
    experiment: str = "tutelage"
    """Name that Azure lists the job under."""
    subscription: str | None = None
    """Id of the subscription, for the command that sends the job."""
    resource_group: str | None = None
    """Name of the resource group, for the command that sends the job."""
    workspace: str | None = None
    """Name of the workspace, for the command that sends the job."""
    folder: Annotated[Path, BeforeValidator(as_word)] = Path("azure")
    """Folder that the specification is written to."""


ExecutionConfig = Annotated[
    Annotated[InProcessExecution, Tag("in-process")]
    | Annotated[SubprocessExecution, Tag("subprocess")]
    | Annotated[WorkerExecution, Tag("worker")]
    | Annotated[RayExecution, Tag("ray")]
    | Annotated[SlurmExecution, Tag("slurm")]
    | Annotated[AzureExecution, Tag("azure")],
    Discriminator(tag_or("in-process")),
]
