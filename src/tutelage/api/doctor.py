"""What went wrong with a run, as a person or a Python caller asks: its traces are read together."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from tutelage.core.extras import extra_of
from tutelage.core.logs import BEGUN, Entry, read_log
from tutelage.core.store import CONFIG, LOG, Run, RunStore
from tutelage.report.diagnosis import SOUND, Diagnosis, Evidence, Saved, diagnose

_IMPORTED_AS: Final = {
    "azure-ai-ml": "azure",
    "pillow": "pil",
    "python-can": "can",
    "scikit-image": "skimage",
}
"""Packages that are imported by another name than they are installed by."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A run, what is known of it, and what that means."""

    run: Run
    evidence: Evidence
    diagnosis: Diagnosis

    @property
    def sound(self) -> bool:
        """Whether it is finished, or a process works on it."""
        return self.diagnosis.kind in SOUND

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        found = self.evidence
        return {
            "run": self.run.id,
            "path": str(self.run.path.absolute()),
            "status": found.status,
            "ok": self.sound,
            "diagnosis": asdict(self.diagnosis),
            "checkpoints": [asdict(one) | {"path": str(one.path)} for one in found.saved],
            "resume": found.resume if not self.sound and found.can_resume else None,
        }


def examine(run: Run | str, home: Path | str | None = None) -> Examined:
    """Say why a run is not finished, and what to do.

    Args:
        run: The run.
        home: Where runs live; by default ``TUTELAGE_HOME``, or ``./runs``.

    Raises:
        StoreError: There is no such run, or its record is damaged.
    """
    found = RunStore.at(home).find(run)
    record, status = found.record, found.status
    sound = status in SOUND or status == "running"
    evidence = Evidence(
        status=status,
        error=record.error,
        last=_last_session(found.path / LOG),
        saved=() if sound else _checkpoints(found.checkpoints),
        free=shutil.disk_usage(found.path).free,
        folder=found.path,
        resume=_how_to_resume(found),
        extras=_extras(),
    )
    return Examined(found, evidence, diagnose(evidence))


def _last_session(path: Path) -> tuple[Entry, ...]:
    """What was logged since a process last began to work on the run."""
    entries = tuple(read_log(path))
    begun = [number for number, entry in enumerate(entries) if entry.event == BEGUN]
    return entries[begun[-1] :] if begun else entries


def _checkpoints(folder: Path) -> tuple[Saved, ...]:
    if not folder.is_dir():
        return ()
    from tutelage.training.checkpoint_files import verify

    return tuple(
        Saved(one.path, None if one.marker is None else one.marker.step, one.problem)
        for one in verify(folder)
    )


def _how_to_resume(run: Run) -> str:
    """The command that goes on with a run."""
    record = run.record
    if "study" in record.tags:
        return f"give the command of its study again ({record.tags['study']})"
    policy = run.goes_on_with
    config = shlex.quote(str(run.path.absolute() / CONFIG))
    command = f"tutelage train {record.task} --config {config} {policy}"
    home = run.path.absolute().parent
    if home.resolve() != RunStore.default().home.resolve():
        command = f"TUTELAGE_HOME={shlex.quote(str(home))} {command}"
    return command


def _extras() -> dict[str, str]:
    """Name that a package is imported by, to the smallest extra that brings it.

    A wheel's extras name all that they bring, also by way of others.
    """
    brought: dict[str, list[str]] = {}
    for line in metadata.requires("tutelage") or []:
        requirement = Requirement(line)
        extra = extra_of(requirement)
        if extra and extra not in ("all", "dev", "docs"):
            name = requirement.name.lower()
            brought.setdefault(extra, []).append(_IMPORTED_AS.get(name, name))
    largest_first = sorted(brought, key=lambda extra: len(brought[extra]), reverse=True)
    return {name: extra for extra in largest_first for name in brought[extra]}
