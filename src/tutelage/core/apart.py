"""`apart`: work in a copy of this process, so that its death is an error and no more.

Libraries in C can be crashed by a damaged file, where Python would raise. What is read by one of
them is read apart.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from tutelage.core import errors
from tutelage.core.errors import DataError, TutelageError
from tutelage.core.processes import die_with_parent

FAULT: Final = "fault"
SECONDS: Final = 15
"""Of a processor, that a file of no size may take: damaged ones lead libraries round in circles."""


def apart(work: Callable[[], object], file: Path) -> None:
    """Do some work on a file in a copy of this process; what it made must be on the disk.

    The copy has this thread alone: the work must wait for no other. Linux and macOS.

    Args:
        work: What is done.
        file: What it reads.

    Raises:
        TutelageError: The work raised it.
        DataError: The copy died.
        RuntimeError: The work raised anything else; its traceback is the text.
    """
    parent, most = os.getpid(), _most_seconds(file)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that other threads are not copied
        copy = os.fork()
    if not copy:
        _work(work, writing, parent, most)
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as pipe:
            said = pipe.read()
    except BaseException:
        os.kill(copy, signal.SIGKILL)
        raise
    finally:
        status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    if status < 0:
        hint = "It is damaged, or made to do harm: write it anew from its source."
        how = f"was ended by {signal.Signals(-status).name}"
        if -status == signal.SIGXCPU:
            how = f"did not end in {most} seconds of computing"
        raise DataError(f"what reads it {how}", where=file, hint=hint)
    if said:
        _raise(**json.loads(said))


def _most_seconds(file: Path) -> int:
    """The seconds that a processor may take to read a file: so many, and one for each MiB."""
    return SECONDS + (file.stat().st_size >> 20 if file.is_file() else 0)


def _work(work: Callable[[], object], writing: int, parent: int, most: int) -> NoReturn:
    """Do the work, tell what it raised, and end without what a process does at its end."""
    said = ""
    try:
        die_with_parent(parent)
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(ValueError):  # a lower limit is set already
            resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        work()
    except TutelageError as error:
        told = {"problem": error.problem, "where": error.where, "hint": error.hint}
        said = json.dumps({"kind": type(error).__name__, **told})
    except BaseException:
        said = json.dumps({"kind": FAULT, "problem": traceback.format_exc()})
    finally:
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            pipe.write(said)
        os._exit(0)


def _raise(kind: str, problem: str, where: str | None = None, hint: str | None = None) -> NoReturn:
    """Raise what the copy raised."""
    if kind == FAULT:
        raise RuntimeError(problem)
    found = getattr(errors, kind, DataError)
    error = found.__new__(found)
    TutelageError.__init__(error, problem, where=where, hint=hint)
    raise error
