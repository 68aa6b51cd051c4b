"""The checks of `tutelage doctor`, each a small function that says what it found."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement

from tutelage.core.extras import extra_of
from tutelage.core.installing import install_command
from tutelage.core.store import RunStore

MALICIOUS = {"lightning": ("2.6.2", "2.6.3"), "pytorch-lightning": ("2.6.2", "2.6.3")}
GIB = 1 << 30
LITTLE_DISK, LITTLE_MEMORY = 2 * GIB, 2 * GIB


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Args:
        name: What was looked at.
        state: ``bad`` where something needed is broken, ``missing`` where an option is absent.
        found: What is there.
        hint: What to do about it.
    """

    name: str
    state: Literal["ok", "missing", "warning", "bad"]
    found: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        """The values that ``--json`` prints."""
        return asdict(self)


def all_checks(store: RunStore | None = None) -> list[Check]:
    """Look at everything, the cheapest first."""
    home = (store or RunStore.default()).home
    malicious = check_malicious()
    return [
        check_python(),
        *malicious,
        *check_requirements(metadata.requires("tutelage") or []),
        *check_torch(),
        check_cores(),
        check_memory(),
        *check_home(home),
    ]


def check_python() -> Check:
    """The interpreter and tutelage itself."""
    found = f"{platform.python_version()} on {platform.platform()}"
    wanted = metadata.metadata("tutelage")["Requires-Python"] or ""
    hint = f"tutelage {metadata.version('tutelage')} needs Python {wanted}"
    version = platform.python_version()
    if Requirement(f"python{wanted}").specifier.contains(version, prereleases=True):
        return Check("Python", "ok", found)
    return Check("Python", "bad", found, hint)


def check_malicious() -> list[Check]:
    """Releases that are known to steal credentials."""
    found = []
    for name, versions in MALICIOUS.items():
        version = installed_version(name)
        if version in versions:
            hint = f"Uninstall it at once (pip uninstall {name}) and change this machine's secrets."
            found.append(Check(name, "bad", f"{version} is a malicious release", hint))
    return found


def installed_version(name: str) -> str | None:
    """The version of an installed package, by any spelling of its name; null if absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_requirements(lines: list[str]) -> list[Check]:
    """Every package that is needed, and the extras.

    Args:
        lines: Requirements as a package's metadata states them.
    """
    groups: dict[str, list[Requirement]] = defaultdict(list)
    for line in lines:
        requirement = Requirement(line)
        groups[extra_of(requirement)].append(requirement)
    needed = groups.pop("", [])
    checks = [Check("tutelage", "ok", metadata.version("tutelage"))]
    checks += [check for r in needed if (check := _check_needed(r)) is not None]
    for extra, requirements in sorted(groups.items()):
        others = [r for r in requirements if r.name != "tutelage"]
        if others:
            checks.append(_check_extra(extra, others))
    return checks


def _check_needed(requirement: Requirement) -> Check | None:
    wrong = _wrong(requirement)
    if wrong:
        hint = f"pip install '{requirement.name}{requirement.specifier}'"
        return Check(requirement.name, "bad", wrong, hint)
    return Check(requirement.name, "ok", installed_version(requirement.name) or "")


def _check_extra(extra: str, requirements: list[Requirement]) -> Check:
    name, hint = f"extra {extra}", install_command(extra)
    absent = [r.name for r in requirements if installed_version(r.name) is None]
    others = [r for r in requirements if r.name not in absent]
    wrong = [f"{r.name} {said}" for r in others if (said := _wrong(r))]
    if absent:
        wrong.append(f"not installed: {', '.join(absent)}")
    if wrong:
        return Check(name, "missing", "; ".join(wrong), hint)
    found = ", ".join(f"{r.name} {installed_version(r.name)}" for r in requirements)
    return Check(name, "ok", found)


def _wrong(requirement: Requirement) -> str:
    """What is wrong with the installed version of a requirement; empty when nothing is."""
    version = installed_version(requirement.name)
    if version is None:
        return "is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"is {version}, wanted {requirement.specifier}"


def check_torch() -> list[Check]:
    """Whether torch can be imported, and the devices it sees."""
    try:
        import torch
    except (ImportError, OSError) as error:
        hint = "Install it again: pip install --force-reinstall torch"
        return [Check("devices", "bad", f"torch can't be imported: {error}", hint)]
    if not torch.cuda.is_available():
        return [Check("devices", "ok", "CPU; no CUDA device")]
    checks = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        said = (
            f"{torch.cuda.get_device_name(index)}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        )
        checks.append(Check(f"cuda:{index}", "ok", said))
    return checks


def check_cores() -> Check:
    """The cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return Check("CPU cores", "ok", f"{usable} usable of {os.cpu_count()}")


def check_memory() -> Check:
    """The memory that is free."""
    memory = psutil.virtual_memory()
    said = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    if memory.available < LITTLE_MEMORY:
        return Check("memory", "warning", said, "Training may need more; close something.")
    return Check("memory", "ok", said)


def check_home(home: Path) -> list[Check]:
    """Whether runs can be written below ``home``, and the room there."""
    hint = "Set TUTELAGE_HOME to a folder you may write, on a disk with room."
    folder = home.absolute()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"tutelage")
        writable = Check("run store", "ok", f"{folder} can be written")
    except OSError as error:
        said = f"{folder} can't be written: {error.strerror}"
        writable = Check("run store", "bad", said, hint)
    free = shutil.disk_usage(existing).free
    said = f"{free / GIB:.1f} GiB free at {existing}"
    if free < LITTLE_DISK:
        return [writable, Check("disk", "warning", said, hint)]
    return [writable, Check("disk", "ok", said)]
