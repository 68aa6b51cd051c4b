"""The process that reads: one input after the other, each noted before it is read.

It may die or hang: whoever started it finds the input in the slot, and goes on behind it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from fuzzing.readers import READERS, Reader
from tutelage.core.errors import RequestError

MEMORY: Final = 1 << 30
"""Bytes that reading one input may take."""
SLOT_BYTES: Final = 1 << 24
_HEAD: Final = struct.Struct("<QQQQQddQ")
_RUNS: Final = (
    "pickle.find_class",
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "socket.connect",
    "urllib.Request",
)
_LIBRARIES: Final = tuple(
    {os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, *sys.path) if p}
    | {"/proc/", "/sys/", "/dev/null", "/dev/urandom", "/usr/", "/etc/localtime", "/etc/mime.types"}
)


@dataclass
class Tally:
    """What became of a reader's inputs; ``reader`` is its place among those that were asked for."""

    reader: int = 0
    tried: int = 0
    accepted: int = 0
    refused: int = 0
    crashes: int = 0
    slowest: float = 0.0
    seconds: float = 0.0


class Slot:
    """Memory that outlives its process: the tally so far, and the input that is being read."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(SLOT_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SLOT_BYTES)

    def note(self, tally: Tally, data: bytes) -> None:
        """Write both down."""
        data = data[: SLOT_BYTES - _HEAD.size]
        self._map[_HEAD.size : _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._map, 0, *astuple(tally), len(data))

    def read(self) -> tuple[Tally, bytes]:
        """Read both."""
        *numbers, size = _HEAD.unpack_from(self._map, 0)
        return Tally(*numbers), self._map[_HEAD.size : _HEAD.size + size]


@dataclass
class Fence:
    """Sees what a reader opens and starts, as far as Python tells."""

    folder: str = ""
    broken: list[str] = field(default_factory=list)
    closed: bool = False
    process: int = field(default_factory=os.getpid)

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """Note what must not be; an audit hook."""
        if not self.closed:
            return
        if event == "os.fork" and sys._getframe(1).f_globals["__name__"] == "tutelage.core.apart":
            return
        if event in _RUNS:
            self._note(f"{event} {arguments!r}"[:200])
        elif event == "open" and isinstance(arguments[0], str | bytes):
            place = str(Path(os.fsdecode(arguments[0])).absolute())
            if not place.startswith(self.folder) and not place.startswith(_LIBRARIES):
                self._note(f"open {place}")

    def _note(self, what: str) -> None:
        """Keep it; a copy of the process, whose memory is its own, ends with it."""
        self.broken.append(what)
        if os.getpid() != self.process:
            raise Escaped(what)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block lasts."""
        self.broken.clear()
        self.closed = True
        try:
            yield
        finally:
            self.closed = False


class Escaped(Exception):
    """A reader opened or started something that is not its own."""


def scratch_folder() -> Path:
    """Return a new folder in memory where there is one."""
    memory = Path("/dev/shm")
    return Path(
        tempfile.mkdtemp(prefix="tutelage-fuzz-", dir=memory if memory.is_dir() else "/tmp")
    )


def fuzz(
    reader: Reader, seed: int, tally: Tally, stop: int, slot: Slot, crashes: Path, fence: Fence
) -> None:
    """Let a reader read its inputs, from where its tally stands to before number ``stop``."""
    folder, kinds = scratch_folder(), set[str]()
    fence.folder = tempfile.tempdir = str(folder)
    began, before = time.perf_counter(), tally.seconds
    try:
        seeds = reader.seeds(folder)
        _warm_up(reader, folder, seeds)
        _limit_memory()
        for number in range(tally.tried, stop):
            random = Random(f"{seed}/{reader.name}/{number}")
            slot.note(tally, b"")
            data = reader.mutate(random, random.choice(seeds), random.choice(seeds))
            tally.tried, tally.seconds = number + 1, before + time.perf_counter() - began
            slot.note(tally, data)
            started = time.perf_counter()
            error = outcome(reader, folder, data, fence)
            tally.slowest = max(tally.slowest, time.perf_counter() - started)
            if error is None:
                tally.accepted += 1
            elif isinstance(error, RequestError):
                tally.refused += 1
            else:
                tally.crashes += 1
                save(error, reader, number, data, crashes, kinds)
            del error  # or what it was raised in holds its memory while the next one is read
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        shutil.rmtree(folder, ignore_errors=True)


def _warm_up(reader: Reader, folder: Path, seeds: list[bytes]) -> None:
    """Read the seeds, so that all is imported; each must be accepted."""
    for data in seeds:
        if (error := outcome(reader, folder, data, None)) is not None:
            raise SystemExit(f"{reader.name}: a seed is refused: {error!r}") from error


def _limit_memory() -> None:
    said = Path("/proc/self/status").read_text(encoding="utf-8")
    taken = next(int(line.split()[1]) << 10 for line in said.splitlines() if "VmData" in line)
    resource.setrlimit(resource.RLIMIT_DATA, (taken + MEMORY, resource.RLIM_INFINITY))


def outcome(reader: Reader, folder: Path, data: bytes, fence: Fence | None) -> BaseException | None:
    """Read one input; return what was raised, if something was."""
    path = folder / reader.file
    path.write_bytes(data)
    try:
        with warnings.catch_warnings(), fence.watching() if fence else contextlib.nullcontext():
            warnings.simplefilter("ignore")
            reader.read(path)
        if fence and fence.broken:
            raise Escaped(fence.broken[0])
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever it is, it is what is looked for
        if fence and fence.broken:
            return Escaped(fence.broken[0])
        return error
    return None


def save(
    error: BaseException, reader: Reader, number: int, data: bytes, folder: Path, kinds: set[str]
) -> None:
    """Keep the first input of each kind of crash, and say what happened."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/tutelage/" in f.filename] or frames[-1:]
    place = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else ""
    kind = f"{type(error).__name__} {place}"
    if kind in kinds:
        return
    kinds.add(kind)
    name = f"{reader.name}-{number}".replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}{Path(reader.file).suffix}").write_bytes(data)
    told = "".join(traceback.format_exception(error))
    (folder / f"{name}.txt").write_text(told, encoding="utf-8", errors="backslashreplace")
    at = f"{ours[-1].lineno}" if ours else "?"
    said = repr(error)[:160].encode("ascii", "backslashreplace").decode()
    print(f"crash: {reader.name}, input {number}: {kind}:{at}: {said}", file=sys.stderr, flush=True)


def main(names: list[str], seed: int, inputs: int, slot: str, crashes: str) -> None:
    """Fuzz readers, from where the slot stands; print a line for each that is done.

    What libraries written in C print of damaged files goes nowhere.
    """
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    fence, place = Fence(), Slot(Path(slot))
    sys.addaudithook(fence)
    tally = place.read()[0]
    for name in names[tally.reader :]:
        reader = READERS[name]
        fuzz(reader, seed, tally, inputs, place, Path(crashes), fence)
        print(json.dumps([name, *astuple(tally)]), flush=True)
        tally = Tally(reader=tally.reader + 1)
        place.note(tally, b"")
