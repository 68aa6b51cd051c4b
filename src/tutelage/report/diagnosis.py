"""Why a run is not finished, and what to do: from its record, its log and its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tutelage.core.failures import is_out_of_memory
from tutelage.core.installing import install_command
from tutelage.core.logs import BEGUN, Entry

Kind = Literal[
    "finished", "working", "stopped", "killed", "time limit", "out of memory", "diverged",
    "disk full", "not writable", "checkpoint", "data", "missing package", "settings", "fault",
]  # fmt: skip
SOUND: Final[tuple[Kind, ...]] = ("finished", "working")
_INSTALL: Final = re.compile(r"pip install (-c ('[^']+'|\S+) )?('[\w.,\[\]-]+'|[\w.-]*\w)")
_NO_MODULE: Final = re.compile(r"No module named '([\w-]+)")
_FRAME: Final = re.compile(r'File "(.+)", line (\d+), in (\S+)')


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint, and why it can't be used where it can't."""

    path: Path
    step: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a run.

    Args:
        status: How it stands, as `Run.status` says.
        error: What its record says of its end.
        last: What the process that worked on it last has logged.
        saved: Its checkpoints, oldest first.
        free: Bytes that are free on its disk.
        folder: Where it lies.
        resume: The command that goes on with it.
        extras: Package to the extra that brings it.
    """

    status: str
    error: str | None
    last: Sequence[Entry]
    saved: Sequence[Saved]
    free: int
    folder: Path
    resume: str
    extras: Mapping[str, str]

    @property
    def events(self) -> tuple[str, ...]:
        """Classes of the errors that ended it, the first one first."""
        return tuple(e.event for e in self.last if e.event and e.event != BEGUN)

    @property
    def words(self) -> str:
        """All that was said of its end."""
        ends = (entry.message for entry in self.last if entry.event not in (None, BEGUN))
        return "\n".join(dict.fromkeys((self.error or "", *ends))).strip()

    @property
    def can_resume(self) -> bool:
        """Whether the run can go on as it is: from a whole checkpoint, or from its beginning."""
        return not self.saved or any(one.problem is None for one in self.saved)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What went wrong with a run, and what to do.

    Args:
        kind: What it is.
        said: The same in a sentence.
        seen: What speaks for it.
        advice: What to do, the first thing first.
    """

    kind: Kind
    said: str
    seen: tuple[str, ...]
    advice: tuple[str, ...]


def diagnose(evidence: Evidence) -> Diagnosis:
    """Say what went wrong with a run: the first rule that knows, tells."""
    for rule in _RULES:
        if (found := rule(evidence)) is not None:
            kind, said, advice = found
            break
    else:
        kind, said, advice = _fault(evidence)
    ended = kind not in SOUND
    seen = (*_seen(evidence), *_checkpoints(evidence)) if ended else ()
    return Diagnosis(kind, said, seen, (*advice, *(_going_on(evidence, kind) if ended else ())))


Found = tuple[Kind, str, tuple[str, ...]]
Rule = Callable[[Evidence], Found | None]


def _standing(evidence: Evidence) -> Found | None:
    if evidence.status == "finished":
        check = f"`tutelage runs verify {evidence.folder.name}` rehashes all that it names."
        return "finished", "nothing went wrong: the run is finished", (check,)
    if evidence.status == "running":
        said = "a process works on it now"
        if evidence.last:
            said += f"; it said {evidence.last[-1].time:%H:%M:%S} UTC: {evidence.last[-1].message}"
        return "working", said, ()
    return None


def _stopped(evidence: Evidence) -> Found | None:
    if "time limit" in evidence.words or evidence.words.startswith("ended at its time"):
        longer = "Give it a longer time: execution.timeout, hpo.trial_timeout or the queue's own."
        return "time limit", "it was ended at its time limit", (longer,)
    if "interrupted" in evidence.words.lower():
        after = " after training.max_time" if "max_time" in evidence.words else " by a person"
        return "stopped", f"it was stopped{after}; nothing is wrong with it", ()
    return None


def _out_of_memory(evidence: Evidence) -> Found | None:
    if not is_out_of_memory(" ".join((evidence.words, *evidence.events))):
        return None
    advice = "Use a smaller training.batch_size (training.accumulate keeps the step), or =auto."
    less = "Use a smaller model, or training.precision=bf16; close what else takes memory."
    return "out of memory", "memory ran out", (advice, less)


def _diverged(evidence: Evidence) -> Found | None:
    if "DivergedError" not in evidence.events and "not finite" not in evidence.words:
        return None
    return "diverged", "training came to a gradient that is NaN or infinite", (
        "Look at the samples that the message names: `tutelage audit` may know them.",
        "Lower training.learning_rate or training.gradient_clip.",
        "Or leave such steps out: training.on_nan=skip, or rollback.",
    )  # fmt: skip


def _storage(evidence: Evidence) -> Found | None:
    if "the disk is full" in evidence.words or "No space left" in evidence.words:
        said = f"Free some space ({evidence.free / 1e9:.1f} GB are free now), or set TUTELAGE_HOME."
        keep = "Checkpoints take less with fewer training.checkpoints.keep_last and keep_best."
        return "disk full", "the disk was full", (said, keep)
    if "StorageError" in evidence.events or "can't be written" in evidence.words:
        advice = "Make the folder that the message names writable, or set TUTELAGE_HOME."
        return "not writable", "a folder could not be written to", (advice,)
    return None


def _checkpoint(evidence: Evidence) -> Found | None:
    if "CheckpointError" not in evidence.events and evidence.can_resume:
        return None
    said = "a checkpoint or weights file is refused: it is altered, cut or foreign"
    return "checkpoint", said, ("Bring back a whole copy of the file that is named.",)


def _missing(evidence: Evidence) -> Found | None:
    if install := _INSTALL.search(evidence.words):
        return "missing package", "a package is missing", (install[0],)
    if module := _NO_MODULE.search(evidence.words):
        name = module[1].replace("_", "-")
        extra = evidence.extras.get(name.lower())
        advice = install_command(extra) if extra else f"pip install '{name}'"
        return "missing package", f"the package {name} is missing", (advice,)
    return None


def _request(evidence: Evidence) -> Found | None:
    if "DataError" in evidence.events:
        advice = "Mend the data that the message names; `tutelage audit TASK data.root=…` checks."
        return "data", "its data are missing, malformed or unusable", (advice,)
    if "ConfigError" in evidence.events:
        return "settings", "a setting is wrong", ("Change the setting that is named.",)
    return None


def _killed(evidence: Evidence) -> Found | None:
    if evidence.words and "was killed" not in evidence.words and "SIGKILL" not in evidence.words:
        return None
    said = "its process was killed" if evidence.words else "its process ended without a word"
    if evidence.last:
        said += f", some time after {evidence.last[-1].time:%Y-%m-%d %H:%M:%S} UTC"
    if evidence.free < _LITTLE:
        return "disk full", f"{said}; its disk is full", ("Free some space.",)
    return "killed", said, (
        "Killed by the system for want of memory, by a queue, by a person, or the machine went "
        "down: `dmesg | grep -i oom` or the queue's log may know.",
        "If memory was short: a smaller training.batch_size, or =auto.",
    )  # fmt: skip


def _fault(evidence: Evidence) -> Found:
    frames = [f for e in evidence.last for f in _FRAME.findall(e.traceback or "")]
    known = ("site-packages" not in file or "/tutelage/" in file for file, _, _ in frames)
    ours = [frame for frame, own in zip(frames, known, strict=True) if own] or frames
    where = "" if not ours else f" in {ours[-1][2]}, {Path(ours[-1][0]).name} line {ours[-1][1]}"
    log = f"Read its traceback: `tutelage runs log {evidence.folder.name} --level error`."
    own = "If a plug-in of your own is in it, mend that; else it is a fault in tutelage: report it."
    return "fault", f"it raised an error that nobody foresaw{where}", (log, own)


_LITTLE: Final = 1 << 20
_RULES: Final[tuple[Rule, ...]] = (
    *(_standing, _stopped, _out_of_memory, _diverged, _storage, _checkpoint, _missing),
    *(_request, _killed),
)


def _seen(evidence: Evidence) -> Iterable[str]:
    if evidence.words:
        yield f"it said: {evidence.words.splitlines()[0]}"
    epochs = [entry.message for entry in evidence.last if entry.message.startswith("epoch ")]
    if epochs:
        yield f"last {epochs[-1]}"
    told = [e for e in evidence.last if e.level == "warning" and "deprecated" not in e.message]
    for entry in told[-3:]:
        yield f"it warned: {entry.message.splitlines()[0]}"


def _checkpoints(evidence: Evidence) -> Iterable[str]:
    whole = [one for one in evidence.saved if one.problem is None]
    if whole:
        yield f"{len(whole)} whole checkpoints, the newest of step {whole[-1].step}"
    else:
        yield "no checkpoint is whole" if evidence.saved else "no checkpoint was taken yet"
    for one in evidence.saved:
        if one.problem is not None:
            yield f"{one.path.name} can't be used: {one.problem}"


def _going_on(evidence: Evidence, kind: Kind) -> tuple[str, ...]:
    if not evidence.can_resume:
        return ("No checkpoint is whole: start over with run.policy=force_new.",)
    if kind in ("diverged", "settings", "out of memory"):
        return (f"With the settings as they were: {evidence.resume}",)
    return (f"Go on with it: {evidence.resume}",)
